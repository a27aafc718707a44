// What is left of an account that has ended.
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { reactivate } from "../../src/accounts/account.js";
import { Passwords } from "../../src/accounts/passwords.js";
import { AccessTokens } from "../../src/accounts/access-tokens.js";
import { systemClock } from "../../src/clock.js";
import { checkConfig, localServers } from "../../src/config.js";
import { MemoryBus } from "../../src/storage/bus.js";
import { loadSecretKey } from "../../src/storage/sealing.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { passwordOf, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("accounts that have ended", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  const end = async (client: TestClient, name: string, erase: boolean): Promise<void> => {
    const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: name }, password: passwordOf(name) };
    const answer = await client.post(`${V3}/account/deactivate`, { auth, erase });
    expect(answer.status).to.equal(200);
  };
  const rowsOf = async (client: TestClient): Promise<Record<string, unknown>> => {
    const tables = ["account_data", "push_rules", "receipts", "filters", "third_party_ids", "user_tokens", "devices", "access_tokens", "profile_fields"];
    const counts = tables.map((table) => `(SELECT count(*) FROM ${table} WHERE user_nid = users.nid) AS ${table}`).join(", ");
    const [row] = await server.database.read({ name: `test_rows`, text: `SELECT ${counts} FROM users WHERE user_id = $1` }, [client.user_id]);
    return row ?? {};
  };

  it("have nothing of what they had set", async () => {
    const alice = await server.register("alice");
    const bob = await server.register("bob");
    const room = encodeURIComponent(stringAt((await bob.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "");
    await alice.post(`${V3}/join/${room}`);
    const event = stringAt((await bob.put(`${V3}/rooms/${room}/send/m.room.message/1`, { msgtype: "m.text", body: "x" })).body, "event_id");
    await alice.post(`${V3}/rooms/${room}/receipt/m.read/${event}`);
    const own = `${V3}/user/${alice.user_id}`;
    await alice.put(`${own}/account_data/org.example`, { a: 1 });
    await alice.put(`${own}/account_data/org.matrix.msc3890.local_notification_settings.${alice.device_id}`, { is_silenced: true });
    await alice.post(`${own}/filter`, { event_fields: ["type"] });
    await alice.post(`${own}/openid/request_token`);
    await alice.put(`${V3}/pushrules/global/room/${room}`, { actions: [] });
    await alice.put(`${V3}/profile/${alice.user_id}/displayname`, { displayname: "Alice" });
    await server.database.write(
      { name: "test_address", text: "INSERT INTO third_party_ids SELECT 'localhost', 'email', 'a@b.org', nid, 0, 0 FROM users WHERE user_id = $1" },
      [alice.user_id],
    );
    const before = await rowsOf(alice);
    expect(Object.values(before).every((count) => Number(count) > 0), JSON.stringify(before)).to.equal(true);
    await end(alice, "alice", true);
    const after = await rowsOf(alice);
    expect(Object.values(after).every((count) => Number(count) === 0), JSON.stringify(after)).to.equal(true);
    const again = await server.anonymous.post(`${V3}/register`, { username: "alice", password: "long enough", auth: { type: "m.login.dummy" } });
    expect(refusal(again)).to.deep.equal([400, "M_USER_IN_USE"]);
    expect(refusal(await bob.get(`${V3}/profile/${alice.user_id}`))).to.deep.equal([404, "M_NOT_FOUND"]);
  });

  it("with their messages erased are read by those who were there, and by nobody who comes later", async () => {
    const [carol, dave, erin] = [await server.register("carol"), await server.register("dave"), await server.register("erin")];
    const body = { preset: "public_chat", initial_state: [{ type: "m.room.history_visibility", state_key: "", content: { history_visibility: "shared" } }] };
    const room = stringAt((await dave.post(`${V3}/createRoom`, body)).body, "room_id") ?? "";
    const at = `${V3}/rooms/${encodeURIComponent(room)}`;
    await carol.post(`${V3}/join/${encodeURIComponent(room)}`);
    const message = { msgtype: "m.text", body: "between us" };
    const event = stringAt((await carol.put(`${at}/send/m.room.message/1`, message)).body, "event_id") ?? "";
    await end(carol, "carol", true);
    await using second = await startTestServer({}, server.address);
    await erin.post(`${V3}/join/${encodeURIComponent(room)}`);

    const contentFor = async (reader: TestClient): Promise<unknown[]> => {
      const inMessages = objectsAt((await reader.get(`${at}/messages?dir=b&limit=50`)).body, "chunk");
      const inSync = objectsAt((await reader.get(`${V3}/sync?filter=${encodeURIComponent('{"room":{"timeline":{"limit":50}}}')}`)).body, "rooms", "join", room, "timeline", "events");
      const inContext = (await reader.get(`${at}/context/${event}`)).body;
      const alone = (await reader.get(`${at}/event/${event}`)).body;
      const found = (events: readonly JsonObject[]): unknown => events.find(({ event_id }) => event_id === event)?.["content"];
      return [found(inMessages), found(inSync), objectAt(inContext, "event", "content"), alone["content"]];
    };
    for (const reader of [erin, second.client(erin)]) {
      await eventually("the messages are hidden in every process", async () => JSON.stringify(await contentFor(reader)) === "[{},{},{},{}]");
    }
    expect(await contentFor(dave)).to.deep.equal([message, message, message, message]);
  });

  it("can be given back by an administrator", async () => {
    const frank = await server.register("frank");
    await end(frank, "frank", true);
    const config = checkConfig({ secret_key: Buffer.alloc(32, 7).toString("base64"), passwords: { memory_kib: 8, iterations: 1 } });
    const { database } = server;
    const [row] = await database.read<{ nid: number }>({ name: "test_nid", text: "SELECT nid FROM users WHERE user_id = $1" }, [frank.user_id]);
    const context = {
      config,
      database,
      clock: systemClock,
      servers: localServers(config),
      secret: loadSecretKey(config),
      passwords: new Passwords(config.passwords),
      tokens: new AccessTokens(database, systemClock),
      bus: new MemoryBus(),
      limiter: { take: () => Promise.resolve(), giveBack: () => Promise.resolve() },
      outbox: { wake: () => undefined },
    };
    await reactivate(context, row?.nid ?? 0, "a new password");
    const login = { type: "m.login.password", user: "frank" };
    expect((await server.anonymous.post(`${V3}/login`, { ...login, password: "a new password" })).status).to.equal(200);
    expect((await server.anonymous.post(`${V3}/login`, { ...login, password: passwordOf("frank") })).status).to.equal(403);
    expect((await frank.get(`${V3}/account/whoami`)).status).to.equal(401);
  });
});
