// Invitations, knocks and their ends between servers.
import { expect } from "chai";
import { buildEvent } from "../../src/protocol/event-format.js";
import { type EventId, parseUserId, type RoomId } from "../../src/protocol/identifiers.js";
import type { JsonValue } from "../../src/protocol/json.js";
import { roomVersion } from "../../src/protocol/room-version.js";
import { authChain } from "../../src/storage/auth-chains.js";
import { fsck } from "../../src/storage/fsck.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startPeer } from "../support/peer.js";
import type { TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("invitations between servers", () => {
  let one: FederatingServer;
  let two: FederatingServer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    [one, two] = [await startFederatingServer(), await startFederatingServer()];
    [alice, bob] = [await one.register("alice"), await two.register("bob")];
  });
  after(async () => {
    for (const server of [one, two]) expect((await fsck(server.database)).problems).to.deep.equal([]);
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
  });

  async function newRoom(request: JsonObject): Promise<string> {
    return stringAt((await alice.post(`${V3}/createRoom`, { name: "here", ...request })).body, "room_id") ?? "";
  }
  async function section(client: TestClient, kind: string, room: string): Promise<JsonObject | undefined> {
    const rooms = objectAt((await client.get(`${V3}/sync?filter=${encodeURIComponent('{"room":{"include_leave":true}}')}`)).body, "rooms", kind);
    return Object.hasOwn(rooms, room) ? objectAt(rooms, room) : undefined;
  }
  async function membership(client: TestClient, room: string, user: string): Promise<unknown> {
    return (await client.get(`${V3}/rooms/${room}/state/m.room.member/${user}`)).body["membership"];
  }

  for (const room_version of ["1", "9", "11", "12"]) {
    it(`are shown and accepted, version ${room_version}`, async () => {
      const room = await newRoom({ preset: "private_chat", room_version });
      const since = stringAt((await bob.get(`${V3}/sync`)).body, "next_batch") ?? "";
      const invited = async (token: string): Promise<JsonObject> => {
        const { body } = await bob.get(`${V3}/sync?timeout=20000&since=${token}`);
        // Other news may come first.
        const rooms = objectAt(body, "rooms", "invite");
        return Object.hasOwn(rooms, room) ? objectAt(rooms, room) : await invited(stringAt(body, "next_batch") ?? "");
      };
      const waiting = invited(since);
      expect((await alice.post(`${V3}/rooms/${room}/invite`, { user_id: bob.user_id, reason: "come" })).status).to.equal(200);
      const shown = objectsAt(await waiting, "invite_state", "events");
      expect(shown.map((event) => event["type"])).to.include.members(["m.room.create", "m.room.name", "m.room.member"]);
      expect(shown.every((event) => Object.keys(event).every((key) => ["type", "state_key", "sender", "content", "origin_server_ts"].includes(key)))).to.equal(true);
      expect((await bob.post(`${V3}/join/${encodeURIComponent(room)}`)).status).to.equal(200);
      await eventually("alice sees bob", async () => (await membership(alice, room, bob.user_id)) === "join");
      expect(await section(bob, "invite", room)).to.equal(undefined);
      await expectWholeAuthChains(two, room);
    });
  }

  /** What the index of auth chains says is what one finds who goes from event to event. */
  async function expectWholeAuthChains({ database }: FederatingServer, room: string): Promise<void> {
    const text = `SELECT e.nid, e.event_id, j.json FROM events e JOIN rooms r ON r.nid = e.room_nid JOIN state_event_json j ON j.nid = e.nid
      WHERE r.room_id = $1`;
    const rows = await database.read<{ nid: number; event_id: string; json: string }>({ name: "test_auth_chains", text }, [room]);
    const byId = new Map(rows.map((row) => [row.event_id, row]));
    for (const { nid, event_id } of rows) {
      const reached = new Set([event_id]);
      for (const id of reached) {
        const named: unknown = objectAt(JSON.parse(byId.get(id)?.json ?? "{}"))["auth_events"];
        for (const auth of Array.isArray(named) ? named : []) reached.add(String(Array.isArray(auth) ? auth[0] : auth));
      }
      const wanted = [...reached].map((id) => byId.get(id)?.nid ?? id);
      expect([...(await authChain(database, [nid]))], event_id).to.have.members(wanted);
    }
  }

  it("come with new rooms", async () => {
    const room = await newRoom({ preset: "trusted_private_chat", invite: [bob.user_id], is_direct: true });
    const state = objectsAt(await section(bob, "invite", room), "invite_state", "events");
    const own = state.find((event) => event["state_key"] === bob.user_id);
    expect(objectAt(own, "content")).to.include({ membership: "invite", is_direct: true });
  });

  it("are declined, also when nobody there answers any more", async () => {
    const room = await newRoom({ preset: "private_chat", invite: [bob.user_id] });
    expect((await bob.post(`${V3}/rooms/${room}/leave`)).status).to.equal(200);
    await eventually("alice sees it", async () => (await membership(alice, room, bob.user_id)) === "leave");
    expect(await section(bob, "invite", room)).to.equal(undefined);

    const lonely = await startFederatingServer();
    const carol = await lonely.register("carol");
    const created = await carol.post(`${V3}/createRoom`, { preset: "private_chat", invite: [bob.user_id] });
    const other = stringAt(created.body, "room_id") ?? "";
    expect(await section(bob, "invite", other)).to.not.equal(undefined);
    await lonely[Symbol.asyncDispose]();
    expect((await bob.post(`${V3}/rooms/${other}/leave`)).status).to.equal(200);
    expect(await section(bob, "invite", other)).to.equal(undefined);
  });

  it("are taken back by who invited", async () => {
    const room = await newRoom({ preset: "private_chat", invite: [bob.user_id] });
    expect(await section(bob, "invite", room)).to.not.equal(undefined);
    expect((await alice.post(`${V3}/rooms/${room}/kick`, { user_id: bob.user_id })).status).to.equal(200);
    await eventually("bob's invitation is gone", async () => (await section(bob, "invite", room)) === undefined);
  });

  it("are refused by who wants none, and for users that do not exist", async () => {
    const room = await newRoom({ preset: "private_chat" });
    const nobody = await alice.post(`${V3}/rooms/${room}/invite`, { user_id: `@nobody:${two.name}` });
    expect([nobody.status, nobody.body["errcode"]]).to.deep.equal([403, "M_FORBIDDEN"]);
    await bob.put(`${V3}/user/${bob.user_id}/account_data/m.invite_permission_config`, { default_action: "block" });
    const blocked = await alice.post(`${V3}/rooms/${room}/invite`, { user_id: bob.user_id });
    expect([blocked.status, blocked.body["errcode"]]).to.deep.equal([403, "M_INVITE_BLOCKED"]);
    await bob.put(`${V3}/user/${bob.user_id}/account_data/m.invite_permission_config`, {});
    const gone = await alice.post(`${V3}/rooms/${room}/invite`, { user_id: "@x:localhost:1" });
    expect([gone.status, gone.body["errcode"]]).to.deep.equal([502, "M_UNKNOWN"]);
  });

  it("answer knocks", async () => {
    const room = await newRoom({
      preset: "private_chat",
      initial_state: [{ type: "m.room.join_rules", state_key: "", content: { join_rule: "knock" } }],
    });
    const knocked = await bob.post(`${V3}/knock/${encodeURIComponent(room)}?via=${one.name}`, { reason: "please" });
    expect([knocked.status, knocked.body]).to.deep.equal([200, { room_id: room }]);
    expect(objectsAt(await section(bob, "knock", room), "knock_state", "events").map((event) => event["type"])).to.include("m.room.name");
    expect(await membership(alice, room, bob.user_id)).to.equal("knock");
    expect((await alice.post(`${V3}/rooms/${room}/invite`, { user_id: bob.user_id })).status).to.equal(200);
    expect((await bob.post(`${V3}/join/${encodeURIComponent(room)}`)).status).to.equal(200);
    await eventually("alice sees bob", async () => (await membership(alice, room, bob.user_id)) === "join");
  });

  it("come to a server by one request; in transactions only their end, and nothing of bans", async () => {
    await using peer = await startPeer();
    const told: unknown[] = [];
    peer.answer("/_matrix/federation/v2/invite/", ({ body }) => ({ status: 200, body: { event: (body as { event: JsonObject }).event as never } }));
    peer.answer("/_matrix/federation/v1/send/", ({ body }) => {
      told.push(...objectsAt(objectAt(body), "pdus").map((event) => [event["type"], event["state_key"], objectAt(event, "content")["membership"]]));
      return { status: 200, body: { pdus: {} } };
    });
    const user = `@eve:${peer.name}`;
    const room = await newRoom({ preset: "private_chat", invite: [user] });
    const member = async (action: string, user_id = user): Promise<void> => {
      const { status, body } = await alice.post(`${V3}/rooms/${room}/${action}`, { user_id });
      expect(status, `${action}: ${JSON.stringify(body)}`).to.equal(200);
    };
    for (const action of ["kick", "ban", "unban", "invite", "ban", "unban", "invite", "kick"]) await member(action);
    const wanted = ["leave", "ban", "leave"].map((now) => ["m.room.member", user, now]);
    await eventually("the peer knows of the ends", () => told.length >= wanted.length);
    expect(told).to.deep.equal(wanted);

    peer.answer("/_matrix/federation/v2/invite/", () => ({ status: 400, body: { errcode: "M_INVALID_PARAM", error: "no" } }));
    const misunderstood = await alice.post(`${V3}/rooms/${room}/invite`, { user_id: user });
    expect([misunderstood.status, misunderstood.body["errcode"]]).to.deep.equal([502, "M_UNKNOWN"]);
  });

  it("have the create event with them where the room's id is its hash", async () => {
    await using peer = await startPeer();
    const [version, sender] = [roomVersion("12"), parseUserId(`@mallory:${peer.name}`)];
    if (version === undefined || sender === undefined) throw new Error("no version");
    const about = { sender, origin_server_ts: 1, depth: 1, prev_events: [], auth_events: [] };
    const create = (content: { readonly [key: string]: JsonValue }): ReturnType<typeof buildEvent> =>
      buildEvent(version, { ...about, type: "m.room.create", state_key: "", content: { room_version: "12", ...content } }, peer.name, peer.key);
    const [own, other] = [create({}), create({ other: true })];
    const room = `!${own.event_id.slice(1)}` as RoomId;
    const invite = async (state: JsonValue): Promise<unknown[]> => {
      const draft = { ...about, room_id: room, type: "m.room.member", state_key: alice.user_id, content: { membership: "invite" }, depth: 5, prev_events: [`$${"A".repeat(43)}` as EventId] };
      const event = buildEvent(version, draft, peer.name, peer.key);
      const uri = `/_matrix/federation/v2/invite/${encodeURIComponent(room)}/${encodeURIComponent(event.event_id)}`;
      const answer = await peer.request(one.federationUrl, one.name, "PUT", uri, { event: JSON.parse(event.json) as never, room_version: "12", invite_room_state: state });
      return [answer.status, answer.body["errcode"]];
    };
    const whole = (event: typeof own): never => JSON.parse(event.json) as never;
    const stripped = { type: "m.room.create", state_key: "", sender, content: {} };
    for (const state of [[], [{ ...stripped, type: "m.room.name" }], [whole(other)], [stripped, whole(other)], [{ ...stripped, signatures: {} }]]) {
      expect(await invite(state), JSON.stringify(state)).to.deep.equal([400, "M_INVALID_PARAM"]);
    }
    expect(await section(alice, "invite", room)).to.equal(undefined);
    for (const state of [[whole(own)], [stripped]]) expect(await invite(state), JSON.stringify(state)).to.deep.equal([200, undefined]);
    expect(await section(alice, "invite", room)).not.to.equal(undefined);
  });
});
