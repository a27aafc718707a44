// Events from elsewhere: branches that meet, what is kept without being shown, and history that comes late.
import { createHash } from "node:crypto";
import { expect } from "chai";
import { systemClock } from "../../src/clock.js";
import { selectAuthEvents, authorisingTuples } from "../../src/protocol/auth-events.js";
import { authorise } from "../../src/protocol/authorisation.js";
import { buildEvent } from "../../src/protocol/event-format.js";
import { type RoomEvent, storedEvent } from "../../src/protocol/event.js";
import type { EventId, RoomId } from "../../src/protocol/identifiers.js";
import { DEFAULT_ROOM_VERSION, V10 } from "../../src/protocol/room-version.js";
import { signingKey } from "../../src/protocol/signing.js";
import { type StateMap, type StateTuple, stateTuple } from "../../src/protocol/state-map.js";
import { resolve } from "../../src/protocol/state-resolution.js";
import { accepted, type RoomDraft } from "../../src/rooms/owner/draft.js";
import { rebuildCounts } from "../../src/rooms/administration/rebuild-counts.js";
import type { Received, ReceivedEvent } from "../../src/rooms/owner/received-event.js";
import { unreadByScope } from "../../src/storage/counts.js";
import { eventsById, timelineForwards } from "../../src/storage/events.js";
import { fsck } from "../../src/storage/fsck.js";
import { logHead, readLog } from "../../src/storage/log.js";
import { FLAGS } from "../../src/storage/room-rows.js";
import { currentState, stateChanges } from "../../src/storage/state.js";
import { stickyEventsInRooms } from "../../src/storage/sticky-events.js";
import { eventually } from "../support/eventually.js";
import { freshDatabase } from "../support/postgres.js";
import { createRoom, member, message, seeded, serverName, startProcess, state, type TestProcess, user } from "../support/rooms.js";

const ALICE = user("alice");
const REMOTE = serverName("remote.org");
const KEY = signingKey("ed25519:remote", createHash("sha256").update("remote").digest());
const START = Date.UTC(2026, 0);
const ALL = { after: 0, upTo: Number.MAX_SAFE_INTEGER };

/** A room as it would be anywhere: events by id, and the state after each, worked out without our storage. */
class Model {
  readonly events = new Map<EventId, RoomEvent>();
  readonly after = new Map<EventId, StateMap<EventId>>();
  readonly version;

  constructor(version: typeof V10) {
    this.version = version;
  }

  async meet(ids: readonly EventId[]): Promise<StateMap<EventId>> {
    const sets = ids.map((id) => this.after.get(id) ?? new Map<StateTuple, EventId>());
    return await resolve(this.version, sets, (wanted) =>
      Promise.resolve(new Map(wanted.flatMap((id) => {
        const event = this.events.get(id);
        return event === undefined ? [] : [[id, { event, rejected: false }] as const];
      }))),
    );
  }

  async add(event: RoomEvent): Promise<void> {
    const before = await this.meet(event.prev_events);
    this.events.set(event.event_id, event);
    this.after.set(
      event.event_id,
      event.state_key === undefined ? before : new Map([...before, [stateTuple(event.type, event.state_key), event.event_id]]),
    );
  }

  /** An event of the remote server on these predecessors; undefined if the rules refuse it there. */
  async build(roomId: RoomId, draft: RoomDraft, previous: readonly EventId[], ts: number, forced = false): Promise<RoomEvent | undefined> {
    const before = await this.meet(previous);
    const events = new Map([...before].flatMap(([tuple, id]) => {
      const event = this.events.get(id);
      return event === undefined ? [] : [[tuple, event] as const];
    }));
    const depth = Math.max(...previous.map((id) => this.events.get(id)?.depth ?? 0)) + 1;
    const event = buildEvent(
      this.version,
      {
        ...draft,
        room_id: roomId,
        origin_server_ts: ts,
        depth,
        prev_events: previous,
        auth_events: selectAuthEvents(this.version, draft, events).map((one) => one.event_id),
      },
      REMOTE,
      KEY,
    );
    const authState = new Map(authorisingTuples(this.version, event).flatMap((tuple) => {
      const one = events.get(tuple);
      return one === undefined ? [] : [[tuple, one] as const];
    }));
    return forced || authorise(this.version, event, authState).allowed ? event : undefined;
  }
}

