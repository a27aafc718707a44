// The state that an answer of sliding sync shows of its rooms: what is required and the client does not have (MSC4186).
import { isState } from "../../protocol/event.js";
import { stateTuple, type StateTuple } from "../../protocol/state-map.js";
import { stateOfTuples, stateOfTypes } from "../../storage/sliding-rooms.js";
import { stateChanges, stateChangedSince, type StateChange } from "../../storage/state.js";
import { CURRENT_STATE, CURRENT_STATE_WITHOUT_MEMBERS, currentMembers, type StateRow } from "../../storage/sync.js";
import { stateOfSnapshots } from "../../storage/visibility.js";
import { changedState, type RoomWindow, type Timeline } from "../room-window.js";
import type { PlannedRoom } from "./plan.js";
import { isJoined, isLeft } from "./room-list.js";
import type { SlidingReading } from "./sliding-reading.js";

const MEMBER = "m.room.member";
/** Members of one room that are remembered as sent. */
const REMEMBERED_MEMBERS = 200;

/** What is told of a room's state: the events, and which of its parts are to be told anew. */
export interface RoomState {
  /** Tuple to event, by number. */
  readonly events: Map<number, number>;
  name: boolean;
  avatar: boolean;
  members: boolean;
  /** Members whose state changed, by their ids. */
  readonly changedMembers: Set<string>;
}

/** The required state that the client does not have. */
export async function statesOf(
  reading: SlidingReading,
  rooms: readonly PlannedRoom[],
  timelineOf: (planned: PlannedRoom) => Timeline,
): Promise<Map<number, RoomState>> {
  const states = new Map<number, RoomState>();
  for (const { room, initial } of rooms) {
    states.set(room.room_nid, { events: new Map(), name: initial, avatar: initial, members: initial && isJoined(room), changedMembers: new Set() });
  }
  await Promise.all([
    addWholeStates(reading, rooms.filter(({ room, initial, otherState }) => isJoined(room) && (initial || otherState !== undefined)), states),
    addStatesAtLeaving(reading, rooms.filter(({ room, initial }) => isLeft(room) && initial), states),
  ]);
  const old = rooms.filter(({ initial, changed }) => !initial && changed);
  const changes = await changesOf(reading, old);
  for (const planned of old) {
    const { room, config } = planned;
    const state = states.get(room.room_nid);
    if (state === undefined) continue;
    const window = { ...windowOf(reading, planned), after: planned.from };
    const of = changes.get(room.room_nid) ?? [];
    const timeline = timelineOf(planned);
    const named = new Map(of.map((change) => [change.tuple_nid, change]));
    for (const [tuple, nid] of changedState(of, window, timeline, true)) {
      const { type, state_key } = named.get(tuple) ?? { type: "", state_key: "" };
      const isMember = type === MEMBER;
      // Of lazily loaded members all changes are told, but for those in a gap, after which clients ask anew.
      const lazy = isMember && config.required.lazy && !timeline.limited && isJoined(room);
      if (lazy || config.required.has(type, state_key)) state.events.set(tuple, nid);
      if (isMember) state.changedMembers.add(state_key);
      noteParts(state, type, state_key);
    }
    for (const { position, type, state_key, event_nid } of of) {
      if (event_nid === null && position > window.after && position <= window.upTo) noteParts(state, type, state_key);
    }
    if (isLeft(room)) await addOwnMember(reading, planned, state);
  }
  return states;
}

/** That a room was left is told whatever is asked for: how else would the client know? */
async function addOwnMember(reading: SlidingReading, { room }: PlannedRoom, state: RoomState): Promise<void> {
  const tuple = stateTuple(MEMBER, reading.reader.user_id);
  const nid = (await reading.services.interning.findTuples([tuple])).get(tuple);
  if (nid !== undefined) state.events.set(nid, room.event_nid);
}

