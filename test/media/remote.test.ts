// Other servers' media: fetched once, kept, and served like our own.
import { expect } from "chai";
import { notFound } from "../../src/errors.js";
import type { FetchRemote } from "../../src/media/context.js";
import { purgeRemoteMedia } from "../../src/media/administration.js";
import { keepMedia } from "../../src/media/upkeep.js";
import { thumbnail } from "../../src/media/thumbnails.js";
import { findContent } from "../../src/media/whereabouts.js";
import { errcodeOf, startMedia } from "../support/media-context.js";

const DAY = 86_400_000;

async function* stream(...chunks: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

/** Another server with one text, and how often it was asked. */
function elsewhere(): { fetchRemote: FetchRemote; asked: string[] } {
  const asked: string[] = [];
  const fetchRemote: FetchRemote = (serverName, mediaId, { maxBytes }) => {
    asked.push(`${serverName}/${mediaId}`);
    if (mediaId === "missing") return Promise.reject(notFound("not there"));
    const content = mediaId === "large" ? stream("x".repeat(maxBytes), "x") : stream("he", "llo");
    return Promise.resolve({ content, content_type: "text/html\r\nx", file_name: "../a" });
  };
  return { fetchRemote, asked };
}

describe("media of other servers", () => {
  it("are fetched once for all who ask, and kept", async () => {
    const { fetchRemote, asked } = elsewhere();
    await using media = await startMedia({}, fetchRemote);
    const texts = await Promise.all([1, 2, 3].map(() => media.read("one", "elsewhere.example")));
    expect([texts, await media.read("one", "elsewhere.example")]).to.deep.equal([["hello", "hello", "hello"], "hello"]);
    expect(asked).to.deep.equal(["elsewhere.example/one"]);
    const found = await media.find("one", "elsewhere.example");
    expect([found.content_type, found.file_name, found.isRemote]).to.deep.equal(["application/octet-stream", ".._a", true]);
  });

  it("are not asked for where the reader does not want it, nor without a way to ask", async () => {
    const { fetchRemote, asked } = elsewhere();
    await using media = await startMedia({}, fetchRemote);
    const sought = { serverName: "elsewhere.example", mediaId: "one", timeoutMs: 0, signal: new AbortController().signal };
    expect(await errcodeOf(findContent(media.context, { ...sought, allowRemote: false }))).to.equal("M_NOT_FOUND");
    await using alone = await startMedia();
    expect(await errcodeOf(alone.find("one", "elsewhere.example"))).to.equal("M_NOT_FOUND");
    expect(asked).to.deep.equal([]);
  });

  it("leave nothing behind if they cannot be had or are too large", async () => {
    const { fetchRemote } = elsewhere();
    await using media = await startMedia({ max_upload_bytes: 1024 }, fetchRemote);
    expect(await errcodeOf(media.find("missing", "elsewhere.example"))).to.equal("M_NOT_FOUND");
    expect(await errcodeOf(media.find("large", "elsewhere.example"))).to.equal("M_TOO_LARGE");
    expect(media.stored()).to.deep.equal([]);
  });

  it("have no thumbnails if they are no images", async () => {
    await using media = await startMedia({}, elsewhere().fetchRemote);
    const wanted = { width: 32, height: 32, method: "crop", animated: false } as const;
    expect(await errcodeOf(thumbnail(media.context, await media.find("one", "elsewhere.example"), wanted))).to.equal("M_UNKNOWN");
  });

  it("go when nobody has asked for them in the configured time, or when an administrator says so", async () => {
    const { fetchRemote, asked } = elsewhere();
    await using media = await startMedia({ retention: { remote_days: 10 } }, fetchRemote);
    const own = await media.upload(await media.requester("alice"), "own");
    await media.find("one", "elsewhere.example");
    media.time.now += 11 * DAY;
    await media.find("two", "elsewhere.example");
    await keepMedia(media.context);
    await media.find("two", "elsewhere.example");
    expect(asked).to.deep.equal(["elsewhere.example/one", "elsewhere.example/two"]);
    await media.find("one", "elsewhere.example");
    expect(asked.length).to.equal(3);
    expect((await purgeRemoteMedia(media.context, media.time.now + 1)).length).to.equal(2);
    expect([await media.read(own), media.stored().length]).to.deep.equal(["own", 1]);
  });
});
