// Events that are told whatever timelines leave out, until they expire (MSC4354).
import { expect } from "chai";
import { expireStickyEvents } from "../../src/storage/sticky-events.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { refusal, type TestClient } from "../support/server.js";
import { slidingSync } from "../support/sliding-client.js";

const V3 = "/_matrix/client/v3";
const STICKY = "org.matrix.msc4354.sticky_duration_ms";
const EXTENSION = "org.matrix.msc4354.sticky_events";
const TTL = "msc4354_sticky_duration_ttl_ms";
const HOUR = 3_600_000;

describe("sticky events", () => {
  let server: FederatingServer;
  let elsewhere: FederatingServer;
  let alice: TestClient;
  let bob: TestClient;
  let carol: TestClient;
  let room = "";
  let sent = 0;
  before(async () => {
    [server, elsewhere] = [await startFederatingServer(), await startFederatingServer()];
    [alice, bob, carol] = [await server.register("alice"), await server.register("bob"), await elsewhere.register("carol")];
  });
  beforeEach(async () => {
    const visibility = { type: "m.room.history_visibility", state_key: "", content: { history_visibility: "joined" } };
    room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", initial_state: [visibility] })).body, "room_id") ?? "";
  });
  after(async () => {
    await elsewhere[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const send = async (body: string, sticky?: number, by = alice): Promise<string> => {
    const query = sticky === undefined ? "" : `?${STICKY}=${sticky}`;
    const answer = await by.put(`${V3}/rooms/${room}/send/m.room.message/s${++sent}${query}`, { msgtype: "m.text", body });
    expect(answer.status).to.equal(200);
    return stringAt(answer.body, "event_id") ?? "";
  };
  const filter = (more: JsonObject = {}): string => encodeURIComponent(JSON.stringify({ room: { timeline: { limit: 2, ...more } } }));
  const sync = async (client: TestClient, since?: string, how = filter()): Promise<{ next: string; sticky: JsonObject[]; timeline: JsonObject[] }> => {
    const { body } = await client.get(`${V3}/sync?filter=${how}${since === undefined ? "" : `&since=${since}`}`);
    const section = objectAt(body, "rooms", "join", room);
    return { next: stringAt(body, "next_batch") ?? "", sticky: objectsAt(section, "msc4354_sticky", "events"), timeline: objectsAt(section, "timeline", "events") };
  };
  const ids = (events: readonly JsonObject[]): unknown[] => events.map((event) => event["event_id"]);

  it("have their duration beside their content, and what is left of it", async () => {
    const id = await send("here", HOUR);
    const { body } = await alice.get(`${V3}/rooms/${room}/event/${id}`);
    expect(body["msc4354_sticky"]).to.deep.equal({ duration_ms: HOUR });
    expect(objectAt(body, "unsigned")[TTL]).to.be.a("number").within(HOUR - 600_000, HOUR);
    const plain = (await alice.get(`${V3}/rooms/${room}/event/${await send("plain")}`)).body;
    expect(plain).not.to.have.property("msc4354_sticky");
    expect(plain["unsigned"]).not.to.have.property(TTL);
    const state = await alice.put(`${V3}/rooms/${room}/state/org.test.state/?${STICKY}=1000`, { on: true });
    const shown = await alice.get(`${V3}/rooms/${room}/event/${stringAt(state.body, "event_id") ?? ""}`);
    expect(shown.body["msc4354_sticky"]).to.deep.equal({ duration_ms: 1000 });
    for (const wrong of ["-1", "3600001", "x"]) {
      const answer = await alice.put(`${V3}/rooms/${room}/send/m.room.message/w?${STICKY}=${wrong}`, { body: "x" });
      expect(refusal(answer), wrong).to.deep.equal([400, "M_INVALID_PARAM"]);
    }
    expect(objectAt((await alice.get("/_matrix/client/versions")).body, "unstable_features")["org.matrix.msc4354"]).to.equal(true);
  });

  it("are told once in a section of their own where timelines leave them out", async () => {
    const { next } = await sync(alice);
    const first = await send("first", HOUR);
    for (let n = 0; n < 3; n += 1) await send(`plain ${n}`);
    const last = await send("last", HOUR);
    const gap = await sync(alice, next);
    expect(ids(gap.timeline)).to.include(last).and.not.include(first);
    expect(ids(gap.sticky)).to.deep.equal([first]);
    expect(objectAt(gap.sticky[0], "unsigned")[TTL]).to.be.a("number").within(1, HOUR);
    expect((await sync(alice, gap.next)).sticky).to.deep.equal([]);
    expect(ids((await sync(alice)).sticky), "to who begins").to.deep.equal([first]);
    // Live, where the filter leaves it out of the timeline.
    const filtered = await send("filtered", HOUR);
    expect(ids((await sync(alice, gap.next, filter({ not_types: ["m.room.message"] }))).sticky)).to.deep.equal([filtered]);
  });

  it("come some at a time where there are many, without waiting between, and none is lost", async () => {
    const { next } = await sync(alice);
    const all: string[] = [];
    for (let n = 0; n < 12; n += 1) all.push(await send(`${n}`, HOUR));
    // As if each were followed by many more: what is told comes in the order of its place.
    const [{ nid } = { nid: 0 }] = await server.database.read<{ nid: number }>({ name: "test_room", text: "SELECT nid FROM rooms WHERE room_id = $1" }, [room]);
    await server.database.write(
      { name: "test_more", text: `INSERT INTO sticky_events (event_nid, room_nid, position, expires_ts)
        SELECT -(position * 100 + n), room_nid, position, expires_ts FROM sticky_events, generate_series(1, 99) n WHERE room_nid = $1` },
      [nid],
    );
    for (let n = 0; n < 3; n += 1) await send("plain");
    const told: unknown[] = [];
    let token: string | undefined = next;
    for (let n = 0; n < 3; n += 1) {
      const answer = await sync(alice, `${token}&timeout=30000`);
      told.push(...ids([...answer.sticky, ...answer.timeline]).filter((id) => all.includes(String(id))));
      token = answer.next;
    }
    expect(told).to.have.members(all);
    expect(token).not.to.include("k");
    expect((await sync(alice, token)).sticky).to.deep.equal([]);
  });

  it("are told to who joins, whatever the history's visibility, until they expire, are redacted or their sender ignored", async () => {
    const { next } = await sync(bob);
    const kept = await send("kept", HOUR);
    await send("brief", 1);
    const taken = await send("taken", HOUR);
    await alice.put(`${V3}/rooms/${room}/redact/${taken}/r${++sent}`, {});
    for (let n = 0; n < 3; n += 1) await send(`plain ${n}`);
    await bob.post(`${V3}/join/${room}`);
    expect(ids((await sync(bob, next)).sticky)).to.deep.equal([kept]);
    await bob.put(`${V3}/user/${bob.user_id}/account_data/m.ignored_user_list`, { ignored_users: { [alice.user_id]: {} } });
    expect((await sync(bob, next)).sticky).to.deep.equal([]);
    await bob.put(`${V3}/user/${bob.user_id}/account_data/m.ignored_user_list`, { ignored_users: {} });
    await expireStickyEvents(server.database, Date.now() + 2 * HOUR);
    expect((await sync(bob, next)).sticky).to.deep.equal([]);
  });

  it("have an extension of sliding sync with tokens of its own", async () => {
    const first = await send("first", HOUR);
    const second = await send("second", HOUR);
    for (let n = 0; n < 3; n += 1) await send(`plain ${n}`);
    const asked = (more: JsonObject): JsonObject => ({
      room_subscriptions: { [room]: { timeline_limit: 1, required_state: [] } },
      extensions: { [EXTENSION]: { enabled: true, ...more } },
    });
    const told = (body: JsonObject): [unknown[], string] => {
      const part = objectAt(body, "extensions", EXTENSION);
      return [ids(objectsAt(part, "rooms", room, "events")), stringAt(part, "next_batch") ?? ""];
    };
    const begin = (await slidingSync(alice, asked({ limit: 1 }))).body;
    const [page, place] = told(begin);
    expect(page).to.deep.equal([first]);
    const more = (await slidingSync(alice, asked({ since: place }), stringAt(begin, "pos"))).body;
    const [rest, end] = told(more);
    expect(rest).to.deep.equal([second]);
    expect(told((await slidingSync(alice, asked({ since: end }), stringAt(more, "pos"))).body)[0]).to.deep.equal([]);
    const shown = (await slidingSync(alice, { ...asked({}), room_subscriptions: { [room]: { timeline_limit: 20, required_state: [] } } })).body;
    expect(told(shown)[0], "what the timeline has").to.deep.equal([]);
    expect(refusal(await slidingSync(alice, asked({ since: "x" })))).to.deep.equal([400, "M_INVALID_PARAM"]);
  });

  it("may be delayed, and are sticky from then on", async () => {
    const { next } = await sync(alice);
    const query = `org.matrix.msc4140.delay=300&${STICKY}=${HOUR}`;
    await alice.put(`${V3}/rooms/${room}/send/m.room.message/d${++sent}?${query}`, { body: "old way" });
    await alice.put(`${V3}/rooms/${room}/delayed_event/m.room.message/d${++sent}?${STICKY}=${HOUR}`, { delay: 300, content: { body: "new way" } });
    await eventually("both are sent", async () => (await sync(alice, next)).timeline.length === 2);
    for (const event of (await sync(alice, next)).timeline) expect(event["msc4354_sticky"]).to.deep.equal({ duration_ms: HOUR });
  });

  it("reach other servers, those too that join later", async () => {
    const early = await send("early", HOUR);
    for (let n = 0; n < 3; n += 1) await send(`plain ${n}`);
    await carol.post(`${V3}/join/${encodeURIComponent(room)}?via=${server.name}`);
    const has = async (id: string): Promise<boolean> => {
      const { sticky, timeline } = await sync(carol);
      return ids([...sticky, ...timeline]).includes(id);
    };
    await eventually("the one from before", () => has(early));
    const late = await send("late", HOUR);
    await eventually("the one from after", () => has(late));
    const theirs = await send("theirs", HOUR, carol);
    await eventually("that of the other server", async () => ids((await sync(alice)).timeline).includes(theirs));
    const { body } = await carol.get(`${V3}/rooms/${room}/event/${late}`);
    expect(objectAt(body, "unsigned")[TTL]).to.be.a("number").within(1, HOUR);
  });
});
