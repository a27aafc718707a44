// A server that signs as it should and lies in everything else: what it says is refused, nothing of it is kept, others are served.
import { expect } from "chai";
import { canonicalJson } from "../../src/protocol/canonical-json.js";
import { buildEvent, type EventDraft } from "../../src/protocol/event-format.js";
import { type EventId, parseEventId, parseUserId, type UserId } from "../../src/protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, NumberLexeme } from "../../src/protocol/json.js";
import { roomVersion } from "../../src/protocol/room-version.js";
import { fsck } from "../../src/storage/fsck.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { startPeer, type Peer, type PeerAnswer } from "../support/peer.js";
import { joinAsPeer, type PeerRoom, resultOf } from "../support/peer-room.js";
import type { TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("a hostile server", () => {
  let server: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  let serial = 0;
  before(async () => {
    [server, peer] = await Promise.all([startFederatingServer(), startPeer()]);
    alice = await server.register("alice");
  });
  after(async () => {
    expect((await fsck(server.database)).problems).to.deep.equal([]);
    for (const part of [server, peer]) await part[Symbol.asyncDispose]();
  });

  async function newRoom(room_version: string, more: JsonObject = {}): Promise<string> {
    return stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version, ...more })).body, "room_id") ?? "";
  }
  const peerRoom = async (version: string): Promise<PeerRoom> => await joinAsPeer(peer, server, await newRoom(version));
  async function say(room: string): Promise<string> {
    const sent = await alice.put(`${V3}/rooms/${room}/send/m.room.message/${++serial}`, { msgtype: "m.text", body: `word ${serial}` });
    return stringAt(sent.body, "event_id") ?? "";
  }
  const shown = async (room: string, id: string): Promise<boolean> => (await alice.get(`${V3}/rooms/${encodeURIComponent(room)}/event/${encodeURIComponent(id)}`)).status === 200;
  const stored = async (): Promise<number> => {
    const [row] = await server.database.read<{ count: number }>({ name: "test_hostile", text: "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM staged_events) AS count" }, []);
    return Number(row?.count);
  };
  const ask = (method: "GET" | "PUT" | "POST", uri: string, body?: JsonObject): Promise<PeerAnswer> =>
    peer.request(server.federationUrl, server.name, method, `/_matrix/federation/${uri}`, body);

  for (const version of ["6", "10", "12"]) {
    it(`is not believed events that are no events of version ${version}, and the rest of its transaction is taken`, async () => {
      const at = await peerRoom(version);
      const sound = at.event();
      const before = await stored();
      const { wire } = at.event();
      const altered = (change: JsonObject): JsonObject => at.sign({ ...wire, ...change });
      const deep: JsonValue = Array.from({ length: 20_000 }).reduce<JsonValue>((inner) => [inner], 1);
      const long = "é".repeat(256);
      const many = (count: number): JsonValue => Array.from({ length: count }, (_, index) => `$${String(index).padStart(43, "A")}`);
      const bad: Record<string, JsonValue> = {
        "a number": 7,
        "no sender": (({ sender: _sender, ...rest }) => rest)(wire),
        "21 predecessors": altered({ prev_events: many(21) }),
        "11 auth events": altered({ auth_events: many(11) }),
        "negative depth": altered({ depth: -1 }),
        "depth as text": altered({ depth: "1" }),
        "a type of 256 characters": altered({ type: long }),
        "a state key of 256 characters": altered({ state_key: long }),
        "content that is a list": altered({ content: [] }),
        "65,537 bytes": altered({ content: { body: "x".repeat(65_536) } }),
        "a float": { ...wire, content: { body: "float", number: new NumberLexeme("1.5") } },
        "a huge integer": { ...wire, content: { body: "huge", number: new NumberLexeme("9007199254740992") } },
        "a depth beyond integers": { ...wire, depth: new NumberLexeme("1e300") },
        "no signature": { ...altered({ content: { body: "unsigned" } }), signatures: {} },
        "another server's signature": { ...altered({ content: { body: "other" } }), signatures: { "elsewhere.example": { "ed25519:x": "A".repeat(86) } } },
        "a sender of ours": altered({ sender: alice.user_id }),
        "a sender that is no user": altered({ sender: "mallory" }),
      };
      const answer = await at.send([...Object.values(bad), at.sign({ ...wire, content: { body: "deep", deep } }), sound.wire]);
      expect(answer.status).to.equal(200);
      expect(resultOf(answer, sound.id)).to.equal("");
      expect(await shown(at.room, sound.id)).to.equal(true);
      // What is nested deeply is an event all the same.
      expect(await stored(), "events kept").to.equal(before + 2);
      for (const [what, event] of Object.entries(bad)) {
        const alone = await at.send([event]);
        expect(alone.status, what).to.equal(200);
        const results = Object.values(objectAt(alone.body, "pdus"));
        expect(results.every((result) => stringAt(result, "error") !== undefined), `${what}: ${JSON.stringify(results)}`).to.equal(true);
      }
      expect(await stored(), "events kept afterwards").to.equal(before + 2);
    });
  }

  it("is not believed content whose hash does not match, only what a redaction leaves", async () => {
    const at = await peerRoom("11");
    const { id, wire } = at.event();
    expect(resultOf(await at.send([{ ...wire, content: { msgtype: "m.text", body: "forged" } }]), id)).to.equal("");
    const { body } = await alice.get(`${V3}/rooms/${at.room}/event/${id}`);
    expect(body["content"]).to.deep.equal({});
    // The true one, later, changes nothing.
    await at.send([wire]);
    expect((await alice.get(`${V3}/rooms/${at.room}/event/${id}`)).body["content"]).to.deep.equal({});
  });

  it("has what the rules refuse rejected, and nobody is shown it", async () => {
    const at = await peerRoom("11");
    const elsewhere = await peerRoom("11");
    const [join, levels, create] = [at.join, at.state.get("m.room.power_levels"), at.state.get("m.room.create")];
    if (levels === undefined || create === undefined) throw new Error("no state");
    const member = (user: string, membership: string): Partial<EventDraft> => ({ type: "m.room.member", state_key: user, content: { membership } });
    const bad: Record<string, { readonly id: EventId; readonly wire: JsonObject }> = {
      "auth events twice": at.event({ auth_events: [...at.auth, join] }),
      "an auth event that is not selected": at.event({ auth_events: [...at.auth, at.state.get("m.room.history_visibility") ?? join] }),
      "auth events of another room": at.event({ auth_events: [create, levels, elsewhere.join] }),
      "no create event": at.event({ auth_events: [join, levels] }),
      "no membership": at.event({ auth_events: [create, levels] }),
      "power levels": at.event({ type: "m.room.power_levels", state_key: "", content: { users: { [at.mallory]: 100 } } }),
      "a second create event": at.event({ type: "m.room.create", state_key: "", content: { room_version: "11" }, auth_events: [] }),
      "a kick": at.event(member(alice.user_id, "leave")),
      "a ban": at.event(member(alice.user_id, "ban")),
      "a join of another user": at.event(member(`@other:${peer.name}`, "join")),
      "state of another user": at.event({ type: "org.example.state", state_key: alice.user_id, content: {} }),
      "join rules": at.event({ type: "m.room.join_rules", state_key: "", content: { join_rule: "invite" } }),
    };
    for (const [what, { id, wire }] of Object.entries(bad)) {
      const answer = await at.send([wire]);
      expect(answer.status, what).to.equal(200);
      expect(resultOf(answer, id), what).to.equal("");
      expect(await shown(at.room, id), what).to.equal(false);
    }
    // What follows a rejected event, or is authorised by one, is not let in by it.
    const { id: rejected } = bad["power levels"] ?? { id: join };
    const heir = at.event({ type: "m.room.join_rules", state_key: "", content: { join_rule: "invite" }, auth_events: [create, rejected, join], prev_events: [rejected] });
    expect(resultOf(await at.send([heir.wire]), heir.id)).to.equal("");
    const { body } = await alice.get(`${V3}/rooms/${at.room}/state`);
    const state = Array.isArray(body) ? body : [];
    expect(state).to.deep.equal([]);
    const rule = await alice.get(`${V3}/rooms/${at.room}/state/m.room.join_rules`);
    expect(rule.body).to.deep.equal({ join_rule: "public" });
    // The room goes on, for the hostile server too.
    const next = await say(at.room);
    expect(await shown(at.room, next)).to.equal(true);
  });

  it("gets no redaction of what is not its own", async () => {
    const at = await peerRoom("11");
    const [word, create] = [parseEventId(await say(at.room)), at.state.get("m.room.create")];
    if (word === undefined || create === undefined) throw new Error("no events");
    for (const redacts of [word, create]) {
      const redaction = at.event({ type: "m.room.redaction", content: {}, redacts });
      await at.send([redaction.wire]);
      const { body } = await alice.get(`${V3}/rooms/${at.room}/event/${redacts}`);
      expect(Object.keys(objectAt(body, "content")), redacts).to.not.deep.equal([]);
      expect(objectAt(body, "unsigned")["redacted_because"], redacts).to.equal(undefined);
    }
  });

  it("may say NUL, and name keys as it likes", async () => {
    const at = await peerRoom("11");
    const content = JSON.parse('{"msgtype":"m.text","body":"a\\u0000b","__proto__":{"admin":true},"constructor":1}') as JsonObject;
    const { id, wire } = at.event({ content });
    expect(resultOf(await at.send([wire]), id)).to.equal("");
    const { body } = await alice.get(`${V3}/rooms/${at.room}/event/${id}`);
    expect(JSON.stringify(body["content"])).to.equal(canonicalJson(content));
  });

  it("may not send more than is allowed, nor too much at once", async () => {
    const at = await peerRoom("11");
    const before = await stored();
    const { wire } = at.event();
    expect((await at.send(Array.from({ length: 51 }, () => wire))).status).to.equal(400);
    expect((await at.send([], Array.from({ length: 101 }, () => ({ edu_type: "m.typing", content: {} })))).status).to.equal(400);
    expect((await at.send([{ ...wire, unsigned: { much: "x".repeat(20_000_000) } }])).status).to.equal(413);
    expect(await stored()).to.equal(before);
  });

  it("is asked little for events that it never has, and holds nobody up", async () => {
    const at = await peerRoom("11");
    const unknown = (): EventId => `$${crypto.randomUUID().replaceAll("-", "").padEnd(43, "A")}` as EventId;
    const events = Array.from({ length: 50 }, () => at.event({ prev_events: Array.from({ length: 20 }, unknown), depth: 2 ** 53 - 1 }));
    let speak: (answer: PeerAnswer) => void = () => undefined;
    const silence = new Promise<PeerAnswer>((resolve) => (speak = resolve));
    peer.answer("/_matrix/federation/v1/get_missing_events", () => silence);
    const asked = peer.asked.length;
    const sending = at.send(events.map(({ wire }) => wire));
    for (let number = 0; number < 5; number += 1) {
      const begun = performance.now();
      expect((await alice.get("/_matrix/client/versions")).status).to.equal(200);
      expect(await shown(at.room, await say(at.room))).to.equal(true);
      expect(performance.now() - begun).to.be.lessThan(30_000);
    }
    speak({ status: 200, body: { events: events.map(({ wire }) => wire) } });
    expect((await sending).status).to.equal(200);
    for (const { id } of events) expect(await shown(at.room, id)).to.equal(false);
    expect(peer.asked.length - asked).to.be.lessThan(100);
    // A depth at the end of all numbers does not stop the room.
    const { id, wire } = at.event({ depth: 2 ** 53 - 1 });
    expect(resultOf(await at.send([wire]), id)).to.equal("");
    expect(await shown(at.room, await say(at.room))).to.equal(true);
  });

  it("does not keep others' events out by what it sends at the same time", async () => {
    await using other = await startPeer();
    const room = await newRoom("11");
    const [at, beside] = [await joinAsPeer(peer, server, room), await joinAsPeer(other, server, room)];
    const staged = async (): Promise<number> => {
      const [row] = await server.database.read<{ count: number }>({ name: "test_staged", text: "SELECT count(*) AS count FROM staged_events WHERE room_id = $1" }, [room]);
      return Number(row?.count);
    };
    let speak: (answer: PeerAnswer) => void = () => undefined;
    const silence = new Promise<PeerAnswer>((resolve) => (speak = resolve));
    peer.answer("/_matrix/federation/v1/get_missing_events", () => silence);
    // It keeps back what its event follows, which the other server has, and what is sent meanwhile waits for it.
    const kept = at.event({ prev_events: [beside.join] });
    const given = at.event({ prev_events: [kept.id] });
    const following = beside.event({ prev_events: [given.id] });
    const alone = beside.event();
    other.answer("/_matrix/federation/v1/get_missing_events", () => ({ status: 200, body: { events: [kept.wire, given.wire] } }));
    const sending = [at.send([at.event({ prev_events: [at.event().id] }).wire])];
    await eventually("the first is worked in", async () => (await staged()) === 1);
    sending.push(at.send([given.wire]), beside.send([following.wire, alone.wire]));
    await eventually("the others wait", async () => (await staged()) === 4);
    speak({ status: 200, body: { events: [] } });
    for (const { status } of await Promise.all(sending)) expect(status).to.equal(200);
    for (const [name, { id }] of Object.entries({ kept, given, following, alone })) expect(await shown(room, id), name).to.equal(true);
  });

  it("lies in the events that it is asked for as little as in those that it sends", async () => {
    const at = await peerRoom("11");
    const forged = buildEvent(at.version, { ...draftOf(at), sender: alice.user_id as UserId, content: { body: "not mine" } }, peer.name, peer.key);
    const missing = at.event({ content: { msgtype: "m.text", body: "between" } });
    const last = at.event({ prev_events: [missing.id, forged.event_id] });
    const forgedWire: JsonValue = JSON.parse(forged.json) as JsonObject;
    peer.answer("/_matrix/federation/v1/get_missing_events", () => ({ status: 200, body: { events: [missing.wire, forgedWire, 7, null, { type: "x" }] } }));
    for (const path of ["state", "state_ids", "event", "event_auth"]) peer.answer(`/_matrix/federation/v1/${path}`, () => ({ status: 200, body: { pdus: [forgedWire], auth_chain: [forgedWire], pdu_ids: [forged.event_id], auth_chain_ids: [] } }));
    await at.send([last.wire]);
    expect(await shown(at.room, forged.event_id)).to.equal(false);
    const rows = await server.database.read({ name: "test_hostile_forged", text: "SELECT FROM events WHERE event_id = $1" }, [forged.event_id]);
    expect(rows).to.deep.equal([]);
  });

  it("speaks only for its own users when they join, leave, knock or are invited", async () => {
    const room = await newRoom("11");
    const of = encodeURIComponent(room);
    const mallory = `@mallory:${peer.name}` as UserId;
    const template = await ask("GET", `v1/make_join/${of}/${encodeURIComponent(mallory)}?ver=11`);
    const refusedTemplate = await ask("GET", `v1/make_join/${of}/${encodeURIComponent(alice.user_id)}?ver=11`);
    expect([refusedTemplate.status, refusedTemplate.body["errcode"]]).to.deep.equal([403, "M_FORBIDDEN"]);
    const old = await ask("GET", `v1/make_join/${of}/${encodeURIComponent(mallory)}?ver=1`);
    expect([old.status, old.body["errcode"]]).to.deep.equal([400, "M_INCOMPATIBLE_ROOM_VERSION"]);
    const draft = { ...objectAt(template.body, "event"), content: { membership: "join" }, origin_server_ts: Date.now() } as unknown as EventDraft;
    const version = roomVersion("11");
    if (version === undefined) throw new Error("no version");
    const before = await stored();
    const other = await newRoom("11");
    const created = await stored();
    const bad: Record<string, [Partial<EventDraft>, number]> = {
      "another room": [{ room_id: other as EventDraft["room_id"] & string }, 400],
      "another sender": [{ sender: `@other:${peer.name}` as UserId }, 400],
      "another state key": [{ state_key: alice.user_id }, 400],
      "a leave": [{ content: { membership: "leave" } }, 400],
      "no member event": [{ type: "m.room.topic" }, 400],
      "a user of ours": [{ sender: alice.user_id as UserId, state_key: alice.user_id }, 403],
    };
    for (const [what, [change, status]] of Object.entries(bad)) {
      const built = buildEvent(version, { ...draft, ...change }, peer.name, peer.key);
      const answer = await ask("PUT", `v2/send_join/${of}/${built.event_id}`, JSON.parse(built.json) as JsonObject);
      expect([answer.status, isObject(answer.body["errcode"])], `${what}: ${JSON.stringify(answer.body)}`).to.deep.equal([status, false]);
    }
    const built = buildEvent(version, draft, peer.name, peer.key);
    const wire = JSON.parse(built.json) as JsonObject;
    const unsigned = await ask("PUT", `v2/send_join/${of}/${built.event_id}`, { ...wire, signatures: {} });
    expect([unsigned.status, unsigned.body["errcode"]]).to.deep.equal([403, "M_FORBIDDEN"]);
    const renamed = await ask("PUT", `v2/send_join/${of}/$${"A".repeat(43)}`, wire);
    expect(renamed.status).to.equal(400);
    for (const operation of ["send_leave", "send_knock"]) {
      const answer = await ask("PUT", `${operation === "send_leave" ? "v2" : "v1"}/${operation}/${of}/${built.event_id}`, wire);
      expect(answer.status, operation).to.equal(400);
    }
    expect(await stored()).to.equal(created);
    expect(before).to.be.lessThan(created);
    expect((await alice.get(`${V3}/rooms/${room}/state/m.room.member/${mallory}`)).status).to.equal(404);
  });

  it("nests what is no event as deep as it likes, and nothing of it fails", async () => {
    const at = await peerRoom("11");
    const bracketed = (levels: number): JsonValue => Array.from({ length: levels }).reduce<JsonValue>((inner) => [inner], 1);
    const [deep, number] = [bracketed(20_000), new NumberLexeme("1.5")];
    const sender = at.mallory;
    const keys = (device_id: string): JsonObject => ({ user_id: sender, device_id, algorithms: [], keys: {}, signatures: {} });
    const edus = (more: JsonValue): JsonObject[] => [
      { edu_type: "m.direct_to_device", content: { sender, type: "org.example.deep", message_id: `deep${(serial += 1)}`, messages: { [alice.user_id]: { "*": { more } } } } },
      { edu_type: "m.presence", content: { push: [{ user_id: sender, presence: "online", status_msg: "x", more }] } },
      { edu_type: "m.receipt", content: { [at.room]: { "m.read": { [sender]: { event_ids: [at.join], data: { ts: 1, more } } } } } },
      { edu_type: "m.device_list_update", content: { user_id: sender, device_id: "D", stream_id: 1, prev_id: [], keys: { ...keys("D"), more } } },
      { edu_type: "m.signing_key_update", content: { user_id: sender, master_key: { user_id: sender, usage: ["master"], keys: { "ed25519:A": "A" }, more } } },
    ];
    const { body: before } = await alice.get(`${V3}/sync`);
    expect((await at.send([], [...edus(deep), ...edus(number)])).status).to.equal(200);
    const { body: after } = await alice.get(`${V3}/sync?since=${stringAt(before, "next_batch")}`);
    expect(objectsAt(after, "to_device", "events").map(({ content }) => content)).to.deep.equal([{ more: 1.5 }]);
    // Of an event it may be.
    const event = at.event({ content: { msgtype: "m.text", body: "deep", more: bracketed(9_000) } });
    expect(resultOf(await at.send([event.wire]), event.id)).to.equal("");
    const root = await server.register("root");
    await server.database.write({ name: "test_admin", text: "UPDATE accounts SET is_admin = true FROM users WHERE nid = user_nid AND user_id = $1" }, [root.user_id]);
    const admin = await server.login("root");
    const [room, id] = [encodeURIComponent(at.room), encodeURIComponent(event.id)];
    const read: [TestClient, string][] = [
      ...[`${V3}/initialSync`, `${V3}/rooms/${room}/initialSync`, `${V3}/events?timeout=0&room_id=${room}&from=${stringAt(before, "next_batch")}`, `${V3}/events/${id}`, `${V3}/rooms/${room}/context/${id}`, `${V3}/rooms/${room}/messages?dir=b`, `${V3}/notifications`].map((path): [TestClient, string] => [alice, path]),
      ...[`v1/fetch_event/${id}`, `v1/rooms/${room}/messages?dir=b`, `v1/rooms/${room}/context/${id}`].map((path): [TestClient, string] => [admin, `/_synapse/admin/${path}`]),
    ];
    for (const [client, path] of read) expect((await client.get(path)).status, path).to.equal(200);
    expect((await ask("GET", `v1/event/${id}`)).status).to.equal(200);
    // Invitations show what is sound of what came with them; answers are none.
    const invite = { room_id: `!deep:${peer.name}` as PeerRoom["room"], type: "m.room.member", state_key: alice.user_id, sender, content: { membership: "invite" }, origin_server_ts: 1, depth: 1, prev_events: [], auth_events: [] };
    const built = buildEvent(at.version, invite, peer.name, peer.key);
    const state = [{ type: "m.room.topic", state_key: "", sender, content: { topic: "x", deep } }, { type: "m.room.name", state_key: "", sender, content: { name: "x".repeat(70_000) } }, { type: "m.room.avatar", state_key: "", sender, content: { url: "x", number } }];
    const taken = await ask("PUT", `v2/invite/${encodeURIComponent(invite.room_id)}/${built.event_id}`, { event: JSON.parse(built.json) as JsonObject, room_version: "11", invite_room_state: state });
    expect(taken.status, JSON.stringify(taken.body)).to.equal(200);
    const shownState = await eventually("alice is invited", async () => {
      const events = objectsAt((await alice.get(`${V3}/sync`)).body, "rooms", "invite", invite.room_id, "invite_state", "events");
      return events.length > 0 && events;
    });
    expect(shownState.filter(({ type }) => type !== "m.room.member").map(({ content }) => content)).to.deep.equal([{ url: "x", number: 1.5 }]);
    const bottomless = "[".repeat(20_000) + "]".repeat(20_000);
    const answers: Record<string, string> = {
      "v1/query/profile": `{"displayname":"x","more":${bottomless}}`,
      "v1/user/keys/query": `{"device_keys":{"@far:${peer.name}":{"D":{"user_id":"@far:${peer.name}","device_id":"D","algorithms":[],"keys":{},"signatures":{},"more":${bottomless}}}}}`,
      "v1/user/keys/claim": `{"one_time_keys":{"@far:${peer.name}":{"D":{"signed_curve25519:A":{"key":"x","signatures":{},"more":${bottomless}}}}}}`,
      "v1/hierarchy": `{"room":{"room_id":"!deep:${peer.name}","children_state":[],"num_joined_members":1,"guest_can_join":true,"world_readable":true,"more":${bottomless}},"children":[]}`,
    };
    for (const [path, text] of Object.entries(answers)) peer.answer(`/_matrix/federation/${path}`, () => ({ status: 200, bytes: Buffer.from(text) }));
    const far = `@far:${peer.name}`;
    expect((await alice.get(`${V3}/profile/${encodeURIComponent(far)}`)).status).to.equal(502);
    expect(objectAt((await alice.post(`${V3}/keys/query`, { device_keys: { [far]: [] } })).body, "failures")).to.have.property(peer.name);
    expect(objectAt((await alice.post(`${V3}/keys/claim`, { one_time_keys: { [far]: { D: "signed_curve25519" } } })).body, "failures")).to.have.property(peer.name);
    expect((await alice.get(`/_matrix/client/v1/room_summary/${encodeURIComponent(`!other:${peer.name}`)}?via=${peer.name}`)).status).to.equal(404);
  });

  it("invites with garbage, and syncs go on", async () => {
    const version = roomVersion("11");
    const mallory = parseUserId(`@mallory:${peer.name}`);
    if (version === undefined || mallory === undefined) throw new Error("no version");
    const room = `!trap:${peer.name}` as PeerRoom["room"];
    const draft: EventDraft = { room_id: room, type: "m.room.member", state_key: alice.user_id, sender: mallory, content: { membership: "invite", displayname: 7, avatar_url: [] }, origin_server_ts: 1, depth: 1, prev_events: [], auth_events: [] };
    const invite = async (event: ReturnType<typeof buildEvent>, state: JsonValue, of: string = room): Promise<PeerAnswer> =>
      await ask("PUT", `v2/invite/${encodeURIComponent(of)}/${event.event_id}`, { event: JSON.parse(event.json) as JsonObject, room_version: "11", invite_room_state: state });
    const sound = buildEvent(version, draft, peer.name, peer.key);
    for (const [what, change, status] of [
      ["a join", { content: { membership: "join" } }, 400],
      ["a user who is not ours", { state_key: mallory }, 400],
      // Whose server has not signed it.
      ["a sender who is not its own", { sender: `@x:elsewhere.example` as UserId }, 403],
    ] as const) expect((await invite(buildEvent(version, { ...draft, ...change }, peer.name, peer.key), [])).status, what).to.equal(status);
    expect((await invite(sound, [], "!other:elsewhere.example")).status).to.equal(400);
    expect((await invite(sound, "no list")).status).to.equal(400);
    const garbage: JsonValue = [7, null, [], { type: 1 }, { type: "m.room.name", state_key: "", sender: "nobody", content: { name: "x" } }, { type: "m.room.name", state_key: "", sender: mallory, content: "text" }, { type: "m.room.topic", state_key: "", sender: mallory, content: { topic: { deep: [1] } }, more: "x".repeat(1000) }];
    const taken = await invite(sound, garbage);
    expect(taken.status, JSON.stringify(taken.body)).to.be.oneOf([200, 400]);
    if (taken.status === 200) {
      await eventually("alice is invited", async () => room in objectAt((await alice.get(`${V3}/sync`)).body, "rooms", "invite"));
      const { body } = await alice.get(`${V3}/sync`);
      const events = objectsAt(body, "rooms", "invite", room, "invite_state", "events");
      for (const event of events) expect(event).to.have.all.keys("type", "state_key", "sender", "content");
    }
  });

  it("answers a knock with garbage, and what is sound of it is shown", async () => {
    const room = `!door:${peer.name}`;
    const sender = `@mallory:${peer.name}`;
    const template = { room_id: room, type: "m.room.member", state_key: alice.user_id, sender: alice.user_id, content: { membership: "knock" }, depth: 5, prev_events: [`$${"A".repeat(43)}`], auth_events: [], origin_server_ts: 1 };
    const sound = { type: "m.room.name", state_key: "", sender, content: { name: "Door" } };
    const bad: JsonValue[] = [7, null, [], { type: 1 }, { ...sound, sender: "nobody" }, { ...sound, content: "text" }, { ...sound, content: { name: "x".repeat(2_000_000) } }];
    const many = Array.from({ length: 5_000 }, (_, index) => ({ ...sound, type: `org.example.${index}` }));
    peer.answer("/_matrix/federation/v1/make_knock", () => ({ status: 200, body: { room_version: "11", event: template } }));
    peer.answer("/_matrix/federation/v1/send_knock", () => ({ status: 200, body: { knock_room_state: [...bad, sound, ...many] } }));
    expect((await alice.post(`${V3}/knock/${encodeURIComponent(room)}?via=${peer.name}`)).status).to.equal(200);
    const events = await eventually("the knock is shown", async () => {
      const shown = objectsAt((await alice.get(`${V3}/sync`)).body, "rooms", "knock", room, "knock_state", "events");
      return shown.length > 0 && shown;
    });
    expect(events.length).to.be.within(2, 101);
    expect(events.filter(({ type }) => type === "m.room.name")).to.deep.equal([sound]);
    peer.answer("/_matrix/federation/v1/send_knock", () => ({ status: 200, body: { knock_room_state: "nothing" } }));
    expect((await alice.post(`${V3}/knock/${encodeURIComponent(room)}?via=${peer.name}`)).status).to.be.lessThan(500);
  });

  it("gives templates of its own making, which nobody here signs", async () => {
    const room = `!lure:${peer.name}`;
    const mallory = `@mallory:${peer.name}`;
    const event = { room_id: room, type: "m.room.member", state_key: alice.user_id, sender: alice.user_id, content: { membership: "join" }, depth: 5, prev_events: [`$${"A".repeat(43)}`], auth_events: [], origin_server_ts: 1 };
    const sent: JsonValue[] = [];
    peer.answer("/_matrix/federation/v2/send_join", ({ body }) => {
      sent.push(body ?? null);
      return { status: 200, body: { state: [], auth_chain: [], origin: peer.name, event: body ?? null } };
    });
    const lures: Record<string, JsonObject> = {
      "another type": { ...event, type: "m.room.power_levels" },
      "another sender": { ...event, sender: mallory },
      "another state key": { ...event, state_key: mallory },
      "another room": { ...event, room_id: "!other:elsewhere.example" },
      "a ban": { ...event, content: { membership: "ban" } },
      "no lists": { ...event, prev_events: "x" },
    };
    for (const [what, lure] of Object.entries(lures)) {
      peer.answer("/_matrix/federation/v1/make_join", () => ({ status: 200, body: { room_version: "11", event: lure } }));
      const answer = await alice.post(`${V3}/join/${encodeURIComponent(room)}?via=${peer.name}`);
      expect(answer.status, what).to.equal(502);
    }
    expect(sent).to.deep.equal([]);
    // Content of its choice is not taken over; a room without create event is not joined.
    peer.answer("/_matrix/federation/v1/make_join", () => ({ status: 200, body: { room_version: "11", event: { ...event, content: { membership: "join", displayname: "Owned" }, extra: true } } }));
    expect((await alice.post(`${V3}/join/${encodeURIComponent(room)}?via=${peer.name}`)).status).to.equal(502);
    expect(sent).to.have.length(1);
    expect(JSON.stringify(sent)).to.not.contain("Owned").and.not.contain("extra");
    expect((await alice.get(`${V3}/joined_rooms`)).body["joined_rooms"]).to.not.include(room);
  });

  const draftOf = (at: PeerRoom): EventDraft => ({
    room_id: at.room,
    type: "m.room.message",
    sender: at.mallory,
    content: {},
    origin_server_ts: Date.now(),
    depth: 10,
    prev_events: [at.join],
    auth_events: at.auth,
  });
});