/** What changed in the rooms' states since the client was told of them. */
async function changesOf(reading: SlidingReading, rooms: readonly PlannedRoom[]): Promise<Map<number, StateChange[]>> {
  const live = rooms.filter(({ row }) => row?.sent === undefined);
  const behind = rooms.filter(({ row }) => row?.sent !== undefined);
  const nids = (of: readonly PlannedRoom[]): number[] => of.map(({ room }) => room.room_nid);
  const since = behind.reduce((least, { from }) => Math.min(least, from), Number.MAX_SAFE_INTEGER);
  const found = await Promise.all([
    live.length === 0 ? [] : stateChanges(reading.reads, nids(live), { after: reading.after, upTo: reading.upTo }),
    behind.length === 0 ? [] : stateChangedSince(reading.reads, nids(behind), since),
  ]);
  const byRoom = new Map<number, StateChange[]>();
  for (const change of found.flat()) {
    const list = byRoom.get(change.room_nid);
    if (list === undefined) byRoom.set(change.room_nid, [change]);
    else list.push(change);
  }
  return byRoom;
}

/** The whole required state of joined rooms, but for what was required before. */
async function addWholeStates(reading: SlidingReading, rooms: readonly PlannedRoom[], states: ReadonlyMap<number, RoomState>): Promise<void> {
  if (rooms.length === 0) return;
  const { interning, events: cache } = reading.services;
  const pairs = rooms.flatMap(({ room, config: { required } }) =>
    required.anyType ? [] : required.pairs.map(([type, key]) => [room.room_nid, stateTuple(type, key)] as const),
  );
  const types = rooms.flatMap(({ room, config: { required } }) =>
    required.anyType ? [] : required.wholeTypes.map((type) => [room.room_nid, type] as const),
  );
  const everything = rooms.filter(({ config: { required } }) => required.anyType);
  const own = everything.flatMap(({ room, config: { required } }) =>
    required.anyMember ? [] : required.pairs.filter(([type]) => type === MEMBER).map(([type, key]) => [room.room_nid, stateTuple(type, key)] as const),
  );
  const [tupleNids, typeNids] = await Promise.all([
    interning.findTuples(new Set([...pairs, ...own].map(([, tuple]) => tuple))),
    interning.findTypes(new Set(types.map(([, type]) => type))),
  ]);
  const numbered = (of: readonly (readonly [number, string])[], nids: ReadonlyMap<string, number>): (readonly [number, number])[] =>
    of.flatMap(([room, name]) => {
      const nid = nids.get(name);
      return nid === undefined ? [] : [[room, nid] as const];
    });
  const whole = (withMembers: boolean): Promise<StateRow[]> => {
    const nids = everything.filter(({ config }) => config.required.anyMember === withMembers).map(({ room }) => room.room_nid);
    return nids.length === 0 ? Promise.resolve([]) : reading.reads.read(withMembers ? CURRENT_STATE : CURRENT_STATE_WITHOUT_MEMBERS, [nids]);
  };
  const rows = (
    await Promise.all([
      stateOfTuples(reading.reads, numbered([...pairs, ...own], tupleNids)),
      stateOfTypes(reading.reads, numbered(types, typeNids)),
      whole(true),
      whole(false),
    ])
  ).flat();
  const contents = await cache.get(reading.reads, rows.map(({ event_nid }) => event_nid));
  const byRoom = new Map(rooms.map((planned) => [planned.room.room_nid, planned]));
  for (const { room_nid, tuple_nid, event_nid } of rows) {
    const planned = byRoom.get(room_nid);
    const event = contents.get(event_nid)?.event;
    if (planned === undefined || event === undefined || !isState(event)) continue;
    const { config, otherState } = planned;
    if (!config.required.has(event.type, event.state_key) || otherState?.has(event.type, event.state_key) === true) continue;
    states.get(room_nid)?.events.set(tuple_nid, event_nid);
  }
}

