// The server tells its users something, and users tell its administrators something.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, roomOf, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const NOTICE = "/_synapse/admin/v1/send_server_notice";

const path = (room: string, rest: string): string => `${V3}/rooms/${encodeURIComponent(room)}/${rest}`;
const content = { msgtype: "m.text", body: "hello" };

async function admin(server: TestServer): Promise<TestClient> {
  const client = await server.register("admin");
  const set = { name: "make_admin", text: "UPDATE accounts SET is_admin = true FROM users WHERE users.nid = user_nid AND user_id = $1 RETURNING 1 AS one" };
  await server.database.write(set, [client.user_id]);
  return await server.login("admin");
}

describe("server notices", () => {
  let server: TestServer;
  let root: TestClient;
  before(async () => {
    server = await startTestServer({ server_notices: { avatar_url: "mxc://localhost/sign", room_name: "News" } });
    root = await admin(server);
  });
  after(() => server[Symbol.asyncDispose]());

  const invites = async (client: TestClient): Promise<JsonObject> =>
    objectAt((await client.get(`${V3}/sync?timeout=0`)).body, "rooms", "invite");

  it("come in one room, to which the user is invited again after leaving it", async () => {
    const alice = await server.register("alice");
    const user_id = alice.user_id;
    const first = await root.post(NOTICE, { user_id, content });
    const [entry] = Object.entries(await invites(alice));
    const [room, invite] = entry ?? ["", {}];
    expect(objectsAt(invite, "invite_state", "events").map(({ sender }) => sender)).to.include("@_server:localhost");
    expect(refusal(await alice.post(path(room, "leave")))).to.deep.equal([403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"]);
    const declined = await alice.put(path(room, `state/m.room.member/${user_id}`), { membership: "leave" });
    expect(refusal(declined)).to.deep.equal([403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"]);
    const tags = await alice.get(`${V3}/user/${user_id}/rooms/${encodeURIComponent(room)}/tags`);
    expect(tags.body).to.deep.equal({ tags: { "m.server_notice": {} } });

    await alice.post(path(room, "join"));
    const event = (await alice.get(path(room, `event/${String(first.body["event_id"])}`))).body;
    expect(event).to.deep.include({ sender: "@_server:localhost", type: "m.room.message", content });
    expect((await alice.get(path(room, "state/m.room.name"))).body).to.deep.equal({ name: "News" });
    expect((await alice.get(path(room, "state/m.room.member/@_server:localhost"))).body).to.include({
      displayname: "Server Alert",
      avatar_url: "mxc://localhost/sign",
    });
    expect(refusal(await alice.put(path(room, "send/m.room.message/1"), content))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect((await alice.post(path(room, "leave"))).status).to.equal(200);
    await root.post(NOTICE, { user_id, content, type: "m.room.pinned_events", state_key: "" });
    expect(Object.keys(await invites(alice))).to.deep.equal([room]);
    expect(refusal(await alice.post(path(room, "leave")))).to.deep.equal([403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"]);
  });

  it("are sent once for one transaction, and make one room however many come at once", async () => {
    const bob = await server.register("bob");
    const send = (txn: string): Promise<Answer> => root.put(`${NOTICE}/${txn}`, { user_id: bob.user_id, content });
    const answers = await Promise.all(["1", "2", "1", "2", "1"].map(send));
    expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 200, 200, 200]);
    const ids = answers.map(({ body }) => body["event_id"]);
    expect(new Set(ids).size).to.equal(2);
    expect((await send("1")).body["event_id"]).to.equal(ids[0]);
    expect(Object.keys(await invites(bob))).to.have.length(1);
  });

  it("are sent by administrators, to users of this server", async () => {
    const carol = await server.register("carol");
    expect(refusal(await carol.post(NOTICE, { user_id: carol.user_id, content }))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await server.anonymous.post(NOTICE, { user_id: carol.user_id, content }))).to.deep.equal([401, "M_MISSING_TOKEN"]);
    for (const user_id of ["@nobody:localhost", "@carol:away.example"]) {
      expect(refusal(await root.post(NOTICE, { user_id, content }))).to.deep.equal([404, "M_NOT_FOUND"]);
    }
    expect(refusal(await root.post(NOTICE, { user_id: carol.user_id }))).to.deep.equal([400, "M_BAD_JSON"]);
    const registration = { auth: { type: "m.login.dummy" }, username: "_server", password: "a password of someone" };
    expect(refusal(await server.anonymous.post(`${V3}/register`, registration))).to.deep.equal([400, "M_INVALID_USERNAME"]);
  });
});

describe("reports", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    server = await startTestServer();
    [alice, bob] = await Promise.all([server.register("alice"), server.register("bob")]);
  });
  after(() => server[Symbol.asyncDispose]());

  const kept = async (): Promise<Record<string, unknown>[]> => {
    const text = `SELECT reporter.user_id AS reporter, rooms.room_id, events.event_id, reported.user_id, reason, score
      FROM reports JOIN users reporter ON reporter.nid = reporter_nid LEFT JOIN rooms ON rooms.nid = reports.room_nid
      LEFT JOIN events ON events.nid = event_nid LEFT JOIN users reported ON reported.nid = reports.user_nid ORDER BY reports.nid`;
    return await server.database.read({ name: "test_reports", text }, []);
  };

  it("of rooms, events and users are kept", async () => {
    const room = await roomOf(alice, { preset: "public_chat" });
    await bob.post(path(room, "join"));
    const event = stringAt((await alice.put(path(room, "send/m.room.message/1"), content)).body, "event_id") ?? "";
    const answers = [
      await bob.post(path(room, "report"), { reason: "a \u0000 room" }),
      await bob.post(path(room, `report/${event}`), { reason: "words", score: -100 }),
      await bob.post(path(room, `report/${event}`), {}),
      await bob.post(`${V3}/users/${alice.user_id}/report`, { reason: "" }),
    ];
    for (const answer of answers) expect([answer.status, answer.body]).to.deep.equal([200, {}]);
    const report = { reporter: bob.user_id, room_id: null, event_id: null, user_id: null, reason: null, score: null };
    const rows = await kept();
    expect(rows.slice(1)).to.deep.equal([
      { ...report, room_id: room, event_id: event, reason: "words", score: -100 },
      { ...report, room_id: room, event_id: event },
      { ...report, user_id: alice.user_id, reason: "" },
    ]);
    expect(rows[0]).to.include({ room_id: room, event_id: null });
  });

  it("of what is not there, or not to be seen, are answered alike and not kept", async () => {
    const before = (await kept()).length;
    const secret = await roomOf(alice);
    const event = stringAt((await alice.put(path(secret, "send/m.room.message/1"), content)).body, "event_id") ?? "";
    for (const target of [path("!none:localhost", "report"), path(secret, `report/${event}`), path(secret, "report/$none"), `${V3}/users/@nobody:localhost/report`]) {
      const answer = await bob.post(target, { reason: "guess" });
      expect([answer.status, answer.body], target).to.deep.equal([200, {}]);
    }
    expect(await kept()).to.have.length(before);
  });

  it("are refused without a token, a reason, or if it is too long", async () => {
    const room = await roomOf(alice);
    expect(refusal(await server.anonymous.post(path(room, "report"), { reason: "" }))).to.deep.equal([401, "M_MISSING_TOKEN"]);
    expect(refusal(await bob.post(path(room, "report"), {}))).to.deep.equal([400, "M_BAD_JSON"]);
    expect((await bob.post(path(room, "report"), { reason: "x".repeat(5000) })).status).to.equal(400);
  });

  it("are limited", async () => {
    await using limited = await startTestServer({ rate_limits: { enabled: true, report: { per_second: 0.001, burst: 2 } } });
    const carol = await limited.register("carol");
    const report = (): Promise<Answer> => carol.post(`${V3}/users/@nobody:localhost/report`, { reason: "" });
    expect([(await report()).status, (await report()).status]).to.deep.equal([200, 200]);
    expect(refusal(await report())).to.deep.equal([429, "M_LIMIT_EXCEEDED"]);
  });
});

describe("forgetting rooms on leaving them", () => {
  it("is done and said where it is settled, for who leaves, is removed and is banned", async () => {
    await using server = await startTestServer({ rooms: { forget_on_leave: true } });
    const [alice, bob, carol, dave] = await Promise.all(["alice", "bob", "carol", "dave"].map((name) => server.register(name)));
    if (alice === undefined || bob === undefined || carol === undefined || dave === undefined) throw new Error("no users");
    const { body } = await alice.get(`${V3}/capabilities`);
    expect(objectAt(body, "capabilities", "m.forget_forced_upon_leave")).to.deep.equal({ enabled: true });
    const room = await roomOf(alice, { preset: "public_chat" });
    for (const client of [bob, carol, dave]) await client.post(path(room, "join"));
    await bob.post(path(room, "leave"));
    await alice.post(path(room, "kick"), { user_id: carol.user_id });
    await alice.post(path(room, "ban"), { user_id: dave.user_id });
    for (const client of [bob, carol, dave]) {
      expect(refusal(await client.get(path(room, "state")))).to.deep.equal([403, "M_FORBIDDEN"]);
    }
    expect((await alice.get(path(room, "state"))).status).to.equal(200);
  });
});
