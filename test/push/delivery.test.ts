// Notifications as push gateways get them, from a whole server.
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { type JsonObject, objectsAt, stringAt } from "../support/json-path.js";
import { badgeTold, bodiesTold, type PushGateway, startPushGateway } from "../support/push-gateway.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const SETTINGS = { push: { allow_http: true }, outgoing: { allowed_addresses: ["127.0.0.0/8"] } };

describe("delivery to push gateways", () => {
  let server: TestServer;
  let gateway: PushGateway;
  let alice: TestClient;
  let bob: TestClient;
  let room: string;
  let made = 0;
  let sent = 0;

  before(async () => {
    server = await startTestServer(SETTINGS);
  });
  after(() => server[Symbol.asyncDispose]());
  beforeEach(async () => {
    gateway = await startPushGateway();
    made += 1;
    [alice, bob] = await Promise.all([server.register(`alice${made}`), server.register(`bob${made}`)]);
    room = await roomOf(alice, bob);
  });
  afterEach(async () => {
    expect(gateway.faults).to.deep.equal([]);
    await gateway[Symbol.asyncDispose]();
  });

  /** A room of both, which has been quiet since. */
  async function roomOf(one: TestClient, other: TestClient): Promise<string> {
    const id = stringAt((await one.post(`${V3}/createRoom`, { name: "Harbour", preset: "public_chat" })).body, "room_id") ?? "";
    expect((await other.post(`${V3}/join/${id}`)).status).to.equal(200);
    return id;
  }

  async function setPusher(client: TestClient, pushkey: string, more: object = {}, data: object = {}): Promise<void> {
    const pusher = { kind: "http", app_id: "org.example.app", app_display_name: "App", device_display_name: "Phone", lang: "en", pushkey };
    const { status, body } = await client.post(`${V3}/pushers/set`, { ...pusher, data: { url: gateway.url, ...data }, ...more });
    expect([status, body]).to.deep.equal([200, {}]);
  }

  async function send(client: TestClient, body: string, more: object = {}, to = room): Promise<string> {
    const answer = await client.put(`${V3}/rooms/${to}/send/m.room.message/t${++sent}`, { msgtype: "m.text", body, ...more });
    expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
    return stringAt(answer.body, "event_id") ?? "";
  }

  const read = (client: TestClient, event: string, to = room): Promise<unknown> => client.post(`${V3}/rooms/${to}/receipt/m.read/${event}`);
  const events = (): JsonObject[] => gateway.taken.filter((told) => "event_id" in told);
  const taken = (count: number): Promise<unknown> => eventually(`${count} notifications`, () => events().length >= count);
  const owed = async (): Promise<number> => {
    const text = "SELECT count(*) AS count FROM push_outbox JOIN pushers ON pushers.nid = pusher_nid WHERE gateway = $1";
    const [row] = await server.database.read<{ count: number }>({ name: "owed", text }, [new URL(gateway.url).origin]);
    return row?.count ?? 0;
  };
  const allDelivered = (): Promise<unknown> => eventually("nothing owed", async () => (await owed()) === 0);

  it("tells all of an event, in order, with what the rules add", async () => {
    await alice.put(`${V3}/profile/${alice.user_id}/displayname`, { displayname: "Captain" });
    await eventually("the name in the room", async () => (await alice.get(`${V3}/rooms/${room}/state/m.room.member/${alice.user_id}`)).body["displayname"] === "Captain");
    await setPusher(bob, "key", { profile_tag: "x" }, { custom: { a: 1.5 } });
    const alias = `#harbour${made}${alice.user_id.slice(alice.user_id.indexOf(":"))}`;
    await alice.put(`${V3}/directory/room/${encodeURIComponent(alias)}`, { room_id: room });
    await alice.put(`${V3}/rooms/${room}/state/m.room.canonical_alias`, { alias: alias });
    const event_id = await send(alice, "Ship ahoy", { "m.mentions": { user_ids: [bob.user_id] } });
    for (const body of ["one", "two", "three"]) await send(alice, body);
    await taken(4);
    const [first] = events();
    const { pushkey_ts, ...device } = objectsAt(first, "devices")[0] ?? {};
    expect(pushkey_ts).to.be.closeTo(Date.now() / 1000, 60);
    expect(device).to.deep.equal({
      app_id: "org.example.app",
      pushkey: "key",
      data: { custom: { a: 1.5 } },
      tweaks: { sound: "default", highlight: true },
    });
    const { devices: _, ...told } = first ?? {};
    expect(told).to.deep.equal({
      event_id,
      room_id: room,
      type: "m.room.message",
      sender: alice.user_id,
      sender_display_name: "Captain",
      room_name: "Harbour",
      room_alias: alias,
      prio: "high",
      counts: { unread: 1 },
      content: { msgtype: "m.text", body: "Ship ahoy", "m.mentions": { user_ids: [bob.user_id] } },
    });
    expect(bodiesTold(gateway)).to.deep.equal(["Ship ahoy", "one", "two", "three"]);
    await allDelivered();
  });

  it("tells event ids only where a pusher wants it so", async () => {
    await setPusher(bob, "key", {}, { format: "event_id_only" });
    const event_id = await send(alice, "secret");
    await taken(1);
    expect(events()[0]).to.have.all.keys("event_id", "room_id", "counts", "devices", "prio");
    expect(events()[0]).to.include({ event_id, room_id: room });
    const [device] = objectsAt(events()[0], "devices");
    expect(device).to.have.all.keys("app_id", "pushkey", "pushkey_ts", "data").and.deep.include({ data: { format: "event_id_only" } });
    expect(JSON.stringify(gateway.taken)).to.not.include("secret");
  });

  it("each pusher of a user that is switched on, and nobody else", async () => {
    await setPusher(bob, "one");
    await setPusher(bob, "two");
    await setPusher(bob, "off", { "org.matrix.msc3881.enabled": false });
    await setPusher(alice, "sender");
    await send(alice, "to all");
    await taken(2);
    await allDelivered();
    expect(["one", "two", "off", "sender"].map((key) => bodiesTold(gateway, key).length)).to.deep.equal([1, 1, 0, 0]);
  });

  it("invitations, to those who are not in the room", async () => {
    await setPusher(bob, "key");
    const { body } = await alice.post(`${V3}/createRoom`, { invite: [bob.user_id], name: "Quay" });
    await taken(1);
    const { event_id, devices: _, ...told } = events()[0] ?? {};
    expect(event_id).to.be.a("string");
    expect(told).to.deep.equal({
      room_id: body["room_id"],
      type: "m.room.member",
      sender: alice.user_id,
      sender_display_name: `alice${made}`,
      user_is_target: true,
      room_name: "Quay",
      prio: "high",
      content: { membership: "invite", displayname: `bob${made}` },
      counts: { unread: 1 },
    });
    // Who refuses has one thing less to look at.
    await bob.post(`${V3}/rooms/${stringAt(body, "room_id")}/join`);
    await eventually("the count goes down", () => badgeTold(gateway) === 0);
  });

  it("no invitations that the user does not want to be shown", async () => {
    await setPusher(bob, "key");
    const filter = { ignored_users: [alice.user_id] };
    await bob.put(`${V3}/user/${bob.user_id}/account_data/org.matrix.msc4155.invite_permission_config`, filter);
    await alice.post(`${V3}/createRoom`, { invite: [bob.user_id] });
    await send(alice, "but messages where both are");
    await taken(1);
    expect(events().map((told) => stringAt(told, "content", "body"))).to.deep.equal(["but messages where both are"]);
    expect(badgeTold(gateway)).to.equal(1);
  });

  it("the unread count: by rooms, and again when something is read", async () => {
    await setPusher(bob, "key");
    const other = await roomOf(alice, bob);
    await send(alice, "one");
    await send(alice, "two");
    await send(alice, "elsewhere", {}, other);
    await taken(3);
    await allDelivered();
    expect(badgeTold(gateway)).to.equal(2);
    const last = await send(alice, "three");
    await allDelivered();
    await read(bob, last);
    await eventually("the count goes down", () => badgeTold(gateway) === 1);
    expect(gateway.taken.at(-1)).to.have.all.keys("counts", "devices", "prio");
    await send(bob, "an answer", {}, other);
    await eventually("the count goes to zero", () => badgeTold(gateway) === 0);
    await allDelivered();
    // What changes nothing is not told.
    const before = gateway.taken.length;
    await send(bob, "another", {}, other);
    await allDelivered();
    expect(gateway.taken.length).to.equal(before);
  });

  it("no counts to who does not want any (MSC4076)", async () => {
    await setPusher(bob, "key", {}, { "org.matrix.msc4076.disable_badge_count": true });
    const event = await send(alice, "one");
    await taken(1);
    expect(events()[0]).to.not.have.property("counts");
    await read(bob, event);
    await allDelivered();
    expect(gateway.asked).to.equal(1);
  });

  it("nothing that was read, redacted or left behind by the time the gateway works", async () => {
    gateway.answer = 500;
    await setPusher(bob, "key");
    const other = await roomOf(alice, bob);
    await send(alice, "left behind", {}, other);
    await read(bob, await send(alice, "read"));
    const redacted = await send(alice, "redacted");
    await alice.put(`${V3}/rooms/${room}/redact/${redacted}/r${++sent}`, {});
    await bob.post(`${V3}/rooms/${other}/leave`);
    await send(alice, "new");
    await eventually("an attempt", () => gateway.asked > 0);
    gateway.answer = 200;
    await allDelivered();
    expect(bodiesTold(gateway)).to.deep.equal(["new"]);
  });

  it("nothing of ignored users", async () => {
    await setPusher(bob, "key");
    await bob.put(`${V3}/user/${bob.user_id}/account_data/m.ignored_user_list`, { ignored_users: { [alice.user_id]: {} } });
    const carol = await server.register(`carol${made}`);
    await carol.post(`${V3}/join/${room}`);
    await send(alice, "not heard", { "m.mentions": { user_ids: [bob.user_id] } });
    await send(carol, "heard");
    await taken(1);
    expect(bodiesTold(gateway)).to.deep.equal(["heard"]);
  });

  it("a gateway that fails for a while gets the newest of each room when it works again", async () => {
    gateway.answer = 500;
    await setPusher(bob, "key");
    for (let index = 1; index <= 8; index += 1) await send(alice, `message ${index}`);
    await eventually("attempts", () => gateway.asked >= 2);
    expect(await owed()).to.be.greaterThan(0);
    gateway.answer = 200;
    await allDelivered();
    expect(bodiesTold(gateway)).to.deep.equal(["message 6", "message 7", "message 8"]);
  });

  it("a dead gateway holds up nobody else", async () => {
    const dead = await startPushGateway();
    dead.answer = "silence";
    const users = await Promise.all(Array.from({ length: 40 }, (_, index) => server.register(`crowd${made}.${index}`)));
    await Promise.all(users.map((user) => user.post(`${V3}/join/${room}`)));
    await Promise.all(users.map((user) => setPusher(user, `dead ${user.user_id}`, {}, { url: dead.url })));
    await setPusher(bob, "alive");
    for (const body of ["one", "two", "three"]) await send(alice, body);
    await taken(3);
    expect(bodiesTold(gateway, "alive")).to.deep.equal(["one", "two", "three"]);
    await dead[Symbol.asyncDispose]();
  });

  it("a push key that is rejected is forgotten, with its pusher", async () => {
    gateway.answer = ["key"];
    await setPusher(bob, "key");
    await setPusher(bob, "other");
    await send(alice, "one");
    await taken(2);
    const keys = async (): Promise<unknown[]> => objectsAt((await bob.get(`${V3}/pushers`)).body, "pushers").map(({ pushkey }) => pushkey);
    await eventually("the pusher is gone", async () => (await keys()).length === 1);
    expect(await keys()).to.deep.equal(["other"]);
    await allDelivered();
  });

  it("what a gateway refuses again and again is passed over", async function () {
    this.timeout(600_000);
    gateway.answer = 400;
    await setPusher(bob, "key");
    await send(alice, "poison");
    await eventually("enough attempts", () => gateway.asked >= 4, 180_000);
    await allDelivered();
    gateway.answer = 200;
    await send(alice, "sound");
    await taken(1);
    expect(bodiesTold(gateway)).to.deep.equal(["sound"]);
  });

  it("what fails for longer than the settings say is dropped, what comes after that is told", async () => {
    await using impatient = await startTestServer({ ...SETTINGS, push: { allow_http: true, give_up_days: 0.00001, unread_by_room: false } });
    const [carol, dave] = await Promise.all([impatient.register("carol"), impatient.register("dave")]);
    const inside = await roomOf(carol, dave);
    gateway.answer = 503;
    await setPusher(dave, "key");
    await send(carol, "lost", {}, inside);
    await eventually("it is given up", async () => (await impatient.database.read({ name: "left", text: "SELECT FROM push_outbox" }, [])).length === 0);
    gateway.answer = 200;
    await send(carol, "told", {}, inside);
    await taken(1);
    expect(bodiesTold(gateway)).to.deep.equal(["told"]);
    expect(badgeTold(gateway), "everything unread").to.equal(2);
  });

  it("private addresses are not asked unless a setting says so", async () => {
    await using closed = await startTestServer({ push: { allow_http: true } });
    const [carol, dave] = await Promise.all([closed.register("carol"), closed.register("dave")]);
    const inside = await roomOf(carol, dave);
    await setPusher(dave, "key");
    await send(carol, "hello", {}, inside);
    const failed = { name: "failed", text: "SELECT failures FROM pushers WHERE failures > 0" };
    await eventually("an attempt that failed", async () => (await closed.database.read(failed, [])).length > 0);
    expect(gateway.asked).to.equal(0);
  });
});