/** The required state, as far as single pieces are named, of rooms that the user was sent away from, as of then. */
async function addStatesAtLeaving(reading: SlidingReading, rooms: readonly PlannedRoom[], states: ReadonlyMap<number, RoomState>): Promise<void> {
  if (rooms.length === 0) return;
  const { interning, events: cache } = reading.services;
  const names = new Set<StateTuple>(rooms.flatMap(({ config }) => config.required.pairs.map(([type, key]) => stateTuple(type, key))));
  const [leavings, tuples] = await Promise.all([
    cache.get(reading.reads, rooms.map(({ room }) => room.event_nid)),
    interning.findTuples(names),
  ]);
  const snapshots = rooms.flatMap(({ room }) => leavings.get(room.event_nid)?.row.state_before ?? []);
  const found = await stateOfSnapshots(reading.reads, snapshots, [...tuples.values()]);
  for (const planned of rooms) {
    const state = states.get(planned.room.room_nid);
    if (state === undefined) continue;
    const snapshot = leavings.get(planned.room.event_nid)?.row.state_before ?? -1;
    for (const [type, key] of planned.config.required.pairs) {
      const tuple = tuples.get(stateTuple(type, key));
      const nid = tuple === undefined ? undefined : found.get(snapshot)?.get(tuple);
      if (tuple !== undefined && nid !== undefined) state.events.set(tuple, nid);
    }
    await addOwnMember(reading, planned, state);
  }
}

/** Adds the members whom timelines show to the states; gives those that the client then has, of rooms that ask for it. */
export async function withLazyMembers(
  reading: SlidingReading,
  rooms: readonly PlannedRoom[],
  states: ReadonlyMap<number, RoomState>,
  timelineOf: (planned: PlannedRoom) => Timeline,
): Promise<Map<number, number[]>> {
  const lazy = rooms.filter(({ config }) => config.required.lazy);
  const keys = new Set<string>();
  for (const planned of lazy) {
    for (const { read } of timelineOf(planned).events) if (read.event.type === MEMBER) keys.add(read.event.state_key ?? "");
    for (const id of states.get(planned.room.room_nid)?.changedMembers ?? []) keys.add(id);
  }
  const nids = keys.size === 0 ? new Map<string, number>() : await reading.services.interning.findUsers(keys);
  const known = new Map<number, number[]>();
  const pairs: (readonly [number, number])[] = [];
  for (const planned of lazy) {
    const { room, initial, row, otherState } = planned;
    const timeline = timelineOf(planned);
    const seen = new Set<number>();
    for (const { read } of timeline.events) {
      seen.add(read.row.sender_nid);
      const target = read.event.type === MEMBER ? nids.get(read.event.state_key ?? "") : undefined;
      if (target !== undefined) seen.add(target);
    }
    // After a gap the client asks for members anew.
    const had = initial || timeline.limited || otherState?.lazy === false ? [] : (row?.members ?? []);
    for (const user of seen) if (!had.includes(user)) pairs.push([room.room_nid, user]);
    const changed = timeline.limited ? [] : [...(states.get(room.room_nid)?.changedMembers ?? [])].flatMap((id) => nids.get(id) ?? []);
    known.set(room.room_nid, [...new Set([...had, ...changed, ...seen])].slice(-REMEMBERED_MEMBERS));
  }
  if (pairs.length === 0) return known;
  for (const { room_nid, tuple_nid, event_nid } of await currentMembers(reading.reads, pairs)) states.get(room_nid)?.events.set(tuple_nid, event_nid);
  return known;
}

function noteParts(state: RoomState, type: string, stateKey: string): void {
  if (type === MEMBER) state.members = true;
  if (stateKey !== "") return;
  if (type === "m.room.name") state.name = true;
  if (type === "m.room.avatar") state.avatar = true;
}

/** The part of a room's history that is told. */
export function windowOf(reading: SlidingReading, { room, initial, moreTimeline, from }: PlannedRoom): RoomWindow {
  const whole = initial || moreTimeline;
  const left = isLeft(room);
  return {
    room_nid: room.room_nid,
    room_id: room.room_id,
    section: left ? "leave" : "join",
    after: whole ? 0 : from,
    upTo: left ? room.position : reading.upTo,
    fullState: false,
    isNew: false,
    joinedThroughout: !whole && !left && room.position <= from,
  };
}
