// Names that JavaScript's objects have a meaning for, wherever a request can have names of its own choosing: they are data.
// Nothing may fail over them, none may be lost where it was taken, and no prototype may change.
import { expect } from "chai";
import type { TSchema } from "typebox";
import type { Operation } from "../../spec/operation.js";
import { operations } from "../../spec/operations.js";
import { parseJson, type JsonObject as Data } from "../../src/protocol/json.js";
import { deviceOf } from "../support/device-keys.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import { passwordOf, type Answer, type TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const NAMES = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "valueOf"];
const enc = encodeURIComponent;

/** An object with all the names, each with the same value. */
const odd = (value: unknown): object => Object.fromEntries(NAMES.map((name) => [name, value]));
/** A value as it is sent. */
const data = (value: unknown): Data => parseJson(JSON.stringify(value)) as Data;
const VALUES = [odd({ polluted: true }), odd(odd({})), odd([]), odd("x"), odd(1), odd(null)];
const DEEP = { ...odd(odd("x")), polluted: true };

interface Shape {
  readonly type?: unknown;
  readonly const?: unknown;
  readonly anyOf?: readonly TSchema[];
  readonly items?: TSchema;
  readonly properties?: Readonly<Record<string, TSchema>>;
  readonly required?: readonly string[];
  readonly patternProperties?: Readonly<Record<string, TSchema>>;
  readonly format?: string;
  readonly minimum?: number;
}