describe("received events", () => {
  let process: TestProcess;
  // Resolution ends with the order of times and ids: with both of them from the seed, a seed gives the same events.
  let time = START;
  before(async () => {
    process = await startProcess(await freshDatabase(), { clock: { ...systemClock, now: () => time } });
  });
  after(() => process[Symbol.asyncDispose]());

  async function model(roomNid: number, version: typeof V10): Promise<Model> {
    const made = new Model(version);
    for (const row of await timelineForwards(process.database, roomNid, ALL, 1_000)) {
      await made.add(storedEvent(version, row.event_id, row.json));
    }
    return made;
  }

  const receive = (version: typeof V10, roomId: RoomId, events: readonly ReceivedEvent[]): Promise<Received> =>
    process.owners.receive(version, roomId, events);

  async function stateNow(roomNid: number): Promise<Map<StateTuple, string>> {
    const entries = await currentState(process.database, roomNid);
    return new Map(entries.map((entry) => [stateTuple(entry.type, entry.state_key), entry.event_id]));
  }

  for (const [version, seed] of [
    [V10, Date.now() % 1_000_000],
    [DEFAULT_ROOM_VERSION, Date.now() % 1_000_000],
    // Here resolution brings back a member event that is in none of the states that meet, only in what their chains differ in.
    [DEFAULT_ROOM_VERSION, 9],
  ] as const) {
    it(`random branches in version ${version.id} come to the state that resolution gives, seed ${seed}`, async () => {
      const next = seeded(seed);
      time = START + seed;
      const { room_id, room_nid } = await createRoom(process, ALICE, version);
      const remotes = Array.from({ length: 5 }, (_, index) => user(`r${index}`, REMOTE));
      // Remote moderators, so that branches fight over power and bans.
      accepted((await process.owners.submit(room_id, [
        state(ALICE, "m.room.power_levels", {
          users: { ...(version.privilegedCreators ? {} : { [ALICE]: 100 }), ...Object.fromEntries(remotes.map((id) => [id, 50])) },
          state_default: 50,
        }),
      ]))[0]);
      const room = await model(room_nid, version);
      let softFailed = 0;
      let ends = [...room.events.keys()].slice(-1);
      for (let round = 0; round < 25; round += 1) {
        const batch: RoomEvent[] = [];
        let liveEnds = ends;
        for (let index = 0; index < 1 + next() * 4; index += 1) {
          const sender = remotes[Math.floor(next() * remotes.length)] ?? ALICE;
          const other = remotes[Math.floor(next() * remotes.length)] ?? ALICE;
          const target = [...room.events.keys()][Math.floor(next() * room.events.size)];
          const drafts: RoomDraft[] = [
            { ...message(sender, "x"), content: { body: "x", "m.relates_to": { rel_type: "m.thread", event_id: target ?? "" } } },
            member(sender, sender, "join"),
            member(sender, other, next() > 0.5 ? "ban" : "leave"),
            state(sender, "m.room.topic", { topic: String(next()) }),
            state(sender, "m.room.join_rules", { join_rule: next() > 0.3 ? "public" : "invite" }),
            message(sender, String(next())),
          ];
          const draft = drafts[Math.floor(next() * drafts.length)] ?? drafts[0];
          // Sometimes from an older event: that is what makes branches.
          const all = [...room.events.keys()];
          const from = next() < 0.4 ? [all[Math.max(0, all.length - 1 - Math.floor(next() * 6))] ?? all[0]] : ends.slice(0, 10);
          const previous = from.filter((id): id is EventId => id !== undefined);
          const event = draft === undefined ? undefined : await room.build(room_id, draft, previous, (time += Math.floor(next() * 3)));
          if (event === undefined || room.events.has(event.event_id)) continue;
          await room.add(event);
          batch.push(event);
          ends = [...ends.filter((id) => !previous.includes(id)), event.event_id];
        }
        const { outcomes } = await receive(version, room_id, batch.map((event) => ({ event, as: "live" })));
        for (const event of batch) {
          const outcome = outcomes.get(event.event_id);
          expect(outcome, `seed ${seed} round ${round}`).to.be.oneOf(["live", "soft_failed"]);
          // What the current state does not allow is no end of the history, and only its successors bring it in.
          if (outcome === "live") liveEnds = [...liveEnds.filter((id) => !event.prev_events.includes(id)), event.event_id];
          else softFailed += 1;
        }
        ends = liveEnds;
        expect(await stateNow(room_nid), `seed ${seed} round ${round}`).to.deep.equal(new Map(await room.meet(ends)));
        if (next() < 0.2) {
          const [sent] = await process.owners.submit(room_id, [message(ALICE, "ours")]);
          const { event_id } = accepted(sent);
          const row = (await eventsById(process.database, [event_id])).get(event_id);
          const event = storedEvent(version, event_id, row?.json ?? "");
          expect([...event.prev_events].sort(), `seed ${seed}`).to.deep.equal([...ends].sort());
          await room.add(event);
          ends = [event_id];
        }
      }
      expect(softFailed, `seed ${seed}`).to.be.lessThan(room.events.size / 2);
      expect((await fsck(process.database)).problems, `seed ${seed}`).to.deep.equal([]);
      // What came from elsewhere was counted as anyone counts it who goes through the timeline.
      const { interning } = process.services;
      const [reader = 0] = (await interning.users([ALICE])).values();
      const counts = async (): Promise<object> =>
        (await unreadByScope(process.database, [{ user_nid: reader, room_nid }])).toSorted((one, other) => one.thread - other.thread);
      const live = await counts();
      await rebuildCounts({ database: process.database, interning, isLocal: (server) => server !== REMOTE }, { nid: room_nid, room_id });
      expect(await counts(), `seed ${seed}`).to.deep.equal(live);
    });
  }

  it("branches that only talk have the state that they met with, until one of them changes it", async () => {
    const version = DEFAULT_ROOM_VERSION;
    const { room_id, room_nid } = await createRoom(process, ALICE, version);
    const remotes = Array.from({ length: 4 }, (_, index) => user(`talker${index}`, REMOTE));
    accepted((await process.owners.submit(room_id, [
      state(ALICE, "m.room.power_levels", { users: Object.fromEntries(remotes.map((id, index) => [id, 50 + index])), state_default: 50 }),
    ]))[0]);
    const room = await model(room_nid, version);
    let ts = START;
    const ends: EventId[] = [];
    const add = async (...drafts: readonly { readonly draft: RoomDraft; readonly on: readonly EventId[] }[]): Promise<EventId[]> => {
      const events: RoomEvent[] = [];
      for (const { draft, on } of drafts) {
        const event = await room.build(room_id, draft, on, (ts += 1));
        if (event === undefined) throw new Error("the event was refused");
        await room.add(event);
        events.push(event);
      }
      await receive(version, room_id, events.map((event) => ({ event, as: "live" })));
      for (const { event_id, prev_events } of events) ends.splice(0, ends.length, ...ends.filter((id) => !prev_events.includes(id)), event_id);
      expect(await stateNow(room_nid)).to.deep.equal(new Map(await room.meet(ends)));
      return events.map(({ event_id }) => event_id);
    };
    const snapshots = async (): Promise<number> => {
      const [row] = await process.database.read<{ count: number }>({ name: "test_snapshots", text: "SELECT count(*) AS count FROM state_snapshots WHERE room_nid = $1" }, [room_nid]);
      return Number(row?.count);
    };
    // Each joins on what was there before: the states of the four branches differ, and none holds all members.
    const [start] = [...room.events.keys()].slice(-1);
    if (start === undefined) throw new Error("the room is empty");
    const joins = await add(...remotes.map((id) => ({ draft: member(id, id, "join"), on: [start] })));
    let heads = joins;
    const talk = async (): Promise<void> => {
      heads = await add(...heads.map((head, index) => ({ draft: message(remotes[index] ?? ALICE, "x"), on: [head] })));
    };
    await talk();
    const before = await snapshots();
    for (let round = 0; round < 3; round += 1) await talk();
    expect(await snapshots()).to.equal(before);
    // Now two of them disagree, and go on talking.
    const topics = await add(...[0, 1].map((index) => ({ draft: state(remotes[index] ?? ALICE, "m.room.topic", { topic: `${index}` }), on: heads.slice(index, index + 1) })));
    heads = [...topics, ...heads.slice(2)];
    await talk();
    const [banned] = await add({ draft: member(remotes[2] ?? ALICE, remotes[0] ?? ALICE, "ban"), on: heads.slice(2, 3).concat(joins.slice(0, 1)) });
    expect((await stateNow(room_nid)).get(stateTuple("m.room.member", remotes[0] ?? ""))).to.equal(banned);
    // A room that is loaded again knows nothing of what it had resolved, and comes to the same.
    process.owners.forgetAll();
    heads = [...heads.slice(1, 2), ...(banned === undefined ? [] : [banned])];
    await add({ draft: message(remotes[1] ?? ALICE, "they meet"), on: heads });
    expect((await fsck(process.database)).problems).to.deep.equal([]);
  });

  it("keeps what is rejected, soft-failed, an outlier or history, and tells only of history", async () => {
    const { room_id, room_nid, position: created } = await createRoom(process, ALICE);
    const room = await model(room_nid, DEFAULT_ROOM_VERSION);
    const [head] = [...room.events.keys()].slice(-1);
    const remote = user("someone", REMOTE);
    if (head === undefined) throw new Error("the room is empty");
    const join = await room.build(room_id, member(remote, remote, "join"), [head], 1);
    if (join === undefined) throw new Error("the join was refused");
    await room.add(join);
    const before = await stateNow(room_nid);
    const add = async (event: RoomEvent | undefined, as: ReceivedEvent["as"] = "live"): Promise<string | undefined> => {
      if (event === undefined) throw new Error("the event was refused");
      return (await receive(DEFAULT_ROOM_VERSION, room_id, [{ event, as }])).outcomes.get(event.event_id);
    };
    // Nobody may speak without being in the room; power levels may not be set by whoever comes in.
    expect(await add(await room.build(room_id, message(remote, "too early"), [head], 2, true))).to.equal("rejected");
    expect(await add(await room.build(room_id, member(remote, remote, "join"), [head], 3), "outlier")).to.equal("outlier");
    expect(await add(await room.build(room_id, state(remote, "m.room.topic", {}), [head], 4, true), "outlier")).to.equal("rejected_outlier");
    expect(await stateNow(room_nid)).to.deep.equal(before);
    const { position: at } = await receive(DEFAULT_ROOM_VERSION, room_id, [{ event: join, as: "live" }]);
    expect((await receive(DEFAULT_ROOM_VERSION, room_id, [{ event: join, as: "live" }])).position).to.equal(0);
    expect((await stateNow(room_nid)).get(stateTuple("m.room.member", remote))).to.equal(join.event_id);
    expect(await stateChanges(process.database, [room_nid], { after: created, upTo: at })).to.have.length(1);
    const old = await room.build(room_id, message(remote, "long ago"), [join.event_id], 5);
    if (old === undefined) throw new Error("the message was refused");
    const { position: late } = await receive(DEFAULT_ROOM_VERSION, room_id, [{ event: old, as: "history" }]);
    const told = await readLog(process.database, { after: created, upTo: late }, { kinds: ["event", "history"], rooms: [room_nid] });
    expect(told.map((entry) => entry.kind)).to.deep.equal(["event", "history"]);
    const timeline = await timelineForwards(process.database, room_nid, ALL, 100);
    expect(timeline.map((event) => event.event_id)).to.not.include(old.event_id);
    expect(timeline).to.have.length(6);
    // Said before the ban, by its own account: the current state knows better.
    await process.owners.submit(room_id, [member(ALICE, remote, "ban")]);
    const banned = await stateNow(room_nid);
    const backdated = await room.build(room_id, state(remote, "m.room.member", { membership: "join", displayname: "back" }, remote), [join.event_id], 6);
    expect(await add(backdated)).to.equal("soft_failed");
    expect(await stateNow(room_nid)).to.deep.equal(banned);
    expect((await fsck(process.database)).problems).to.deep.equal([]);
  });

  it("judges sticky events that were not allowed again when the state changes", async () => {
    const { room_id, room_nid } = await createRoom(process, ALICE);
    const room = await model(room_nid, DEFAULT_ROOM_VERSION);
    const [head] = [...room.events.keys()].slice(-1);
    const remote = user("someone", REMOTE);
    const join = head === undefined ? undefined : await room.build(room_id, member(remote, remote, "join"), [head], time);
    if (join === undefined) throw new Error("the join was refused");
    await room.add(join);
    await receive(DEFAULT_ROOM_VERSION, room_id, [{ event: join, as: "live" }]);
    const levels = (events_default: number): RoomDraft => state(ALICE, "m.room.power_levels", { events_default });
    accepted((await process.owners.submit(room_id, [levels(50)]))[0]);
    const ids: EventId[] = [];
    for (const draft of [{ ...message(remote, "sticky"), sticky_duration_ms: 3_600_000 }, message(remote, "plain")]) {
      // By its own account from before the levels.
      const event = await room.build(room_id, draft, [join.event_id], time);
      if (event === undefined) throw new Error("the message was refused");
      expect((await receive(DEFAULT_ROOM_VERSION, room_id, [{ event, as: "live" }])).outcomes.get(event.event_id)).to.equal("soft_failed");
      ids.push(event.event_id);
    }
    const flags = async (): Promise<unknown[]> => {
      const rows = await eventsById(process.database, ids);
      return ids.map((id) => rows.get(id)?.flags);
    };
    const places = [{ room_nid, after: { position: 0, event_nid: 0 } }];
    const told = async (): Promise<number> => (await stickyEventsInRooms(process.database, places, { upTo: Number.MAX_SAFE_INTEGER, now: time, limit: 10 })).length;
    for (let n = 0; n < 2; n += 1) accepted((await process.owners.submit(room_id, [state(ALICE, "m.room.topic", { topic: `has nothing to do with it ${n}` })]))[0]);
    expect([await flags(), await told()]).to.deep.equal([[FLAGS.soft_failed, FLAGS.soft_failed], 0]);
    const before = await logHead(process.database);
    accepted((await process.owners.submit(room_id, [levels(0)]))[0]);
    await eventually("it is told", async () => (await told()) === 1);
    expect(await flags()).to.deep.equal([0, FLAGS.soft_failed]);
    const entries = await readLog(process.database, { after: before, upTo: await logHead(process.database) }, { kinds: ["event", "invalidation"], rooms: [room_nid] });
    expect(entries.map(({ kind }) => kind)).to.deep.equal(["event", "invalidation", "event"]);
    expect((await fsck(process.database)).problems).to.deep.equal([]);
  });
});
