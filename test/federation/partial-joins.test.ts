// Joins with a part of the state: the room is in use at once, and whole as soon as the rest has come.
import { expect } from "chai";
import { fsck } from "../../src/storage/fsck.js";
import { parseEventId, parseUserId, type UserId } from "../../src/protocol/identifiers.js";
import type { JsonObject } from "../../src/protocol/json.js";
import { eventually } from "../support/eventually.js";
import { federationSettings, startFederatingServer, type FederatingServer } from "../support/federation.js";
import { freePort } from "../support/free-port.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import { residentRoom } from "../support/resident-room.js";
import { startTestServer, type TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const LAZY = encodeURIComponent(JSON.stringify({ room: { state: { lazy_load_members: true } } }));
const MAKE_ADMIN = { name: "make_admin", text: "UPDATE accounts SET is_admin = true FROM users WHERE users.nid = user_nid AND user_id = $1 RETURNING 1 AS one" };
const enc = encodeURIComponent;

/** What resolves when it is let go. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

function userOf(peer: Peer, name: string): UserId {
  const user = parseUserId(`@${name}:${peer.name}`);
  if (user === undefined) throw new Error("no such user");
  return user;
}

async function join(client: TestClient, roomId: string, peer: Peer): Promise<void> {
  const joined = await client.post(`${V3}/join/${enc(roomId)}?via=${peer.name}`);
  expect([joined.status, joined.body]).to.deep.equal([200, { room_id: roomId }]);
}

async function members(client: TestClient, roomId: string): Promise<string[]> {
  return Object.keys(objectAt((await client.get(`${V3}/rooms/${enc(roomId)}/joined_members`)).body, "joined"));
}

const sectionOf = async (client: TestClient, roomId: string, query = ""): Promise<JsonObject> =>
  objectAt((await client.get(`${V3}/sync?${query}`)).body, "rooms", "join", roomId) as JsonObject;

describe("joins with a part of the state", function () {
  this.timeout(600_000);
  let server: FederatingServer;
  let alice: TestClient;
  before(async () => {
    server = await startFederatingServer();
    alice = await server.register("alice");
    await server.database.write(MAKE_ADMIN, [alice.user_id]);
    alice = await server.login("alice");
  });
  after(() => server[Symbol.asyncDispose]());

  const entry = async (roomId: string): Promise<JsonObject> =>
    (objectsAt((await alice.get("/_hansa/admin/v1/joins")).body, "joins").find((one) => one["room_id"] === roomId) ?? {}) as JsonObject;

  it("let the room be used at once, and know it whole later", async () => {
    await using peer = await startPeer();
    const { roomId, giveState } = residentRoom(peer, 100, { omitted: [peer.name] });
    const { opened, open } = gate();
    giveState(peer, opened);
    const sent: JsonObject[] = [];
    peer.answer("/_matrix/federation/v1/send/", ({ body }) => {
      sent.push(...(objectsAt(body, "pdus") as JsonObject[]));
      return { status: 200, body: { pdus: {} } };
    });
    const since = stringAt((await alice.get(`${V3}/sync`)).body, "next_batch") ?? "";
    await join(alice, roomId, peer);
    expect((await fsck(server.database)).problems).to.deep.equal([]);
    expect(await entry(roomId)).to.include({ phase: "incomplete", server: peer.name, user_id: alice.user_id });
    await eventually("somebody is at it", async () => typeof (await entry(roomId))["process"] === "number");

    const lazy = await sectionOf(alice, roomId, `filter=${LAZY}`);
    expect(objectsAt(lazy, "state", "events").map(({ type }) => type)).to.include.members(["m.room.create", "m.room.join_rules"]);
    expect(await sectionOf(alice, roomId)).to.deep.equal({});
    expect(await sectionOf(alice, roomId, `since=${since}`)).to.deep.equal({});
    const said = await alice.put(`${V3}/rooms/${enc(roomId)}/send/m.room.message/1`, { msgtype: "m.text", body: "early" });
    expect(said.status).to.equal(200);
    await eventually("the message at the peer", () => sent.some((event) => objectAt(event, "content")["body"] === "early"));

    // Who is not known yet may type, and read what is not here.
    const reader = userOf(peer, "member5");
    const edus = [
      { edu_type: "m.typing", content: { room_id: roomId, user_id: reader, typing: true } },
      { edu_type: "m.receipt", content: { [roomId]: { "m.read": { [reader]: { event_ids: ["$ahead"], data: { ts: 5 } } } } } },
    ];
    await peer.request(server.federationUrl, server.name, "PUT", "/_matrix/federation/v1/send/early", { origin: peer.name, origin_server_ts: 1, pdus: [], edus });
    const told = objectsAt(await sectionOf(alice, roomId, `filter=${LAZY}`), "ephemeral", "events");
    expect(objectAt(told.find(({ type }) => type === "m.typing"), "content")["user_ids"]).to.deep.equal([reader]);
    expect(objectAt(told.find(({ type }) => type === "m.receipt"), "content", "$ahead", "m.read", reader)).to.deep.equal({ ts: 5 });
    const read = { edu_type: "m.receipt", content: { [roomId]: { "m.read": { [reader]: { event_ids: [stringAt(said.body, "event_id") ?? ""], data: { ts: 6 } } } } } };
    await peer.request(server.federationUrl, server.name, "PUT", "/_matrix/federation/v1/send/later", { origin: peer.name, origin_server_ts: 1, pdus: [], edus: [read] });
    const later = objectsAt(await sectionOf(alice, roomId, `filter=${LAZY}`), "ephemeral", "events").find(({ type }) => type === "m.receipt");
    expect(objectAt(later, "content")).to.not.have.property("$ahead");

    const template = await peer.request(server.federationUrl, server.name, "GET", `/_matrix/federation/v1/make_join/${enc(roomId)}/${enc(userOf(peer, "new"))}?ver=11`);
    expect([template.status, template.body["errcode"]]).to.deep.equal([404, "M_NOT_FOUND"]);

    let complete = false;
    const waiting = members(alice, roomId).finally(() => (complete = true));
    expect(complete).to.equal(false);
    open();
    expect(await waiting).to.have.length(1 + 100 + 1);
    expect(await entry(roomId)).to.include({ phase: "complete", error: null, process: null });
    for (const query of ["", `since=${since}`]) {
      const section = await sectionOf(alice, roomId, query);
      expect(objectsAt(section, "state", "events").filter(({ type }) => type === "m.room.member")).to.have.length.at.least(101);
      expect(objectsAt(section, "timeline", "events").map((event) => objectAt(event, "content")["body"])).to.include("early");
    }
    expect((await fsck(server.database)).problems).to.deep.equal([]);
  });

  it("judge again what came meanwhile", async () => {
    await using peer = await startPeer();
    const { roomId, giveState, state, joins, event } = residentRoom(peer, 3, { omitted: [peer.name], left: [0] });
    const { opened, open } = gate();
    giveState(peer, opened);
    await join(alice, roomId, peer);
    const own = stringAt((await alice.get(`${V3}/rooms/${enc(roomId)}/state/m.room.member/${alice.user_id}?format=event`)).body, "event_id") ?? "";
    const [gone, there] = [userOf(peer, "member0"), userOf(peer, "member1")];
    const of = (key: string) => {
      const found = state.get(key);
      if (found === undefined) throw new Error(`no ${key}`);
      return found;
    };
    const [create, levels] = [of("m.room.create"), of("m.room.power_levels")];
    const [whileThere] = joins;
    if (whileThere === undefined) throw new Error("no join");
    // Who has left says something by the join that was before: only with the whole state is that seen.
    peer.answer("/_matrix/federation/v1/event_auth/", () => ({ status: 200, body: { auth_chain: [...state.values(), ...joins].map(({ json }) => JSON.parse(json) as JsonObject) } }));
    const before = parseEventId(own);
    if (before === undefined) throw new Error("no join");
    const good = event({ type: "m.room.message", sender: there, content: { body: "good" } }, [before], [create, levels, of(`m.room.member${there}`)]);
    const bad = event({ type: "m.room.message", sender: gone, content: { body: "bad" } }, [good.event_id], [create, levels, whileThere]);
    const pdus = [good, bad].map(({ json }) => JSON.parse(json) as JsonObject);
    const answer = await peer.request(server.federationUrl, server.name, "PUT", "/_matrix/federation/v1/send/judged", { origin: peer.name, origin_server_ts: 1, pdus });
    expect(answer.body).to.deep.equal({ pdus: { [good.event_id]: {}, [bad.event_id]: {} } });
    for (const { event_id } of [good, bad]) {
      await eventually("the message", async () => (await alice.get(`${V3}/rooms/${enc(roomId)}/event/${enc(event_id)}`)).status === 200);
    }
    open();
    expect(await members(alice, roomId)).to.have.members([alice.user_id, userOf(peer, "owner"), there, userOf(peer, "member2")]);
    expect((await alice.get(`${V3}/rooms/${enc(roomId)}/event/${enc(good.event_id)}`)).status).to.equal(200);
    expect((await alice.get(`${V3}/rooms/${enc(roomId)}/event/${enc(bad.event_id)}`)).status).to.equal(404);
    expect((await alice.put(`${V3}/rooms/${enc(roomId)}/send/m.room.message/after`, { msgtype: "m.text", body: "after" })).status).to.equal(200);
    const shown = objectsAt(await sectionOf(alice, roomId), "timeline", "events").map(({ content }) => objectAt(content)["body"]);
    expect(shown.slice(-2)).to.deep.equal(["good", "after"]);
    expect((await fsck(server.database)).problems).to.deep.equal([]);
  });

  it("ask other servers of the room where one does not give its state", async () => {
    await using peer = await startPeer();
    await using other = await startPeer();
    const { roomId, giveState } = residentRoom(peer, 60, { omitted: [peer.name, other.name] });
    peer.answer(`/_matrix/federation/v1/state_ids/${enc(roomId)}`, () => ({ status: 200, body: {} }));
    giveState(other);
    await join(alice, roomId, peer);
    expect(await members(alice, roomId)).to.have.length(62);
    expect(other.asked.some((path) => path.includes("/state_ids/"))).to.equal(true);
  });

  it("are completed by whichever process takes them up, and by the room's owner", async () => {
    await using peer = await startPeer();
    await using second = await startTestServer({ ...federationSettings(await freePort()), servers: [{ name: server.name }] }, server.address);
    const rooms = [11, 12, 13, 14, 15, 16].map((members) => ({ members, ...residentRoom(peer, members, { omitted: [peer.name] }) }));
    // Each answers for all of its events.
    for (const { giveState } of rooms) giveState(peer);
    const answers = rooms.map(({ find }) => find);
    peer.answer("/_matrix/federation/v1/event/", ({ path }) => {
      const event = answers.flatMap((find) => find(path.split("/").at(-1) ?? "") ?? [])[0];
      return event === undefined ? { status: 404, body: { errcode: "M_NOT_FOUND" } } : { status: 200, body: { origin: peer.name, pdus: [event] } };
    });
    for (const { roomId } of rooms) await join(alice, roomId, peer);
    const there = second.client({ access_token: alice.access_token });
    for (const { roomId, members: count } of rooms) expect(await members(there, roomId)).to.have.length(count + 2);
    // Either of them shows all joins, also those that ended with the process that was at them.
    const [one] = rooms;
    await server.database.write({ name: "interrupt", text: "UPDATE room_entries SET phase = 'writing', claimed_by = 999999 FROM rooms WHERE nid = room_nid AND room_id = $1 RETURNING 1 AS one" }, [one?.roomId]);
    const [here, beside] = await Promise.all([alice, there].map(async (client) => objectsAt((await client.get("/_hansa/admin/v1/joins")).body, "joins")));
    expect(here).to.deep.equal(beside);
    expect(here?.filter(({ phase }) => phase === "complete")).to.have.length.at.least(rooms.length - 1);
    expect(here?.find(({ room_id }) => room_id === one?.roomId)).to.include({ phase: "given_up", process: null, error: "the process that was at it has ended" });
    expect((await fsck(server.database)).problems).to.deep.equal([]);
  });

  it("are gone on with by the next process, and given up where nobody of ours is left", async () => {
    await using peer = await startPeer();
    const { roomId, giveState } = residentRoom(peer, 5, { omitted: [peer.name] });
    const lost = residentRoom(peer, 6, { omitted: [peer.name] });
    const { opened, open } = gate();
    giveState(peer, opened);
    peer.answer("/_matrix/federation/v1/send/", () => ({ status: 200, body: { pdus: {} } }));
    const port = await freePort();
    const first = await startTestServer(federationSettings(port));
    const bob = await first.register("bob");
    await join(bob, roomId, peer);
    await join(bob, lost.roomId, peer);
    expect((await bob.post(`${V3}/rooms/${enc(lost.roomId)}/leave`)).status).to.equal(200);
    await eventually("the question", () => peer.asked.some((path) => path.includes("/state_ids/")));
    await first[Symbol.asyncDispose]();
    await using second = await startTestServer(federationSettings(port), first.address);
    const again = await second.login("bob");
    expect(await sectionOf(again, roomId)).to.deep.equal({});
    open();
    expect(await members(again, roomId)).to.have.length(7);
    await eventually("nobody waits for the room that was left", async () => {
      const [row] = await second.database.read<{ phase: string }>({ name: "phase", text: "SELECT phase FROM room_entries JOIN rooms ON nid = room_nid WHERE room_id = $1" }, [lost.roomId]);
      return row?.phase === "given_up";
    });
    expect((await fsck(second.database)).problems).to.deep.equal([]);
  });

  it("end cleanly where everybody has left and forgotten the room while it is completed", async () => {
    await using peer = await startPeer();
    peer.answer("/_matrix/federation/v1/send/", () => ({ status: 200, body: { pdus: {} } }));
    const { roomId, giveState } = residentRoom(peer, 300, { omitted: [peer.name] });
    const { opened, open } = gate();
    giveState(peer, opened);
    await join(alice, roomId, peer);
    await eventually("the question", () => peer.asked.some((path) => path.includes("/state_ids/")));
    for (const action of ["leave", "forget"]) expect((await alice.post(`${V3}/rooms/${enc(roomId)}/${action}`)).status, action).to.equal(200);
    open();
    await eventually("the end", async () => ["complete", "given_up"].includes(stringAt(await entry(roomId), "phase") ?? ""));
    expect((await alice.get(`${V3}/rooms/${enc(roomId)}/joined_members`)).status).to.equal(403);
    expect((await fsck(server.database)).problems).to.deep.equal([]);
    // Who comes back joins it once more.
    await join(alice, roomId, peer);
    expect(await members(alice, roomId)).to.have.length(302);
    expect((await fsck(server.database)).problems).to.deep.equal([]);
  });

  it("end cleanly where an administrator purges the room while it is completed", async () => {
    await using peer = await startPeer();
    peer.answer("/_matrix/federation/v1/send/", () => ({ status: 200, body: { pdus: {} } }));
    // Before the other server answers, and while what it gave is written.
    for (const begun of [false, true]) {
      const { roomId, giveState } = residentRoom(peer, begun ? 900 : 200, { omitted: [peer.name] });
      const { opened, open } = gate();
      giveState(peer, opened);
      await join(alice, roomId, peer);
      await eventually("the question", () => peer.asked.some((path) => path.includes(`/state_ids/${enc(roomId)}`)));
      if (begun) {
        open();
        await eventually("some of it is written", async () => Number((await entry(roomId))["written"]) > 10);
        // Of a room that nobody of ours is in nobody is told: it goes at once.
        await alice.post(`${V3}/rooms/${enc(roomId)}/leave`);
      }
      const deletion = await alice.delete(`/_synapse/admin/v2/rooms/${enc(roomId)}`, { purge: true });
      const path = `/_synapse/admin/v2/rooms/delete_status/${stringAt(deletion.body, "delete_id") ?? ""}`;
      await eventually("the purge", async () => stringAt((await alice.get(path)).body, "status") === "complete", 60_000);
      open();
      expect(await entry(roomId)).to.deep.equal({});
      expect((await fsck(server.database)).problems).to.deep.equal([]);
      await join(alice, roomId, peer);
      expect(await members(alice, roomId)).to.have.length((begun ? 900 : 200) + 2);
      await eventually("nothing is left of what was before", async () => (await fsck(server.database)).problems.length === 0);
    }
  });
});
