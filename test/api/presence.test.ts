// Presence over the wire.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { type Answer, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("presence over the wire", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let carol: TestClient;
  before(async () => {
    server = await startTestServer();
    [alice, bob, carol] = [await server.register("alice"), await server.register("bob"), await server.register("carol")];
    const room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
    await bob.post(`${V3}/join/${room}`);
  });
  after(() => server[Symbol.asyncDispose]());

  const status = (client: TestClient, of: TestClient): Promise<Answer> => client.get(`${V3}/presence/${of.user_id}/status`);
  const set = (client: TestClient, body: unknown, of = client): Promise<Answer> => client.put(`${V3}/presence/${of.user_id}/status`, body);

  it("is offline at first, then what the user says, then what the syncs say", async () => {
    expect((await status(alice, alice)).body).to.deep.equal({ presence: "offline" });
    expect((await set(alice, { presence: "unavailable", status_msg: "at lunch" })).body).to.deep.equal({});
    expect((await status(bob, alice)).body).to.include({ presence: "unavailable", status_msg: "at lunch" });
    await alice.get(`${V3}/sync?set_presence=offline`);
    expect((await status(bob, alice)).body).to.include({ presence: "unavailable" });
    await alice.get(`${V3}/sync`);
    const { body } = await status(bob, alice);
    expect(body).to.include({ presence: "online", status_msg: "at lunch", currently_active: true });
    expect(body["last_active_ago"]).to.be.within(0, 120_000);
    await set(alice, { presence: "online" });
    expect((await status(bob, alice)).body).to.not.have.property("status_msg");
    const long = await set(alice, { presence: "online", status_msg: "é".repeat(513) });
    expect([long.status, long.body["errcode"]]).to.deep.equal([400, "M_BAD_JSON"]);
  });

  it("comes in /sync to those who share a room, once per change", async () => {
    const since = async (client: TestClient): Promise<string> =>
      stringAt((await client.get(`${V3}/sync?set_presence=offline`)).body, "next_batch") ?? "";
    const [bobs, carols] = [await since(bob), await since(carol)];
    const waiting = bob.get(`${V3}/sync?timeout=60000&set_presence=offline&since=${bobs}`);
    await set(alice, { presence: "online", status_msg: "hello" });
    const answer = (await waiting).body;
    const [event] = objectsAt(answer, "presence", "events");
    expect(event).to.include({ type: "m.presence", sender: alice.user_id });
    expect(objectAt(event, "content")).to.include({ presence: "online", status_msg: "hello", currently_active: true });
    const next = await bob.get(`${V3}/sync?timeout=100&set_presence=offline&since=${stringAt(answer, "next_batch") ?? ""}`);
    expect(next.body).to.not.have.property("presence");
    const other = await carol.get(`${V3}/sync?timeout=100&set_presence=offline&since=${carols}`);
    expect(other.body).to.not.have.property("presence");
  });

  it("of people who meet is told though nothing changed", async () => {
    const [erin, dave] = [await server.register("erin"), await server.register("dave")];
    for (const client of [erin, dave]) await client.put(`${V3}/presence/${client.user_id}/status`, { presence: "online" });
    const since = async (client: TestClient): Promise<string> => stringAt((await client.get(`${V3}/sync`)).body, "next_batch") ?? "";
    const [ofErin, ofDave] = [await since(erin), await since(dave)];
    const created = await erin.post(`${V3}/createRoom`, { preset: "public_chat" });
    await dave.post(`${V3}/join/${encodeURIComponent(stringAt(created.body, "room_id") ?? "")}`);
    const senders = async (client: TestClient, token: string): Promise<unknown[]> => {
      const answer = await client.get(`${V3}/sync?since=${token}`);
      return objectsAt(answer.body, "presence", "events").map((event) => event["sender"]);
    };
    expect(await senders(erin, ofErin)).to.include(dave.user_id);
    expect(await senders(dave, ofDave)).to.include(erin.user_id);
  });

  it("is not for strangers, and only its owner sets it", async () => {
    expect(refusal(await status(carol, alice))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await carol.get(`${V3}/presence/@nobody:localhost/status`))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await set(carol, { presence: "online" }, alice))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await set(carol, { presence: "asleep" }))).to.deep.equal([400, "M_BAD_JSON"]);
    expect(refusal(await status(server.anonymous, alice))).to.deep.equal([401, "M_MISSING_TOKEN"]);
  });

  it("can be switched off", async () => {
    await using quiet = await startTestServer({ presence: { enabled: false } });
    const dora = await quiet.register("dora");
    expect((await set(dora, { presence: "online" })).status).to.equal(200);
    await dora.get(`${V3}/sync`);
    expect((await status(dora, dora)).body).to.deep.equal({ presence: "offline" });
  });
});
