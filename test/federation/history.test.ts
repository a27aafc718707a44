// History that only other servers have: asked for where ours has gaps, and walked without holes.
import { expect } from "chai";
import { fsck } from "../../src/storage/fsck.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import type { TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("history of other servers", () => {
  let one: FederatingServer;
  let two: FederatingServer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    [one, two] = [await startFederatingServer(), await startFederatingServer()];
    [alice, bob] = [await one.register("alice"), await two.register("bob")];
  });
  after(async () => {
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
  });

  let serial = 0;
  async function newRoom(settings: JsonObject = {}): Promise<string> {
    const created = await alice.post(`${V3}/createRoom`, { preset: "public_chat", ...settings });
    return stringAt(created.body, "room_id") ?? "";
  }

  async function say(client: TestClient, room: string, count: number): Promise<string[]> {
    const ids: string[] = [];
    for (let index = 0; index < count; index++) {
      const sent = await client.put(`${V3}/rooms/${room}/send/m.room.message/t${serial++}`, { msgtype: "m.text", body: `message ${index}` });
      ids.push(stringAt(sent.body, "event_id") ?? "");
    }
    return ids;
  }

  const join = async (room: string): Promise<void> => {
    expect((await bob.post(`${V3}/join/${encodeURIComponent(room)}?via=${one.name}`)).status).to.equal(200);
  };

  /** All events of a room from the end to the start, oldest first, as a client pages through them. */
  async function walk(client: TestClient, room: string, limit: number): Promise<JsonObject[]> {
    const events: JsonObject[] = [];
    let from = "";
    for (let page = 0; page < 100; page++) {
      const { status, body } = await client.get(`${V3}/rooms/${room}/messages?dir=b&limit=${limit}${from}`);
      expect(status).to.equal(200);
      events.push(...objectsAt(body, "chunk"));
      const end = stringAt(body, "end");
      if (end === undefined) return events.toReversed();
      from = `&from=${end}`;
    }
    throw new Error("a walk without end");
  }

  const idsOf = (events: readonly JsonObject[]): (string | undefined)[] => events.map((event) => stringAt(event, "event_id"));
  const messagesIn = (events: readonly JsonObject[]): (string | undefined)[] => idsOf(events.filter((event) => event["type"] === "m.room.message"));

  for (const [limit, count, version] of [[10, 25, "11"], [200, 230, "12"], [10, 15, "1"]] as const) {
    it(`from before a join is walked to the start of the room, ${count} messages in pages of ${limit}, version ${version}`, async () => {
      const room = await newRoom({ room_version: version });
      const said = await say(alice, room, count);
      await join(room);
      const events = await walk(bob, room, limit);
      expect(messagesIn(events)).to.deep.equal(said);
      expect(events[0]?.["type"]).to.equal("m.room.create");
      expect(idsOf(events)).to.deep.equal(idsOf(await walk(alice, room, 100)));
      expect(idsOf(await walk(bob, room, 7))).to.deep.equal(idsOf(events));
      // Nothing of it is new to anybody.
      const section = objectAt((await bob.get(`${V3}/sync`)).body, "rooms", "join", room);
      expect(objectsAt(section, "timeline", "events").map((event) => event["type"])).to.deep.equal(["m.room.member"]);
      expect(objectAt(section, "unread_notifications")).to.deep.equal({ notification_count: 0, highlight_count: 0 });
      expect((await fsck(two.database)).problems).to.deep.equal([]);
    });
  }

  it("from between two stays has no hole", async () => {
    const room = await newRoom();
    const first = await say(alice, room, 3);
    await join(room);
    const second = await say(alice, room, 2);
    await eventually("the messages are there", async () => messagesIn(await walk(bob, room, 50)).length === 5);
    expect(messagesIn(await walk(bob, room, 50))).to.deep.equal([...first, ...second]);
    await bob.post(`${V3}/rooms/${room}/leave`, {});
    await eventually("Bob is gone", async () => {
      const { body } = await alice.get(`${V3}/rooms/${room}/joined_members`);
      return Object.keys(objectAt(body, "joined") ?? {}).length === 1;
    });
    const third = await say(alice, room, 120);
    await join(room);
    expect(messagesIn(await walk(bob, room, 200))).to.deep.equal([...first, ...second, ...third]);
    expect((await fsck(two.database)).problems).to.deep.equal([]);
  });

  it("is asked for around an event, too", async () => {
    const room = await newRoom();
    const said = await say(alice, room, 4);
    await join(room);
    const { body } = await bob.get(`${V3}/rooms/${room}/messages?dir=b&limit=1`);
    const [member] = objectsAt(body, "chunk");
    const around = await bob.get(`${V3}/rooms/${room}/context/${encodeURIComponent(stringAt(member, "event_id") ?? "")}?limit=4`);
    expect(idsOf(objectsAt(around.body, "events_before"))).to.deep.equal(said.slice(-2).toReversed());
  });

  it("that is not for who comes later stays hidden", async () => {
    const room = await newRoom({ initial_state: [{ type: "m.room.history_visibility", state_key: "", content: { history_visibility: "joined" } }] });
    const said = await say(alice, room, 3);
    await join(room);
    const events = await walk(bob, room, 10);
    expect(messagesIn(events)).to.deep.equal([]);
    for (const id of said) expect((await bob.get(`${V3}/rooms/${room}/event/${encodeURIComponent(id)}`)).status).to.equal(404);
  });

  it("is found by its time, and walked from there", async () => {
    const room = await newRoom();
    const start = Date.now();
    const said = await say(alice, room, 5);
    const { body } = await alice.get(`${V3}/rooms/${room}/event/${encodeURIComponent(said[2] ?? "")}`);
    const time = Number(body["origin_server_ts"]);
    await say(alice, room, 150);
    await join(room);
    const at = async (ts: number, dir: string): Promise<{ status: number; body: JsonObject }> =>
      await bob.get(`/_matrix/client/v1/rooms/${room}/timestamp_to_event?ts=${ts}&dir=${dir}`);
    const here = await at(time, "b");
    expect(here.status).to.equal(200);
    const found = stringAt(here.body, "event_id") ?? "";
    expect(Number(here.body["origin_server_ts"])).to.equal(time);
    const around = await bob.get(`${V3}/rooms/${room}/context/${encodeURIComponent(found)}?limit=0`);
    const from = stringAt(around.body, "start") ?? "";
    const before = await bob.get(`${V3}/rooms/${room}/messages?dir=b&limit=2&from=${from}`);
    expect(idsOf(objectsAt(before.body, "chunk"))).to.deep.equal(said.slice(0, said.indexOf(found)).slice(-2).toReversed());
    expect((await at(start - 60_000, "b")).status).to.equal(404);
    expect((await at(Date.now() + 60_000, "f")).status).to.equal(404);
    expect(messagesIn(await walk(bob, room, 40)).slice(0, 5)).to.deep.equal(said);
    expect(idsOf(await walk(bob, room, 40))).to.deep.equal(idsOf(await walk(alice, room, 100)));
    expect((await fsck(two.database)).problems).to.deep.equal([]);
  });

  it("is redacted where it was, and what only others have may be redacted by who may redact all", async () => {
    const room = await newRoom();
    const [said = ""] = await say(alice, room, 1);
    await alice.put(`${V3}/rooms/${room}/redact/${encodeURIComponent(said)}/r1`, {});
    const levels = await alice.get(`${V3}/rooms/${room}/state/m.room.power_levels`);
    await alice.put(`${V3}/rooms/${room}/state/m.room.power_levels`, { ...levels.body, users: { ...objectAt(levels.body, "users"), [bob.user_id]: 50 } });
    const [second = ""] = await say(alice, room, 1);
    await join(room);
    // It is not here yet.
    expect((await bob.put(`${V3}/rooms/${room}/redact/${encodeURIComponent(second)}/r3`, {})).status).to.equal(200);
    const carol = await two.register("carol");
    expect((await carol.post(`${V3}/join/${encodeURIComponent(room)}`)).status).to.equal(200);
    expect((await carol.put(`${V3}/rooms/${room}/redact/$nothing/r4`, {})).status).to.equal(404);
    await eventually("it is redacted there", async () => {
      const { body } = await alice.get(`${V3}/rooms/${room}/event/${encodeURIComponent(second)}`);
      return Object.keys(objectAt(body, "content") ?? {}).length === 0;
    });
    const events = await walk(bob, room, 20);
    for (const id of [said, second]) {
      const event = events.find((one) => stringAt(one, "event_id") === id);
      expect(event?.["content"]).to.deep.equal({});
    }
  });

  it("that nobody gives now is not taken for the end, and not waited for twice", async () => {
    const three = await startFederatingServer();
    const carol = await three.register("carol");
    const created = await carol.post(`${V3}/createRoom`, { preset: "public_chat" });
    const room = stringAt(created.body, "room_id") ?? "";
    expect((await bob.post(`${V3}/join/${encodeURIComponent(room)}?via=${three.name}`)).status).to.equal(200);
    // With the whole state comes what the join follows.
    expect((await bob.get(`${V3}/rooms/${room}/joined_members`)).status).to.equal(200);
    await three[Symbol.asyncDispose]();
    const first = await bob.get(`${V3}/rooms/${room}/messages?dir=b&limit=5`);
    expect(objectsAt(first.body, "chunk").map((event) => event["type"])).to.deep.equal(["m.room.member", "m.room.history_visibility"]);
    const end = stringAt(first.body, "end") ?? "";
    const second = await bob.get(`${V3}/rooms/${room}/messages?dir=b&limit=5&from=${end}`);
    expect([objectsAt(second.body, "chunk"), stringAt(second.body, "end")]).to.deep.equal([[], end]);
    const gaps = await two.database.read<{ attempts: number }>(
      { name: "test_gaps", text: "SELECT attempts FROM missing_events m JOIN rooms r ON r.nid = m.room_nid WHERE r.room_id = $1 AND m.event_nid IS NULL" },
      [room],
    );
    expect(gaps.map(({ attempts }) => attempts)).to.deep.equal([1]);
  });
});
