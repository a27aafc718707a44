// What application services are told: all that concerns them, in order, whatever fails meanwhile.
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { registerOwn, startAppService, type TestAppService } from "../support/application-service.js";
import { eventually } from "../support/eventually.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { seeded } from "../support/rooms.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

let counter = 0;

async function say(client: TestClient, room: string, body: string): Promise<string> {
  const answer = await client.put(`${V3}/rooms/${room}/send/m.room.message/${++counter}`, { msgtype: "m.text", body });
  return stringAt(answer.body, "event_id") ?? "";
}

async function newRoom(client: TestClient, more: JsonObject = {}): Promise<string> {
  return stringAt((await client.post(`${V3}/createRoom`, { preset: "public_chat", ...more })).body, "room_id") ?? "";
}

const idsOf = (events: readonly JsonObject[]): string[] => events.map((event) => stringAt(event, "event_id") ?? "");

/** Waits until the application service has been told of an event. */
async function told(appservice: TestAppService, event: string): Promise<void> {
  await eventually(`the application service hears of ${event}`, () => idsOf(appservice.events()).includes(event));
}

describe("what application services are told", () => {
  let bridge: TestAppService;
  let dead: TestAppService;
  let server: TestServer;
  let alice: TestClient;
  let ghost: string;
  before(async () => {
    bridge = await startAppService({ receive_ephemeral: true, "org.matrix.msc3202": true });
    dead = await startAppService({ id: "dead", sender_localpart: "deadbot", namespaces: { users: [{ exclusive: false, regex: ".*" }] } });
    await dead.down();
    server = await startTestServer({ app_services: [bridge.file, dead.file], registration: { open: true } });
    alice = await server.register("alice");
    ghost = await registerOwn(bridge, server, "_bridge_ghost");
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await bridge[Symbol.asyncDispose]();
    await dead.up();
    await dead[Symbol.asyncDispose]();
  });

  const asGhost = (method: string, path: string, body?: unknown) => bridge.request(server, method, V3 + path, body, ghost);

  it("tells of rooms from the time when a user of theirs is invited to the time when the last leaves", async () => {
    const room = await newRoom(alice);
    const early = await say(alice, room, "before");
    await alice.post(`${V3}/rooms/${room}/invite`, { user_id: ghost });
    await asGhost("POST", `/join/${room}`);
    const during = await say(alice, room, "during");
    await told(bridge, during);
    await asGhost("POST", `/rooms/${room}/leave`);
    const late = await say(alice, room, "late");
    const marker = stringAt((await asGhost("POST", "/createRoom")).body, "room_id");
    await eventually("the marker", () => bridge.events().some(({ room_id }) => room_id === marker));
    const events = bridge.events().filter(({ room_id }) => room_id === room);
    expect(events.map(({ type, content }) => [type, stringAt(content, "membership") ?? stringAt(content, "body")])).to.deep.equal([
      ["m.room.member", "invite"],
      ["m.room.member", "join"],
      ["m.room.message", "during"],
      ["m.room.member", "leave"],
    ]);
    expect(idsOf(events)).not.to.include.members([early, late]);
    expect(objectAt(events[1], "unsigned")).to.have.property("age");
    expect(stringAt(events[1], "unsigned", "prev_content", "membership")).to.equal("invite");
  });

  it("tells of rooms with an alias of theirs", async () => {
    const room = await newRoom(alice);
    const creation = stringAt((await bridge.request(server, "POST", `${V3}/join/${room}`)).body, "room_id");
    expect(creation).to.equal(room);
    await bridge.request(server, "PUT", `${V3}/directory/room/%23_bridge_alias:localhost`, { room_id: room });
    await bridge.request(server, "POST", `${V3}/rooms/${room}/leave`);
    await told(bridge, await say(alice, room, "aliased"));
  });

  it("tells of typing, receipts and presence, but not of private receipts", async () => {
    const room = await newRoom(alice, { invite: [ghost] });
    await asGhost("POST", `/join/${room}`);
    const event = await say(alice, room, "read this");
    const ephemeral = () => bridge.accepted().flatMap(({ body }) => objectsAt(body, "ephemeral"));
    await alice.put(`${V3}/rooms/${room}/typing/${alice.user_id}`, { typing: true });
    await eventually("typing", () =>
      ephemeral().some(({ type, room_id, content }) => type === "m.typing" && room_id === room && JSON.stringify(content).includes("@alice")),
    );
    await alice.post(`${V3}/rooms/${room}/receipt/m.read.private/${event}`, {});
    await alice.put(`${V3}/presence/${alice.user_id}/status`, { presence: "online", status_msg: "here" });
    await eventually("presence", () =>
      ephemeral().some(({ type, sender, content }) => type === "m.presence" && sender === alice.user_id && stringAt(content, "status_msg") === "here"),
    );
    const second = await say(alice, room, "and this");
    await alice.post(`${V3}/rooms/${room}/receipt/m.read/${second}`, {});
    const receipt = await eventually("the receipt", () => ephemeral().find(({ type, room_id }) => type === "m.receipt" && room_id === room));
    expect(Object.keys(objectAt(receipt, "content", second, "m.read"))).to.deep.equal([alice.user_id]);
    expect(JSON.stringify(ephemeral())).not.to.include("m.read.private");
  });

  it("tells of messages to devices of its users, for which they then wait no longer", async () => {
    const login = await bridge.request(server, "POST", `${V3}/login`, {
      type: "m.login.application_service",
      identifier: { type: "m.id.user", user: ghost },
    });
    const device = stringAt(login.body, "device_id") ?? "";
    await alice.put(`${V3}/sendToDevice/m.test/1`, { messages: { [ghost]: { "*": { n: 1 } }, [alice.user_id]: { "*": {} } } });
    const messages = () => bridge.accepted().flatMap(({ body }) => objectsAt(body, "de.sorunome.msc2409.to_device"));
    await eventually("the message", () => messages().length > 0);
    expect(messages()).to.deep.equal([
      { to_user_id: ghost, to_device_id: device, type: "m.test", sender: alice.user_id, content: { n: 1 } },
    ]);
    const kept = await server.database.read({ name: "test_messages", text: "SELECT device_id FROM to_device_messages" }, []);
    expect(kept).to.deep.equal([{ device_id: alice.device_id }]);
  });

  it("tells of the keys that devices of its users have left, and of devices that they encrypt for", async () => {
    const login = await bridge.request(server, "POST", `${V3}/login`, {
      type: "m.login.application_service",
      identifier: { type: "m.id.user", user: ghost },
    });
    const device = stringAt(login.body, "device_id") ?? "";
    const token = stringAt(login.body, "access_token");
    const as = server.client({ user_id: ghost, device_id: device, access_token: token });
    const room = await newRoom(alice, { invite: [ghost] });
    await asGhost("POST", `/join/${room}`);
    const from = bridge.accepted().length;
    const all = (name: string): JsonObject[] => bridge.accepted().slice(from).flatMap(({ body }) => {
      const field = `org.matrix.msc3202.${name}`;
      return Object.hasOwn(body, field) ? [objectAt(body, field)] : [];
    });
    const keys = { "curve25519:AAAAAA": "wyn7qtuqpj2kbY3kvVZoUvXJxlTCVJqN2vyhhQJPMDM", "curve25519:AAAAAB": "wyn7qtuqpj2kbY3kvVZoUvXJxlTCVJqN2vyhhQJPMDA" };
    expect((await as.post(`${V3}/keys/upload`, { one_time_keys: keys })).status).to.equal(200);
    await eventually("two keys", () => all("device_one_time_keys_count").some((counts) => objectAt(counts, ghost, device)["curve25519"] === 2));
    await alice.post(`${V3}/keys/claim`, { one_time_keys: { [ghost]: { [device]: "curve25519" } } });
    await eventually("one key", () => all("device_one_time_key_counts").some((counts) => objectAt(counts, ghost, device)["curve25519"] === 1));
    expect(objectAt(all("device_unused_fallback_key_types").at(-1), ghost)[device]).to.deep.equal([]);
    const other = await server.login("alice");
    await eventually("a new device of alice's", () => all("device_lists").some(({ changed }) => JSON.stringify(changed).includes(alice.user_id)));
    expect(other.user_id).to.equal(alice.user_id);
    await alice.post(`${V3}/rooms/${room}/leave`);
    await asGhost("POST", `/rooms/${room}/leave`);
  });

  it("sends the same transaction again until it is taken, and goes on at once after a ping", async () => {
    const room = await newRoom(alice, { invite: [ghost] });
    await asGhost("POST", `/join/${room}`);
    await told(bridge, await say(alice, room, "well"));
    const before = bridge.attempts.length;
    bridge.answer = (_method, path) => (path.includes("/transactions/") ? { status: 500 } : undefined);
    const first = await say(alice, room, "refused");
    await eventually("three attempts", () => bridge.attempts.length >= before + 3);
    const second = await say(alice, room, "behind");
    const attempts = bridge.attempts.slice(before, before + 3);
    expect(new Set(attempts.map(({ id }) => id)).size).to.equal(1);
    expect(new Set(attempts.map(({ body }) => JSON.stringify(body))).size).to.equal(1);
    bridge.answer = () => undefined;
    await bridge.request(server, "POST", "/_matrix/client/v1/appservice/bridge/ping", {});
    await told(bridge, second);
    const ids = idsOf(bridge.events());
    expect(ids.indexOf(first)).to.equal(ids.indexOf(second) - 1);
  });

  it("bounds a transaction", async () => {
    const room = await newRoom(alice, { invite: [ghost] });
    await asGhost("POST", `/join/${room}`);
    await bridge.down();
    const sent: string[] = [];
    for (let round = 0; round < 25; round++) {
      sent.push(...(await Promise.all(Array.from({ length: 10 }, (_, index) => say(alice, room, `${round} ${index}`)))));
    }
    await bridge.up();
    await bridge.request(server, "POST", "/_matrix/client/v1/appservice/bridge/ping", {});
    await eventually("all events", () => {
      const ids = new Set(idsOf(bridge.events()));
      return sent.every((id) => ids.has(id));
    });
    expect(Math.max(...bridge.accepted().map(({ body }) => objectsAt(body, "events").length))).to.be.at.most(100);
  });

  it("gives one application service to one process, and to another when that ends", async () => {
    const room = await newRoom(alice, { invite: [ghost] });
    await asGhost("POST", `/join/${room}`);
    const second = await startTestServer({ app_services: [bridge.file, dead.file], registration: { open: true } }, server.address);
    const there = second.client(alice);
    const sent: string[] = [];
    for (let i = 0; i < 20; i++) sent.push(await say(i % 2 === 0 ? alice : there, room, `message ${i}`));
    await second[Symbol.asyncDispose]();
    sent.push(await say(alice, room, "the last"));
    await told(bridge, sent.at(-1) ?? "");
    expect(idsOf(bridge.events()).filter((id) => sent.includes(id))).to.deep.equal(sent);
  });
});

