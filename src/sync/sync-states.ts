// The state that an answer of /sync shows of its rooms: whole or what changed, at the start of the timeline or at its end, and with
// lazy loading of the members only those who matter (client-server API, "Lazy-loading room members").
import { isState } from "../protocol/event.js";
import { membershipIn } from "../protocol/membership.js";
import { stateTuple, type StateTuple } from "../protocol/state-map.js";
import type { ReadEvent } from "../rooms/views/event-cache.js";
import { stateChanges, stateChangedSince, type StateChange } from "../storage/state.js";
import { CURRENT_STATE, CURRENT_STATE_WITHOUT_MEMBERS, currentMembers, type MembershipNow, type StateRow } from "../storage/sync.js";
import { wholeSnapshots } from "../storage/visibility.js";
import { changedState, readTimelines, type RoomWindow, stateAtStart, type Timeline } from "./room-window.js";
import type { SyncReading } from "./sync-request.js";
import type { RoomSection, Summary } from "./sync-summaries.js";
import type { SyncWindows } from "./sync-windows.js";

const MEMBER = "m.room.member";

type TimelineOf = (window: RoomWindow) => Timeline;

/** Timelines and states of the windows. */
export async function sectionsOf(reading: SyncReading, { windows, completed }: SyncWindows, memberships: readonly MembershipNow[]): Promise<RoomSection[]> {
  const { filter, stateAfter } = reading.request;
  const timelines = await readTimelines(reading.services, reading.reads, reading.shownTo, windows, {
    limit: filter.timelineLimit,
    test: filter.timeline,
    related: filter.related,
  });
  const timelineOf: TimelineOf = (window) => timelines.get(window.room_nid) ?? { events: [], limited: false, prevBatch: undefined };
  const whole = windows.filter(({ fullState }) => fullState);
  const partial = windows.filter(({ fullState }) => !fullState);
  const [wholeStates, changes] = await Promise.all([
    readWholeStates(reading, whole, timelineOf, memberships),
    readChanges(reading, partial.map(({ room_nid }) => room_nid), completed),
  ]);
  const tuples = await timelineTuples(reading, windows, timelineOf);
  return windows.map((window) => {
    const timeline = timelineOf(window);
    const state = window.fullState
      ? (wholeStates.get(window.room_nid) ?? new Map<number, number>())
      : changedState(changes.get(window.room_nid) ?? [], window, timeline, stateAfter !== undefined);
    const atStart = window.fullState && stateAfter === undefined ? stateAtStart(state, timeline, tuples) : state;
    return { window, timeline, state: atStart };
  });
}

async function readChanges(reading: SyncReading, rooms: readonly number[], completed: SyncWindows["completed"]): Promise<Map<number, StateChange[]>> {
  const { reads, after, upTo, request } = reading;
  const byRoom = new Map<number, StateChange[]>();
  if (rooms.length === 0) return byRoom;
  const changes = reading.logReachesBack ? await stateChanges(reads, rooms, { after, upTo }) : await stateChangedSince(reads, rooms, after);
  for (const change of changes) {
    // With lazy loading, who was there all the time is shown when it matters.
    if (change.type === MEMBER && completed.get(change.room_nid) === change.position && request.filter.lazyLoadMembers) continue;
    const list = byRoom.get(change.room_nid);
    if (list === undefined) byRoom.set(change.room_nid, [change]);
    else list.push(change);
  }
  return byRoom;
}

/** The numbers of the state keys of the timelines' state events. */
async function timelineTuples({ services }: SyncReading, windows: readonly RoomWindow[], timelineOf: TimelineOf): Promise<(read: ReadEvent) => number | undefined> {
  const names = new Set<StateTuple>();
  for (const window of windows) {
    for (const { read } of timelineOf(window).events) {
      if (isState(read.event)) names.add(stateTuple(read.event.type, read.event.state_key));
    }
  }
  const nids = await services.interning.findTuples(names);
  return ({ event }) => (isState(event) ? nids.get(stateTuple(event.type, event.state_key)) : undefined);
}

/** The whole state of rooms at the end of their windows; with lazy loading only those members that matter. */
async function readWholeStates(
  reading: SyncReading,
  windows: readonly RoomWindow[],
  timelineOf: TimelineOf,
  memberships: readonly MembershipNow[],
): Promise<Map<number, Map<number, number>>> {
  const { reads, reader, request } = reading;
  const { lazyLoadMembers } = request.filter;
  const joined = windows.filter(({ section }) => section === "join");
  const rooms = joined.map(({ room_nid }) => room_nid);
  const states = new Map<number, Map<number, number>>(windows.map(({ room_nid }) => [room_nid, new Map()]));
  const put = ({ room_nid, tuple_nid, event_nid }: StateRow): void => void states.get(room_nid)?.set(tuple_nid, event_nid);
  if (rooms.length > 0) {
    const rows = await reads.read(lazyLoadMembers ? CURRENT_STATE_WITHOUT_MEMBERS : CURRENT_STATE, [rooms]);
    rows.forEach(put);
    if (lazyLoadMembers) {
      const pairs = joined.flatMap((window) => {
        const senders = timelineOf(window).events.map(({ read }) => read.row.sender_nid);
        return [...new Set([reader.user_nid, ...senders])].map((user) => [window.room_nid, user] as const);
      });
      const members = await currentMembers(reads, pairs);
      members.forEach(put);
      noteSent(reading, members);
    }
  }
  await readLeftStates(reading, windows, memberships, states);
  return states;
}

