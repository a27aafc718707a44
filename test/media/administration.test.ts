// What administrators can do with media.
import { expect } from "chai";
import {
  deleteAllOfUser,
  deleteByDate,
  mediaOfRoom,
  protect,
  quarantine,
  quarantineMediaOfUser,
  unquarantine,
} from "../../src/media/administration.js";
import { accepted } from "../../src/rooms/owner/draft.js";
import { mediaOfUser } from "../../src/storage/media.js";
import { errcodeOf, startMedia, type TestMedia } from "../support/media-context.js";
import { createRoom, message, SERVER, startProcess, state, user } from "../support/rooms.js";

const name = (media_id: string): { server_name: string; media_id: string } => ({ server_name: SERVER, media_id });

describe("administration of media", () => {
  let media: TestMedia;
  before(async () => {
    media = await startMedia();
  });
  after(() => media[Symbol.asyncDispose]());

  it("lists a user's uploads, page by page", async () => {
    const carol = await media.requester("carol");
    const ids = [await media.upload(carol, "1"), await media.upload(carol, "2"), await media.upload(carol, "3")];
    const first = await mediaOfUser(media.context.database, carol.user_nid, 0, 2);
    const rest = await mediaOfUser(media.context.database, carol.user_nid, first.at(-1)?.nid ?? 0, 2);
    expect([...first, ...rest].map(({ media_id, size, content_type }) => [media_id, size, content_type])).to.deep.equal(
      ids.map((id) => [id, 1, "text/plain"]),
    );
  });

  it("quarantines media with all of the same content, later ones too, and releases them", async () => {
    const [alice, bob] = [await media.requester("alice"), await media.requester("bob")];
    const [first, same, other] = [await media.upload(alice, "bad"), await media.upload(bob, "bad"), await media.upload(bob, "good")];
    const taken = await quarantine(media.context, [name(first)], alice.user_nid);
    expect(taken.map(({ media_id }) => media_id)).to.have.members([first, same]);
    const later = await media.upload(bob, "bad");
    for (const id of [first, same, later]) expect(await errcodeOf(media.find(id)), id).to.equal("M_NOT_FOUND");
    expect(await media.read(other)).to.equal("good");
    expect(await unquarantine(media.context, SERVER, first)).to.equal(3);
    for (const id of [first, same, later]) expect(await media.read(id)).to.equal("bad");
    expect(await quarantine(media.context, [], alice.user_nid)).to.deep.equal([]);
  });

  it("leaves protected media in circulation", async () => {
    const dave = await media.requester("dave");
    const [kept, gone] = [await media.upload(dave, "kept"), await media.upload(dave, "gone")];
    await protect(media.context, SERVER, kept, true);
    expect((await quarantineMediaOfUser(media.context, dave.user_nid, dave.user_nid)).map(({ media_id }) => media_id)).to.deep.equal([gone]);
    expect(await media.read(kept)).to.equal("kept");
    await protect(media.context, SERVER, kept, false);
    expect((await quarantineMediaOfUser(media.context, dave.user_nid, dave.user_nid)).map(({ media_id }) => media_id)).to.deep.equal([kept]);
    expect(await errcodeOf(protect(media.context, SERVER, "unknown", true))).to.equal("M_NOT_FOUND");
  });

  it("deletes all uploads of a user", async () => {
    const erin = await media.requester("erin");
    const ids = [await media.upload(erin, "a"), await media.upload(erin, "b")];
    const before = media.stored().length;
    expect((await deleteAllOfUser(media.context, erin.user_nid)).map(({ media_id }) => media_id)).to.have.members(ids);
    expect(media.stored().length).to.equal(before - 2);
    expect(await deleteAllOfUser(media.context, erin.user_nid)).to.deep.equal([]);
  });

  it("deletes by date and size", async () => {
    const frank = await media.requester("frank");
    const [small, large] = [await media.upload(frank, "small"), await media.upload(frank, "x".repeat(200))];
    media.time.now += 10_000;
    const young = await media.upload(frank, "y".repeat(200));
    const { servers } = media.context;
    const deleted = await deleteByDate(media.context, servers.names[0], { before: media.time.now - 5_000, largerThan: 100 });
    expect(deleted).to.deep.equal([name(large)]);
    expect([await media.read(small), (await media.read(young)).length]).to.deep.equal(["small", 200]);
  });

  it("lists the media that a room's events speak of", async () => {
    await using process = await startProcess(media.context.database.address);
    const alice = user("alice");
    const { room_id, room_nid } = await createRoom(process, alice);
    const drafts = [
      { ...message(alice, "text"), content: { msgtype: "m.image", url: "mxc://example.org/one", info: { thumbnail_url: "mxc://other.example:8448/two" } } },
      { ...message(alice, "again"), content: { msgtype: "m.image", url: "mxc://example.org/one" } },
      { ...message(alice, "words about mxc:// and mxc://example.org"), content: { body: "mxc://" } },
      state(alice, "m.room.avatar", { url: "mxc://example.org/three" }),
    ];
    for (const draft of drafts) accepted((await process.owners.submit(room_id, [draft]))[0]);
    const found = await mediaOfRoom(media.context, room_nid);
    expect(found.map(({ server_name, media_id }) => `${server_name}/${media_id}`)).to.have.members([
      "example.org/one",
      "other.example:8448/two",
      "example.org/three",
    ]);
  });
});
