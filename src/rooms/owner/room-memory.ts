// What the owner of a room keeps in memory: the ends of its history and the state that new events are checked against.
import { LRUCache } from "lru-cache";
import { redactEvent } from "../../protocol/event-format.js";
import { type RoomEvent, storedEvent } from "../../protocol/event.js";
import type { EventId, RoomId, UserId } from "../../protocol/identifiers.js";
import { roomVersion, type RoomVersion } from "../../protocol/room-version.js";
import { stateTuple, type StateTuple } from "../../protocol/state-map.js";
import { chainPlaces } from "../../storage/auth-chains.js";
import type { Database } from "../../storage/database.js";
import { eventsByNid } from "../../storage/events.js";
import { joinedMembers, type RunningNumbers, type ScopeOfRoom, scopesOfRoom } from "../../storage/counts.js";
import { rulesOfRoom, rulesOfUsers, type StoredRules } from "../../storage/push-rules.js";
import { usersWithPushers } from "../../storage/pushers.js";
import type { RoomRecord } from "../../storage/rooms.js";
import { currentStateOf, snapshotLinks, type StateEventEntry } from "../../storage/state.js";
import { MAIN_TIMELINE } from "../../storage/threads.js";
import { BranchStates } from "./branch-states.js";
import type { RuleChanges } from "./rule-changes.js";
import { chainOf, EMPTY_CHAIN, type SnapshotChain } from "./snapshot-chain.js";
import { ThreadFollowers } from "./thread-followers.js";
import { type RoomCounting, type RuledMember, ruledMember } from "./unread-counts.js";

/** An event without successors. */
export interface Extremity {
  readonly nid: number;
  readonly event: RoomEvent;
}

/** A piece of current state. `event` is as it counts: redacted, if it was. */
export interface StateSlot {
  readonly nid: number;
  readonly event: RoomEvent;
  /** Its place in the auth chains. */
  readonly chain: number;
  readonly sequence: number;
}

/** What is remembered of an event that others may relate to. */
export interface KnownEvent {
  readonly nid: number;
  readonly thread_root: number | null;
  /** What it relates to itself: no thread begins at such an event. */
  readonly relates_to: number | null;
}

/** State that an owner keeps of a room beyond this is dropped and read again when it is needed. */
const MAX_STATE_SLOTS = 5_000;
const MAX_KNOWN_EVENTS = 1_000;
const MAX_THREADS = 1_000;

export interface RoomMemory {
  readonly nid: number;
  readonly roomId: RoomId;
  readonly version: RoomVersion;
  readonly owner: number;
  revision: number;
  extremities: readonly Extremity[];
  ordinal: number;
  chain: SnapshotChain;
  /** The states of branches that met, and may meet again. */
  readonly branches: BranchStates;
  /** The current state as far as it was needed; null: the room has no such state. */
  readonly state: Map<StateTuple, StateSlot | null>;
  readonly known: LRUCache<EventId, KnownEvent>;
  /** The last place of the chains that the known state is on. */
  readonly tails: Map<number, number>;
  /** The last ordinal of threads, by their root. */
  readonly threads: LRUCache<number, number>;
  /** What unread counts are made with; undefined until it was read. */
  counting: RoomCounting | undefined;
  /** The version of push rules that it knows. */
  rulesVersion: number;
  /** The version of who follows which threads that it knows. */
  followersVersion: number;
  /** Only a part of its state is known: what an event names as authorising it counts for who is not in that part. */
  partial: boolean;
  /** Whether sticky events wait for another state in which they are allowed; undefined until it was looked. */
  hasSoftFailedSticky: boolean | undefined;
}

/** Bytes of one entry of the parts of a room's memory, by what heaps were seen to grow. */
const BYTES = { room: 8_192, extremity: 2_500, slot: 2_500, known: 250, thread: 150, member: 1_500, follower: 200 } as const;

/** What a room's memory takes, in bytes: an estimate that costs nothing. */
export function bytesOf({ extremities, state, known, threads, counting }: RoomMemory): number {
  const members = counting === undefined ? 0 : counting.members.size + counting.pushed.size;
  const followers = counting?.followers.size ?? 0;
  return (
    BYTES.room +
    extremities.length * BYTES.extremity +
    state.size * BYTES.slot +
    known.size * BYTES.known +
    threads.size * BYTES.thread +
    members * BYTES.member +
    followers * BYTES.follower
  );
}

/** A room that does not exist yet. */
export function newRoomMemory(nid: number, roomId: RoomId, version: RoomVersion, owner: number): RoomMemory {
  return {
    nid,
    roomId,
    version,
    owner,
    revision: 0,
    extremities: [],
    ordinal: 0,
    chain: EMPTY_CHAIN,
    branches: new BranchStates(),
    state: new Map(),
    tails: new Map(),
    known: new LRUCache({ max: MAX_KNOWN_EVENTS }),
    threads: new LRUCache({ max: MAX_THREADS }),
    counting: undefined,
    rulesVersion: 0,
    followersVersion: 0,
    partial: false,
    hasSoftFailedSticky: undefined,
  };
}

/** A room that `owner` has just claimed. Throws Error if its version is one that this program does not know. */
export async function loadRoomMemory(
  database: Database,
  roomId: RoomId,
  record: RoomRecord,
  owner: number,
): Promise<RoomMemory> {
  const version = roomVersion(record.version);
  if (version === undefined) throw new Error(`room ${roomId} has the unknown version ${record.version}`);
  const [events, links] = await Promise.all([
    eventsByNid(database, record.extremities),
    record.snapshot === null ? [] : snapshotLinks(database, record.snapshot),
  ]);
  const memory = newRoomMemory(record.nid, roomId, version, owner);
  memory.revision = record.revision;
  memory.ordinal = record.ordinal;
  memory.partial = record.whole_since === null;
  memory.chain = chainOf(links);
  memory.extremities = [...events.values()].map(({ nid, event_id, json }) => ({
    nid,
    event: storedEvent(version, event_id, json),
  }));
  if (memory.extremities.length !== record.extremities.length) throw new Error(`room ${roomId} has lost extremities`);
  return memory;
}

