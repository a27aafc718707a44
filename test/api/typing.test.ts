// Typing notifications.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { type Answer, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("typing", () => {
  let server: TestServer;
  let other: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let carol: TestClient;
  let room = "";
  before(async () => {
    server = await startTestServer();
    other = await startTestServer({}, server.address);
    [alice, bob, carol] = [await server.register("alice"), await server.register("bob"), await server.register("carol")];
    room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
    await bob.post(`${V3}/join/${room}`);
  });
  after(async () => {
    await other[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const type = (client: TestClient, body: unknown, user = client.user_id): Promise<Answer> =>
    client.put(`${V3}/rooms/${room}/typing/${user}`, body);
  const token = async (client: TestClient): Promise<string> => stringAt((await client.get(`${V3}/sync`)).body, "next_batch") ?? "";
  async function next(client: TestClient, since: string): Promise<{ since: string; typing: unknown; body: unknown }> {
    const { body } = await client.get(`${V3}/sync?timeout=60000&since=${since}`);
    const typing = objectsAt(body, "rooms", "join", room, "ephemeral", "events").find((event) => event["type"] === "m.typing");
    return { since: stringAt(body, "next_batch") ?? "", typing: typing && objectAt(typing, "content")["user_ids"], body };
  }

  it("members hear who begins and who stops, also by time", async () => {
    const start = await token(bob);
    expect((await type(alice, { typing: true, timeout: 60_000 })).body).to.deep.equal({});
    const began = await next(bob, start);
    expect(began.typing).to.deep.equal([alice.user_id]);
    await type(alice, { typing: false });
    const stopped = await next(bob, began.since);
    expect(stopped.typing).to.deep.equal([]);
    const waiting = next(bob, stopped.since);
    await type(alice, { typing: true, timeout: 3_000 });
    const again = await waiting;
    expect(again.typing).to.deep.equal([alice.user_id]);
    expect((await next(bob, again.since)).typing).to.deep.equal([]);
    // The token of before all that shows how it stands now.
    expect((await next(bob, start)).typing).to.deep.equal([]);
  });

  it("another process tells it too, and takes tokens of the first", async () => {
    const there = other.client({ access_token: bob.access_token, user_id: bob.user_id });
    const since = await token(there);
    const waiting = next(there, since);
    await type(alice, { typing: true, timeout: 60_000 });
    const heard = await waiting;
    expect(heard.typing).to.deep.equal([alice.user_id]);
    expect((await next(bob, heard.since)).typing).to.deep.equal([alice.user_id]);
    await type(alice, { typing: false });
  });

  it("others hear nothing", async () => {
    const since = await token(carol);
    await type(alice, { typing: true });
    const { body } = await carol.get(`${V3}/sync?timeout=100&since=${since}`);
    expect(objectAt(body, "rooms")).to.deep.equal({});
    await type(alice, { typing: false });
  });

  it("refuses strangers, typing for others, and bad bodies", async () => {
    expect(refusal(await type(carol, { typing: true }))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await type(alice, { typing: true }, bob.user_id))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await type(alice, {}))).to.deep.equal([400, "M_BAD_JSON"]);
    expect(refusal(await type(server.anonymous, { typing: true }, alice.user_id))).to.deep.equal([401, "M_MISSING_TOKEN"]);
  });
});
