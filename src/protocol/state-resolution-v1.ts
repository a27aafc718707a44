// State resolution of room version 1.
import { hash } from "node:crypto";
import type { FetchEvents } from "./auth-chains.js";
import { authorisingTuples } from "./auth-events.js";
import { authorise } from "./authorisation.js";
import { requireOneRoom, type RoomEvent } from "./event.js";
import type { EventId } from "./identifiers.js";
import type { RoomVersion } from "./room-version.js";
import { splitStateTuple, type StateMap, type StateTuple } from "./state-map.js";

/**
 * Resolves by the algorithm of room version 1. A key conflicts only where two states have different events for it; one
 * that some states lack does not. Throws Error if an event is of another room.
 */
export async function resolveV1(
  version: RoomVersion,
  sets: readonly StateMap<EventId>[],
  fetch: FetchEvents,
): Promise<StateMap<EventId>> {
  const { resolved, conflicted } = separate(sets);
  const loaded = await fetch([...conflicted.values()].flatMap((ids) => [...ids]));
  const candidates = new Map<StateTuple, RoomEvent[]>();
  for (const [tuple, ids] of conflicted) {
    const events = [...ids].flatMap((id) => loaded.get(id)?.event ?? []);
    if (events.length > 1) candidates.set(tuple, events);
    else if (events[0] !== undefined) resolved.set(tuple, events[0].event_id);
  }

  // The unconflicted state that the rules look at for the conflicting events.
  const needed = new Map<EventId, StateTuple>();
  for (const tuple of [...candidates.values()].flat().flatMap((event) => authorisingTuples(version, event))) {
    const id = resolved.get(tuple);
    if (id !== undefined && !conflicted.has(tuple)) needed.set(id, tuple);
  }
  const state = new Map<StateTuple, RoomEvent>();
  for (const [id, { event }] of await fetch([...needed.keys()])) {
    const tuple = needed.get(id);
    if (tuple !== undefined) state.set(tuple, event);
  }
  requireOneRoom([...[...candidates.values()].flat(), ...state.values()]);

  // Power levels, then join rules, then members, each against the results so far; then everything else.
  for (const pass of PASSES) {
    const results: (readonly [StateTuple, RoomEvent])[] = [];
    for (const [tuple, events] of candidates) {
      if (!pass(...splitStateTuple(tuple))) continue;
      results.push([tuple, resolveAuthorising(version, tuple, ordered(events), state)]);
      candidates.delete(tuple);
    }
    for (const [tuple, event] of results) {
      state.set(tuple, event);
      resolved.set(tuple, event.event_id);
    }
  }
  for (const [tuple, events] of candidates) {
    const event = resolveOther(version, ordered(events), state);
    if (event !== undefined) resolved.set(tuple, event.event_id);
  }
  return resolved;
}

const PASSES: readonly ((type: string, stateKey: string) => boolean)[] = [
  (type, stateKey) => type === "m.room.power_levels" && stateKey === "",
  (type) => type === "m.room.join_rules",
  (type) => type === "m.room.member",
];

interface Separated {
  readonly resolved: Map<StateTuple, EventId>;
  readonly conflicted: ReadonlyMap<StateTuple, ReadonlySet<EventId>>;
}

function separate(sets: readonly StateMap<EventId>[]): Separated {
  const values = new Map<StateTuple, Set<EventId>>();
  for (const set of sets) {
    for (const [tuple, id] of set) {
      const ids = values.get(tuple);
      if (ids) ids.add(id);
      else values.set(tuple, new Set([id]));
    }
  }
  const resolved = new Map<StateTuple, EventId>();
  const conflicted = new Map<StateTuple, ReadonlySet<EventId>>();
  for (const [tuple, ids] of values) {
    const [only, ...others] = ids;
    if (only !== undefined && others.length === 0) resolved.set(tuple, only);
    else conflicted.set(tuple, ids);
  }
  return { resolved, conflicted };
}

/** Ascending by depth, then descending by SHA-1 of the event id. */
function ordered(events: readonly RoomEvent[]): readonly RoomEvent[] {
  const keyed = events.map((event) => ({ event, sha1: hash("sha1", event.event_id, "hex") }));
  keyed.sort((a, b) => a.event.depth - b.event.depth || (a.sha1 < b.sha1 ? 1 : -1));
  return keyed.map(({ event }) => event);
}

/**
 * For events that authorise others: takes the first, then each next one as long as the rules allow it in the state with
 * its predecessor; the first that they do not allow ends the search.
 */
function resolveAuthorising(
  version: RoomVersion,
  tuple: StateTuple,
  events: readonly RoomEvent[],
  state: StateMap<RoomEvent>,
): RoomEvent {
  const [first, ...rest] = events;
  if (first === undefined) throw new Error("a conflict has events");
  const local = new Map<StateTuple, RoomEvent>();
  for (const needed of events.flatMap((event) => authorisingTuples(version, event))) {
    const current = state.get(needed);
    if (current !== undefined) local.set(needed, current);
  }
  let result = first;
  for (const event of rest) {
    local.set(tuple, result);
    if (!authorise(version, event, local).allowed) break;
    result = event;
  }
  return result;
}

/** For all other events: the last that the rules allow, or the first if they allow none. */
function resolveOther(
  version: RoomVersion,
  events: readonly RoomEvent[],
  state: StateMap<RoomEvent>,
): RoomEvent | undefined {
  return events.findLast((event) => authorise(version, event, state).allowed) ?? events[0];
}
