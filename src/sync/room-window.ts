// The part of a room's history that one sync shows: which events, and what of the state before or after them.
import type { EventTest } from "../protocol/filter.js";
import type { UserId } from "../protocol/identifiers.js";
import { membershipIn, type Membership } from "../protocol/membership.js";
import type { EventCache, ReadEvent } from "../rooms/views/event-cache.js";
import { type RelatedFilter, relatedTest } from "../rooms/views/related-filter.js";
import { isDeeper, RECENT } from "../rooms/views/place.js";
import { formatToken } from "../rooms/token.js";
import { isIgnored, visibleEvents, type VisibilityReader, type VisibilityServices } from "../rooms/views/visibility.js";
import type { Reads } from "../storage/statement.js";
import type { StateChange } from "../storage/state.js";
import { DEEPEST_BEFORE, HISTORIES, TIMELINES, type TimelineRow } from "../storage/sync.js";

/** A room in one answer, before anything of it was read. */
export interface RoomWindow {
  readonly room_nid: number;
  readonly room_id: string;
  readonly section: "join" | "leave";
  /** Events after this position and up to the other. */
  readonly after: number;
  readonly upTo: number;
  /** The whole state is shown, not what changed in the window. */
  readonly fullState: boolean;
  /** The client has not seen the room before, so that what is older than the timeline is a gap. */
  readonly isNew: boolean;
  /** The user was joined throughout, so that all is visible. */
  readonly joinedThroughout: boolean;
}

export interface TimelineEvent {
  readonly read: ReadEvent;
  readonly membership: Membership;
}

export interface Timeline {
  /** Oldest first: in the order of arrival, or of the history where the client knew nothing of the room. */
  readonly events: readonly TimelineEvent[];
  readonly limited: boolean;
  readonly prevBatch: string | undefined;
}

const EVERYTHING = Number.MAX_SAFE_INTEGER;
/** How often more is read when a filter or the history's visibility left too little; then the rest is a gap. */
const ROUNDS = 6;

/** Which events of a timeline a client wants, and how many at most. */
export interface TimelineFilter {
  readonly limit: number;
  /** Smaller limits of single rooms. */
  readonly limits?: ReadonlyMap<number, number>;
  readonly test: EventTest | undefined;
  readonly related: RelatedFilter | undefined;
}

interface Reading {
  readonly window: RoomWindow;
  /** Read in the order of the history. */
  readonly byHistory: boolean;
  readonly shown: TimelineEvent[];
  /** The last row that was looked at; what is read next lies before it. */
  last: TimelineRow | undefined;
  exhausted: boolean;
  /** An event was met that follows others which the timeline does not have: nothing older is shown with it. */
  gap: boolean;
  /** The oldest event that could have been shown. */
  oldest: ReadEvent | undefined;
  newest: ReadEvent | undefined;
}

/**
 * The timelines of many windows: of each the newest `limit` events that pass the test and that the user may see. A constant
 * number of statements, unless a filter leaves so little that more has to be read.
 *
 * Newest are the last to arrive, but of a room that the client knows nothing of those at the end of its history: what it
 * pages back to from there is then all that is older, and a branch that came in late stands where it belongs.
 */
