// What old clients call instead of /sync, and rooms that are looked at without joining them.
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, roomOf, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

const path = (room: string, rest: string): string => `${V3}/rooms/${encodeURIComponent(room)}/${rest}`;

let sent = 0;
async function say(client: TestClient, room: string, body: string): Promise<string> {
  const answer = await client.put(path(room, `send/m.room.message/${++sent}`), { msgtype: "m.text", body });
  return stringAt(answer.body, "event_id") ?? "";
}

const bodies = (events: readonly JsonObject[]): (string | undefined)[] =>
  events.filter(({ type }) => type === "m.room.message").map((event) => stringAt(event, "content", "body"));

const READABLE = { initial_state: [{ type: "m.room.history_visibility", content: { history_visibility: "world_readable" } }] };

describe("what came before /sync", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    server = await startTestServer();
    [alice, bob] = await Promise.all([server.register("alice"), server.register("bob")]);
  });
  after(() => server[Symbol.asyncDispose]());

  it("GET /initialSync has all rooms, their state as it is now, and a token for /events", async () => {
    const carol = await server.register("carol");
    const room = await roomOf(carol, { name: "first" });
    await carol.put(path(room, "state/m.room.name"), { name: "second" });
    await carol.put(`${V3}/user/${carol.user_id}/rooms/${encodeURIComponent(room)}/tags/m.lowpriority`, {});
    await say(carol, room, "hello");
    const left = await roomOf(carol);
    await carol.post(path(left, "leave"));
    const invited = await roomOf(bob, { invite: [carol.user_id] });
    const answer = await carol.get(`${V3}/initialSync?limit=2`);
    const rooms = objectsAt(answer.body, "rooms");
    expect(rooms.map(({ room_id, membership }) => [room_id, membership])).to.deep.equal([[room, "join"], [invited, "invite"]]);
    const [shown] = rooms;
    expect(bodies(objectsAt(shown, "messages", "chunk"))).to.deep.equal(["hello"]);
    expect(objectsAt(shown, "messages", "chunk")).to.have.length(2);
    const names = objectsAt(shown, "state").filter(({ type }) => type === "m.room.name");
    expect(names.map((event) => [event["room_id"], stringAt(event, "content", "name")])).to.deep.equal([[room, "second"]]);
    expect(objectsAt(shown, "account_data").map(({ type }) => type)).to.deep.equal(["m.tag"]);
    const archived = await carol.get(`${V3}/initialSync?archived=true`);
    expect(objectsAt(archived.body, "rooms").map(({ room_id }) => room_id)).to.have.members([room, invited, left]);

    const from = String(answer.body["end"]);
    const waiting = carol.get(`${V3}/events?timeout=20000&from=${from}`);
    await say(carol, room, "news");
    const events = (await waiting).body;
    expect(bodies(objectsAt(events, "chunk"))).to.deep.equal(["news"]);
    expect(objectsAt(events, "chunk")[0]).to.include({ room_id: room });
    const next = await carol.get(`${V3}/events?timeout=0&from=${String(events["end"])}`);
    expect(bodies(objectsAt(next.body, "chunk"))).to.deep.equal([]);
    await carol.put(`${V3}/user/${carol.user_id}/account_data/org.example.kept`, { a: 1 });
    await carol.put(`${V3}/user/${carol.user_id}/rooms/${encodeURIComponent(room)}/tags/u.work`, {});
    const kept = objectsAt((await carol.get(`${V3}/events?timeout=0&from=${String(next.body["end"])}`)).body, "chunk");
    expect(kept.map(({ type, room_id }) => [type, room_id])).to.have.deep.members([["org.example.kept", undefined], ["m.tag", room]]);
    await carol.post(path(room, `receipt/m.read/${encodeURIComponent(await say(carol, room, "last"))}`), {});
    const receipts = objectsAt((await carol.get(`${V3}/initialSync`)).body, "receipts");
    expect(receipts.map(({ type, room_id }) => [type, room_id])).to.deep.equal([["m.receipt", room]]);
    expect(refusal(await carol.get(`${V3}/events?from=nonsense`))).to.deep.equal([400, "M_INVALID_PARAM"]);
  });

  it("GET /rooms/{roomId}/initialSync shows a room to its members, and to anybody if the world may read it", async () => {
    const [open, secret] = [await roomOf(alice, { ...READABLE, visibility: "public", preset: "private_chat" }), await roomOf(alice)];
    for (const body of ["one", "two"]) await say(alice, open, body);
    const seen = (await bob.get(path(open, "initialSync"))).body;
    expect(bodies(objectsAt(seen, "messages", "chunk"))).to.deep.equal(["one", "two"]);
    expect(seen).to.include({ room_id: open, visibility: "public" });
    expect(bodies(objectsAt((await bob.get(path(open, "initialSync?limit=1"))).body, "messages", "chunk"))).to.deep.equal(["two"]);
    expect(objectsAt((await bob.get(path(open, "initialSync?limit=0"))).body, "messages", "chunk")).to.deep.equal([]);
    expect(seen).not.to.have.property("membership");
    expect(objectsAt(seen, "state").map(({ type }) => type)).to.include("m.room.create");
    expect((await alice.get(path(open, "initialSync"))).body).to.include({ membership: "join" });
    const { end } = objectAt(seen, "messages");
    await say(alice, open, "three");
    const page = await bob.get(path(open, `messages?dir=f&from=${String(end)}`));
    expect(bodies(objectsAt(page.body, "chunk"))).to.deep.equal(["three"]);
    for (const rest of ["state", "members"]) expect((await bob.get(path(open, rest))).status).to.equal(200);
    expect(refusal(await bob.get(path(secret, "initialSync")))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await bob.get(path("!none:localhost", "initialSync")))).to.deep.equal([403, "M_FORBIDDEN"]);
    await alice.post(path(secret, "invite"), { user_id: bob.user_id });
    await bob.post(path(secret, "join"));
    await say(alice, secret, "while there");
    await bob.post(path(secret, "leave"));
    await say(alice, secret, "after");
    const left = (await bob.get(path(secret, "initialSync"))).body;
    expect(left).to.include({ membership: "leave" });
    expect(bodies(objectsAt(left, "messages", "chunk"))).to.deep.equal(["while there"]);
  });

  it("GET /events with a room watches it without joining, as long as the world may read it", async () => {
    const [open, secret] = [await roomOf(alice, READABLE), await roomOf(alice)];
    const watch = (room: string, query: string): Promise<Answer> => bob.get(`${V3}/events?room_id=${encodeURIComponent(room)}&${query}`);
    const from = String((await watch(open, "timeout=0")).body["end"]);
    const waiting = watch(open, `timeout=20000&from=${from}`);
    await say(alice, secret, "hidden");
    await say(alice, open, "watched");
    const answer = await waiting;
    expect(bodies(objectsAt(answer.body, "chunk"))).to.deep.equal(["watched"]);
    for (let index = 0; index < 120; index++) await say(alice, open, String(index));
    const first = await watch(open, `from=${String(answer.body["end"])}`);
    const second = await watch(open, `from=${String(first.body["end"])}`);
    const all = bodies([...objectsAt(first.body, "chunk"), ...objectsAt(second.body, "chunk")]);
    expect(all).to.deep.equal(Array.from({ length: 120 }, (_, index) => String(index)));
    expect(refusal(await watch(secret, "timeout=0"))).to.deep.equal([403, "M_FORBIDDEN"]);
    await alice.put(path(open, "state/m.room.history_visibility"), { history_visibility: "joined" });
    expect(refusal(await watch(open, "timeout=0"))).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("GET /events/{eventId} finds an event in whatever room, for who may see it", async () => {
    const room = await roomOf(alice);
    const event = await say(alice, room, "found");
    expect((await alice.get(`${V3}/events/${event}`)).body).to.deep.include({ event_id: event, room_id: room });
    expect(refusal(await bob.get(`${V3}/events/${event}`))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(refusal(await alice.get(`${V3}/events/$none`))).to.deep.equal([404, "M_NOT_FOUND"]);
  });

  it("has users online who ask it", async () => {
    const dora = await server.register("dora");
    const own = async (ask: string, key: string): Promise<unknown[]> =>
      objectsAt((await dora.get(`${V3}/${ask}`)).body, key).filter(({ type }) => type === "m.presence").map(({ sender, content }) => [sender, stringAt(content, "user_id"), stringAt(content, "presence")]);
    await eventually("dora is told to be online", async () => (await own("initialSync", "presence")).length > 0);
    expect(await own("initialSync", "presence")).to.deep.equal([[dora.user_id, dora.user_id, "online"]]);
    expect((await dora.get(`${V3}/presence/${dora.user_id}/status`)).body).to.include({ presence: "online" });
  });

  it("takes events without a transaction id, each one a new one", async () => {
    const room = await roomOf(alice);
    const content = { msgtype: "m.text", body: "the same" };
    const [one, two] = [await alice.post(path(room, "send/m.room.message"), content), await alice.post(path(room, "send/m.room.message"), content)];
    expect([one.status, two.status]).to.deep.equal([200, 200]);
    const event = stringAt(one.body, "event_id") ?? "";
    expect(event).to.not.equal(two.body["event_id"]);
    expect(refusal(await bob.post(path(room, "send/m.room.message"), content))).to.deep.equal([403, "M_FORBIDDEN"]);
    const redacted = await alice.post(path(room, `redact/${encodeURIComponent(event)}`), { reason: "old" });
    expect(redacted.status).to.equal(200);
    const shown = await alice.get(path(room, `event/${encodeURIComponent(event)}`));
    expect([shown.body["content"], stringAt(shown.body, "unsigned", "redacted_because", "event_id")]).to.deep.equal([{}, redacted.body["event_id"]]);
  });
});
