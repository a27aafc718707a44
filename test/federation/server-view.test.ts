// What other servers are told of rooms: nothing without being in them, and of what they were not there for no more than its shape.
import { expect } from "chai";
import { eventsById } from "../../src/storage/events.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startPeer, type Peer, type PeerAnswer } from "../support/peer.js";
import { joinAsPeer } from "../support/peer-room.js";
import { passwordOf, type TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("rooms as other servers see them", () => {
  let one: FederatingServer;
  let two: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    [one, two, peer] = [await startFederatingServer(), await startFederatingServer(), await startPeer()];
    [alice, bob] = [await one.register("alice"), await two.register("bob")];
  });
  after(async () => {
    for (const server of [one, two, peer]) await server[Symbol.asyncDispose]();
  });

  let serial = 0;
  async function newRoom(visibility: string, more: readonly JsonObject[] = []): Promise<string> {
    const initial_state = [{ type: "m.room.history_visibility", state_key: "", content: { history_visibility: visibility } }, ...more];
    return stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", initial_state })).body, "room_id") ?? "";
  }
  async function say(client: TestClient, room: string): Promise<string> {
    const sent = await client.put(`${V3}/rooms/${room}/send/m.room.message/s${serial++}`, { msgtype: "m.text", body: "secret" });
    return stringAt(sent.body, "event_id") ?? "";
  }
  async function join(client: TestClient, room: string): Promise<void> {
    expect((await client.post(`${V3}/join/${encodeURIComponent(room)}?via=${one.name}`)).status).to.equal(200);
  }

  /** All that can be asked about an event of a room. */
  async function askAll(room: string, event: string): Promise<Record<string, [number, unknown]>> {
    const [id, of] = [encodeURIComponent(event), encodeURIComponent(room)];
    const ask = (method: "GET" | "POST", uri: string, body?: Parameters<Peer["request"]>[4]): Promise<PeerAnswer> =>
      peer.request(one.federationUrl, one.name, method, `/_matrix/federation/v1/${uri}`, body);
    const missing = { earliest_events: [], latest_events: [event], limit: 10 };
    const answers = {
      event: await ask("GET", `event/${id}`),
      state: await ask("GET", `state/${of}?event_id=${id}`),
      state_ids: await ask("GET", `state_ids/${of}?event_id=${id}`),
      event_auth: await ask("GET", `event_auth/${of}/${id}`),
      backfill: await ask("GET", `backfill/${of}?v=${id}&limit=10`),
      get_missing_events: await ask("POST", `get_missing_events/${of}`, missing),
      timestamp_to_event: await ask("GET", `timestamp_to_event/${of}?ts=0&dir=f`),
    };
    return Object.fromEntries(Object.entries(answers).map(([name, { status, body }]) => [name, [status, body["errcode"]]]));
  }

  const allOf = (outcome: [number, unknown]): Record<string, [number, unknown]> =>
    Object.fromEntries(
      ["event", "state", "state_ids", "event_auth", "backfill", "get_missing_events", "timestamp_to_event"].map((name) => [name, outcome]),
    );

  it("are nobody's who is not in them, whatever their history's visibility", async () => {
    for (const visibility of ["world_readable", "shared", "joined"]) {
      const room = await newRoom(visibility);
      const said = await say(alice, room);
      expect(await askAll(room, said)).to.deep.equal(allOf([403, "M_FORBIDDEN"]));
    }
    expect(await askAll("!none:elsewhere.example", "$none")).to.deep.equal(allOf([404, "M_NOT_FOUND"]));
  });

  it("are told as far as their history is visible to the server", async () => {
    for (const visibility of ["joined", "invited", "shared"]) {
      const room = await newRoom(visibility);
      const before = await say(alice, room);
      await join(bob, room);
      const after = await say(alice, room);
      await eventually("what is said since is there", async () => (await eventsById(two.database, [after])).size === 1);
      let body: JsonObject = {};
      await eventually("the history is there", async () => {
        ({ body } = await bob.get(`${V3}/rooms/${room}/messages?dir=b&limit=50`));
        return body["end"] === undefined;
      });
      const rows = await eventsById(two.database, [before, after]);
      expect(rows.get(before)?.json.includes("secret"), visibility).to.equal(visibility === "shared");
      expect(rows.get(after)?.json.includes("secret"), visibility).to.equal(true);
      const members = objectsAt(body, "chunk").filter((event) => event["state_key"] === bob.user_id);
      expect(members.length, visibility).to.equal(1);
    }
  });

  it("do not tell what erased users said to servers that were not there", async () => {
    const room = await newRoom("shared");
    const carol = await one.register("carol");
    await join(carol, room);
    const before = await say(carol, room);
    const erased = await carol.post(`${V3}/account/deactivate`, {
      erase: true,
      auth: { type: "m.login.password", identifier: { type: "m.id.user", user: "carol" }, password: passwordOf("carol") },
    });
    expect(erased.status).to.equal(200);
    await eventually("she has left", async () => Object.keys((await alice.get(`${V3}/rooms/${room}/joined_members`)).body["joined"] ?? {}).length === 1);
    await join(bob, room);
    await eventually("the history is there", async () => (await bob.get(`${V3}/rooms/${room}/messages?dir=b&limit=50`)).body["end"] === undefined);
    expect((await eventsById(two.database, [before])).get(before)?.json.includes("secret")).to.equal(false);
  });

  it("are told to servers that were banned as far as these were there, and not beyond", async () => {
    const room = await newRoom("joined");
    const secret = await say(alice, room);
    const there = await joinAsPeer(peer, one, room);
    const seen = await say(alice, room);
    const banned = await alice.post(`${V3}/rooms/${room}/ban`, { user_id: there.mallory });
    expect(banned.status).to.equal(200);
    const { body } = await alice.get(`${V3}/rooms/${room}/state/m.room.member/${encodeURIComponent(there.mallory)}?format=event`);
    const ban = stringAt(body, "event_id") ?? "";
    const later = await say(alice, room);
    // What it was there for, the ban itself among it, is answered as before; its place in time is not looked for any more.
    for (const event of [seen, ban]) {
      const { timestamp_to_event, ...answers } = await askAll(room, event);
      expect(Object.values(answers).map(([status]) => status), event).to.deep.equal([200, 200, 200, 200, 200, 200]);
      expect(timestamp_to_event).to.deep.equal([403, "M_FORBIDDEN"]);
    }
    for (const event of [secret, later]) expect(await askAll(room, event)).to.deep.equal(allOf([403, "M_FORBIDDEN"]));
    const ask = (method: "GET" | "POST", uri: string, content?: Parameters<Peer["request"]>[4]): Promise<PeerAnswer> =>
      peer.request(one.federationUrl, one.name, method, `/_matrix/federation/v1/${uri}/${encodeURIComponent(room)}${method === "GET" ? `?limit=10&v=${encodeURIComponent(ban)}&v=${encodeURIComponent(later)}` : ""}`, content);
    const textsOf = (events: readonly JsonObject[]): unknown[] => events.filter(({ type }) => type === "m.room.message").map((event) => stringAt(event, "content", "body"));
    // A later event beside one that it was there for brings nothing; what was said before it came has its shape only.
    const backfilled = objectsAt((await ask("GET", "backfill")).body, "pdus");
    expect(textsOf(backfilled)).to.deep.equal(["secret", undefined]);
    const missing = { earliest_events: [there.join], latest_events: [ban, later], limit: 10 };
    expect(textsOf(objectsAt((await ask("POST", "get_missing_events", missing)).body, "events"))).to.deep.equal(["secret"]);
    // Whom the access control list keeps out gets nothing.
    await alice.put(`${V3}/rooms/${room}/state/m.room.server_acl`, { allow: ["*"], deny: ["localhost"], allow_ip_literals: true });
    expect(await askAll(room, seen)).to.deep.equal(allOf([403, "M_FORBIDDEN"]));
  });
});