/** Notes that the device has these members with this answer: in the state, or where they changed in the timeline. */
function noteSent({ services, reader: { user_id, device_id }, upTo }: SyncReading, members: readonly StateRow[]): void {
  if (device_id === undefined) return;
  for (const { room_nid, user_nid, event_nid } of members) {
    if (user_nid !== null) services.sentMembers.add(`${user_id} ${device_id}`, room_nid, user_nid, event_nid, upTo);
  }
}

/** The whole state of rooms that the user has left, as of then: before the leaving, and the leaving itself. */
async function readLeftStates(
  { services, reads, reader }: SyncReading,
  windows: readonly RoomWindow[],
  memberships: readonly MembershipNow[],
  states: Map<number, Map<number, number>>,
): Promise<void> {
  const left = windows.filter(({ section }) => section === "leave");
  if (left.length === 0) return;
  const leaving = new Map(memberships.map(({ room_nid, event_nid }) => [room_nid, event_nid]));
  const events = await services.events.get(reads, left.flatMap(({ room_nid }) => leaving.get(room_nid) ?? []));
  const replaced = await services.events.get(reads, [...events.values()].flatMap(({ row }) => row.replaces ?? []));
  const tuple = stateTuple(MEMBER, reader.user_id);
  const own = (await services.interning.findTuples([tuple])).get(tuple);
  const before = new Map<number, number>();
  for (const { room_nid } of left) {
    const read = events.get(leaving.get(room_nid) ?? -1);
    if (read === undefined || own === undefined) continue;
    states.get(room_nid)?.set(own, read.row.nid);
    // Whoever was only invited or knocked learns nothing of a room's state by being turned away.
    const wasJoined = membershipIn(replaced.get(read.row.replaces ?? -1)?.event.content ?? {}) === "join";
    if (wasJoined && read.row.state_before !== null) before.set(room_nid, read.row.state_before);
  }
  const snapshots = await wholeSnapshots(reads, [...before.values()]);
  for (const [room, snapshot] of before) {
    const state = states.get(room);
    for (const [key, nid] of snapshots.get(snapshot) ?? []) if (state && !state.has(key)) state.set(key, nid);
  }
}

/** The states with what lazy loading adds: the members who sent the timeline's events, and the heroes. */
export async function withLazyMembers(
  reading: SyncReading,
  sections: readonly RoomSection[],
  summaries: ReadonlyMap<number, Summary>,
): Promise<Map<number, Map<number, number>>> {
  const { services, reader, request, after, upTo } = reading;
  const { filter, since } = request;
  const states = new Map(sections.map(({ window, state }) => [window.room_nid, new Map(state)]));
  const { device_id } = reader;
  if (!filter.lazyLoadMembers) return states;
  const device = `${reader.user_id} ${device_id ?? ""}`;
  const pairs = sections.flatMap(({ window, timeline }) => {
    const senders = window.fullState ? [] : timeline.events.map(({ read }) => read.row.sender_nid);
    const heroes = summaries.get(window.room_nid)?.heroes ?? [];
    return [...new Set([...senders, ...heroes])].map((user) => [window.room_nid, user] as const);
  });
  const shown = new Map(sections.map(({ window, timeline }) => [window.room_nid, timeline]));
  for (const { room_nid, tuple_nid, event_nid, user_nid } of await currentMembers(reading.reads, pairs)) {
    const state = states.get(room_nid);
    const timeline = shown.get(room_nid);
    if (state === undefined || timeline === undefined || user_nid === null || state.has(tuple_nid)) continue;
    const inTimeline = timeline.events.find(({ read }) => read.event.type === MEMBER && read.row.nid === event_nid);
    // A member event that the timeline shows is not shown before; what it replaced is, so that names are right.
    const nid = inTimeline === undefined || request.stateAfter !== undefined ? event_nid : inTimeline.read.row.replaces;
    if (nid === null) continue;
    const known =
      !filter.includeRedundantMembers &&
      since !== undefined &&
      device_id !== undefined &&
      services.sentMembers.has(device, room_nid, user_nid, nid, after);
    if (!known) state.set(tuple_nid, nid);
    if (device_id !== undefined) services.sentMembers.add(device, room_nid, user_nid, nid, upTo);
  }
  return states;
}
