// State resolution of room versions 2 to 11 (v2) and of version 12 (v2.1).
import { authChainOf, authDifference, type CommonEvents, conflictedSubgraph, type FetchEvents } from "./auth-chains.js";
import { authorisingTuples } from "./auth-events.js";
import { type AuthEvent, authorise } from "./authorisation.js";
import { requireOneRoom, type RoomEvent } from "./event.js";
import { createEventIdOfRoom, type EventId } from "./identifiers.js";
import { membershipIn } from "./membership.js";
import { powerLevels, userLevel } from "./power-levels.js";
import type { RoomVersion } from "./room-version.js";
import { type StateMap, type StateTuple, stateTuple } from "./state-map.js";
import { Turns } from "./turns.js";

const POWER_LEVELS = stateTuple("m.room.power_levels", "");
const MAX_REMEMBERED = 10_000;

/** What states that meet have in common: under these keys all have the same event. */
export interface CommonState extends CommonEvents {
  /** What it has under some keys. */
  at(tuples: Iterable<StateTuple>): Promise<StateMap<EventId>>;
}

/** Resolves whole states by the algorithm of room version 2, or by its successor. As `resolveConflict`. */
export async function resolveV2(version: RoomVersion, sets: readonly StateMap<EventId>[], fetch: FetchEvents): Promise<StateMap<EventId>> {
  const { unconflicted, sides } = separate(sets);
  const ids = new Set(unconflicted.values());
  const resolved = await resolveConflict(
    version,
    sides,
    {
      has: (id) => ids.has(id),
      reached: async () => await authChainOf(ids, fetch),
      at: async (tuples) => {
        const found = new Map<StateTuple, EventId>();
        for (const tuple of tuples) {
          const id = unconflicted.get(tuple);
          if (id !== undefined) found.set(tuple, id);
        }
        return await Promise.resolve(found);
      },
    },
    fetch,
  );
  return new Map([...unconflicted, ...resolved]);
}

/**
 * Resolves by the algorithm of room version 2, or by its successor where the version says so; the numbered steps are the
 * specification's ("Algorithm"). `sides` are the states without what they have in common, the result is what comes beside that.
 * The work depends on what is in conflict, not on the size of the room, and others have their turn meanwhile. Two points follow
 * the federation where the text is open: chains include the events that they start from, and rejected events never enter the
 * result. Throws Error if an event is of another room.
 */
export async function resolveConflict(
  version: RoomVersion,
  sides: readonly StateMap<EventId>[],
  common: CommonState,
  load: FetchEvents,
): Promise<StateMap<EventId>> {
  const fetch = remembering(load);
  const conflicted = new Set(sides.flatMap((side) => [...side.values()]));
  if (conflicted.size === 0) return new Map();
  const revised = version.stateResolution === "v2.1";

  // The full conflicted set, and every event that the rules may have to look at.
  const difference = await authDifference(sides.map((side) => new Set(side.values())), common, fetch);
  const subgraph = revised ? await conflictedSubgraph(conflicted, fetch) : [];
  const pool = new EventPool(version, fetch);
  const ids = new Set([...conflicted, ...difference, ...subgraph]);
  await pool.load(ids);
  const full = new Map<EventId, RoomEvent>();
  for (const id of ids) {
    const event = pool.get(id)?.event;
    if (event !== undefined) full.set(id, event);
  }
  const needed = new Set([POWER_LEVELS]);
  for (const event of full.values()) {
    await pool.turns.next();
    for (const tuple of authorisingTuples(version, event)) needed.add(tuple);
  }
  const unconflicted = await common.at(needed);
  await pool.load([...[...full.values()].flatMap((event) => pool.authEventIds(event)), ...unconflicted.values()]);

  // 1. Power events, with what of their auth chains is in the full conflicted set, in reverse topological power ordering.
  const power = await sortByPower(version, withConflictedChains(full, pool), pool);
  // 2. Iterative auth checks on these, from the unconflicted state; from nothing in v2.1.
  const state = new Map(revised ? [] : unconflicted);
  await applyAllowed(version, power, state, pool);
  // 3. All remaining events, in the mainline ordering of the power levels so far.
  const chosen = new Set(power.map((event) => event.event_id));
  const remaining = [...full.values()].filter((event) => !chosen.has(event.event_id));
  const sorted = await sortByMainline(remaining, state.get(POWER_LEVELS), pool);
  // 4. Iterative auth checks on these.
  await applyAllowed(version, sorted, state, pool);
  // 5. The unconflicted state holds in any case.
  for (const tuple of (await common.at(state.keys())).keys()) state.delete(tuple);
  return state;
}