export async function readTimelines(
  services: VisibilityServices,
  reads: Reads,
  reader: VisibilityReader,
  windows: readonly RoomWindow[],
  wanted: TimelineFilter,
): Promise<Map<number, Timeline>> {
  const { limit } = wanted;
  const limitOf = ({ room_nid }: RoomWindow): number => wanted.limits?.get(room_nid) ?? limit;
  const readings = windows.map(
    (window): Reading => ({ window, byHistory: window.after === 0, shown: [], last: undefined, exhausted: false, gap: false, oldest: undefined, newest: undefined }),
  );
  let open = readings;
  for (let round = 0, chunk = limit + 1; round < ROUNDS && open.length > 0; round++, chunk *= 2) {
    await readOlder(services, reads, reader, open, chunk, wanted);
    open = open.filter(({ window, exhausted, shown }) => !exhausted && shown.length <= limitOf(window));
  }
  const found = readings.map((reading) => ({ reading, ...shownOf(reading, limitOf(reading.window)) }));
  const late = found.flatMap(({ reading: { byHistory, window }, limited, boundary }) =>
    byHistory || !limited || boundary === undefined ? [] : [{ room: window.room_nid, before: boundary.row.ordinal }],
  );
  const olders = late.length === 0 ? [] : await reads.read(DEEPEST_BEFORE, [late.map(({ room }) => room), late.map(({ before }) => before), RECENT]);
  const olderOf = new Map(olders.map((older) => [older.room_nid, older]));
  return new Map(
    found.map(({ reading, events, limited, boundary }) => {
      const { byHistory, newest, window } = reading;
      let prevBatch: string | undefined;
      if (boundary !== undefined) {
        const older = olderOf.get(window.room_nid);
        const { depth, nid, position } = boundary.row;
        // What arrived before may lie deeper, what arrived later is shown already: unless both came at once.
        const start = older !== undefined && isDeeper(older, boundary.row) ? { depth: older.depth, nid: older.nid + 1 } : { depth, nid };
        const upTo = byHistory ? window.upTo : older?.last === position ? position : position - 1;
        prevBatch = formatToken({ kind: "history", ...start, position: Math.max(0, position - 1), ...(limited && { upTo }) });
      } else if (limited && newest !== undefined) {
        const { depth, nid, position } = newest.row;
        prevBatch = formatToken({ kind: "history", depth, nid: nid + 1, position });
      }
      return [window.room_nid, { events, limited, prevBatch }];
    }),
  );
}

async function readOlder(
  services: VisibilityServices,
  reads: Reads,
  reader: VisibilityReader,
  readings: readonly Reading[],
  chunk: number,
  { test, related }: TimelineFilter,
): Promise<void> {
  const rows = await olderRows(reads, readings, chunk);
  const events = await services.events.get(
    reads,
    [...rows].flatMap(([{ window }, found]) => found.filter((row) => isOf(row, window)).map(({ nid }) => nid)),
  );
  const byRoom = new Map<number, ReadEvent[]>();
  for (const [{ window }, found] of rows) {
    const all = found.flatMap((row) => (isOf(row, window) ? (events.get(row.nid) ?? []) : []));
    byRoom.set(window.room_nid, all);
  }
  const doubtful = readings.flatMap(({ window }) => (window.joinedThroughout ? [] : (byRoom.get(window.room_nid) ?? [])));
  const visible = doubtful.length === 0 ? undefined : await visibleEvents(services, reads, reader, doubtful);
  const isRelated = related === undefined ? undefined : await relatedTest(services.interning, reads, related, [...events.values()]);
  for (const reading of readings) {
    const all = byRoom.get(reading.window.room_nid) ?? [];
    const cut = all.findIndex(followsGap);
    const found = cut < 0 ? all : all.slice(0, cut + 1);
    const looked = rows.get(reading) ?? [];
    reading.exhausted = looked.length < chunk;
    reading.last = looked.at(-1) ?? reading.last;
    reading.oldest = found.at(-1) ?? reading.oldest;
    reading.newest ??= found[0];
    for (const read of found) {
      const membership = reading.window.joinedThroughout ? membershipAt(read, reader.user_id) : visible?.get(read.row.nid);
      if (membership === undefined || isIgnored(reader, read) || isRelated?.(read) === false) continue;
      if (test?.({ ...read.event, room_id: read.room_id }) === false) continue;
      reading.shown.push({ read, membership });
    }
    if (cut >= 0) reading.gap = reading.exhausted = true;
  }
}

/** What lies before that which the readings have looked at, newest first. */
async function olderRows(reads: Reads, readings: readonly Reading[], chunk: number): Promise<Map<Reading, TimelineRow[]>> {
  const histories = readings.filter(({ byHistory }) => byHistory);
  const timelines = readings.filter(({ byHistory }) => !byHistory);
  const rows = await Promise.all([
    histories.length === 0
      ? []
      : reads.read(HISTORIES, [
          histories.map(({ window }) => window.room_nid),
          histories.map(({ last }) => last?.depth ?? EVERYTHING),
          histories.map(({ last }) => last?.nid ?? 0),
          chunk,
        ]),
    timelines.length === 0
      ? []
      : reads.read(TIMELINES, [
          timelines.map(({ window }) => window.room_nid),
          timelines.map(({ window }) => window.after),
          timelines.map(({ window }) => window.upTo),
          timelines.map(({ last }) => last?.ordinal ?? EVERYTHING),
          chunk,
        ]),
  ]);
  const found = new Map(readings.map((reading): [Reading, TimelineRow[]] => [reading, []]));
  const ofRoom = new Map([...found].map(([{ window }, list]) => [window.room_nid, list]));
  for (const row of rows.flat()) ofRoom.get(row.room_nid)?.push(row);
  return found;
}

