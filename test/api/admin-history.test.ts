// What administrators do to the history of rooms, and to users whom nobody is to hear: purges, ends of the history, shadow bans.
import { expect } from "chai";
import { fsck } from "../../src/storage/fsck.js";
import { eventually } from "../support/eventually.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V1 = "/_synapse/admin/v1";
const V3 = "/_matrix/client/v3";
const enc = encodeURIComponent;
const MAKE_ADMIN = {
  name: "test_make_admin",
  text: "UPDATE accounts SET is_admin = true FROM users WHERE users.nid = user_nid AND user_id = $1 RETURNING 1 AS one",
};

describe("the admin API for history and shadow bans", () => {
  let server: TestServer;
  let root: TestClient;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    server = await startTestServer();
    await server.database.write(MAKE_ADMIN, [(await server.register("root")).user_id]);
    root = await server.login("root");
    [alice, bob] = [await server.register("alice"), await server.register("bob")];
  });
  after(() => server[Symbol.asyncDispose]());

  async function sharedRoom(): Promise<string> {
    const room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
    await bob.post(`${V3}/join/${enc(room)}`);
    return room;
  }
  async function say(client: TestClient, room: string, body: string, more: object = {}): Promise<string> {
    const path = `${V3}/rooms/${enc(room)}/send/m.room.message/${enc(body)}`;
    return stringAt((await client.put(path, { msgtype: "m.text", body, ...more })).body, "event_id") ?? "";
  }
  async function bodies(client: TestClient, room: string): Promise<unknown[]> {
    const { body } = await client.get(`${V3}/rooms/${enc(room)}/messages?dir=b&limit=100`);
    return objectsAt(body, "chunk").flatMap((event) => objectAt(event, "content")["body"] ?? []).toReversed();
  }
  async function purge(room: string, request: object): Promise<void> {
    const { body } = await root.post(`${V1}/purge_history/${enc(room)}`, request);
    const id = stringAt(body, "purge_id") ?? "";
    const status = await eventually("the purge ends", async () => {
      const answer = await root.get(`${V1}/purge_history_status/${id}`);
      return answer.body["status"] !== "active" && answer.body;
    });
    expect(status).to.deep.equal({ status: "complete" });
  }

  it("purges messages before an event: nobody sees them, nothing of them is left, and the room goes on", async () => {
    const room = await sharedRoom();
    const first = await say(alice, room, "old secret one");
    const rootOfThread = await say(alice, room, "old root");
    await say(bob, room, "old reply", { "m.relates_to": { rel_type: "m.thread", event_id: rootOfThread } });
    await alice.put(`${V3}/rooms/${enc(room)}/state/m.room.topic`, { topic: "stays" });
    const since = stringAt((await bob.get(`${V3}/sync`)).body, "next_batch") ?? "";
    const kept = await say(alice, room, "kept");
    await purge(room, { purge_up_to_event_id: kept });
    expect(await bodies(bob, room), "what local users sent stays unless asked for").to.deep.equal(["old secret one", "old root", "old reply", "kept"]);
    await purge(room, { purge_up_to_event_id: kept, delete_local_events: true });
    expect(await bodies(bob, room)).to.deep.equal(["kept"]);
    expect(refusal(await bob.get(`${V3}/rooms/${enc(room)}/event/${enc(first)}`))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(refusal(await bob.get(`${V3}/rooms/${enc(room)}/context/${enc(first)}`))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect((await bob.get(`${V3}/rooms/${enc(room)}/state/m.room.topic`)).body).to.deep.equal({ topic: "stays" });
    expect(objectsAt((await bob.get(`/_matrix/client/v1/rooms/${enc(room)}/threads`)).body, "chunk")).to.deep.equal([]);
    const text = "SELECT count(*)::integer AS found FROM message_json WHERE json LIKE '%old %'";
    expect(await server.database.read({ name: "test_old_texts", text }, [])).to.deep.equal([{ found: 0 }]);
    const after = await bob.get(`${V3}/sync?since=${since}`);
    const timeline = objectsAt(after.body, "rooms", "join", room, "timeline", "events");
    expect(timeline.map((event) => objectAt(event, "content")["body"])).to.deep.equal(["kept"]);
    await say(bob, room, "and on");
    const fresh = objectsAt((await alice.get(`${V3}/sync`)).body, "rooms", "join", room, "timeline", "events");
    expect(fresh.map((event) => objectAt(event, "content")["body"]).filter((body) => body !== undefined)).to.deep.equal(["kept", "and on"]);
    expect((await fsck(server.database)).problems).to.deep.equal([]);
  });

  it("purges by time, never the newest", async () => {
    const room = await sharedRoom();
    for (const body of ["a", "b", "c"]) await say(alice, room, body);
    await purge(room, { purge_up_to_ts: Date.now() + 60_000, delete_local_events: true });
    expect(await bodies(alice, room)).to.deep.equal(["c"]);
    await purge(room, { purge_up_to_ts: 1, delete_local_events: true });
    expect(await bodies(alice, room)).to.deep.equal(["c"]);
    expect((await fsck(server.database)).problems).to.deep.equal([]);
  });

  it("refuses purges that say nothing, or of what is not there", async () => {
    const [room, other] = [await sharedRoom(), await sharedRoom()];
    const event = await say(alice, other, "elsewhere");
    expect(refusal(await root.post(`${V1}/purge_history/${enc(room)}`))).to.deep.equal([400, "M_BAD_JSON"]);
    expect(refusal(await root.post(`${V1}/purge_history/${enc(room)}/${enc(event)}`))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(refusal(await root.post(`${V1}/purge_history/${enc("!no:localhost")}`, { purge_up_to_ts: 1 }))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(refusal(await root.get(`${V1}/purge_history_status/none`))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(refusal(await alice.post(`${V1}/purge_history/${enc(other)}/${enc(event)}`))).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("takes ends of the history away, and the room goes on", async () => {
    const room = await sharedRoom();
    const before = await say(alice, room, "before");
    await say(alice, room, "last");
    const path = `${V1}/rooms/${enc(room)}/forward_extremities`;
    expect((await root.delete(path)).body).to.deep.equal({ deleted: 0 });
    // A second end, as a fork would have left it.
    const text = "UPDATE rooms SET extremities = extremities || (SELECT nid FROM events WHERE event_id = $2), revision = revision + 1 WHERE room_id = $1 RETURNING 1 AS one";
    await server.database.write({ name: "test_fork", text }, [room, before]);
    expect((await root.get(path)).body["count"]).to.equal(2);
    expect((await root.delete(path)).body).to.deep.equal({ deleted: 1 });
    expect((await root.get(path)).body["count"]).to.equal(1);
    await say(bob, room, "goes on");
    expect(await bodies(alice, room)).to.deep.equal(["before", "last", "goes on"]);
    expect((await fsck(server.database)).problems).to.deep.equal([]);
  });

  it("lets nobody hear a shadow-banned user, who is told that all is well", async () => {
    const mallory = await server.register("mallory");
    const room = await sharedRoom();
    await mallory.post(`${V3}/join/${enc(room)}`);
    const ban = `${V1}/users/${mallory.user_id}/shadow_ban`;
    expect((await root.post(ban)).body).to.deep.equal({});
    expect((await root.get(`/_synapse/admin/v2/users/${mallory.user_id}`)).body["shadow_banned"]).to.equal(true);
    const sent = await say(mallory, room, "spam");
    expect(sent).to.match(/^\$[\w-]{43}$/);
    expect(await say(mallory, room, "spam"), "the same transaction").to.equal(sent);
    const state = await mallory.put(`${V3}/rooms/${enc(room)}/state/m.room.member/${mallory.user_id}`, { membership: "join", displayname: "spam" });
    expect([state.status, typeof state.body["event_id"]]).to.deep.equal([200, "string"]);
    expect((await mallory.put(`${V3}/rooms/${enc(room)}/typing/${mallory.user_id}`, { typing: true })).status).to.equal(200);
    expect((await mallory.put(`${V3}/rooms/${enc(room)}/redact/${enc(sent)}/r`)).status).to.equal(200);
    const own = stringAt((await mallory.post(`${V3}/createRoom`, { invite: [bob.user_id] })).body, "room_id") ?? "";
    expect((await mallory.post(`${V3}/rooms/${enc(own)}/invite`, { user_id: bob.user_id })).body).to.deep.equal({});
    const told = (await bob.get(`${V3}/sync`)).body;
    expect(objectAt(told, "rooms")).not.to.have.property("invite");
    expect(JSON.stringify(told)).not.to.include("spam");
    expect(await bodies(alice, room)).to.deep.equal([]);
    const upgraded = await mallory.post(`${V3}/rooms/${enc(own)}/upgrade`, { new_version: "12" });
    expect([upgraded.status, upgraded.body["replacement_room"]]).to.satisfy(([status, id]: unknown[]) => status === 200 && id !== own && String(id).startsWith("!"));
    expect((await mallory.get(`${V3}/rooms/${enc(own)}/state/m.room.tombstone`)).status).to.equal(404);
    for (const user of [mallory, bob]) await user.put(`${V3}/profile/${user.user_id}/displayname`, { displayname: "another" });
    const nameIn = async (user: TestClient): Promise<unknown> =>
      (await alice.get(`${V3}/rooms/${enc(room)}/state/m.room.member/${user.user_id}`)).body["displayname"];
    await eventually("bob's name is in the room", async () => (await nameIn(bob)) === "another");
    expect(await nameIn(mallory)).to.equal("mallory");
    expect((await root.delete(ban)).body).to.deep.equal({});
    await say(mallory, room, "sorry");
    expect(await bodies(alice, room)).to.deep.equal(["sorry"]);
    await root.post(ban);
    expect((await mallory.post(`${V3}/rooms/${enc(room)}/leave`)).status).to.equal(200);
    expect(refusal(await alice.post(ban))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await root.post(`${V1}/users/@nobody:localhost/shadow_ban`))).to.deep.equal([404, "M_NOT_FOUND"]);
  });
});
