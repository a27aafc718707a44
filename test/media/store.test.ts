// The stores of media: a folder, and an object store. Both keep the same promises.
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { checkConfig } from "../../src/config.js";
import { openMedia } from "../../src/media/parts.js";
import { spool } from "../../src/media/spool.js";
import type { ByteRange, MediaStore } from "../../src/media/store.js";
import { AUTHED, download, filesIn, image, THUMBNAIL, uploaded } from "../support/media.js";
import { startObjectStore, type ObjectStore } from "../support/object-store.js";
import { startTestServer } from "../support/server.js";

async function contentOf(store: MediaStore, digest: string, range?: ByteRange): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of await store.open(digest, range)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function fails(work: Promise<unknown>): Promise<boolean> {
  return await work.then(
    () => false,
    () => true,
  );
}

describe("media stores", () => {
  let objects: ObjectStore;
  let folder: string;
  before(async () => {
    objects = await startObjectStore();
    folder = await mkdtemp(join(tmpdir(), "hansa-media-"));
  });
  after(async () => {
    await objects[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const kinds: [name: string, settings: () => Record<string, unknown>][] = [
    ["a folder", () => ({ folder })],
    ["an object store", () => ({ folder, s3: objects.settings })],
  ];
  for (const [name, settings] of kinds) {
    describe(name, () => {
      let store: MediaStore;
      let incoming: string;
      before(async () => {
        ({ store, spoolFolder: incoming } = await openMedia(checkConfig({ media: settings() }), undefined));
      });
      after(() => store[Symbol.dispose]());

      for (const size of [0, 1, 100_000, 8 * 1024 * 1024, 20_000_000]) {
        it(`keeps ${size} bytes, gives them and parts of them, and removes them`, async () => {
          const bytes = randomBytes(size);
          await using file = await spool(incoming, [bytes.subarray(0, 10), bytes.subarray(10)]);
          expect([file.size, file.digest]).to.deep.equal([size, createHash("sha256").update(bytes).digest("hex")]);
          await store.put(file);
          await store.put(file);
          expect((await contentOf(store, file.digest)).equals(bytes)).to.equal(true);
          if (size > 1) {
            const range = { start: 1, end: size - 2 };
            expect((await contentOf(store, file.digest, range)).equals(bytes.subarray(1, -1))).to.equal(true);
          }
          await store.remove(file.digest);
          await store.remove(file.digest);
          expect(await fails(contentOf(store, file.digest))).to.equal(true);
        });
      }
    });
  }

  it("serve clients from an object store, and leave nothing in the folder", async () => {
    const own = await mkdtemp(join(folder, "own-"));
    await using server = await startTestServer({ media: { folder: own, s3: objects.settings } });
    const alice = await server.register("alice");
    const bytes = await image(500, 500);
    const uri = await uploaded(server, alice, bytes, "image/png");
    expect((await download(server, alice, `${AUTHED}/${uri}`)).bytes.equals(bytes)).to.equal(true);
    const part = await download(server, alice, `${AUTHED}/${uri}`, { headers: { range: "bytes=0-7" } });
    expect([part.status, part.bytes.toString("hex")]).to.deep.equal([206, "89504e470d0a1a0a"]);
    expect((await download(server, alice, `${THUMBNAIL}/${uri}?width=32&height=32&method=crop`)).status).to.equal(200);
    expect(filesIn(own)).to.deep.equal([]);
    expect(filesIn(objects.folder).length).to.be.greaterThan(1);
  });

  it("fail an upload that the object store refuses, and leave nothing of it", async () => {
    const own = await mkdtemp(join(folder, "own-"));
    await using server = await startTestServer({ media: { folder: own, s3: { ...objects.settings, bucket: "unknown" } } });
    const alice = await server.register("alice");
    const headers = { authorization: `Bearer ${alice.access_token}` };
    expect((await fetch(`${server.url}/_matrix/media/v3/upload`, { method: "POST", body: "x", headers })).status).to.equal(500);
    expect(filesIn(own)).to.deep.equal([]);
  });
});
