// Receipts, fully-read markers and what they do to unread counts.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("receipts", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let carol: TestClient;
  let room = "";
  let sent = 0;
  before(async () => {
    server = await startTestServer();
    [alice, bob, carol] = [await server.register("alice"), await server.register("bob"), await server.register("carol")];
  });
  after(() => server[Symbol.asyncDispose]());
  beforeEach(async () => {
    room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
    await bob.post(`${V3}/join/${room}`);
  });

  async function send(client: TestClient, content: JsonObject = {}): Promise<string> {
    const answer = await client.put(`${V3}/rooms/${room}/send/m.room.message/t${++sent}`, { msgtype: "m.text", body: "x", ...content });
    return stringAt(answer.body, "event_id") ?? "";
  }
  const inThread = (root: string): JsonObject => ({ "m.relates_to": { rel_type: "m.thread", event_id: root } });
  const read = (client: TestClient, event: string, body: unknown = {}, type = "m.read"): Promise<Answer> =>
    client.post(`${V3}/rooms/${room}/receipt/${type}/${event}`, body);

  async function joined(client: TestClient, query = ""): Promise<JsonObject> {
    return objectAt((await client.get(`${V3}/sync?${query}`)).body, "rooms", "join", room);
  }
  const receipts = (section: JsonObject): JsonObject =>
    objectAt(objectsAt(section, "ephemeral", "events").find((event) => event["type"] === "m.receipt"), "content");
  const THREADS = `filter=${encodeURIComponent('{"room":{"timeline":{"unread_thread_notifications":true}}}')}`;
  const counts = (highlight_count: number, notification_count: number): JsonObject => ({ highlight_count, notification_count });

  it("are shown to members, private ones to their owner only, and never go back", async () => {
    const [first, second] = [await send(alice), await send(alice)];
    expect((await read(bob, second)).body).to.deep.equal({});
    await read(bob, first);
    await read(bob, first, {}, "m.read.private");
    const toAlice = receipts(await joined(alice));
    expect(Object.keys(toAlice)).to.deep.equal([second]);
    expect(objectAt(toAlice, second, "m.read", bob.user_id)).to.have.all.keys("ts");
    expect(objectAt(toAlice, second, "m.read", bob.user_id)["ts"]).to.be.closeTo(Date.now(), 120_000);
    expect(objectAt(receipts(await joined(bob)), first, "m.read.private")).to.have.all.keys(bob.user_id);
  });

  it("wake a sync that waits, with the counts they leave", async () => {
    const event = await send(alice);
    const since = stringAt((await bob.get(`${V3}/sync`)).body, "next_batch") ?? "";
    const waiting = bob.get(`${V3}/sync?timeout=60000&since=${since}`);
    await read(bob, event, {}, "m.read.private");
    const section = objectAt((await waiting).body, "rooms", "join", room);
    expect(receipts(section)).to.have.all.keys(event);
    expect(section["unread_notifications"]).to.deep.equal(counts(0, 0));
  });

  it("in threads: counts apart, and receipts for each", async () => {
    const mention = { "m.mentions": { user_ids: [bob.user_id] } };
    const root = await send(alice);
    const inside = await send(alice, inThread(root));
    await send(alice, { ...inThread(root), ...mention });
    const after = await send(alice, mention);
    await send(alice, inThread(root));
    const reference = await send(alice, { "m.relates_to": { rel_type: "m.reference", event_id: root } });

    const expectCounts = async (whole: JsonObject, main: JsonObject, thread?: JsonObject): Promise<void> => {
      expect(await joined(bob)).to.deep.include({ unread_notifications: whole }).and.not.have.property("unread_thread_notifications");
      const apart = await joined(bob, THREADS);
      expect(apart["unread_notifications"]).to.deep.equal(main);
      expect(apart["unread_thread_notifications"]).to.deep.equal(thread === undefined ? undefined : { [root]: thread });
    };
    await expectCounts(counts(2, 6), counts(1, 3), counts(1, 3));
    await read(bob, root, { thread_id: "main" });
    await expectCounts(counts(2, 5), counts(1, 2), counts(1, 3));
    await read(bob, inside, { thread_id: root });
    expect(receipts(await joined(bob))).to.nested.include({
      [`${root}.m\\.read.${bob.user_id.replaceAll(".", "\\.")}.thread_id`]: "main",
      [`${inside}.m\\.read.${bob.user_id.replaceAll(".", "\\.")}.thread_id`]: root,
    });
    await expectCounts(counts(2, 4), counts(1, 2), counts(1, 2));
    await read(bob, after);
    await expectCounts(counts(0, 2), counts(0, 1), counts(0, 1));
    await read(bob, reference, { thread_id: "main" });
    await expectCounts(counts(0, 1), counts(0, 0), counts(0, 1));
    // Writing in the thread reads it.
    await send(bob, inThread(root));
    await expectCounts(counts(0, 0), counts(0, 0));
  });

  it("one of the whole room is shown where one of a thread stands too", async () => {
    const root = await send(alice);
    const inside = await send(alice, inThread(root));
    await read(bob, inside);
    await read(bob, inside, { thread_id: root });
    expect(objectAt(receipts(await joined(alice)), inside, "m.read", bob.user_id)).to.have.all.keys("ts");
  });

  it("one on what only relates to the root reads the thread up to there", async () => {
    const root = await send(alice);
    await send(alice, inThread(root));
    const reference = await send(alice, { "m.relates_to": { rel_type: "m.reference", event_id: root } });
    const reaction = await send(alice, { "m.relates_to": { rel_type: "m.annotation", event_id: reference, key: "+" } });
    const elsewhere = await send(alice, { "m.relates_to": { rel_type: "m.reference", event_id: await send(alice) } });
    expect((await read(bob, reaction, { thread_id: root })).status).to.equal(200);
    expect(await joined(bob, THREADS)).to.not.have.property("unread_thread_notifications");
    expect(refusal(await read(bob, elsewhere, { thread_id: root }))).to.deep.equal([400, "M_INVALID_PARAM"]);
  });

  it("refuses threads that are none, strangers, and events of elsewhere", async () => {
    const root = await send(alice);
    const inside = await send(alice, inThread(root));
    for (const [event, body, type] of [
      [inside, { thread_id: "" }, "m.read"],
      [inside, { thread_id: "main" }, "m.read"],
      [root, { thread_id: inside }, "m.read"],
      [root, { thread_id: "$unknown" }, "m.read"],
      [root, { thread_id: "main" }, "m.fully_read"],
      [root, { thread_id: 5 }, "m.read"],
    ] as const) {
      expect(refusal(await read(bob, event, body, type)), JSON.stringify(body)).to.deep.equal([400, "M_INVALID_PARAM"]);
    }
    expect(refusal(await read(carol, root))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await read(bob, "$unknown"))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect((await read(bob, root, {}, "m.other")).status).to.equal(400);
    expect(refusal(await read(server.anonymous, root))).to.deep.equal([401, "M_MISSING_TOKEN"]);
    const other = room;
    room = stringAt((await bob.post(`${V3}/createRoom`, {})).body, "room_id") ?? "";
    expect(refusal(await read(bob, root))).to.deep.equal([404, "M_NOT_FOUND"]);
    room = other;
  });

  it("read markers: the marker as account data, receipts with it, never back", async () => {
    const [first, second] = [await send(alice), await send(alice)];
    const mark = (body: unknown): Promise<Answer> => bob.post(`${V3}/rooms/${room}/read_markers`, body);
    expect((await mark({ "m.fully_read": second, "m.read": first, "m.read.private": second })).body).to.deep.equal({});
    const fullyRead = async (): Promise<unknown> =>
      (await bob.get(`${V3}/user/${bob.user_id}/rooms/${room}/account_data/m.fully_read`)).body;
    expect(await fullyRead()).to.deep.equal({ event_id: second });
    await mark({ "m.fully_read": first });
    await read(bob, first, {}, "m.fully_read");
    expect(await fullyRead()).to.deep.equal({ event_id: second });
    const section = await joined(bob);
    expect(objectsAt(section, "account_data", "events")).to.deep.include({ type: "m.fully_read", content: { event_id: second } });
    expect(Object.keys(receipts(section)).toSorted()).to.deep.equal([first, second].toSorted());
    expect(section["unread_notifications"]).to.deep.equal(counts(0, 0));
    expect((await mark({})).status).to.equal(200);
    expect(refusal(await mark({ "m.read": 5 }))).to.deep.equal([400, "M_BAD_JSON"]);
    expect(refusal(await carol.post(`${V3}/rooms/${room}/read_markers`, { "m.read": first }))).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("rules decide what counts: a muted room is silent but for mentions that are let through", async () => {
    await bob.put(`${V3}/pushrules/global/room/${encodeURIComponent(room)}`, { actions: [] });
    await send(alice);
    await send(alice, { "m.mentions": { user_ids: [bob.user_id] } });
    expect((await joined(bob))["unread_notifications"]).to.deep.equal(counts(1, 1));
    await bob.delete(`${V3}/pushrules/global/room/${encodeURIComponent(room)}`);
    const event = await send(alice);
    expect((await joined(bob))["unread_notifications"]).to.deep.equal(counts(1, 2));
    await alice.put(`${V3}/rooms/${room}/redact/${event}/r${++sent}`, {});
    expect((await joined(bob))["unread_notifications"]).to.deep.equal(counts(1, 1));
  });
});