/**
 * Reads what is missing to count events: how many are in the room, and which members (of those, and of `joining` who may
 * come, or are invited) have rules of their own, or pushers.
 */
export async function loadCounting(
  database: Database,
  memory: RoomMemory,
  ruleChanges: RuleChanges,
  joining: readonly number[],
): Promise<RoomCounting> {
  const { version } = ruleChanges;
  const changed = memory.counting === undefined ? undefined : ruleChanges.since(memory.rulesVersion);
  const isNew = memory.extremities.length === 0;
  const [joined, rules, joiningRules, pushed, pushedJoining] = await Promise.all([
    memory.counting?.joined ?? (isNew ? 0 : joinedMembers(database, memory.nid)),
    isNew || changed?.length === 0 ? [] : rulesOfRoom(database, memory.nid, changed),
    rulesOfUsers(database, joining),
    isNew || changed?.length === 0 ? new Map<number, UserId>() : usersWithPushers(database, { room: memory.nid, among: changed }),
    joining.length === 0 ? new Map<number, UserId>() : usersWithPushers(database, { among: joining }),
  ]);
  const counting = (memory.counting ??= {
    joined,
    members: new Map(),
    joining: new Map(),
    pushed: new Map(),
    pushedJoining: new Map(),
    scopes: new LRUCache<number, RunningNumbers>({ max: MAX_THREADS }),
    followers: new ThreadFollowers(),
  });
  if (changed === undefined) {
    counting.members.clear();
    counting.pushed.clear();
  }
  for (const nid of changed ?? []) {
    counting.members.delete(nid);
    counting.pushed.delete(nid);
  }
  const ruled = (stored: readonly StoredRules[]): [number, RuledMember][] =>
    stored.flatMap((rules) => {
      const member = ruledMember(rules, memory.roomId);
      return member === undefined ? [] : [[rules.user_nid, member]];
    });
  for (const [nid, member] of ruled(rules)) counting.members.set(nid, member);
  for (const [nid, id] of pushed) counting.pushed.set(nid, id);
  counting.joining = new Map(ruled(joiningRules));
  counting.pushedJoining = pushedJoining;
  memory.rulesVersion = version;
  return counting;
}

/** Reads the running numbers of scopes that are not known, and who follows those that are threads. */
export async function loadScopes(
  database: Database,
  memory: RoomMemory,
  ruleChanges: RuleChanges,
  counting: RoomCounting,
  threads: Iterable<number>,
): Promise<void> {
  const { scopes, followers } = counting;
  const { version } = ruleChanges.threads;
  followers.forget(ruleChanges.threads.since(memory.followersVersion));
  memory.followersVersion = version;
  const isUnknown = (thread: number): boolean =>
    scopes.get(thread) === undefined || (thread !== MAIN_TIMELINE && followers.of(thread) === undefined);
  const missing = [...new Set(threads)].filter(isUnknown);
  if (missing.length === 0) return;
  const found = memory.extremities.length === 0 ? new Map<number, ScopeOfRoom>() : await scopesOfRoom(database, memory.nid, missing);
  for (const thread of missing) {
    const { notified = 0, highlighted = 0, followers: read = [] } = found.get(thread) ?? {};
    // What memory has of running numbers is never older than what is stored.
    if (scopes.get(thread) === undefined) scopes.set(thread, { notified, highlighted });
    if (thread !== MAIN_TIMELINE) followers.set(thread, new Map(read.map(({ user_nid, user_id, joined }) => [user_nid, { user_id, joined }])));
  }
}

/** Reads what is missing of the current state for these tuples. */
export async function loadState(database: Database, memory: RoomMemory, tuples: Iterable<StateTuple>): Promise<void> {
  const wanted = [...new Set(tuples)];
  if (memory.state.size > MAX_STATE_SLOTS) {
    memory.state.clear();
    memory.tails.clear();
  }
  const missing = wanted.filter((tuple) => !memory.state.has(tuple));
  if (missing.length === 0) return;
  for (const tuple of missing) memory.state.set(tuple, null);
  // A room without events has no state; asking would be a round trip for nothing.
  if (memory.extremities.length === 0) return;
  const entries = await currentStateOf(database, memory.nid, missing);
  const places = await chainPlaces(database, entries.map((entry) => entry.event_nid));
  for (const entry of entries) {
    const place = places.get(entry.event_nid);
    if (place === undefined) throw new Error(`event ${entry.event_id} has no place in the auth chains`);
    memory.tails.set(place.chain, place.tail);
    memory.state.set(stateTuple(entry.type, entry.state_key), {
      nid: entry.event_nid,
      event: eventOf(memory.version, entry),
      chain: place.chain,
      sequence: place.sequence,
    });
  }
}

function eventOf(version: RoomVersion, entry: StateEventEntry): RoomEvent {
  const event = storedEvent(version, entry.event_id, entry.json);
  return entry.redacted_by === null ? event : redactEvent(version, event);
}

/** The events of the known state, as the authorisation rules take it. */
export function eventsOf(memory: RoomMemory, tuples: Iterable<StateTuple>): Map<StateTuple, RoomEvent> {
  const events = new Map<StateTuple, RoomEvent>();
  for (const tuple of tuples) {
    const slot = memory.state.get(tuple);
    if (slot) events.set(tuple, slot.event);
  }
  return events;
}
