// The WebSocket transport, over real sockets.
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { SOCKET_PATH, SocketClient } from "../support/socket-client.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("the WebSocket transport", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let room = "";
  const open: SocketClient[] = [];
  before(async () => {
    server = await startTestServer({ limits: { sockets_per_user: 3, socket_idle_seconds: 8 } });
    [alice, bob] = [await server.register("alice"), await server.register("bob")];
    room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
    await bob.post(`${V3}/join/${room}`);
  });
  afterEach(async () => {
    for (const socket of open) socket.kill();
    for (const socket of open.splice(0)) await socket.closing();
  });
  after(() => server[Symbol.asyncDispose]());

  const socketOf = (client?: Pick<TestClient, "access_token">, query?: Record<string, string>): SocketClient => {
    const socket = new SocketClient(server.url, client, query);
    open.push(socket);
    return socket;
  };
  const now = async (client: TestClient): Promise<string> => stringAt((await client.get(`${V3}/sync`)).body, "next_batch") ?? "";
  const timeline = (response: JsonObject): unknown[] =>
    objectsAt(response, "rooms", "join", room, "timeline", "events").map((event) => objectAt(event, "content")["body"]).filter((body) => body !== undefined);
  const send = (client: TestClient, body: string): Promise<unknown> =>
    client.put(`${V3}/rooms/${room}/send/m.room.message/${body}`, { msgtype: "m.text", body });
  /** What a socket tells until the last of some messages. */
  async function told(socket: SocketClient, last: string): Promise<{ position: string; bodies: unknown[] }> {
    const bodies: unknown[] = [];
    for (;;) {
      const { position, response } = await socket.sync();
      bodies.push(...timeline(response));
      if (bodies.includes(last)) return { position, bodies };
    }
  }

  it("is announced, and is for WebSockets only", async () => {
    const { body } = await server.anonymous.get("/_matrix/client/versions");
    expect(objectAt(body, "unstable_features")["org.hansa.websocket"]).to.equal(true);
    const plain = await alice.get(SOCKET_PATH);
    expect([plain.status, plain.body["errcode"], plain.headers.get("upgrade")]).to.deep.equal([426, "M_UNRECOGNIZED", "websocket"]);
  });

  it("leaves other upgrades alone", async () => {
    const asked = request(`${server.url}/_matrix/client/versions`, { headers: { connection: "Upgrade, HTTP2-Settings", upgrade: "h2c" } });
    asked.end();
    const [answer] = await once(asked, "response");
    answer.resume();
    expect(answer.statusCode).to.equal(200);
    const other = request(`${server.url}${V3}/login`, {
      method: "POST",
      headers: { connection: "Upgrade", upgrade: "websocket", "content-type": "application/json" },
    });
    other.end("{}");
    const [refused] = await once(other, "response");
    refused.resume();
    expect(refused.statusCode).to.equal(400);
  });

  it("gives what /sync gives, then what happens", async () => {
    const whole = (await bob.get(`${V3}/sync?filter={"presence":{"types":[]}}`)).body;
    const socket = socketOf(bob, { filter: '{"presence":{"types":[]}}' });
    expect(await socket.frame("authenticated")).to.deep.equal({ type: "authenticated", user_id: bob.user_id, device_id: bob.device_id });
    const first = await socket.sync();
    expect(Object.keys(objectAt(first.response, "rooms", "join"))).to.deep.equal(Object.keys(objectAt(whole, "rooms", "join")));
    expect(first.response["next_batch"]).to.equal(first.position);
    await send(alice, "one");
    expect((await told(socket, "one")).bodies).to.deep.equal(["one"]);
  });

  it("takes the token in the first frame, as web browsers must send it", async () => {
    const socket = socketOf(undefined, { since: await now(bob) });
    await once(socket.websocket, "open");
    socket.send({ type: "authenticate", token: bob.access_token });
    await socket.ready();
    await send(alice, "browser");
    expect((await told(socket, "browser")).bodies).to.deep.equal(["browser"]);
    socket.send({ type: "authenticate", token: alice.access_token });
    expect(await socket.closing()).to.deep.equal({ code: 4400, reason: "M_BAD_JSON" });
  });

  it("carries out calls in their order, as HTTP does", async () => {
    const socket = await socketOf(alice).ready();
    const message = { roomId: room, eventType: "m.room.message", txnId: "over a/socket" };
    const [first, again] = await Promise.all([
      socket.request("sendMessage", message, { msgtype: "m.text", body: "hello" }),
      socket.request("sendMessage", message, { msgtype: "m.text", body: "hello" }),
    ]);
    expect([first.status, again]).to.deep.equal([200, first]);
    const overHttp = await alice.put(`${V3}/rooms/${room}/send/m.room.message/${encodeURIComponent("over a/socket")}`, { body: "hello" });
    expect(overHttp.body).to.deep.equal(first.body);
    const eventId = String(first.body["event_id"]);
    const state = await socket.request("setRoomStateWithKey", { roomId: room, eventType: "m.room.topic" }, { topic: "sockets" });
    expect(state.status).to.equal(200);
    expect((await bob.get(`${V3}/rooms/${room}/state/m.room.topic`)).body).to.deep.equal({ topic: "sockets" });
    expect(await socket.request("postReceipt", { roomId: room, receiptType: "m.read", eventId })).to.deep.equal({ status: 200, body: {} });
    expect((await socket.request("setReadMarker", { roomId: room }, { "m.fully_read": eventId })).status).to.equal(200);
    expect((await socket.request("setTyping", { roomId: room, userId: alice.user_id }, { typing: true, timeout: 100 })).status).to.equal(200);
    expect((await socket.request("redactEvent", { roomId: room, eventId, txnId: "r" }, {})).status).to.equal(200);
  });

  it("answers with the errors of HTTP, and goes on", async () => {
    const socket = await socketOf(alice).ready();
    const params = { roomId: room, userId: bob.user_id };
    const refusal = async (operation: string, given: JsonObject, body?: unknown): Promise<unknown> => {
      const answer = await socket.request(operation, given, body);
      return [answer.status, answer.body["errcode"]];
    };
    expect(await refusal("setTyping", params, { typing: true })).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(await refusal("setTyping", { roomId: "nonsense", userId: alice.user_id }, { typing: true })).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(await refusal("setTyping", { roomId: room, userId: alice.user_id })).to.deep.equal([400, "M_BAD_JSON"]);
    expect(await refusal("postReceipt", { roomId: room })).to.deep.equal([400, "M_MISSING_PARAM"]);
    expect(socket.closed).to.equal(undefined);
  });

  it("closes for frames that are none", async () => {
    const cases: readonly (readonly [unknown, number])[] = [
      ["{", 4400],
      ["[]", 4400],
      ['{"type":"constructor"}', 4400],
      ['{"type":"request","id":"1","operation":"logout","params":{}}', 4400],
      ['{"type":"ack","position":"s1_1_1"}', 4400],
      [`{"type":"request","id":"1","operation":"setTyping","params":${'{"a":'.repeat(200)}1${"}".repeat(200)}}`, 4400],
      [Buffer.from("binary"), 1003],
      [" ".repeat(2 * 1024 * 1024), 1009],
    ];
    for (const [frame, code] of cases) {
      const socket = await socketOf(alice, { since: await now(alice) }).ready();
      socket.send(frame);
      expect((await socket.closing()).code, String(frame).slice(0, 60)).to.equal(code);
    }
  });

  it("closes for tokens, positions and filters that are none", async () => {
    expect(await socketOf({ access_token: "nonsense" }).closing()).to.deep.equal({ code: 4401, reason: "M_UNKNOWN_TOKEN" });
    const silent = socketOf();
    await once(silent.websocket, "open");
    silent.send({ type: "request", id: "1", operation: "setTyping", params: {} });
    expect(await silent.closing()).to.deep.equal({ code: 4401, reason: "M_MISSING_TOKEN" });
    expect((await socketOf(alice, { since: "nonsense" }).closing()).code).to.equal(4400);
    expect((await socketOf(alice, { filter: "nonsense" }).closing()).code).to.equal(4400);
  });

  it("closes when the device is logged out, and when the token expires", async () => {
    const phone = await server.login("bob");
    const stays = await socketOf(bob).ready();
    const goes = await socketOf(phone).ready();
    await phone.post(`${V3}/logout`);
    expect(await goes.closing()).to.deep.equal({ code: 4401, reason: "M_UNKNOWN_TOKEN" });
    expect(stays.closed).to.equal(undefined);
    const carol = await server.register("carol");
    const expiring = await socketOf(carol).ready();
    await server.database.transaction(async (tx) => {
      const text = "UPDATE access_tokens SET expires_ts = 1 WHERE device_id = $1 RETURNING user_nid";
      const rows = await tx.query<{ user_nid: number }>({ name: "test_expire", text }, [carol.device_id]);
      tx.append([{ kind: "invalidation", user_nid: Number(rows[0]?.user_nid) }]);
    });
    const softly = { code: 4402, reason: "M_UNKNOWN_TOKEN" };
    expect(await expiring.closing()).to.deep.equal(softly);
    expect(objectAt(expiring.frames.at(-1), "body")["soft_logout"]).to.equal(true);
    expect(await socketOf(carol).closing()).to.deep.equal(softly);
  });

  it("serves in every process alike: calls, positions and ends of sessions that another one hears of", async () => {
    await using other = await startTestServer({}, server.address);
    const tablet = await server.login("bob");
    const since = await now(tablet);
    await send(alice, "in between");
    const socket = await new SocketClient(other.url, tablet, { since }).ready();
    expect((await told(socket, "in between")).bodies).to.deep.equal(["in between"]);
    const params = { roomId: room, eventType: "m.room.message", txnId: "processes" };
    const over = await socket.request("sendMessage", params, { msgtype: "m.text", body: "from the other process" });
    const again = await tablet.put(`${V3}/rooms/${room}/send/m.room.message/processes`, { msgtype: "m.text", body: "from the other process" });
    expect(again.body).to.deep.equal(over.body);
    await tablet.post(`${V3}/logout`);
    expect((await socket.closing()).code).to.equal(4401);
  });

  it("goes on from a position after the connection was cut, with nothing missing or doubled", async () => {
    let position = await now(bob);
    const heard: unknown[] = [];
    const bodies = Array.from({ length: 24 }, (_, index) => `cut ${index}`);
    const sending = (async () => {
      for (const body of bodies) await send(alice, body);
    })();
    for (let round = 0; !heard.includes(bodies.at(-1)); round++) {
      // With a gap it would have to page back.
      const socket = socketOf(bob, { since: position, filter: '{"room":{"timeline":{"limit":50}}}' });
      await socket.ready();
      const first = await socket.sync();
      heard.push(...timeline(first.response));
      position = first.position;
      // What comes after this the client never sees: it was cut off.
      if (round % 2 === 0) await eventually("another sync or an end", () => socket.frames.filter(({ type }) => type === "sync").length > 1 || heard.includes(bodies.at(-1)), 500).catch(() => undefined);
      socket.kill();
      await socket.closing();
    }
    await sending;
    expect(heard).to.deep.equal(bodies);
  });

  it("computes nothing more for who acknowledges nothing", async () => {
    const socket = socketOf(bob, { since: await now(bob) });
    await socket.ready();
    await send(alice, "first");
    const { position } = await socket.sync(false);
    for (let index = 0; index < 5; index++) await send(alice, `later ${index}`);
    // A call's answer comes after all that would have been sent before.
    await socket.request("setTyping", { roomId: room, userId: bob.user_id }, { typing: false });
    await sleep(100);
    expect(socket.frames.filter(({ type }) => type === "sync")).to.have.length(1);
    socket.send({ type: "ack", position });
    expect((await told(socket, "later 4")).bodies).to.deep.equal([0, 1, 2, 3, 4].map((index) => `later ${index}`));
  });

  it("does not read on for who sends more than is carried out", async () => {
    const socket = await socketOf(bob).ready();
    for (let index = 0; index < 200; index++) {
      socket.send({ type: "request", id: `r${index}`, operation: "setTyping", params: { roomId: room, userId: bob.user_id }, body: { typing: false } });
    }
    await socket.frame("response", { id: "r199" });
    expect(socket.frames.filter(({ type }) => type === "response").map(({ id }) => id)).to.deep.equal(Array.from({ length: 200 }, (_, index) => `r${index}`));
  });

  it("bounds the sockets of a user", async () => {
    const sockets = [];
    for (let index = 0; index < 3; index++) sockets.push(await socketOf(alice).ready());
    expect(await socketOf(alice).closing()).to.deep.equal({ code: 4429, reason: "M_LIMIT_EXCEEDED" });
    await socketOf(bob).ready();
    sockets[0]?.kill();
    await sockets[0]?.closing();
    await eventually("there is room again", async () => {
      const next = socketOf(alice);
      return eventually("an answer", () => (next.closed !== undefined ? "closed" : next.frames.length > 0 && next.frames[0]?.["type"])).then((type) => type === "authenticated");
    });
  });

  it("pings, and cuts off who does not answer", async () => {
    const { hostname, port } = new URL(server.url);
    const deaf = connect(Number(port), hostname);
    await once(deaf, "connect");
    deaf.write(
      `GET ${SOCKET_PATH} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
        `Sec-WebSocket-Key: ${Buffer.alloc(16).toString("base64")}\r\nAuthorization: Bearer ${bob.access_token}\r\n\r\n`,
    );
    let ended = false;
    deaf.on("close", () => (ended = true)).on("error", () => undefined);
    deaf.resume();
    const listening = await socketOf(bob).ready();
    await eventually("the deaf client is cut off", () => ended);
    expect(listening.closed).to.equal(undefined);
  });

  it("tells its clients when it stops", async () => {
    const stopping = await startTestServer({}, server.address);
    const socket = await new SocketClient(stopping.url, bob).ready();
    const stopped = stopping[Symbol.asyncDispose]();
    expect((await socket.closing()).code).to.equal(1001);
    await stopped;
  });
});
