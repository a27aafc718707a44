// What clients keep on the server for emoji, stickers and tags: recently used emoji, image packs of rooms and of users, tags.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("emoji, image packs and tags", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let room = "";
  before(async () => {
    server = await startTestServer();
    [alice, bob] = [await server.register("alice"), await server.register("bob")];
    room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
    await bob.post(`${V3}/join/${room}`);
  });
  after(() => server[Symbol.asyncDispose]());

  const data = (client: TestClient, type: string): string => `${V3}/user/${client.user_id}/account_data/${type}`;
  const newData = async (client: TestClient, since: string): Promise<unknown[]> =>
    objectsAt((await client.get(`${V3}/sync?timeout=20000&since=${since}`)).body, "account_data", "events");
  const now = async (client: TestClient): Promise<string> => stringAt((await client.get(`${V3}/sync`)).body, "next_batch") ?? "";

  it("recent emoji follow the user to another device, with entries that nobody understands", async () => {
    const laptop = await server.login("alice");
    const since = await now(laptop);
    const content = { recent_emoji: [{ emoji: "🦊", total: 2 }, { emoji: "mxc://localhost/x", total: 1, "org.example": [null] }] };
    expect((await alice.put(data(alice, "m.recent_emoji"), content)).status).to.equal(200);
    expect(await newData(laptop, since)).to.deep.equal([{ type: "m.recent_emoji", content }]);
    expect((await laptop.get(data(alice, "m.recent_emoji"))).body).to.deep.equal(content);
    expect(refusal(await bob.get(data(alice, "m.recent_emoji")))).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("packs of a room are state, one for each state key, and members hear of them", async () => {
    const pack = (name: string) => ({ images: { cat_wave: { url: "mxc://localhost/cat", body: "a cat", info: { w: 128, h: 128 } } }, pack: { display_name: name } });
    const path = (key: string): string => `${V3}/rooms/${room}/state/m.room.image_pack/${key}`;
    const since = await now(bob);
    expect(refusal(await bob.put(path("mine"), pack("bob's")))).to.deep.equal([403, "M_FORBIDDEN"]);
    for (const key of ["", "cats"]) expect((await alice.put(path(key), pack(`pack ${key}`))).status).to.equal(200);
    expect((await bob.get(path("cats"))).body).to.deep.equal(pack("pack cats"));
    const told = objectsAt((await bob.get(`${V3}/sync?since=${since}`)).body, "rooms", "join", room, "timeline", "events");
    expect(told.map((event) => [event["type"], event["state_key"]])).to.deep.equal([["m.room.image_pack", ""], ["m.room.image_pack", "cats"]]);
    const large = { images: Object.fromEntries(Array.from({ length: 1_200 }, (_, index) => [`image_${index}`, { url: "mxc://localhost/0123456789012345678901234567890" }])) };
    expect(refusal(await alice.put(path("large"), large))).to.deep.equal([413, "M_TOO_LARGE"]);
  });

  it("packs that a user has everywhere are named in account data, also of rooms that were left", async () => {
    const since = await now(bob);
    const content = { rooms: { [room]: { "": {}, cats: {} }, "!gone:example.org": {} } };
    expect((await bob.put(data(bob, "m.image_pack.rooms"), content)).status).to.equal(200);
    expect(await newData(bob, since)).to.deep.equal([{ type: "m.image_pack.rooms", content }]);
    expect(refusal(await bob.put(data(bob, "m.image_pack.rooms"), []))).to.deep.equal([400, "M_BAD_JSON"]);
  });

  it("stickers are sent and shown as they are", async () => {
    const content = { body: "a cat", url: "mxc://localhost/cat", info: {} };
    expect((await bob.put(`${V3}/rooms/${room}/send/m.sticker/s1`, content)).status).to.equal(200);
    const [last] = objectsAt((await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=1`)).body, "chunk");
    expect([last?.["type"], objectAt(last, "content")]).to.deep.equal(["m.sticker", content]);
  });

  it("tags keep what clients add, are each user's own, and refuse orders that are none", async () => {
    const tags = (client: TestClient): string => `${V3}/user/${client.user_id}/rooms/${room}/tags`;
    expect((await alice.put(`${tags(alice)}/m.lowpriority`, { order: 0, "org.example": 1 })).status).to.equal(200);
    expect((await alice.put(`${tags(alice)}/m.lowpriority`, { order: 1 })).status).to.equal(200);
    expect((await alice.get(tags(alice))).body).to.deep.equal({ tags: { "m.lowpriority": { order: 1 } } });
    expect((await bob.get(tags(bob))).body).to.deep.equal({ tags: {} });
    expect(refusal(await bob.put(`${tags(alice)}/u.x`, {}))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await bob.delete(`${tags(alice)}/m.lowpriority`))).to.deep.equal([403, "M_FORBIDDEN"]);
    const { body } = await alice.get(`${V3}/user/${alice.user_id}/rooms/${room}/account_data/m.tag`);
    expect(body).to.deep.equal({ tags: { "m.lowpriority": { order: 1 } } });
  });
});