describe("bad names", () => {
  let server: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  let bob: TestClient;
  let root: TestClient;
  let room: string;
  let places: Readonly<Record<string, string>>;
  let samples: Readonly<Record<string, string>>;
  const OWN = Object.getOwnPropertyNames(Object.prototype).join();
  before(async () => {
    [server, peer] = await Promise.all([startFederatingServer(), startPeer()]);
    [alice, bob, root] = [await server.register("alice"), await server.register("bob"), await server.register("root")];
    await server.database.write({ name: "test_admin", text: "UPDATE accounts SET is_admin = true FROM users WHERE nid = user_nid AND user_id = $1" }, [root.user_id]);
    root = await server.login("root");
    room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
    const eventId = stringAt((await alice.put(`${V3}/rooms/${enc(room)}/send/m.room.message/first`, { body: "x" })).body, "event_id") ?? "";
    const userId = alice.user_id;
    await server.register("victim");
    const roomAlias = `#odd:${server.name}`;
    places = { roomId: room, roomIdOrAlias: room, roomAlias, eventId, userId, serverName: server.name, kind: "override", receiptType: "m.read", eventType: "org.example.odd", type: "org.example.odd", deviceId: alice.device_id };
    samples = { "mx-user-id": bob.user_id, "mx-room-id": room, "mx-event-id": eventId, "mx-room-alias": roomAlias, "mx-room-id-or-alias": room, "mx-server-name": server.name, "mx-device-id": alice.device_id };
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await peer[Symbol.asyncDispose]();
  });
  afterEach(() => {
    expect(Object.getOwnPropertyNames(Object.prototype).join()).to.equal(OWN);
    expect(({} as { polluted?: unknown }).polluted).to.equal(undefined);
  });

  /** Something that fits a schema as far as that is easy to say; where it has names of the caller's choosing, the odd ones. */
  function fitting(schema: TSchema & Shape, depth = 0): unknown {
    if (schema.const !== undefined) return schema.const;
    if (schema.anyOf?.[0] !== undefined) return fitting(schema.anyOf[0], depth);
    if (schema.properties !== undefined) return Object.fromEntries((schema.required ?? []).flatMap((name) => (schema.properties?.[name] === undefined ? [] : [[name, fitting(schema.properties[name], depth + 1)]])));
    const [values] = Object.values(schema.patternProperties ?? {});
    if (values !== undefined) return odd(fitting(values, depth + 1));
    switch (schema.type) {
      case "string":
        return samples[schema.format ?? ""] ?? "toString";
      case "integer":
      case "number":
        return Math.max(schema.minimum ?? 1, 1);
      case "boolean":
        return true;
      case "array":
        return schema.items === undefined ? [] : [fitting(schema.items, depth + 1)];
      default:
        return DEEP;
    }
  }

  /** Bodies of an operation with the odd names at one place each. */
  function bodiesOf({ body }: Operation): unknown[] {
    if (body === undefined || body === "bytes") return [];
    const { properties = {} } = body as Shape;
    const base = fitting(body) as object;
    const inProperties = Object.entries(properties).flatMap(([name, schema]) => [fitting(schema), ...VALUES].map((value) => ({ ...base, [name]: value })));
    return [base, ...VALUES, { ...base, ...DEEP }, ...inProperties];
  }

  // What ends a room comes after what needs it; what ends the session has nothing to do with names.
  const LAST = /^(?:leave|forget|kick|ban|unban|upgrade|deactivate|delete|admin)/;
  const walked = operations.filter(({ auth, operationId }) => auth !== "server" && !["websocketSync", "logout", "logout_all"].includes(operationId)).toSorted((a, b) => Number(LAST.test(a.operationId)) - Number(LAST.test(b.operationId)));
  const clientFor = ({ auth }: Operation): TestClient => (auth === "admin" ? root : alice);
  // Administrators deal with a user who does nothing else.
  const placesOf = ({ auth }: Operation): Readonly<Record<string, string>> => (auth === "admin" ? { ...places, userId: `@victim:${server.name}` } : places);
  const pathOf = ({ paths: [path] }: Operation, values: Readonly<Record<string, string>>): string => path.replace(/\{(\w+)\}/g, (_, name: string) => enc(values[name] ?? "none"));

  /** The statuses that say that something went wrong here, and what was asked. 502 and 504 are about others. */
  async function broken(operation: Operation, path: string, body?: unknown): Promise<string[]> {
    const { access_token } = clientFor(operation);
    const text = body === undefined ? null : JSON.stringify(body);
    const answer = await fetch(server.url + path, { method: operation.method, redirect: "manual", headers: { authorization: `Bearer ${access_token}`, "content-type": "application/json" }, body: text });
    await answer.arrayBuffer();
    return answer.status < 500 || answer.status === 502 || answer.status === 504 ? [] : [`${answer.status} ${operation.method} ${path} ${text ?? ""}`];
  }

  async function expectSessions(): Promise<void> {
    for (const client of [alice, root]) expect((await client.get(`${V3}/account/whoami`)).status).to.equal(200);
  }

  it("in bodies", async function () {
    this.timeout(600_000);
    const all: string[] = [];
    for (const operation of walked) {
      all.push(...(await Promise.all(bodiesOf(operation).map((body) => broken(operation, pathOf(operation, placesOf(operation)), body)))).flat());
    }
    expect(all).to.deep.equal([]);
    await expectSessions();
  });

  it("in paths and queries", async function () {
    this.timeout(600_000);
    const all: string[] = [];
    for (const operation of walked) {
      const names = [...operation.paths[0].matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
      const body = operation.method === "GET" ? undefined : {};
      const paths = NAMES.flatMap((name) => {
        const given = [...Object.keys(operation.query?.properties ?? {}), ...NAMES].map((parameter) => `${parameter}=${name}`);
        const asked = `${pathOf(operation, placesOf(operation))}?${given.join("&")}`;
        return [asked, ...names.map((parameter) => pathOf(operation, { ...placesOf(operation), [parameter]: name }))];
      });
      all.push(...(await Promise.all(paths.map((path) => broken(operation, path, body)))).flat());
    }
    expect(all).to.deep.equal([]);
    await expectSessions();
  });

  it("and texts and numbers that the database cannot have", async function () {
    this.timeout(600_000);
    const all: string[] = [];
    for (const operation of walked) {
      const names = [...operation.paths[0].matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
      const asked = Object.keys(operation.query?.properties ?? {}).filter((name) => name !== "timeout");
      const path = pathOf(operation, placesOf(operation));
      const paths = [
        ...names.map((name) => pathOf(operation, { ...placesOf(operation), [name]: "\0" })),
        ...asked.flatMap((name) => ["%00", Number.MAX_SAFE_INTEGER, -1].map((value) => `${path}?${name}=${value}`)),
      ];
      const body = operation.method === "GET" ? undefined : {};
      const bodies = bodiesOf(operation).slice(0, 1).flatMap((base) => ["\0", "\ud800", { session: "\0" }, Number.MAX_SAFE_INTEGER].flatMap((value) => Object.keys((operation.body as Shape).properties ?? {}).map((name) => ({ ...(base as object), [name]: value }))));
      all.push(...(await Promise.all([...paths.map((one) => broken(operation, one, body)), ...bodies.map((one) => broken(operation, path, one))])).flat());
    }
    expect(all).to.deep.equal([]);
    await expectSessions();
  });

  describe("are kept", () => {
    before(async () => {
      // The other may be gone by now.
      room = stringAt((await alice.post(`${V3}/createRoom`, {})).body, "room_id") ?? "";
    });
    const content = (): Data => data({ ...odd(odd(1)), body: "x" });
    const ok = ({ status, body }: Answer): JsonObject => {
      expect(status, JSON.stringify(body)).to.equal(200);
      return body;
    };

    it("of events, their types and state keys", async () => {
      for (const name of NAMES) {
        const event = stringAt(ok(await alice.put(`${V3}/rooms/${enc(room)}/send/${name}/odd${name}`, content())), "event_id") ?? "";
        expect(ok(await alice.get(`${V3}/rooms/${enc(room)}/event/${enc(event)}`))).to.deep.include({ type: name, content: content() });
        ok(await alice.put(`${V3}/rooms/${enc(room)}/state/${name}/${name}`, content()));
        expect(ok(await alice.get(`${V3}/rooms/${enc(room)}/state/${name}/${name}`))).to.deep.equal(content());
      }
      const events = objectsAt(ok(await alice.get(`${V3}/sync`)), "rooms", "join", room, "timeline", "events");
      expect(events.filter(({ type }) => NAMES.includes(String(type)))).to.not.have.length(0);
    });

    it("of power levels, which then give nobody any", async () => {
      const other = stringAt(ok(await alice.post(`${V3}/createRoom`, { preset: "public_chat", creation_content: content(), power_level_content_override: { events: odd(50) } })), "room_id") ?? "";
      const levels = ok(await alice.get(`${V3}/rooms/${enc(other)}/state/m.room.power_levels/`));
      expect(Object.getOwnPropertyNames(objectAt(levels, "events"))).to.include.members(NAMES);
      expect(Object.getOwnPropertyNames(ok(await alice.get(`${V3}/rooms/${enc(other)}/state/m.room.create/`)))).to.include.members(NAMES);
      await bob.post(`${V3}/join/${enc(other)}`);
      for (const name of NAMES) expect((await bob.put(`${V3}/rooms/${enc(other)}/send/${name}/t`, {})).status, name).to.equal(403);
    });

    it("of account data and tags", async () => {
      const path = `${V3}/user/${enc(alice.user_id)}`;
      for (const name of NAMES) {
        ok(await alice.put(`${path}/account_data/${name}`, content()));
        expect(ok(await alice.get(`${path}/account_data/${name}`))).to.deep.equal(content());
        ok(await alice.put(`${path}/rooms/${enc(room)}/account_data/${name}`, content()));
        ok(await alice.put(`${path}/rooms/${enc(room)}/tags/${name}`, { order: 0.5 }));
      }
      expect(Object.getOwnPropertyNames(objectAt(ok(await alice.get(`${path}/rooms/${enc(room)}/tags`)), "tags"))).to.include.members(NAMES);
      const { account_data } = ok(await root.get(`/_synapse/admin/v1/users/${enc(alice.user_id)}/accountdata`));
      expect(Object.getOwnPropertyNames(objectAt(account_data, "global"))).to.include.members(NAMES);
      expect(Object.getOwnPropertyNames(objectAt(account_data, "rooms", room))).to.include.members(NAMES);
    });

    it("of keys in a backup", async () => {
      const backup = { algorithm: "m.megolm_backup.v1.curve25519-aes-sha2", auth_data: content() };
      const version = stringAt(ok(await alice.post(`${V3}/room_keys/version`, backup)), "version") ?? "";
      expect(ok(await alice.get(`${V3}/room_keys/version`))["auth_data"]).to.deep.equal(content());
      const key = { first_message_index: 1, forwarded_count: 0, is_verified: false, session_data: content() };
      ok(await alice.put(`${V3}/room_keys/keys?version=${version}`, { rooms: { [room]: { sessions: odd(key) } } }));
      const { rooms } = ok(await alice.get(`${V3}/room_keys/keys?version=${version}`));
      expect(Object.getOwnPropertyNames(objectAt(rooms, room, "sessions"))).to.have.members(NAMES);
      for (const name of NAMES) {
        expect(objectAt(ok(await alice.get(`${V3}/room_keys/keys/${enc(room)}/${name}?version=${version}`)), "session_data"), name).to.deep.equal(content());
      }
    });

    it("of devices and their messages, also on the way to other servers", async () => {
      const login = (device_id: string): Promise<Answer> =>
        server.anonymous.post(`${V3}/login`, { type: "m.login.password", identifier: { type: "m.id.user", user: "bob" }, password: passwordOf("bob"), device_id });
      let received: JsonObject | undefined;
      peer.answer("/_matrix/federation/v1/send/", ({ body }) => {
        const edus = objectsAt(body, "edus").filter(({ edu_type }) => edu_type === "m.direct_to_device");
        received ??= edus[0];
        return { status: 200, body: { pdus: {} } };
      });
      const devices = await Promise.all(NAMES.map(async (name) => server.client({ access_token: stringAt(ok(await login(name)), "access_token"), device_id: name, user_id: bob.user_id })));
      for (const device of devices) {
        const keys = deviceOf(device);
        ok(await device.post(`${V3}/keys/upload`, { device_keys: keys.device_keys, one_time_keys: keys.oneTimeKeys(device.device_id) }));
      }
      const shown = objectAt(ok(await alice.post(`${V3}/keys/query`, { device_keys: { [bob.user_id]: [] } })), "device_keys", bob.user_id);
      expect(Object.getOwnPropertyNames(shown)).to.include.members(NAMES);
      const claimed = objectAt(ok(await alice.post(`${V3}/keys/claim`, { one_time_keys: { [bob.user_id]: odd("signed_curve25519") } })), "one_time_keys", bob.user_id);
      expect(Object.getOwnPropertyNames(claimed)).to.have.members(NAMES);
      ok(await alice.put(`${V3}/sendToDevice/toString/odd`, { messages: { [bob.user_id]: odd(content()), [`@far:${peer.name}`]: odd(content()) } }));
      for (const device of devices) {
        const [message] = objectsAt(ok(await device.get(`${V3}/sync`)), "to_device", "events");
        expect(message, device.device_id).to.deep.include({ type: "toString", content: content() });
      }
      const edu = await eventually("the other server has them", () => received);
      expect(Object.getOwnPropertyNames(objectAt(edu, "content", "messages", `@far:${peer.name}`))).to.have.members(NAMES);
    });

    it("of lists and subscriptions of sliding sync", async () => {
      const list = { timeline_limit: 1, required_state: [["*", "*"]], ranges: [[0, 9]] };
      const body = { lists: odd(list), room_subscriptions: odd({ timeline_limit: 1, required_state: [] }) };
      const answer = ok(await alice.post("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", body));
      expect(Object.getOwnPropertyNames(objectAt(answer, "lists"))).to.have.members(NAMES);
    });
  });

  it("in what other servers send", async () => {
    const url = server.federationUrl;
    const ask = async (method: "POST" | "PUT", uri: string, body: unknown): Promise<number> => (await peer.request(url, server.name, method, uri, data(body))).status;
    const users: unknown = { ...odd({}), [alice.user_id]: odd("signed_curve25519") };
    expect(await ask("POST", "/_matrix/federation/v1/user/keys/claim", { one_time_keys: odd(odd("signed_curve25519")) })).to.be.lessThan(500);
    expect(await ask("POST", "/_matrix/federation/v1/user/keys/claim", { one_time_keys: users })).to.be.lessThan(500);
    expect(await ask("POST", "/_matrix/federation/v1/user/keys/query", { device_keys: odd([]) })).to.be.lessThan(500);
    const contents = [...VALUES, { push: [DEEP], ...DEEP }, { messages: odd(odd({})), sender: `@a:${peer.name}`, type: "toString", message_id: "constructor" }, { [room]: odd(odd({ event_ids: ["$a"], data: odd(1) })) }];
    const types = ["m.typing", "m.receipt", "m.presence", "m.direct_to_device", "m.device_list_update", "m.signing_key_update", ...NAMES];
    const edus = types.flatMap((edu_type) => contents.map((content) => ({ edu_type, content })));
    for (let first = 0; first < edus.length; first += 100) {
      const body = { origin: peer.name, origin_server_ts: 1, pdus: [DEEP, odd(1)], edus: edus.slice(first, first + 100) };
      expect(await ask("PUT", `/_matrix/federation/v1/send/odd${first}`, body)).to.be.lessThan(500);
    }
  });
});