/** Whether the live timeline has it, in this window: not what was fetched of older history. */
function isOf({ ordinal, position }: TimelineRow, { upTo }: RoomWindow): boolean {
  return ordinal !== null && position <= upTo;
}

/** Whether an event came in before some of those that it follows: between it and what is older here lies a gap, filled or not. */
export function followsGap({ row, event }: ReadEvent): boolean {
  return row.prev_nids.length < event.prev_events.length;
}

/** The membership of a user who is joined before and after: their own member event may still say so anew. */
function membershipAt({ event }: ReadEvent, userId: UserId | undefined): Membership {
  return event.type === "m.room.member" && event.state_key === userId
    ? (membershipIn(event.content) ?? "join")
    : "join";
}

/** What is shown of a reading, and the event before which it begins. */
function shownOf(
  { window, shown, exhausted, gap, oldest }: Reading,
  limit: number,
): { readonly events: readonly TimelineEvent[]; readonly limited: boolean; readonly boundary: ReadEvent | undefined } {
  const events = shown.slice(0, limit).toReversed();
  const limited = shown.length > limit || !exhausted || gap || window.isNew;
  return { events, limited, boundary: events[0]?.read ?? (limit === 0 || !limited ? undefined : oldest) };
}

/** Tuple to event, by number. */
type State = Map<number, number>;

/**
 * The state at the start of a timeline, from the state at its end: what the timeline's own events replaced is put back
 * ("state", as opposed to "state_after").
 */
export function stateAtStart(state: ReadonlyMap<number, number>, timeline: Timeline, tupleOf: TupleOf): State {
  const start: State = new Map(state);
  const seen = new Set<number>();
  // What replaced what is a matter of arrival, in whatever order the events are shown.
  for (const { read } of timeline.events.toSorted((a, b) => (a.read.row.ordinal ?? 0) - (b.read.row.ordinal ?? 0))) {
    const tuple = tupleOf(read);
    if (tuple === undefined || seen.has(tuple)) continue;
    seen.add(tuple);
    if (read.row.replaces === null) start.delete(tuple);
    else start.set(tuple, read.row.replaces);
  }
  return start;
}

/** The number of an event's (type, state_key); undefined for events that are not state. */
export type TupleOf = (read: ReadEvent) => number | undefined;

/**
 * What of a room's state a client has to be told when it has seen the window's start: with `after`, how all that changed is
 * at the end; else how what changed before the timeline was at its start, and what changed by no event of the timeline.
 */
export function changedState(
  changes: readonly StateChange[],
  window: RoomWindow,
  timeline: Timeline,
  after: boolean,
): State {
  const shown = new Map<number, ReadEvent>();
  for (const { read } of timeline.events) shown.set(read.row.nid, read);
  const byTuple = new Map<number, StateChange[]>();
  for (const change of changes) {
    if (change.position <= window.after || change.position > window.upTo) continue;
    const list = byTuple.get(change.tuple_nid);
    if (list === undefined) byTuple.set(change.tuple_nid, [change]);
    else list.push(change);
  }
  const state: State = new Map();
  for (const [tuple, list] of byTuple) {
    const last = list.at(-1)?.event_nid ?? null;
    if (last === null) continue;
    if (after || !shown.has(last)) {
      state.set(tuple, last);
      continue;
    }
    // The client learns of the last one in the timeline; of an earlier one only if the timeline begins later.
    const first = list.find(({ event_nid }) => event_nid !== null && shown.has(event_nid));
    const before = shown.get(first?.event_nid ?? -1)?.row.replaces ?? null;
    if (before !== null && !shown.has(before) && list.some(({ event_nid }) => event_nid === before)) state.set(tuple, before);
  }
  return state;
}

/** Loads what these states name. */
export async function loadStates(
  cache: EventCache,
  reads: Reads,
  states: Iterable<ReadonlyMap<number, number>>,
): Promise<Map<number, ReadEvent>> {
  const nids = new Set<number>();
  for (const state of states) for (const nid of state.values()) nids.add(nid);
  return cache.get(reads, nids);
}