describe("an application service that fails at random", () => {
  it("is told all that the log has, in its order", async function () {
    this.timeout(600_000);
    const seed = Number(process.env["SEED"] ?? Date.now());
    const next = seeded(seed);
    await using bridge = await startAppService();
    const settings = { app_services: [bridge.file], registration: { open: true } };
    let server = await startTestServer(settings);
    const { address } = server;
    const alice = await server.register("alice");
    const ghosts = [await registerOwn(bridge, server, "_bridge_a"), await registerOwn(bridge, server, "_bridge_b")];
    const rooms = [await newRoom(alice), await newRoom(alice), await newRoom(alice)];
    bridge.answer = async (_method, path) => {
      if (!path.includes("/transactions/")) return undefined;
      const chance = next();
      if (chance < 0.2) await sleep(chance * 100);
      return chance < 0.3 ? { status: 503 } : undefined;
    };
    const refresh = (): Promise<unknown> => bridge.request(server, "POST", "/_matrix/client/v1/appservice/bridge/ping", {});
    for (let step = 0; step < 120; step++) {
      const client = server.client(alice);
      const room = rooms[Math.floor(next() * rooms.length)] ?? "";
      const ghost = ghosts[Math.floor(next() * ghosts.length)] ?? "";
      const chance = next();
      if (chance < 0.15) await bridge.request(server, "POST", `${V3}/join/${room}`, {}, ghost);
      else if (chance < 0.25) await bridge.request(server, "POST", `${V3}/rooms/${room}/leave`, {}, ghost);
      else if (chance < 0.3) await client.put(`${V3}/rooms/${room}/state/m.room.topic`, { topic: String(step) });
      else await Promise.all([say(client, room, `${step} a`), say(client, room, `${step} b`)]);
      if (step % 40 === 20) {
        await bridge.down();
        await say(client, room, "unheard");
        await bridge.up();
      }
      if (step % 40 === 39) {
        // A new process goes on where this one was.
        const old = server;
        server = await startTestServer(settings, address);
        await old[Symbol.asyncDispose]();
      }
      if (step % 10 === 0) await refresh();
    }
    const last = stringAt((await bridge.request(server, "POST", `${V3}/createRoom`, {}, ghosts[0])).body, "room_id");
    bridge.answer = () => undefined;
    await refresh();
    await eventually("the last room", () => bridge.events().some(({ room_id, type }) => room_id === last && type === "m.room.guest_access"), 180_000);
    const expected = await concerning(server, ghosts);
    expect(idsOf(bridge.events()), `SEED=${seed}`).to.deep.equal(expected);
    await server[Symbol.asyncDispose]();
  });
});

