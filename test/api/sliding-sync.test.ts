// Simplified sliding sync (MSC4186): lists, subscriptions, what is told of rooms, and extensions.
import { expect } from "chai";
import { expireConnections } from "../../src/storage/sliding-connections.js";
import { purgeRoom } from "../../src/storage/room-purge.js";
import { deviceOf } from "../support/device-keys.js";
import { eventually } from "../support/eventually.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";
import { SlidingClient, slidingSync } from "../support/sliding-client.js";

const V3 = "/_matrix/client/v3";
const ALL = { timeline_limit: 10, required_state: [["*", "*"]] };

describe("sliding sync", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let users = 0;
  let sent = 0;
  before(async () => {
    server = await startTestServer();
  });
  beforeEach(async () => {
    users += 1;
    alice = await server.register(`alice${users}`);
    bob = await server.register(`bob${users}`);
  });
  after(() => server[Symbol.asyncDispose]());

  const done = async (answer: Promise<Answer>): Promise<JsonObject> => {
    const { status, body } = await answer;
    expect(status, JSON.stringify(body)).to.equal(200);
    return body;
  };
  const createRoom = async (options: JsonObject = {}, by = alice): Promise<string> =>
    stringAt(await done(by.post(`${V3}/createRoom`, { preset: "public_chat", ...options })), "room_id") ?? "";
  const say = async (room: string, body = "hello", by = alice, extra: JsonObject = {}): Promise<string> =>
    stringAt(await done(by.put(`${V3}/rooms/${room}/send/m.room.message/t${++sent}`, { msgtype: "m.text", body, ...extra })), "event_id") ?? "";
  const setState = (room: string, type: string, content: JsonObject, key = "", by = alice): Promise<JsonObject> =>
    done(by.put(`${V3}/rooms/${room}/state/${type}/${encodeURIComponent(key)}`, content));
  const setData = (type: string, content: JsonObject, room?: string, by = alice): Promise<JsonObject> =>
    done(by.put(`${V3}/user/${by.user_id}${room === undefined ? "" : `/rooms/${room}`}/account_data/${type}`, content));
  const join = (room: string, by: TestClient): Promise<JsonObject> => done(by.post(`${V3}/join/${room}`));
  const invite = (room: string, who: TestClient, by = alice): Promise<JsonObject> =>
    done(by.post(`${V3}/rooms/${room}/invite`, { user_id: who.user_id }));
  const leave = (room: string, by: TestClient): Promise<JsonObject> => done(by.post(`${V3}/rooms/${room}/leave`));
  const list = (options: JsonObject = {}): JsonObject => ({ lists: { all: { ...ALL, ...options } } });
  const ask = async (body: JsonObject, by = alice, pos?: string): Promise<JsonObject> => done(slidingSync(by, body, pos));
  const roomIn = (answer: JsonObject, room: string): JsonObject => objectAt(answer, "rooms", room);
  const roomsIn = (answer: JsonObject): string[] => Object.keys(objectAt(answer, "rooms"));
  const bodies = (room: JsonObject): unknown[] => objectsAt(room, "timeline").map((event) => stringAt(event, "content", "body") ?? event["type"]);
  const stateOf = (room: JsonObject): string[] => objectsAt(room, "required_state").map((event) => `${String(event["type"])} ${String(event["state_key"])}`);

  it("is announced", async () => {
    expect(objectAt((await alice.get("/_matrix/client/versions")).body, "unstable_features")).to.have.property("org.matrix.simplified_msc3575", true);
    expect((await slidingSync(server.anonymous, {})).status).to.equal(401);
  });

  it("shows no room that was purged, also where its list of rooms is kept", async () => {
    const rooms = [await createRoom({ name: "Here" }), await createRoom({ name: "Invited" }, bob)];
    await invite(rooms[1] ?? "", alice, bob);
    const first = await ask(list());
    expect(roomsIn(first)).to.have.members(rooms);
    const numbers = await server.database.read<{ nid: number }>({ name: "nids", text: "SELECT nid FROM rooms WHERE room_id = ANY($1)" }, [rooms]);
    for (const { nid } of numbers) await purgeRoom(server.database, nid, () => Promise.resolve());
    for (const pos of [undefined, stringAt(first, "pos")]) {
      await eventually("the rooms are gone", async () => objectAt(await ask(list(), alice, pos), "lists", "all")["count"] === 0);
    }
  });

  it("tells a room, then what is new of it, then nothing", async () => {
    const room = await createRoom({ name: "Harbour" });
    await join(room, bob);
    await say(room, "one");
    const first = await ask(list({ timeline_limit: 2 }));
    expect(first["lists"]).to.deep.equal({ all: { count: 1 } });
    const initial = roomIn(first, room);
    expect(initial).to.include({ initial: true, name: "Harbour", membership: "join", limited: true, num_live: 0, joined_count: 2, invited_count: 0 });
    expect(initial).to.have.property("prev_batch").that.is.a("string");
    expect(initial).not.to.have.any.keys("heroes", "is_dm", "invite_state");
    expect(bodies(initial)).to.deep.equal(["m.room.member", "one"]);
    expect(stateOf(initial)).to.include.members(["m.room.create ", `m.room.member ${alice.user_id}`, `m.room.member ${bob.user_id}`]);
    await say(room, "two", bob);
    const second = await ask(list({ timeline_limit: 2 }), alice, stringAt(first, "pos"));
    const live = roomIn(second, room);
    expect(bodies(live)).to.deep.equal(["two"]);
    expect(live).to.include({ limited: false, num_live: 1, notification_count: 1, highlight_count: 0 });
    expect(live).not.to.have.any.keys("initial", "name", "required_state", "joined_count");
    expect(live["bump_stamp"]).to.be.greaterThan(Number(initial["bump_stamp"]));
    expect(roomsIn(await ask(list({ timeline_limit: 2 }), alice, stringAt(second, "pos")))).to.deep.equal([]);
    // The position is one for /messages, too.
    const messages = await done(alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=1&from=${encodeURIComponent(stringAt(second, "pos") ?? "")}`));
    expect(objectsAt(messages, "chunk").map((event) => stringAt(event, "content", "body"))).to.deep.equal(["two"]);
  });

  it("shows what changed: name, avatar, state, members, counts", async () => {
    const room = await createRoom();
    const client = new SlidingClient(alice);
    await client.step(list());
    await setState(room, "m.room.name", { name: "Quay" });
    await setState(room, "m.room.avatar", { url: "mxc://example.org/a" });
    expect(roomIn(await client.step(list()), room)).to.include({ name: "Quay", avatar: "mxc://example.org/a" });
    await setState(room, "m.room.name", {});
    const unnamed = roomIn(await client.step(list()), room);
    expect(unnamed).to.have.property("name", null);
    expect(unnamed).to.have.property("heroes").that.deep.equals([]);
    await join(room, bob);
    const joined = roomIn(await client.step(list()), room);
    expect(joined).to.include({ joined_count: 2 });
    expect(objectsAt(joined, "heroes")[0]).to.have.property("user_id", bob.user_id);
    expect(stateOf(joined)).to.deep.equal([`m.room.member ${bob.user_id}`]);
    const event = await say(room, "read me", bob);
    expect(roomIn(await client.step(list()), room)).to.have.property("notification_count", 1);
    await done(alice.post(`${V3}/rooms/${room}/receipt/m.read/${event}`));
    expect(roomIn(await client.step(list()), room), "read on another device").to.deep.equal({ notification_count: 0, highlight_count: 0 });
    expect(roomsIn(await client.step(list()))).to.deep.equal([]);
    expect(client.faults).to.deep.equal([]);
  });

  it("parts lists by range, the latest activity first", async () => {
    const rooms: string[] = [];
    for (let n = 0; n < 5; n += 1) rooms.push(await createRoom());
    const [a = "", b = "", c = "", d = "", e = ""] = rooms;
    const window = list({ ranges: [[0, 1]], timeline_limit: 1 });
    const client = new SlidingClient(alice);
    const first = await client.step(window);
    expect(roomsIn(first)).to.have.members([e, d]);
    expect(first["lists"]).to.deep.equal({ all: { count: 5 } });
    await say(a, "up");
    expect(roomsIn(await client.step(window)), "what comes into the window").to.deep.equal([a]);
    for (const body of ["1", "2", "3"]) await say(d, body);
    for (const room of [b, c]) await say(room);
    const second = await client.step(window);
    expect(roomsIn(second), "what happened outside is not told").to.have.members([b, c]);
    const wide = await client.step(list({ ranges: [[0, 0], [2, 9]], timeline_limit: 1 }));
    expect(roomsIn(wide)).to.have.members([d]);
    expect(roomIn(wide, d), "it comes back with a gap").to.include({ limited: true });
    expect(bodies(roomIn(wide, d))).to.deep.equal(["3"]);
    expect(roomIn(wide, d)).not.to.have.property("initial");
    expect(roomsIn(await client.step(list({ timeline_limit: 1 })))).to.deep.equal([]);
    expect(client.rooms.size).to.equal(5);
    expect(refusal(await slidingSync(alice, list({ ranges: [[3, 2]] })))).to.deep.equal([400, "M_INVALID_PARAM"]);
  });

  it("filters lists", async () => {
    const plain = await createRoom({ name: "Plain Harbour" });
    const space = await createRoom({ creation_content: { type: "m.space" }, name: "Space" });
    const secret = await createRoom({ initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }] });
    const direct = await createRoom();
    const invited = await createRoom({ name: "Invited Harbour", creation_content: { type: "org.example.kind" } }, bob);
    await invite(invited, alice, bob);
    await setData("m.direct", { [bob.user_id]: [direct] });
    await setData("m.tag", { tags: { "m.favourite": {}, "u.red": {} } }, plain);
    await setData("m.tag", { tags: { "u.red": {} } }, secret);
    await setState(space, "m.space.child", { via: ["example.org"] }, plain);
    await setState(space, "m.space.child", {}, secret);
    const all = [plain, space, secret, direct, invited];
    const cases: [JsonObject, string[]][] = [
      [{}, all],
      [{ is_dm: true }, [direct]],
      [{ is_dm: false }, [plain, space, secret, invited]],
      [{ is_encrypted: true }, [secret]],
      [{ is_encrypted: false, is_invite: false }, [plain, space, direct]],
      [{ is_invite: true }, [invited]],
      [{ room_types: ["m.space"] }, [space]],
      [{ room_types: [null] }, [plain, secret, direct]],
      [{ room_types: [null, "m.space"], not_room_types: [null] }, [space]],
      [{ not_room_types: ["m.space", "org.example.kind"] }, [plain, secret, direct]],
      [{ room_types: ["org.example.kind"] }, [invited]],
      [{ room_name_like: "harb" }, [plain, invited]],
      [{ tags: ["u.red"] }, [plain, secret]],
      [{ tags: ["u.red"], not_tags: ["m.favourite"] }, [secret]],
      [{ not_tags: ["u.red"] }, [space, direct, invited]],
      [{ spaces: [space] }, [plain]],
      [{ spaces: ["!none:example.org"] }, []],
    ];
    const lists = Object.fromEntries(cases.map(([filters], n) => [`list${n}`, { timeline_limit: 0, filters, ranges: [[0, 99]] }]));
    const counts = objectAt(await ask({ lists }), "lists");
    for (const [n, [filters, expected]] of cases.entries()) {
      expect(objectAt(counts, `list${n}`)["count"], JSON.stringify(filters)).to.equal(expected.length);
      const alone = await ask({ conn_id: `c${n}`, lists: { one: { timeline_limit: 0, filters } } });
      expect(roomsIn(alone), JSON.stringify(filters)).to.have.members(expected);
    }
  });

  it("subscribes to rooms that the user may see, and joins what lists and subscriptions ask for", async () => {
    const room = await createRoom();
    const other = await createRoom({ preset: "private_chat" }, bob);
    await say(other, "secret", bob);
    for (const body of ["1", "2", "3"]) await say(room, body);
    const answer = await ask({
      lists: { few: { timeline_limit: 1, required_state: [["m.room.create", ""]], ranges: [[0, 0]] } },
      room_subscriptions: {
        [room]: { timeline_limit: 2, required_state: [["m.room.join_rules", ""], ["m.room.member", "$ME"]] },
        [other]: ALL,
        "!none:example.org": ALL,
      },
    });
    expect(roomsIn(answer)).to.deep.equal([room]);
    expect(bodies(roomIn(answer, room))).to.deep.equal(["2", "3"]);
    expect(stateOf(roomIn(answer, room))).to.have.members(["m.room.create ", "m.room.join_rules ", `m.room.member ${alice.user_id}`]);
    expect(JSON.stringify(answer)).not.to.include("secret");
  });

  it("sends more state and more history when more is asked for, once", async () => {
    const room = await createRoom();
    for (const body of ["1", "2", "3", "4"]) await say(room, body);
    const client = new SlidingClient(alice);
    const small = list({ timeline_limit: 1, required_state: [["m.room.create", ""]] });
    expect(stateOf(roomIn(await client.step(small), room))).to.deep.equal(["m.room.create "]);
    const large = list({ timeline_limit: 3, required_state: [["m.room.create", ""], ["m.room.join_rules", ""], ["m.room.member", "*"]] });
    const more = roomIn(await client.step(large), room);
    expect(more).to.include({ unstable_expanded_timeline: true, limited: true });
    expect(more).not.to.have.property("initial");
    expect(bodies(more)).to.deep.equal(["2", "3", "4"]);
    expect(stateOf(more)).to.have.members(["m.room.join_rules ", `m.room.member ${alice.user_id}`]);
    expect(roomsIn(await client.step(large))).to.deep.equal([]);
    expect(roomsIn(await client.step(small)), "less is nothing to tell").to.deep.equal([]);
    await say(room, "5");
    expect(bodies(roomIn(await client.step(small), room))).to.deep.equal(["5"]);
    const again = await client.step(list({ timeline_limit: 3, required_state: [["m.room.create", ""]] }));
    expect(roomsIn(again), "the client has them").to.deep.equal([]);
    expect(roomIn(await client.step(list({ timeline_limit: 50, required_state: [] })), room)).to.include({ limited: false });
    expect(roomsIn(await client.step(list({ timeline_limit: 99, required_state: [] })))).to.deep.equal([]);
  });

  it("tells members as they are seen, and all that change", async () => {
    const room = await createRoom();
    await join(room, bob);
    const carol = await server.register(`carol${users}`);
    await join(room, carol);
    for (let n = 0; n < 3; n += 1) await say(room, "x");
    const lazy = list({ timeline_limit: 2, required_state: [["*", "*"], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]] });
    const client = new SlidingClient(alice);
    const members = (answer: JsonObject): string[] => stateOf(roomIn(answer, room)).filter((name) => name.startsWith("m.room.member")).map((name) => name.slice(14));
    const first = await client.step(lazy);
    expect(members(first)).to.deep.equal([alice.user_id]);
    expect(stateOf(roomIn(first, room))).to.include("m.room.create ");
    await say(room, "hi", bob);
    expect(members(await client.step(lazy))).to.deep.equal([bob.user_id]);
    await say(room, "hi again", bob);
    expect(members(await client.step(lazy)), "it was sent").to.deep.equal([]);
    await setState(room, "m.room.member", { membership: "join", displayname: "Caroline" }, carol.user_id, carol);
    expect(members(await client.step(lazy)), "a change is told").to.deep.equal([carol.user_id]);
    for (let n = 0; n < 3; n += 1) await say(room, "gap", bob);
    const gap = await client.step(lazy);
    expect(roomIn(gap, room)).to.include({ limited: true });
    expect(members(gap), "after a gap clients begin anew").to.deep.equal([bob.user_id]);
  });

  it("tells invitations, their end, and nothing of rooms that were left", async () => {
    const room = await createRoom({ preset: "private_chat", name: "Cabin" });
    await say(room, "before");
    const client = new SlidingClient(bob);
    await client.step(list());
    await invite(room, bob);
    const invited = roomIn(await client.step(list()), room);
    expect(invited).to.include({ initial: true, membership: "invite", name: "Cabin" });
    expect(objectsAt(invited, "invite_state").map(({ type }) => type)).to.include.members(["m.room.create", "m.room.name", "m.room.member"]);
    expect(invited["stripped_state"]).to.deep.equal(invited["invite_state"]);
    expect(invited).not.to.have.any.keys("timeline", "required_state", "joined_count");
    expect(roomsIn(await client.step(list()))).to.deep.equal([]);
    await join(room, bob);
    expect(roomIn(await client.step(list()), room)).to.include({ initial: true, membership: "join", name: "Cabin" });
    await say(room, "last");
    await leave(room, bob);
    await say(room, "after leaving");
    const left = roomIn(await client.step({ lists: {} }), room);
    expect(left).to.include({ membership: "leave" });
    expect(bodies(left)).to.deep.equal(["last", "m.room.member"]);
    await setState(room, "m.room.name", { name: "Secret" });
    expect(roomsIn(await client.step(list()))).to.deep.equal([]);
    expect(roomsIn(await client.step({ room_subscriptions: { [room]: ALL } }))).to.deep.equal([]);
    await invite(room, bob);
    expect(roomIn(await client.step(list()), room)).to.include({ initial: true, membership: "invite" });
    await leave(room, bob);
    const rejected = roomIn(await client.step(list({ filters: { is_invite: true } })), room);
    expect(rejected).to.include({ membership: "leave" });
    expect(stateOf(rejected)).to.deep.equal([`m.room.member ${bob.user_id}`]);
    expect(JSON.stringify([left, rejected])).not.to.include("after leaving").and.not.to.include("Secret");
    expect(objectAt(await ask(list(), bob), "lists", "all")["count"]).to.equal(0);
  });

  it("shows rooms from which the user was sent away, as of then", async () => {
    const room = await createRoom({ name: "Before" });
    await join(room, bob);
    await say(room, "seen");
    await done(alice.post(`${V3}/rooms/${room}/ban`, { user_id: bob.user_id }));
    await setState(room, "m.room.name", { name: "Later" });
    await say(room, "unseen");
    const answer = await ask(list({ required_state: [["m.room.name", ""], ["m.room.member", "$ME"]] }), bob);
    expect(roomIn(answer, room)).to.include({ initial: true, membership: "ban" });
    expect(bodies(roomIn(answer, room)).slice(-2)).to.deep.equal(["seen", "m.room.member"]);
    expect(JSON.stringify(answer)).to.include("Before").and.not.to.include("Later").and.not.to.include("unseen");
    expect(roomsIn(await ask(list({ filters: { room_name_like: "later" } }), bob))).to.deep.equal([]);
  });

  it("follows what is direct", async () => {
    const room = await createRoom();
    const client = new SlidingClient(alice);
    await client.step(list());
    await setData("m.direct", { [bob.user_id]: [room] });
    expect(roomIn(await client.step(list()), room)).to.include({ is_dm: true });
    expect(roomsIn(await client.step(list()))).to.deep.equal([]);
    await setData("m.direct", {});
    expect(roomIn(await client.step(list()), room)).to.include({ is_dm: false });
  });

  it("waits for news, and only for such as is told", async () => {
    const room = await createRoom();
    const client = new SlidingClient(alice);
    await client.step(list());
    const waiting = client.step(list(), 30_000);
    await say(room, "wake");
    expect(bodies(roomIn(await waiting, room))).to.deep.equal(["wake"]);
    const start = performance.now();
    const before = client.pos;
    expect(roomsIn(await client.step(list(), 300))).to.deep.equal([]);
    expect(performance.now() - start).to.be.greaterThan(250);
    expect(client.pos, "nothing was sent").to.equal(before);
    const invited = client.step(list(), 30_000);
    const other = await createRoom({}, bob);
    await invite(other, alice, bob);
    expect(roomIn(await invited, other)).to.include({ membership: "invite" });
  });

  it("gives a retried request the same again, and refuses positions that it does not know", async () => {
    const room = await createRoom();
    const lazy = list({ timeline_limit: 5, required_state: [["m.room.member", "$LAZY"]] });
    const first = stringAt(await ask(lazy), "pos") ?? "";
    await join(room, bob);
    await say(room, "one", bob);
    const answers = [await ask(lazy, alice, first), await ask(lazy, alice, first)];
    const strip = (answer: JsonObject | undefined): string => JSON.stringify(answer?.["rooms"]).replaceAll(/"age":\d+/g, "");
    expect(strip(answers[1])).to.equal(strip(answers[0]));
    const [second = "", retried = ""] = answers.map((answer) => stringAt(answer, "pos") ?? "");
    expect(second).not.to.equal(retried);
    for (const pos of [second, retried, second]) {
      const answer = await slidingSync(alice, lazy, pos);
      expect(answer.status).to.equal(200);
      expect(roomsIn(answer.body)).to.deep.equal([]);
    }
    // Another change makes the one that is used the only one.
    const carol = await server.register(`carol${users}`);
    await join(room, carol);
    const third = await ask(lazy, alice, second);
    expect(stateOf(roomIn(third, room))).to.include(`m.room.member ${carol.user_id}`);
    expect(strip(await ask(lazy, alice, second))).to.equal(strip(third));
    const other = await server.login(`alice${users}`);
    const unknown = ["nonsense", "s1_2_3", second.replace(/^p\d+/, "p999999"), second.replace(/~s\d+/, "~s99"), second.replace(/_\d+_(\d+)~/, "_77_$1~")];
    for (const pos of unknown) expect(refusal(await slidingSync(alice, lazy, pos)), pos).to.deep.equal([400, "M_UNKNOWN_POS"]);
    expect(refusal(await slidingSync(other, lazy, second)), "another device").to.deep.equal([400, "M_UNKNOWN_POS"]);
    expect(refusal(await slidingSync(alice, { ...lazy, conn_id: "other" }, second)), "another connection").to.deep.equal([400, "M_UNKNOWN_POS"]);
    expect(roomIn(await ask({ ...lazy, conn_id: "other", txn_id: "t" }), room)).to.have.property("initial", true);
    expect(await ask({ ...lazy, txn_id: "again" })).to.have.property("txn_id", "again");
  });

  it("forgets connections with their device, and those that are too many or too old", async () => {
    const count = async (): Promise<number> => {
      const [row] = await server.database.read<{ n: number }>(
        { name: "test_connections", text: "SELECT count(*)::integer AS n FROM sliding_connections c JOIN users u ON u.nid = c.user_nid WHERE user_id = $1" },
        [alice.user_id],
      );
      return row?.n ?? 0;
    };
    await createRoom();
    const poss: (string | undefined)[] = [];
    for (let n = 0; n < 25; n += 1) poss.push(stringAt(await ask({ ...list(), conn_id: `c${n}` }), "pos"));
    expect(await count()).to.equal(20);
    expect((await slidingSync(alice, { ...list(), conn_id: "c24" }, poss[24])).status).to.equal(200);
    for (let n = 0; n < 4; n += 1) await ask({ ...list(), conn_id: "c24" });
    expect(await count()).to.be.at.most(20);
    await server.database.write({ name: "test_age", text: "UPDATE sliding_connections SET used = now() - interval '8 days' WHERE conn_id = 'c24'" }, []);
    for (const deleted of [2, 0]) expect(await expireConnections(server.database)).to.equal(deleted);
    await using other = await startTestServer({}, server.address);
    const refused = await slidingSync(other.client(alice), { ...list(), conn_id: "c24" }, poss[24]);
    expect(refusal(refused)).to.deep.equal([400, "M_UNKNOWN_POS"]);
    await done(alice.post(`${V3}/logout`));
    expect(await count()).to.equal(0);
  });

  it("says that the device was deleted where that happens during its first request", async () => {
    const waiting = {
      name: "test_waiting",
      text: "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO sliding_connections%'",
    };
    const asked = await server.database.transaction(async (tx) => {
      await tx.query({ name: "test_delete_device", text: "DELETE FROM devices USING users WHERE nid = user_nid AND user_id = $1" }, [alice.user_id]);
      const answer = slidingSync(alice, list());
      await eventually("the request waits for the device", async () => (await server.database.read(waiting, [])).length > 0);
      // Not the promise itself, which the transaction would wait for.
      return { answer };
    });
    expect(refusal(await asked.answer)).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
  });

  it("has extensions for account data, receipts and typing", async () => {
    const room = await createRoom();
    await join(room, bob);
    const event = await say(room, "read me");
    await done(bob.post(`${V3}/rooms/${room}/receipt/m.read/${event}`));
    await setData("org.example.kept", { a: 1 });
    await setData("org.example.room", { b: 2 }, room);
    await done(bob.put(`${V3}/rooms/${room}/typing/${bob.user_id}`, { typing: true, timeout: 60_000 }));
    const extensions = { account_data: { enabled: true }, receipts: { enabled: true }, typing: { enabled: true } };
    const asked = { ...list({ timeline_limit: 1 }), extensions };
    const client = new SlidingClient(alice);
    const first = objectAt(await client.step(asked), "extensions");
    expect(objectsAt(first, "account_data", "global").map(({ type }) => type)).to.include.members(["org.example.kept", "m.push_rules"]);
    expect(objectsAt(first, "account_data", "rooms", room)).to.deep.include({ type: "org.example.room", content: { b: 2 } });
    expect(objectAt(first, "receipts", "rooms", room, "content", event)).to.have.nested.property("m\\.read").with.property(bob.user_id);
    expect(objectAt(first, "typing", "rooms", room, "content")).to.deep.equal({ user_ids: [bob.user_id] });
    const quiet = objectAt(await client.step(asked), "extensions");
    expect(quiet).to.deep.equal({ account_data: { global: [], rooms: {} }, receipts: { rooms: {} }, typing: { rooms: {} } });
    const waiting = client.step(asked, 30_000);
    await done(bob.put(`${V3}/rooms/${room}/typing/${bob.user_id}`, { typing: false }));
    expect(objectAt(await waiting, "extensions", "typing", "rooms", room, "content")).to.deep.equal({ user_ids: [] });
    await setData("org.example.room", { b: 3 }, room);
    const next = await say(room, "and me");
    await client.step(asked);
    await done(bob.post(`${V3}/rooms/${room}/receipt/m.read/${next}`));
    const later = await client.step(asked);
    expect(objectAt(later, "extensions", "receipts", "rooms", room, "content")).to.have.property(next);
    expect(roomsIn(later), "receipts of others are no news of the room").to.deep.equal([]);
    // What is not asked for is told when it is.
    await setData("org.example.kept", { a: 2 });
    await client.step(list({ timeline_limit: 1 }));
    const again = objectAt(await client.step(asked), "extensions");
    expect(objectsAt(again, "account_data", "global")).to.deep.include({ type: "org.example.kept", content: { a: 2 } });
    expect(objectsAt(again, "account_data", "rooms", room)).to.deep.include({ type: "org.example.room", content: { b: 3 } });
    expect(objectAt(again, "receipts", "rooms", room, "content")).to.have.property(next);
    const none = objectAt(await ask({ ...asked, conn_id: "none", extensions: { receipts: { enabled: true, lists: [] }, account_data: { enabled: false } } }), "extensions");
    expect(none).to.deep.equal({ receipts: { rooms: {} } });
  });

  it("keeps account data and receipts of rooms out of the window for when they come back", async () => {
    const [one, two] = [await createRoom(), await createRoom()];
    await join(one, bob);
    const event = await say(one, "x");
    await say(two, "y");
    const extensions = { account_data: { enabled: true }, receipts: { enabled: true } };
    const wide = { ...list({ timeline_limit: 1 }), extensions };
    const narrow = { ...list({ timeline_limit: 1, ranges: [[0, 0]] }), extensions };
    const client = new SlidingClient(alice);
    await client.step(wide);
    await done(bob.post(`${V3}/rooms/${one}/receipt/m.read/${event}`));
    await setData("org.example.room", { b: 2 }, one);
    const away = await client.step(narrow);
    expect(objectAt(away, "extensions")).to.deep.equal({ account_data: { global: [], rooms: {} }, receipts: { rooms: {} } });
    const back = objectAt(await client.step(wide), "extensions");
    expect(objectAt(back, "receipts", "rooms", one, "content")).to.have.property(event);
    expect(objectsAt(back, "account_data", "rooms", one)).to.deep.include({ type: "org.example.room", content: { b: 2 } });
  });

  it("has an extension for messages to the device", async () => {
    const send = (n: number): Promise<JsonObject> =>
      done(bob.put(`${V3}/sendToDevice/org.example.ping/d${++sent}`, { messages: { [alice.user_id]: { [alice.device_id]: { n } } } }));
    for (const n of [1, 2, 3]) await send(n);
    const part = async (to_device: JsonObject, pos?: string): Promise<[JsonObject, unknown[]]> => {
      const answer = await ask({ extensions: { to_device: { enabled: true, ...to_device } } }, alice, pos);
      const section = objectAt(answer, "extensions", "to_device");
      return [{ pos: answer["pos"], since: section["next_batch"] }, objectsAt(section, "events").map((event) => objectAt(event, "content")["n"])];
    };
    const [first, two] = await part({ limit: 2 });
    expect(two).to.deep.equal([1, 2]);
    expect((await part({ limit: 2 }))[1], "not acknowledged").to.deep.equal([1, 2]);
    const [second, rest] = await part({ since: first["since"] }, String(first["pos"]));
    expect(rest).to.deep.equal([3]);
    expect((await part({ since: second["since"] }, String(first["pos"])))[1]).to.deep.equal([]);
    const waiting = slidingSync(alice, { extensions: { to_device: { enabled: true, since: second["since"] } } }, String(second["pos"]), 30_000);
    await send(4);
    expect(objectsAt((await waiting).body, "extensions", "to_device", "events")).to.have.length(1);
    expect(refusal(await slidingSync(alice, { extensions: { to_device: { enabled: true, since: "x" } } }))).to.deep.equal([400, "M_INVALID_PARAM"]);
  });

  it("has an extension for encryption", async () => {
    const room = await createRoom();
    await join(room, bob);
    const [mine, theirs] = [deviceOf(alice), deviceOf(bob)];
    const asked = { extensions: { e2ee: { enabled: true } } };
    const none = { changed: [], left: [] };
    const first = await ask(asked);
    expect(objectAt(first, "extensions", "e2ee")).to.deep.equal({
      device_lists: none,
      device_one_time_keys_count: { signed_curve25519: 0 },
      device_unused_fallback_key_types: [],
    });
    const waiting = slidingSync(alice, asked, stringAt(first, "pos"), 30_000);
    await done(bob.post(`${V3}/keys/upload`, { device_keys: theirs.device_keys }));
    const { body: second } = await waiting;
    expect(objectAt(second, "extensions", "e2ee", "device_lists")).to.deep.equal({ changed: [bob.user_id], left: [] });
    expect(objectAt(await ask(asked, alice, stringAt(second, "pos")), "extensions", "e2ee", "device_lists")).to.deep.equal(none);
    await done(alice.post(`${V3}/keys/upload`, { device_keys: mine.device_keys, one_time_keys: mine.oneTimeKeys("AAAA") }));
    const third = await ask(asked, alice, stringAt(second, "pos"));
    expect(objectAt(third, "extensions", "e2ee", "device_one_time_keys_count")).to.deep.equal({ signed_curve25519: 1 });
    await leave(room, bob);
    expect(objectAt(await ask(asked, alice, stringAt(third, "pos")), "extensions", "e2ee", "device_lists")).to.deep.equal({ changed: [], left: [bob.user_id] });
  });

  it("answers on a connection for encryption alone when its user begins a session, once", async () => {
    const room = await createRoom();
    await join(room, bob);
    const asked = { extensions: { e2ee: { enabled: true }, to_device: { enabled: true } } };
    let transaction = 0;
    const encrypted = (user: TestClient, session_id: string): Promise<JsonObject> =>
      done(user.put(`${V3}/rooms/${room}/send/m.room.encrypted/${(transaction += 1)}`, { algorithm: "m.megolm.v1.aes-sha2", ciphertext: "x", session_id }));
    const client = new SlidingClient(alice);
    const told = async (timeoutMs: number): Promise<boolean> => {
      const before = client.pos;
      const start = performance.now();
      await client.step(asked, timeoutMs);
      expect(client.pos).not.to.equal(undefined);
      return before !== client.pos && performance.now() - start < timeoutMs;
    };
    await client.step(asked);
    const waiting = told(30_000);
    await encrypted(alice, "one");
    expect(await waiting, "while it waits").to.equal(true);
    await encrypted(alice, "two");
    expect(await told(30_000), "while it was away").to.equal(true);
    const quiet = told(1_000);
    await encrypted(alice, "one");
    await encrypted(bob, "three");
    await say(room, "hello");
    expect(await quiet, "what was told, what others say, and what is not encrypted").to.equal(false);
  });

  it("has an extension for thread subscriptions", async () => {
    const name = "io.element.msc4308.thread_subscriptions";
    const room = await createRoom();
    const roots = [await say(room), await say(room), await say(room)];
    const subscription = (root: string | undefined): string => `/_matrix/client/unstable/io.element.msc4306/rooms/${room}/thread/${root}/subscription`;
    for (const root of roots) await done(alice.put(subscription(root)));
    const asked = { extensions: { [name]: { enabled: true, limit: 2 } } };
    const first = await ask(asked);
    const part = objectAt(first, "extensions", name);
    expect(Object.keys(objectAt(part, "subscribed", room))).to.have.members(roots.slice(1));
    const before = stringAt(part, "prev_batch") ?? "";
    const older = await done(alice.get(`/_matrix/client/unstable/io.element.msc4308/thread_subscriptions?from=${before}`));
    expect(Object.keys(objectAt(older, "subscribed", room))).to.deep.equal(roots.slice(0, 1));
    const pos = stringAt(first, "pos");
    expect(objectAt(await ask(asked, alice, pos), "extensions")).to.deep.equal({});
    await done(alice.delete(subscription(roots[0])));
    const next = objectAt(await ask(asked, alice, pos), "extensions", name);
    expect(Object.keys(objectAt(next, "unsubscribed", room))).to.deep.equal(roots.slice(0, 1));
    expect(next).not.to.have.property("subscribed");
  });

  it("lets clients begin anew that ask for too many different things", async () => {
    await createRoom();
    const client = new SlidingClient(alice);
    let refused: unknown;
    for (let n = 0; n < 300 && refused === undefined; n += 1) {
      await client.step(list({ required_state: [[`org.example.t${n}`, ""]] })).catch((error: unknown) => (refused = error));
    }
    expect(String(refused)).to.include("M_UNKNOWN_POS");
    expect(roomsIn(await ask(list()))).to.have.length(1);
  }).timeout(600_000);

  it("refuses what is malformed", async () => {
    const bad: JsonObject[] = [
      { lists: { a: {} } },
      { lists: { a: { timeline_limit: -1 } } },
      { lists: { a: { timeline_limit: 1, required_state: [["one"]] } } },
      { lists: { a: { timeline_limit: 1, ranges: [[0]] } } },
      { room_subscriptions: { x: { timeline_limit: "1" } } },
      { extensions: { to_device: { enabled: "yes" } } },
      { conn_id: 1 },
    ];
    for (const body of bad) expect((await slidingSync(alice, body)).status, JSON.stringify(body)).to.equal(400);
    const many = { timeline_limit: 1, required_state: Array.from({ length: 400 }, (_, n) => ["m.room.member", `@u${n}:example.org`]) };
    expect(refusal(await slidingSync(alice, { lists: { a: many, b: many, c: many } }))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(await ask({})).to.deep.include({ lists: {}, rooms: {}, extensions: {} });
  });
});
