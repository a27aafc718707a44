// What becomes of media in time: nothing that is referred to goes, and nothing else stays.
import { mkdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { deleteMedia, protect, quarantine } from "../../src/media/administration.js";
import { collectContents, keepContent } from "../../src/media/contents.js";
import { spool } from "../../src/media/spool.js";
import { thumbnail } from "../../src/media/thumbnails.js";
import { reserve, upload, uploadReserved } from "../../src/media/upload.js";
import { keepMedia } from "../../src/media/upkeep.js";
import { announceContent } from "../../src/storage/media.js";
import { image } from "../support/media.js";
import { errcodeOf, startMedia, type TestMedia } from "../support/media-context.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

async function contentRows({ context }: TestMedia): Promise<number> {
  const [row] = await context.database.read<{ count: number }>({ name: "", text: "SELECT count(*) AS count FROM media_contents" }, []);
  return row?.count ?? 0;
}

describe("upkeep of media", () => {
  it("deletes content with the last of its URIs", async () => {
    await using media = await startMedia();
    const alice = await media.requester("alice");
    const [first, second] = [await media.upload(alice, "same"), await media.upload(alice, "same")];
    await deleteMedia(media.context, "example.org", first);
    expect(await media.read(second)).to.equal("same");
    expect(await errcodeOf(media.find(first))).to.equal("M_NOT_FOUND");
    await deleteMedia(media.context, "example.org", second);
    expect(media.stored()).to.deep.equal([]);
    expect(await contentRows(media)).to.equal(0);
    expect(await errcodeOf(deleteMedia(media.context, "example.org", second))).to.equal("M_NOT_FOUND");
  });

  it("deletes thumbnails with what they show", async () => {
    await using media = await startMedia();
    const alice = await media.requester("alice");
    const ids: string[] = [];
    for (const [width, height] of [[300, 300], [20, 20]] as const) {
      const uri = await upload(media.context, alice, { content: asStream(await image(width, height)), content_type: "image/png", file_name: undefined });
      const id = uri.split("/").at(-1) ?? "";
      ids.push(id);
      await thumbnail(media.context, await media.find(id), { width: 32, height: 32, method: "crop", animated: false });
    }
    // The small image is its own thumbnail.
    expect(media.stored().length).to.equal(3);
    for (const id of ids) await deleteMedia(media.context, "example.org", id);
    await keepMedia(media.context);
    expect([media.stored(), await contentRows(media)]).to.deep.equal([[], 0]);
  });

  it("loses nothing when the same content is uploaded and deleted all the time", async () => {
    await using media = await startMedia();
    const alice = await media.requester("alice");
    const worker = async (): Promise<void> => {
      for (let round = 0; round < 15; round += 1) {
        const id = await media.upload(alice, "same");
        expect(await media.read(id)).to.equal("same");
        await deleteMedia(media.context, "example.org", id);
      }
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    await keepMedia(media.context);
    expect([media.stored(), await contentRows(media)]).to.deep.equal([[], 0]);
  });

  it("deletes what was stored for an upload that never ended, but not at once", async () => {
    await using media = await startMedia();
    await using file = await spool(media.context.media.spoolFolder, [Buffer.from("half")]);
    await announceContent(media.context.database, file, media.time.now);
    await media.context.media.store.put(file);
    await file[Symbol.asyncDispose]();
    await keepMedia(media.context);
    expect(media.stored()).to.deep.equal([file.digest]);
    media.time.now += HOUR;
    await keepMedia(media.context);
    expect([media.stored(), await contentRows(media)]).to.deep.equal([[], 0]);
  });

  it("deletes what was stored for an upload that was refused, unless others have the same", async () => {
    await using media = await startMedia();
    const id = await media.upload(await media.requester("alice"), "wanted");
    for (const content of ["wanted", "unwanted"]) {
      await using file = await spool(media.context.media.spoolFolder, [Buffer.from(content)]);
      const refused = keepContent(media.context, file, () => Promise.reject(new Error("refused")));
      expect(await refused.catch((error: Error) => error.message)).to.equal("refused");
    }
    await keepMedia(media.context);
    expect([await media.read(id), media.stored().length, await contentRows(media)]).to.deep.equal(["wanted", 1, 1]);
  });

  it("deletes what came too late for a reserved URI", async () => {
    await using media = await startMedia();
    const alice = await media.requester("alice");
    const { content_uri } = await reserve(media.context, alice);
    const mediaId = content_uri.split("/").at(-1) ?? "";
    const fill = (text: string): Promise<unknown> => {
      const content = asStream(Buffer.from(text));
      return errcodeOf(uploadReserved(media.context, alice, { serverName: "example.org", mediaId }, { content, content_type: undefined, file_name: undefined }));
    };
    const outcomes = await Promise.all(["a", "b", "c", "d"].map(fill));
    expect(outcomes.filter((errcode) => errcode === "M_CANNOT_OVERWRITE_MEDIA").length).to.equal(3);
    await keepMedia(media.context);
    expect([media.stored().length, await contentRows(media)]).to.deep.equal([1, 1]);
  });

  it("goes on after a deletion that was cut off behind the bytes", async () => {
    await using media = await startMedia();
    const alice = await media.requester("alice");
    const id = await media.upload(alice, "x");
    const { digest } = await media.find(id);
    await media.context.database.write({ name: "", text: "DELETE FROM media" }, []);
    await media.context.database.write({ name: "", text: "UPDATE media_contents SET check_ts = 0" }, []);
    await media.context.media.store.remove(digest);
    // Uploaded again before anybody comes to it.
    const again = await media.upload(alice, "x");
    await collectContents(media.context);
    expect(await media.read(again)).to.equal("x");
  });

  it("deletes reserved URIs that were not used in time", async () => {
    await using media = await startMedia({ unused_seconds: 60 });
    const alice = await media.requester("alice");
    const { content_uri } = await reserve(media.context, alice);
    const id = content_uri.split("/").at(-1) ?? "";
    expect(await errcodeOf(media.find(id))).to.equal("M_NOT_YET_UPLOADED");
    media.time.now += 61_000;
    expect(await errcodeOf(media.find(id))).to.equal("M_NOT_FOUND");
    await keepMedia(media.context);
    expect(await media.context.database.read({ name: "", text: "SELECT FROM media" }, [])).to.deep.equal([]);
  });

  it("deletes uploads that nobody has asked for in the configured time, except protected and quarantined ones", async () => {
    await using media = await startMedia({ retention: { local_days: 10 } });
    const alice = await media.requester("alice");
    const [old, used, kept, evidence] = [
      await media.upload(alice, "old"),
      await media.upload(alice, "used"),
      await media.upload(alice, "kept"),
      await media.upload(alice, "evidence"),
    ];
    await protect(media.context, "example.org", kept, true);
    await quarantine(media.context, [{ server_name: "example.org", media_id: evidence }], alice.user_nid);
    media.time.now += 6 * DAY;
    await media.find(used);
    media.time.now += 6 * DAY;
    await keepMedia(media.context);
    expect(await errcodeOf(media.find(old))).to.equal("M_NOT_FOUND");
    expect([await media.read(used), await media.read(kept), media.stored().length]).to.deep.equal(["used", "kept", 3]);
  });

  it("keeps everything where no time is configured", async () => {
    await using media = await startMedia();
    const id = await media.upload(await media.requester("alice"), "old");
    media.time.now += 10_000 * DAY;
    await keepMedia(media.context);
    expect(await media.read(id)).to.equal("old");
  });

  it("removes what broken uploads have left in the folder", async () => {
    await using media = await startMedia();
    const { spoolFolder } = media.context.media;
    await mkdir(spoolFolder, { recursive: true });
    for (const [name, age] of [["old", 2 * DAY], ["new", HOUR]] as const) {
      await writeFile(join(spoolFolder, name), "x");
      const at = new Date(media.time.now - age);
      await utimes(join(spoolFolder, name), at, at);
    }
    await keepMedia(media.context);
    expect(media.stored()).to.deep.equal(["new"]);
  });
});

async function* asStream(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