/** The events that concern these users, by replaying memberships over all events in the order of the log. */
async function concerning({ database }: TestServer, ghosts: readonly string[]): Promise<string[]> {
  const rows = await database.read<{ event_id: string; room_nid: number; sender: string; target: string | null; json: string | null; position: number }>(
    {
      name: "",
      text: `SELECT e.event_id, e.room_nid, e.position, u.user_id AS sender, b.json,
          CASE WHEN t.type = 'm.room.member' THEN t.state_key END AS target
        FROM log l JOIN events e ON e.nid = l.reference JOIN users u ON u.nid = e.sender_nid
        LEFT JOIN state_tuples t ON t.nid = e.tuple_nid LEFT JOIN state_event_json b ON b.nid = e.nid
        WHERE l.kind = 1 ORDER BY l.position, l.index`,
    },
    [],
  );
  const own = (id: string | null): boolean => id !== null && (ghosts.includes(id) || id === "@bridgebot:localhost");
  const members = new Map<number, Set<string>>();
  const wanted: string[] = [];
  for (let start = 0; start < rows.length; ) {
    const end = rows.findIndex(({ position }, index) => index > start && position !== rows[start]?.position);
    const group = rows.slice(start, end < 0 ? rows.length : end);
    start += group.length;
    const interested = new Set([...members].filter(([, joined]) => joined.size > 0).map(([room]) => room));
    for (const { room_nid, target, json } of group) {
      const joined = members.get(room_nid) ?? new Set<string>();
      members.set(room_nid, joined);
      if (target === null || !own(target)) continue;
      if (stringAt(JSON.parse(json ?? "{}"), "content", "membership") === "join") joined.add(target);
      else joined.delete(target);
      if (joined.size > 0) interested.add(room_nid);
    }
    wanted.push(...group.filter(({ room_nid, sender, target }) => own(sender) || own(target) || interested.has(room_nid)).map(({ event_id }) => event_id));
  }
  return wanted;
}
