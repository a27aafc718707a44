// Dehydrated devices.
import { expect } from "chai";
import { deviceOf, newKey, ownKey } from "../support/device-keys.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const PATH = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";

describe("dehydrated devices", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let sent = 0;
  before(async () => {
    server = await startTestServer();
    [alice, bob] = [await server.register("alice"), await server.register("bob")];
  });
  after(() => server[Symbol.asyncDispose]());

  const device = (device_id: string, more: JsonObject = {}): JsonObject => ({
    device_id,
    device_data: { algorithm: "org.matrix.msc3814.v2", device_pickle: "x" },
    device_keys: deviceOf({ user_id: alice.user_id, device_id }).device_keys,
    fallback_keys: { "curve25519:A": "fallback" },
    initial_device_display_name: "Dehydrated",
    ...more,
  });
  const send = (to: string, n: number): Promise<Answer> =>
    bob.put(`${V3}/sendToDevice/m.test/${++sent}`, { messages: { [alice.user_id]: { [to]: { n } } } });
  const events = (id: string, next_batch?: unknown): Promise<Answer> =>
    alice.post(`${PATH}/${id}/events`, { ...(next_batch !== undefined && { next_batch }) });
  const devices = async (): Promise<unknown[]> =>
    objectsAt((await alice.get(`${V3}/devices`)).body, "devices").map(({ device_id }) => device_id);
  const numbers = ({ body }: Answer): unknown[] => objectsAt(body, "events").map(({ content }) => objectAt(content)["n"]);

  it("take messages that stay, until the next takes their place", async () => {
    expect(refusal(await alice.get(PATH))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect((await alice.put(PATH, device("first"))).body).to.deep.equal({ device_id: "first" });
    const { device_data } = device("first");
    expect((await alice.get(PATH)).body).to.deep.equal({ device_id: "first", device_data });
    const asked = await bob.post(`${V3}/keys/query`, { device_keys: { [alice.user_id]: [] } });
    expect(stringAt(asked.body, "device_keys", alice.user_id, "first", "device_id")).to.equal("first");
    for (let n = 0; n < 130; n += 1) await send("first", n);
    const one = await events("first");
    const two = await events("first", one.body["next_batch"]);
    const three = await events("first", two.body["next_batch"]);
    expect([one, two, three].map((answer) => numbers(answer).length)).to.deep.equal([100, 30, 0]);
    expect([...numbers(one), ...numbers(two)]).to.deep.equal(Array.from({ length: 130 }, (_, n) => n));
    expect(three.body["next_batch"]).to.equal(two.body["next_batch"]);
    expect(numbers(await events("first")), "again from the start").to.have.length(100);

    expect((await alice.put(PATH, device("second"))).status).to.equal(200);
    expect((await alice.get(PATH)).body["device_id"]).to.equal("second");
    expect(refusal(await events("first"))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(await devices()).to.have.members([alice.device_id, "second"]);
    const kept = await server.database.read({ name: "test_kept", text: "SELECT FROM to_device_messages" }, []);
    expect(kept).to.deep.equal([]);
    expect((await alice.put(PATH, device("second", { device_data: { algorithm: "other" } }))).status).to.equal(200);
    expect((await alice.get(PATH)).body["device_data"]).to.deep.equal({ algorithm: "other" });

    expect((await alice.delete(PATH)).body).to.deep.equal({ device_id: "second" });
    expect(refusal(await alice.delete(PATH))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(await devices()).to.deep.equal([alice.device_id]);
  });

  it("are refused whole where something is wrong with them", async () => {
    await alice.put(PATH, device("good"));
    const key = newKey();
    expect((await alice.post(`${V3}/keys/device_signing/upload`, { master_key: ownKey(alice, "master", key) })).status).to.equal(200);
    expect(refusal(await alice.put(PATH, device(key.publicKey)))).to.deep.equal([403, "M_FORBIDDEN"]);
    const foreign = { ...objectAt(device("bad")["device_keys"]), user_id: bob.user_id };
    expect((await alice.put(PATH, device("bad", { device_keys: foreign }))).status).to.equal(400);
    expect((await alice.put(PATH, { device_id: "bad", device_data: {} })).status).to.equal(400);
    expect(refusal(await alice.put(PATH, device("bad", { device_data: { x: "x".repeat(70_000) } })))).to.deep.equal([413, "M_TOO_LARGE"]);
    expect(refusal(await alice.put(PATH, device(alice.device_id)))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect((await alice.get(PATH)).body["device_id"]).to.equal("good");
    expect(await devices()).to.have.members([alice.device_id, "good"]);
    expect(refusal(await events("good", "x"))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await events(alice.device_id))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await bob.post(`${PATH}/good/events`))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect((await server.anonymous.get(PATH)).status).to.equal(401);
  });
});
