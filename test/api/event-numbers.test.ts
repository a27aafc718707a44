// Numbers in what clients send as events: only as Canonical JSON has them, however they are sent (appendices, "Canonical JSON").
import { expect } from "chai";
import { isObject, stringAt } from "../support/json-path.js";
import { refusal, roomOf, startTestServer, type TestClient, type TestServer } from "../support/server.js";
import { SocketClient } from "../support/socket-client.js";

const V3 = "/_matrix/client/v3";
const UNSTABLE = "/_matrix/client/unstable/org.matrix.msc4140";

const FORBIDDEN = [
  "1.0", "0.0", "-1.0", "1.5", "1e2", "1E2", "1e+2", "1e-2", "0e0", "-0", "-0.0", "1E400", "-1E400",
  "9007199254740992", "-9007199254740992", "123456789012345678901234567890",
];
const ALLOWED = ["0", "1", "-1", "100", "9007199254740991", "-9007199254740991", '"1.0"', '"-0"', '"1e2 \\" -0 1.5"'];

describe("numbers in events", () => {
  let server: TestServer;
  let alice: TestClient;
  let room: string;
  before(async () => {
    server = await startTestServer();
    alice = await server.register("alice");
    room = await roomOf(alice);
  });
  after(() => server[Symbol.asyncDispose]());

  /** What a body of an event is put into, and where it is sent. */
  const ways = (): Record<string, readonly [method: string, path: string, body: (content: string) => string]> => ({
    message: ["PUT", `${V3}/rooms/${room}/send/m.test/${Math.random()}`, (content) => content],
    "message without transaction": ["POST", `${V3}/rooms/${room}/send/m.test`, (content) => content],
    state: ["PUT", `${V3}/rooms/${room}/state/m.test/key`, (content) => content],
    "delayed message": ["PUT", `${V3}/rooms/${room}/send/m.test/${Math.random()}?org.matrix.msc4140.delay=60000`, (content) => content],
    "delayed event": ["PUT", `${UNSTABLE}/rooms/${room}/delayed_event/m.test/${Math.random()}`, (content) => `{"delay_ms":60000,"content":${content}}`],
    "initial state": ["POST", `${V3}/createRoom`, (content) => `{"initial_state":[{"type":"m.test","content":${content}}]}`],
    "create event": ["POST", `${V3}/createRoom`, (content) => `{"creation_content":${content}}`],
    "power levels": ["POST", `${V3}/createRoom`, (content) => `{"power_level_content_override":{"notifications":${content}}}`],
  });

  const eventsOfAll = async (): Promise<number> =>
    Number((await server.database.read({ name: "test_events", text: "SELECT count(*) FROM events" }, []))[0]?.["count"]);

  it("are integers in range, without fraction and exponent, and not -0; nothing is written of others", async () => {
    const before = await eventsOfAll();
    for (const number of FORBIDDEN) {
      const way = await alice.request("PUT", `${V3}/rooms/${room}/send/m.test/${number}`, `{"a":[{"b":${number}}]}`);
      expect(refusal(way), number).to.deep.equal([400, "M_BAD_JSON"]);
    }
    for (const [name, [method, path, body]] of Object.entries(ways())) {
      for (const number of ["1.0", "1e2", "-0"]) {
        expect(refusal(await alice.request(method, path, body(`{"a":${number}}`))), `${name} ${number}`).to.deep.equal([400, "M_BAD_JSON"]);
      }
    }
    expect(await eventsOfAll()).to.equal(before);
    expect((await alice.get("/_matrix/client/v1/delayed_events")).body).to.deep.equal({ delayed_events: [] });
    for (const [name, [method, path, body]] of Object.entries(ways())) {
      // The levels of notifications are integers by their own rule.
      const answer = await alice.request(method, path, body(name === "power levels" ? '{"a":1}' : '{"a":1,"b":"1.0"}'));
      expect(answer.status, `${name} ${JSON.stringify(answer.body)}`).to.equal(200);
    }
  });

  it("come back as they were sent", async () => {
    for (const value of ALLOWED) {
      const sent = await alice.request("PUT", `${V3}/rooms/${room}/send/m.test/${encodeURIComponent(value)}`, `{ "a" : ${value} }`);
      const event = await alice.get(`${V3}/rooms/${room}/event/${stringAt(sent.body, "event_id") ?? ""}`);
      expect(event.body["content"], value).to.deep.equal(JSON.parse(`{"a":${value}}`));
    }
  });

  it("are the same over a socket, which goes on", async () => {
    const socket = await new SocketClient(server.url, alice).ready();
    const request = async (id: string, body: string, operation = "sendMessage"): Promise<unknown> => {
      const params = { sendMessage: { roomId: room, eventType: "m.test", txnId: id }, setTyping: { roomId: room, userId: alice.user_id } };
      const given = JSON.stringify(params[operation as keyof typeof params]);
      socket.send(`{"type":"request","id":"${id}","operation":"${operation}","params":${given},"body":${body}}`);
      const { status, body: answer } = await socket.frame("response", { id });
      return [status, isObject(answer) ? answer["errcode"] : answer];
    };
    for (const number of FORBIDDEN) expect(await request(`no ${number}`, `{"a":${number}}`), number).to.deep.equal([400, "M_BAD_JSON"]);
    expect(await request("yes", '{"a":-1,"b":"1.0"}')).to.deep.equal([200, undefined]);
    expect(await request("typing", '{"typing":true,"timeout":1e2}', "setTyping")).to.deep.equal([200, undefined]);
    socket.websocket.terminate();
  });

  it("are free in what is no event", async () => {
    const path = `${V3}/user/${alice.user_id}/account_data/org.example.numbers`;
    expect((await alice.request("PUT", path, '{"a":1.5,"b":1e2,"c":-0}')).status).to.equal(200);
    expect((await alice.get(path)).body).to.deep.equal({ a: 1.5, b: 100, c: 0 });
    expect((await alice.request("POST", `${V3}/user/${alice.user_id}/filter`, '{"room":{"timeline":{"limit":1e1}}}')).status).to.equal(200);
    const tag = `${V3}/user/${alice.user_id}/rooms/${room}/tags/u.x`;
    expect((await alice.request("PUT", tag, '{"order":0.25}')).status).to.equal(200);
  });
});