/** Loads each event once, as far as that is worth remembering. */
function remembering(load: FetchEvents): FetchEvents {
  const loaded = new Map<EventId, AuthEvent>();
  return async (ids) => {
    const found = new Map<EventId, AuthEvent>();
    const unknown: EventId[] = [];
    for (const id of ids) {
      const event = loaded.get(id);
      if (event === undefined) unknown.push(id);
      else found.set(id, event);
    }
    if (unknown.length === 0) return found;
    for (const [id, event] of await load(unknown)) {
      found.set(id, event);
      if (loaded.size < MAX_REMEMBERED) loaded.set(id, event);
    }
    return found;
  };
}

/** The events that take part in one resolution, loaded in batches. */
class EventPool {
  /** Counts all steps that are made with its events. */
  readonly turns = new Turns();
  readonly #version: RoomVersion;
  readonly #fetch: FetchEvents;
  readonly #events = new Map<EventId, AuthEvent | undefined>();
  #first: RoomEvent | undefined;

  constructor(version: RoomVersion, fetch: FetchEvents) {
    this.#version = version;
    this.#fetch = fetch;
  }

  async load(ids: Iterable<EventId>): Promise<void> {
    const missing = [...new Set(ids)].filter((id) => !this.#events.has(id));
    if (missing.length === 0) return;
    const loaded = await this.#fetch(missing);
    for (const id of missing) {
      const entry = loaded.get(id);
      if (entry !== undefined) requireOneRoom([this.#first ?? entry.event, entry.event]);
      this.#first ??= entry?.event;
      this.#events.set(id, entry);
    }
  }

  /** An event loaded before; undefined if nobody has it. */
  get(id: EventId): AuthEvent | undefined {
    return this.#events.get(id);
  }

  /** What an event's auth events are, the create event that a hashed room id implies among them. */
  authEventIds(event: RoomEvent): readonly EventId[] {
    if (!this.#version.hashedRoomIds || event.type === "m.room.create") return event.auth_events;
    return [...event.auth_events, createEventIdOfRoom(event.room_id)];
  }

  authEvents(event: RoomEvent): AuthEvent[] {
    return this.authEventIds(event).flatMap((id) => this.get(id) ?? []);
  }

  /** The auth event of a type without state key. */
  authEvent(event: RoomEvent, type: string): RoomEvent | undefined {
    return this.authEvents(event).find((auth) => auth.event.type === type && auth.event.state_key === "")?.event;
  }
}

interface Separated {
  readonly unconflicted: StateMap<EventId>;
  /** The states without it. */
  readonly sides: readonly StateMap<EventId>[];
}

/** A key conflicts unless all states have the same event for it. */
function separate(sets: readonly StateMap<EventId>[]): Separated {
  const unconflicted = new Map<StateTuple, EventId>();
  const [first = new Map<StateTuple, EventId>()] = sets;
  for (const [tuple, id] of first) if (sets.every((other) => other.get(tuple) === id)) unconflicted.set(tuple, id);
  return { unconflicted, sides: sets.map((set) => new Map([...set].filter(([tuple]) => !unconflicted.has(tuple)))) };
}

/** "Power events": those that might take away someone's ability to do something. */
function isPowerEvent(event: RoomEvent): boolean {
  if (event.type === "m.room.member") {
    const membership = membershipIn(event.content);
    return (membership === "leave" || membership === "ban") && event.sender !== event.state_key;
  }
  const power = event.type === "m.room.power_levels" || event.type === "m.room.join_rules" || event.type === "m.room.create";
  return power && event.state_key === "";
}

/** The power events of the full conflicted set and, as far as they belong to it, the events of their auth chains. */
function withConflictedChains(full: ReadonlyMap<EventId, RoomEvent>, pool: EventPool): readonly RoomEvent[] {
  const found = new Set([...full.values()].filter(isPowerEvent));
  for (const event of found) {
    for (const id of pool.authEventIds(event)) {
      const auth = full.get(id);
      if (auth !== undefined) found.add(auth); // and so visited in turn
    }
  }
  return [...found];
}

interface Ranked {
  readonly event: RoomEvent;
  readonly level: number;
  /** How many of its auth events among those to sort are not sorted yet. */
  open: number;
  readonly children: Ranked[];
}

/** "Reverse topological power ordering", by Kahn's algorithm over a heap of the events that nothing holds back. */
async function sortByPower(version: RoomVersion, events: readonly RoomEvent[], pool: EventPool): Promise<readonly RoomEvent[]> {
  const ranked = new Map<EventId, Ranked>();
  for (const event of events) {
    await pool.turns.next();
    ranked.set(event.event_id, { event, level: senderLevel(version, event, pool), open: 0, children: [] });
  }
  for (const entry of ranked.values()) {
    for (const id of new Set(pool.authEventIds(entry.event))) {
      const parent = ranked.get(id);
      if (parent === undefined) continue;
      parent.children.push(entry);
      entry.open++;
    }
  }
  const ready = new Heap<Ranked>((a, b) => a.level > b.level || (a.level === b.level && isEarlier(a.event, b.event)));
  for (const entry of ranked.values()) if (entry.open === 0) ready.push(entry);
  const sorted: RoomEvent[] = [];
  for (let next = ready.pop(); next !== undefined; next = ready.pop()) {
    await pool.turns.next();
    sorted.push(next.event);
    for (const child of next.children) if (--child.open === 0) ready.push(child);
  }
  return sorted;
}

/** The level of an event's sender by the event's own auth events. */
function senderLevel(version: RoomVersion, event: RoomEvent, pool: EventPool): number {
  const create = pool.authEvent(event, "m.room.create");
  return create === undefined ? 0 : userLevel(powerLevels(version, create, pool.authEvent(event, "m.room.power_levels")), event.sender);
}

/** The order that all orderings end with: by time, then by id. */
function isEarlier(a: RoomEvent, b: RoomEvent): boolean {
  if (a.origin_server_ts !== b.origin_server_ts) return a.origin_server_ts < b.origin_server_ts;
  return a.event_id < b.event_id;
}

/** "Iterative auth checks": applies each event that the rules allow to the state. */
async function applyAllowed(
  version: RoomVersion,
  events: readonly RoomEvent[],
  state: Map<StateTuple, EventId>,
  pool: EventPool,
): Promise<void> {
  for (const event of events) {
    await pool.turns.next();
    if (event.state_key === undefined || pool.get(event.event_id)?.rejected) continue;
    const authState = new Map<StateTuple, RoomEvent>();
    for (const { event: auth, rejected } of pool.authEvents(event)) {
      if (!rejected && auth.state_key !== undefined) authState.set(stateTuple(auth.type, auth.state_key), auth);
    }
    for (const tuple of authorisingTuples(version, event)) {
      const id = state.get(tuple);
      const current = id === undefined ? undefined : pool.get(id);
      if (current !== undefined && !current.rejected) authState.set(tuple, current.event);
    }
    if (authorise(version, event, authState).allowed) state.set(stateTuple(event.type, event.state_key), event.event_id);
  }
}

/** "Mainline ordering" of events, based on a power levels event. */
async function sortByMainline(
  events: readonly RoomEvent[],
  levels: EventId | undefined,
  pool: EventPool,
): Promise<readonly RoomEvent[]> {
  // Each power levels event, once its chain is known, has the position where it meets the mainline; larger is older.
  const positions = new Map<EventId, number>();
  for (let id = levels, position = 0; id !== undefined; position++) {
    positions.set(id, position);
    id = await previousLevels(id, pool);
    if (id !== undefined && positions.has(id)) break;
  }
  const keyed: { readonly event: RoomEvent; readonly position: number }[] = [];
  for (const event of events) {
    await pool.turns.next();
    const passed: EventId[] = [];
    let id = pool.authEvent(event, "m.room.power_levels")?.event_id;
    while (id !== undefined && !positions.has(id)) {
      positions.set(id, Infinity); // until its end is known; also ends a circle, which hashes rule out
      passed.push(id);
      id = await previousLevels(id, pool);
    }
    const position = id === undefined ? Infinity : (positions.get(id) ?? Infinity);
    for (const step of passed) positions.set(step, position);
    keyed.push({ event, position });
  }
  keyed.sort((a, b) => {
    if (a.position !== b.position) return a.position > b.position ? -1 : 1;
    return isEarlier(a.event, b.event) ? -1 : 1;
  });
  return keyed.map(({ event }) => event);
}

/** The power levels event among the auth events of a power levels event. */
async function previousLevels(id: EventId, pool: EventPool): Promise<EventId | undefined> {
  await pool.load([id]);
  const event = pool.get(id)?.event;
  if (event === undefined) return undefined;
  await pool.load(event.auth_events);
  return pool.authEvent(event, "m.room.power_levels")?.event_id;
}

/** A binary heap: pop gives the entry that no other is before. */
class Heap<T> {
  readonly #entries: T[] = [];
  readonly #isBefore: (a: T, b: T) => boolean;

  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore;
  }

  push(entry: T): void {
    const entries = this.#entries;
    let index = entries.length;
    entries.push(entry);
    while (index > 0) {
      const up = (index - 1) >> 1;
      const parent = entries[up];
      if (parent === undefined || !this.#isBefore(entry, parent)) break;
      entries[index] = parent;
      index = up;
    }
    entries[index] = entry;
  }

  pop(): T | undefined {
    const entries = this.#entries;
    const top = entries[0];
    const last = entries.pop();
    if (last === undefined || entries.length === 0) return top;
    let index = 0;
    for (;;) {
      let down = index * 2 + 1;
      const [left, right] = [entries[down], entries[down + 1]];
      if (left === undefined) break;
      let child = left;
      if (right !== undefined && this.#isBefore(right, left)) [down, child] = [down + 1, right];
      if (!this.#isBefore(child, last)) break;
      entries[index] = child;
      index = down;
    }
    entries[index] = last;
    return top;
  }
}
