// Typing, receipts and presence between servers, and what a server may not say of them.
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import { joinAsPeer } from "../support/peer-room.js";
import { roomOf, type TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("what is ephemeral between servers", () => {
  let here: FederatingServer;
  let there: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  let bob: TestClient;
  let room = "";
  let sent = 0;
  before(async () => {
    [here, there, peer] = await Promise.all([startFederatingServer(), startFederatingServer(), startPeer()]);
    [alice, bob] = await Promise.all([here.register("alice"), there.register("bob")]);
    const created = await alice.post(`${V3}/createRoom`, { preset: "public_chat" });
    room = stringAt(created.body, "room_id") ?? "";
    expect((await bob.post(`${V3}/join/${encodeURIComponent(room)}?via=${here.name}`)).status).to.equal(200);
    await eventually("alice sees bob", async () => {
      const { body } = await alice.get(`${V3}/rooms/${room}/joined_members`);
      return bob.user_id in objectAt(body, "joined");
    });
  });
  after(async () => {
    for (const part of [here, there, peer]) await part[Symbol.asyncDispose]();
  });

  const ephemeral = async (client: TestClient, type: string): Promise<JsonObject> => {
    const { body } = await client.get(`${V3}/sync?set_presence=offline`);
    const event = objectsAt(body, "rooms", "join", room, "ephemeral", "events").find((found) => found["type"] === type);
    return objectAt(event, "content");
  };
  const typists = async (client: TestClient): Promise<unknown> => (await ephemeral(client, "m.typing"))["user_ids"] ?? [];
  const presence = async (client: TestClient, user: TestClient): Promise<JsonObject> => {
    const { body } = await client.get(`${V3}/sync?set_presence=offline`);
    return objectAt(objectsAt(body, "presence", "events").find(({ sender }) => sender === user.user_id), "content");
  };
  async function say(body: string): Promise<string> {
    const answer = await alice.put(`${V3}/rooms/${room}/send/m.room.message/${++sent}`, { msgtype: "m.text", body });
    const event = stringAt(answer.body, "event_id") ?? "";
    await eventually("bob's server has it", async () => (await bob.get(`${V3}/rooms/${room}/event/${event}`)).status === 200);
    return event;
  }
  const transaction = async (edus: JsonObject[]): Promise<unknown> => {
    const body = { origin: peer.name, origin_server_ts: Date.now(), pdus: [], edus } as never;
    return (await peer.request(here.federationUrl, here.name, "PUT", `/_matrix/federation/v1/send/${++sent}`, body)).status;
  };

  it("typing is told when it begins and when it ends", async () => {
    await bob.put(`${V3}/rooms/${room}/typing/${bob.user_id}`, { typing: true, timeout: 60_000 });
    await eventually("alice sees bob type", async () => String(await typists(alice)) === bob.user_id);
    await bob.put(`${V3}/rooms/${room}/typing/${bob.user_id}`, { typing: false });
    await eventually("bob has stopped", async () => String(await typists(alice)) === "");
  });

  it("receipts are told, with their thread, private ones are not", async () => {
    const first = await say("first");
    const second = await say("second");
    await bob.post(`${V3}/rooms/${room}/receipt/m.read/${first}`, { thread_id: "main" });
    await bob.post(`${V3}/rooms/${room}/receipt/m.read.private/${second}`, {});
    await eventually("alice sees what bob has read", async () => {
      const read = objectAt(await ephemeral(alice, "m.receipt"), first, "m.read", bob.user_id);
      return read["thread_id"] === "main" && typeof read["ts"] === "number";
    });
    await bob.post(`${V3}/rooms/${room}/receipt/m.read/${second}`, {});
    await eventually("a later receipt", async () => bob.user_id in objectAt(await ephemeral(alice, "m.receipt"), second, "m.read"));
    expect(JSON.stringify(await ephemeral(alice, "m.receipt"))).to.not.contain("private");
    const owed = { name: "test_owed", text: "SELECT content FROM owed_edus WHERE edu_type = 'm.receipt'" };
    await eventually("nothing is owed", async () => (await there.database.read(owed, [])).length === 0);
  });

  it("presence is told to servers that share a room", async () => {
    await bob.put(`${V3}/presence/${bob.user_id}/status`, { presence: "unavailable", status_msg: "at lunch" });
    await eventually("alice sees bob's status", async () => {
      const content = await presence(alice, bob);
      return content["presence"] === "unavailable" && content["status_msg"] === "at lunch";
    });
    await bob.put(`${V3}/presence/${bob.user_id}/status`, { presence: "online" });
    await eventually("bob is back", async () => (await presence(alice, bob))["presence"] === "online");
  });

  it("presence is told to servers that come to share a room, once and together", async () => {
    await using newcomer = await startPeer();
    const told: JsonObject[][] = [];
    newcomer.answer("/_matrix/federation/v1/send/", ({ body }) => {
      if (stringAt(body, "origin") === here.name) told.push(...objectsAt(body, "edus").filter(({ edu_type }) => edu_type === "m.presence").map((edu) => objectsAt(edu, "content", "push")));
      return { status: 200, body: { pdus: {} } };
    });
    const [carol, dave, eve] = await Promise.all([here.register("carol"), there.register("dave"), here.register("eve")]);
    const gardening = await roomOf(carol, { preset: "public_chat" });
    await eve.post(`${V3}/join/${encodeURIComponent(gardening)}`);
    for (const user of [carol, dave, eve]) await user.put(`${V3}/presence/${user.user_id}/status`, { presence: "online", status_msg: `I am ${user.user_id}` });
    const knows = (reader: TestClient, user: TestClient): Promise<boolean> =>
      eventually(`${reader.user_id} knows of ${user.user_id}`, async () => (await presence(reader, user))["status_msg"] === `I am ${user.user_id}`);
    // A server comes; then another user of a server that is there already.
    expect((await bob.post(`${V3}/join/${encodeURIComponent(gardening)}?via=${here.name}`)).status).to.equal(200);
    await knows(bob, carol);
    expect((await dave.post(`${V3}/join/${encodeURIComponent(gardening)}?via=${here.name}`)).status).to.equal(200);
    await knows(carol, dave);

    await joinAsPeer(newcomer, here, gardening);
    await eventually("the peer is told", () => told.length > 0);
    const second = await roomOf(carol, { preset: "public_chat" });
    await joinAsPeer(newcomer, here, second);
    await carol.put(`${V3}/presence/${carol.user_id}/status`, { presence: "online", status_msg: "later" });
    await eventually("the peer is told of the change", () => told.flat().some(({ status_msg }) => status_msg === "later"));
    const ids = (push: readonly JsonObject[]): string[] => push.map((about) => stringAt(about, "user_id") ?? "").toSorted();
    expect(told.map(ids)).to.deep.equal([[carol.user_id, eve.user_id], [carol.user_id]]);
  });

  it("presence from other servers wakes a sync that waits", async () => {
    const first = await alice.get(`${V3}/sync?set_presence=offline`);
    let since = stringAt(first.body, "next_batch") ?? "";
    await bob.put(`${V3}/presence/${bob.user_id}/status`, { presence: "online", status_msg: "awake" });
    await eventually("the sync tells of bob", async () => {
      const { body } = await alice.get(`${V3}/sync?set_presence=offline&timeout=15000&since=${since}`);
      since = stringAt(body, "next_batch") ?? "";
      return objectsAt(body, "presence", "events").some(({ sender, content }) => sender === bob.user_id && objectAt(content)["status_msg"] === "awake");
    });
  });

  it("a server speaks for nobody but its own users, and only in rooms where they are", async () => {
    const event = await say("for those who are in the room");
    const mallory = `@mallory:${peer.name}`;
    const before = await presence(alice, bob);
    const status = await transaction(
      [bob.user_id, mallory].flatMap((user_id) => [
        { edu_type: "m.typing", content: { room_id: room, user_id, typing: true } },
        { edu_type: "m.receipt", content: { [room]: { "m.read": { [user_id]: { event_ids: [event], data: { ts: 1 } } } } } },
        { edu_type: "m.presence", content: { push: [{ user_id, presence: "unavailable", status_msg: "not so" }] } },
      ]),
    );
    expect(status).to.equal(200);
    expect(await typists(alice)).to.deep.equal([]);
    expect((await ephemeral(alice, "m.receipt"))[event]).to.equal(undefined);
    expect((await presence(alice, bob))["status_msg"]).to.equal(before["status_msg"]);
    const rows = await here.database.read({ name: "test_mallory", text: "SELECT 1 FROM users WHERE user_id = $1" }, [mallory]);
    expect(rows).to.deep.equal([]);
  });

  it("what is malformed is dropped and the rest is taken", async () => {
    const odd = [null, 1, "x", [], {}, { user_id: 1 }, { [room]: null }, { [room]: { "m.read": { [`@x:${peer.name}`]: [] } } }, { push: [null, 1] }, { push: 1 }];
    const edus = ["m.typing", "m.receipt", "m.presence", "m.unknown"].flatMap((edu_type) => odd.map((content) => ({ edu_type, content })));
    expect(await transaction(edus)).to.equal(200);
  });

  it("a server that the room's access control list keeps out is not heard", async () => {
    const deny = [there.name.replace(/:\d+$/, "")];
    await alice.put(`${V3}/rooms/${room}/state/m.room.server_acl`, { allow: ["*"], deny });
    await bob.put(`${V3}/rooms/${room}/typing/${bob.user_id}`, { typing: true, timeout: 60_000 });
    await bob.put(`${V3}/presence/${bob.user_id}/status`, { presence: "unavailable", status_msg: "after typing" });
    await eventually("presence, which no room governs, is heard", async () => (await presence(alice, bob))["status_msg"] === "after typing");
    expect(await typists(alice)).to.deep.equal([]);
  });
});
