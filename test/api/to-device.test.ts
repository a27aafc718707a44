// Messages from device to device.
import { expect } from "chai";
import { trimMessages } from "../../src/storage/to-device.js";
import { objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("messages to devices", () => {
  let server: TestServer;
  let second: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let sent = 0;
  before(async () => {
    server = await startTestServer();
    second = await startTestServer({}, server.address);
    alice = await server.register("alice");
    await server.register("bob");
  });
  beforeEach(async () => {
    bob = await server.login("bob");
  });
  after(async () => {
    await second[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const send = (messages: unknown, txnId = `t${++sent}`, type = "m.test"): Promise<Answer> =>
    alice.put(`${V3}/sendToDevice/${type}/${txnId}`, { messages });
  const toBob = (n: unknown): unknown => ({ [bob.user_id]: { [bob.device_id]: { n } } });
  const sync = async (client: TestClient, since = "", timeout = 0): Promise<{ body: JsonObject; next: string; got: unknown[] }> => {
    const { body } = await client.get(`${V3}/sync?timeout=${timeout}${since === "" ? "" : `&since=${since}`}`);
    const got = objectsAt(body, "to_device", "events").map((event) => (event["content"] as JsonObject)["n"]);
    return { body, next: stringAt(body, "next_batch") ?? "", got };
  };
  const kept = async (client: TestClient): Promise<number> =>
    (await server.database.read({ name: "test_kept", text: "SELECT FROM to_device_messages WHERE device_id = $1" }, [client.device_id])).length;

  it("come with the sender, again until a token that came with them is shown, and then no more", async () => {
    const { next } = await sync(bob);
    expect((await send(toBob(1))).body).to.deep.equal({});
    await send(toBob(2));
    const first = await sync(bob, next);
    expect(first.body["to_device"]).to.deep.equal({
      events: [1, 2].map((n) => ({ type: "m.test", sender: alice.user_id, content: { n } })),
    });
    expect((await sync(bob, next)).got).to.deep.equal([1, 2]);
    await send(toBob(3));
    expect((await sync(bob, next)).got).to.deep.equal([1, 2, 3]);
    expect((await sync(bob, first.next)).got).to.deep.equal([3]);
    expect(await kept(bob)).to.equal(1);
    expect((await sync(bob)).got).to.deep.equal([3]);
    const last = await sync(bob, first.next);
    expect((await sync(bob, last.next)).got).to.deep.equal([]);
    expect(await kept(bob)).to.equal(0);
  });

  it("are dropped from the oldest on where there are many for a device that was not seen for long", async () => {
    const { next } = await sync(bob);
    for (let n = 1; n <= 5; n += 1) await send(toBob(n));
    await trimMessages(server.database, Date.now() - 3_600_000, 3);
    expect(await kept(bob)).to.equal(5);
    expect(await trimMessages(server.database, Date.now() + 3_600_000, 3)).to.be.at.least(1);
    expect((await sync(bob, next)).got).to.deep.equal([3, 4, 5]);
  });

  it("wake a sync that waits, in other processes too", async () => {
    const { next } = await sync(bob);
    const waiting = [bob, second.client(bob)].map((client) => sync(client, next, 20_000));
    await send(toBob("now"));
    for (const answer of waiting) expect((await answer).got).to.deep.equal(["now"]);
  });

  it("go to all devices of a user, and not twice for one transaction id", async () => {
    const other = await server.login("bob");
    const messages = { [bob.user_id]: { "*": { n: "all" }, NOSUCHDEVICE: { n: 0 } }, "@nobody:localhost": { "*": { n: 0 } } };
    for (let n = 0; n < 2; n += 1) expect((await send(messages, "same")).status).to.equal(200);
    expect((await sync(bob)).got).to.deep.equal(["all"]);
    expect((await sync(other)).got).to.deep.equal(["all"]);
    expect((await send(toBob("other type"), "same", "m.other")).status).to.equal(200);
    expect((await sync(bob)).got).to.deep.equal(["all", "other type"]);
    // At once, so that they may travel in one transaction.
    await Promise.all(Array.from({ length: 8 }, (_, n) => send(toBob(`at once ${n >> 2}`), `at once ${n >> 2}`)));
    expect((await sync(bob)).got).to.have.members(["all", "other type", "at once 0", "at once 1"]);
  });

  it("come in order and some at a time, without waiting between", async () => {
    const { next } = await sync(bob);
    const all = Array.from({ length: 230 }, (_, n) => n);
    for (const n of all) await send(toBob(n));
    let token = next;
    const parts: unknown[][] = [];
    for (let n = 0; n < 3; n += 1) {
      const answer = await sync(n === 1 ? second.client(bob) : bob, token, 20_000);
      expect((await sync(bob, token)).got).to.deep.equal(answer.got);
      parts.push(answer.got);
      token = answer.next;
    }
    expect(parts.map(({ length }) => length)).to.deep.equal([100, 100, 30]);
    expect(parts.flat()).to.deep.equal(all);
    expect((await sync(bob, token)).got).to.deep.equal([]);
    expect(await kept(bob)).to.equal(0);
  });

  it("go with the device", async () => {
    await send(toBob(1));
    expect(await kept(bob)).to.equal(1);
    await bob.post(`${V3}/logout`);
    expect(await kept(bob)).to.equal(0);
    await send(toBob(2));
    expect(await kept(bob)).to.equal(0);
  });

  it("are refused whole where something is wrong with them", async () => {
    const large = { n: "x".repeat(70_000) };
    expect(refusal(await send({ [bob.user_id]: { [bob.device_id]: { n: 1 }, "*": large } }))).to.deep.equal([413, "M_TOO_LARGE"]);
    expect(refusal(await send({ [bob.user_id]: { [bob.device_id]: { n: 1 } }, bob: { X: {} } }))).to.deep.equal([400, "M_BAD_JSON"]);
    expect(refusal(await send({ [bob.user_id]: { [bob.device_id]: "text" } }))[0]).to.equal(400);
    expect(refusal(await send({ [bob.user_id]: [] }))[0]).to.equal(400);
    expect(refusal(await alice.put(`${V3}/sendToDevice/m.test/x`, {}))[0]).to.equal(400);
    expect(refusal(await send(toBob(1), "long", "x".repeat(300)))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await server.anonymous.put(`${V3}/sendToDevice/m.test/x`, { messages: {} }))).to.deep.equal([401, "M_MISSING_TOKEN"]);
    expect(await kept(bob)).to.equal(0);
    expect((await send({})).status).to.equal(200);
  });
});
