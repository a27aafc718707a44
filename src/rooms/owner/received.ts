// Events that came from elsewhere: what they do to the ends of a room's history and, where branches meet, to its state.
import { authorisingTuples } from "../../protocol/auth-events.js";
import { authorise, authoriseAuthEvents, mayRedact } from "../../protocol/authorisation.js";
import { redactEvent } from "../../protocol/event-format.js";
import { type RoomEvent, storedEvent } from "../../protocol/event.js";
import { createEventIdOfRoom, type EventId, parseUserId, type ServerName, serverNameOf } from "../../protocol/identifiers.js";
import { singledOut } from "../../protocol/push-evaluation.js";
import { powerLevels } from "../../protocol/power-levels.js";
import { splitStateTuple, stateTuple, type StateTuple } from "../../protocol/state-map.js";
import type { FetchEvents } from "../../protocol/auth-chains.js";
import { resolve } from "../../protocol/state-resolution.js";
import { type CommonState, resolveConflict } from "../../protocol/state-resolution-v2.js";
import { Turns } from "../../protocol/turns.js";
import { amongAuthChain, chainPlaces } from "../../storage/auth-chains.js";
import { hasJoinedMembers } from "../../storage/event-graph.js";
import { eventIds, eventsById, eventsByNid, type StoredEvent } from "../../storage/events.js";
import { missingAmong, missingBehind } from "../../storage/gaps.js";
import { beginPartialState, endPartialState, knownState } from "../../storage/partial-state.js";
import { pendingRedactions } from "../../storage/pending-redactions.js";
import { FLAGS } from "../../storage/room-rows.js";
import { snapshotLinks } from "../../storage/state.js";
import { lastThreadOrdinals, MAIN_TIMELINE } from "../../storage/threads.js";
import { type EarlyRedaction, type Relation, RoomChange, type StateChangeRow } from "./persist.js";
import { isSignedByPolicy, isSubjectToPolicy, POLICY, policyServerOf } from "./policy.js";
import { relationOf } from "./relation.js";
import { type Extremity, loadCounting, loadScopes, loadState, type RoomMemory, type StateSlot } from "./room-memory.js";
import type { Outcome, Received, ReceivedEvent } from "./received-event.js";
import type { RoomServices } from "./room-services.js";
import { chainOf, EMPTY_CHAIN, eventAt, foldChain, isSameSnapshot, type SnapshotChain, snapshotOf } from "./snapshot-chain.js";

const CREATE = stateTuple("m.room.create", "");
const POWER_LEVELS = stateTuple("m.room.power_levels", "");
/** What the power levels of a room are known by, which push rules ask for. */
const COUNTED_STATE = [CREATE, POWER_LEVELS];

/** Events that are read at once while states are resolved. */
const READ_AT_ONCE = 200;
/** Changes of a state that are named at once. */
const NAMED_AT_ONCE = 500;

const OUTCOME_FLAGS = {
  live: 0,
  history: 0,
  soft_failed: FLAGS.soft_failed,
  rejected: FLAGS.rejected,
  outlier: FLAGS.outlier,
  rejected_outlier: FLAGS.outlier | FLAGS.rejected,
} as const;

/** The same for redactions without effect, as far as is known. */
const WITHHELD_FLAGS = { ...OUTCOME_FLAGS, live: FLAGS.withheld | FLAGS.withheld_live, history: FLAGS.withheld } as const;

/** An event that we have, as far as it matters for its successors. */
export interface Known {
  readonly nid: number;
  readonly event: RoomEvent;
  readonly flags: number;
  readonly state_before: number | null;
  readonly thread_root: number | null;
  readonly slot?: StateSlot | undefined;
  after?: SnapshotChain;
}

/**
 * Judges and writes events of one room in their order, predecessors and auth events first; those that we have are left out
 * (server-server API, "Checks performed on receipt of a PDU", 4 to 6). Events of the live timeline become ends of the history
 * in place of their predecessors; where several ends remain, the current state is the resolution of the states after them.
 */
export async function persistReceived(
  memory: RoomMemory,
  services: RoomServices,
  all: readonly ReceivedEvent[],
): Promise<Received> {
  const { database, interning, numbers, ruleChanges, signingKey } = services;
  const events = all.map(({ event }) => event);
  const [loaded, wereMissing, pending] = await Promise.all([
    eventsById(database, [
      ...new Set(events.flatMap((event) => [event.event_id, ...event.prev_events, ...authorisers(memory, event), ...related(event), ...redactedBy(event)])),
    ]),
    missingAmong(database, memory.nid, all.filter(({ as }) => as !== "outlier").map(({ event }) => event.event_id)),
    pendingRedactions(database, memory.nid, events.map(({ event_id }) => event_id)),
  ]);
  // What leads to our joins is history, whoever sends it, and whenever.
  const behind = await missingBehind(database, memory.nid, wereMissing);
  for (const { event } of all.toReversed()) if (behind.has(event.event_id)) for (const id of event.prev_events) behind.add(id);
  const received = all.map((one) => (one.as === "live" && one.entry !== true && behind.has(one.event.event_id) ? { ...one, as: "history" as const } : one));
  const redactions = await eventsByNid(database, [...pending.values()].flat());
  const stored = [...loaded.values()].filter((event) => event.room_nid === memory.nid);
  const isOutlier = (row: StoredEvent): boolean => (row.flags & FLAGS.outlier) !== 0;
  // An outlier whose place in the room becomes known is written again; so is one that was kept without what authorises it, which is
  // here now.
  const together = new Set(events.map(({ event_id }) => event_id));
  const lacksAuth = (row: StoredEvent, event: RoomEvent): boolean =>
    (row.flags & FLAGS.rejected) === 0 && row.auth_nids.length < new Set(event.auth_events).size;
  const fresh = received.filter(({ event, as, unjudged }) => {
    const row = loaded.get(event.event_id);
    if (row === undefined) return true;
    if (row.room_nid !== memory.nid || !isOutlier(row)) return false;
    const known = event.auth_events.every((id) => loaded.has(id) || together.has(id));
    return as !== "outlier" || (unjudged !== true && known && lacksAuth(row, event));
  });
  const promoted = new Set(fresh.map(({ event }) => event.event_id).filter((id) => loaded.has(id)));
  const incomplete = new Set(fresh.flatMap(({ event }) => {
    const row = loaded.get(event.event_id);
    return row !== undefined && lacksAuth(row, event) ? [event.event_id] : [];
  }));
  if (fresh.length === 0) return { position: 0, outcomes: new Map() };

  const known = new Map<EventId, Known>();
  for (const event of stored) known.set(event.event_id, { ...event, event: asEvent(memory, event) });
  const slots = await slotsOf(memory, services, stored);
  for (const event of stored) memory.known.set(event.event_id, event);

  const roots = fresh.flatMap(({ event }) => relationIn(memory, event)?.thread_root ?? []);
  const unknownRoots = [...new Set(roots)].filter((root) => memory.threads.get(root) === undefined);
  const last = await lastThreadOrdinals(database, unknownRoots);
  for (const root of unknownRoots) memory.threads.set(root, last.get(root) ?? 0);

  const given = await givenStates(memory, services, fresh);
  const users = new Set<string>();
  const types = new Set<string>();
  const tuples = new Set<StateTuple>();
  for (const { event } of fresh) {
    users.add(event.sender);
    types.add(event.type);
    const relation = relationOf(event.content);
    if (relation !== undefined) types.add(relation.rel_type);
    if (event.state_key !== undefined) tuples.add(stateTuple(event.type, event.state_key));
  }
  const userNids = await interning.users(users);
  const typeNids = await interning.types(types);
  const tupleNids = await interning.tuples(tuples);
  const memberIds = [...tuples].map(splitStateTuple).flatMap(([type, key]) => (type === "m.room.member" && parseUserId(key)) || []);
  for (const [id, nid] of await interning.users(memberIds)) userNids.set(id, nid);

  const single = fresh.flatMap(({ event }) => singledOut(event)).flatMap((id) => parseUserId(id) ?? []);
  const mentioned = single.filter((id) => signingKey(serverNameOf(id)) !== undefined);
  const mentionedNids = await interning.findUsers(mentioned);
  for (const [id, nid] of mentionedNids) userNids.set(id, nid);
  // Those who are invited are among them.
  const counting = await loadCounting(database, memory, ruleChanges, [...mentionedNids.values()]);
  await loadState(database, memory, [
    ...COUNTED_STATE,
    ...mentioned.map((id) => stateTuple("m.room.member", id)),
    ...[...counting.members.values()].map(({ user_id }) => stateTuple("m.room.member", user_id)),
    ...fresh.flatMap(({ event }) => authorisingTuples(memory.version, event)),
  ]);
  await loadScopes(database, memory, ruleChanges, counting, [MAIN_TIMELINE, ...roots]);

  const change = new RoomChange(
    memory,
    {
      user: nidIn(userNids),
      type: nidIn(typeNids),
      tuple: (type, key) => nidIn(tupleNids)(stateTuple(type, key)),
      mentioned: (id) => userNids.get(id),
    },
    {
      events: await numbers.allot("event_nids", fresh.length),
      snapshots: await numbers.allot("snapshot_nids", fresh.reduce((sum, { event }) => sum + event.prev_events.length + 6, memory.extremities.length + 1)),
      chains: await numbers.allot("chain_nids", fresh.length),
    },
    counting,
    (server) => signingKey(server) !== undefined,
    services.clock.now(),
  );

  const { branches } = memory;
  /** What we wrote as the state before an event. */
  const snapshotBefore = async ({ state_before }: Known): Promise<SnapshotChain> => {
    if (state_before === null) return EMPTY_CHAIN;
    if (snapshotOf(memory.chain) === state_before) return memory.chain;
    let chain = branches.snapshot(state_before);
    if (chain === undefined) {
      chain = chainOf(await snapshotLinks(database, state_before), memory.chain);
      branches.rememberSnapshot(state_before, chain, memory.chain);
    }
    return chain;
  };
  /** The state after an event: the state before it, and itself if it is state that was not rejected. */
  const after = async (event: Known): Promise<SnapshotChain> => {
    if (event.after !== undefined) return event.after;
    const [end] = memory.extremities;
    if (memory.extremities.length === 1 && end?.nid === event.nid) return (event.after = memory.chain);
    const remembered = branches.after(event.nid);
    if (remembered !== undefined) return (event.after = remembered);
    const before = await snapshotBefore(event);
    if (event.event.state_key === undefined || (event.flags & FLAGS.rejected) !== 0) return (event.after = before);
    const nids = await interning.tuples([stateTuple(event.event.type, event.event.state_key)]);
    const chain = change.snapshot(before, new Map([...nids.values()].map((tuple) => [tuple, event.nid])));
    branches.rememberAfter(event.nid, chain, memory.chain);
    return (event.after = chain);
  };

  // Events of this batch are not in the tables yet.
  const inBatch = new Map<number, Known>();
  /** The resolution of the states of branches: once for each set of snapshots, whatever follows them that is no state. */
  const meet = async (chains: readonly SnapshotChain[]): Promise<SnapshotChain> => {
    const [first = EMPTY_CHAIN, ...others] = chains;
    if (others.every((chain) => isSameSnapshot(chain, first))) return first;
    const before = branches.met(chains);
    if (before !== undefined) return before;
    const distinct = [...new Map(chains.map((chain) => [snapshotOf(chain), chain])).values()];
    const states = await inTurns(distinct, foldChain);
    const resolved = await resolveStates(memory, services, states, inBatch);
    // Most often one of the branches has seen all that counts: then no other snapshot is needed.
    const differences = await inTurns(states, (state) => difference(state, resolved));
    const least = differences.reduce((best, changes, index) => (changes.size < (differences[best]?.size ?? 0) ? index : best), 0);
    const [nearest = first, changes = new Map<number, number>()] = [distinct[least], differences[least]];
    const result = changes.size === 0 ? nearest : change.snapshot(nearest, changes);
    branches.rememberMet(chains, result, memory.chain);
    return result;
  };

  let ends: readonly Extremity[] = memory.extremities;
  const endStates = new Map<number, SnapshotChain>();
  const stateOfEnds = async (): Promise<SnapshotChain> => {
    if (ends === memory.extremities) return memory.chain;
    const known = (end: Extremity): SnapshotChain | undefined => endStates.get(end.nid) ?? branches.after(end.nid);
    const rows = await eventsByNid(database, ends.filter((end) => known(end) === undefined).map(({ nid }) => nid));
    const chains = await oneByOne(ends, async (end) => {
      const chain = known(end);
      const row = rows.get(end.nid);
      if (chain !== undefined || row === undefined) return chain ?? memory.chain;
      const read = await after({ ...row, event: end.event });
      endStates.set(end.nid, read);
      return read;
    });
    return await meet(chains);
  };
  const asked = await interning.findTuples([POLICY, ...COUNTED_STATE, ...fresh.flatMap(({ event }) => authorisingTuples(memory.version, event))]);
  const stateIn = stateReader(memory, services, (tuple) => asked.get(tuple) ?? tupleNids.get(tuple), inBatch);
  /** The events that a state holds for what authorises an event. */
  const authorising = (event: RoomEvent, chain: SnapshotChain): Promise<Map<StateTuple, RoomEvent>> =>
    stateIn(chain, authorisingTuples(memory.version, event));
  const inRoom = new Map<ServerName, Promise<boolean>>();
  /** Whether the room's policy server, if it has one, recommends an event ("Validating Policy Server signatures"). */
  const isRecommended = async (event: RoomEvent, current: SnapshotChain): Promise<boolean> => {
    const policy = isSubjectToPolicy(event) ? policyServerOf((await stateIn(current, [POLICY])).get(POLICY)) : undefined;
    if (policy === undefined || isSignedByPolicy(memory.version, event, policy)) return true;
    const joined = inRoom.get(policy.via) ?? hasJoinedMembers(database, memory.nid, policy.via);
    inRoom.set(policy.via, joined);
    return !(await joined);
  };
  /** The event that a redaction takes effect on, if it may and we have it. */
  const redacted = async (event: RoomEvent, before: SnapshotChain): Promise<number | undefined> => {
    const target = event.redacts === undefined ? undefined : known.get(event.redacts);
    if (event.type !== "m.room.redaction" || target === undefined) return undefined;
    const state = await authorising(event, before);
    const create = state.get(CREATE);
    if (create === undefined) return undefined;
    const levels = powerLevels(memory.version, create, state.get(POWER_LEVELS));
    return mayRedact(memory.version, event, target.event, levels) ? target.nid : undefined;
  };
  /** Redactions of this batch whose events are not here, and the states before them. */
  const redactsLater = new Map<EventId, (EarlyRedaction & { readonly event: RoomEvent; readonly before: SnapshotChain })[]>();
  /** The redactions of an event that came before it and take effect. */
  const redactedBefore = async (event: RoomEvent): Promise<EarlyRedaction[]> => {
    const effective: EarlyRedaction[] = [];
    const earlier = [...(redactsLater.get(event.event_id) ?? [])];
    for (const nid of pending.get(event.event_id) ?? []) {
      const row = redactions.get(nid);
      if (row === undefined) continue;
      const redaction = asEvent(memory, row);
      earlier.push({ nid, flags: row.flags, event: redaction, before: await snapshotBefore({ ...row, event: redaction }) });
    }
    for (const { nid, flags, event: redaction, before } of earlier) {
      const state = await stateIn(before, COUNTED_STATE);
      const create = state.get(CREATE);
      if (create !== undefined && mayRedact(memory.version, redaction, event, powerLevels(memory.version, create, state.get(POWER_LEVELS)))) effective.push({ nid, flags });
    }
    return effective;
  };
  const outcomes = new Map<EventId, Outcome>();
  const isPartial = memory.partial || fresh.some(({ partial }) => partial !== undefined);
  const turns = new Turns();
  for (const { event, as, entry, beside, partial, passOn, unjudged } of fresh) {
    await turns.next();
    const outlier = promoted.delete(event.event_id) ? known.get(event.event_id) : undefined;
    if (outlier === undefined && known.has(event.event_id)) continue;
    // 4. Its auth events allow it. What they are has to be known before it can be judged.
    const auths = authorisers(memory, event).flatMap((id) => known.get(id) ?? []);
    const foreign = event.auth_events.some((id) => (loaded.get(id)?.room_nid ?? memory.nid) !== memory.nid);
    if (unjudged !== true && !foreign && event.auth_events.some((id) => !known.has(id))) continue;
    if (given.has(event.event_id) && given.get(event.event_id) === undefined) continue;
    let allowed = unjudged === true || (!foreign && allowedByAuthEvents(memory, event, auths));
    const placed = (id: EventId): Known | undefined => {
      const found = known.get(id);
      return found === undefined || (found.flags & FLAGS.outlier) !== 0 ? undefined : found;
    };
    const previous = event.prev_events.flatMap((id) => placed(id) ?? []);
    const missing = event.prev_events.filter((id) => placed(id) === undefined);
    const auth = event.auth_events.flatMap((id) => known.get(id)?.slot ?? slots.get(id) ?? []);
    const state = given.get(event.event_id);
    let before: SnapshotChain = EMPTY_CHAIN;
    if (state !== undefined) {
      // What is known of those who are in the room already is no less than what is told of them.
      if (beside === true) for (const [tuple, nid] of foldChain(memory.chain)) if (!state.has(tuple)) state.set(tuple, nid);
      const changes = difference(foldChain(memory.chain), state);
      before = changes.size === 0 ? memory.chain : change.snapshot(memory.chain, changes);
    } else if (as !== "outlier") {
      before = await meet(await oneByOne(previous, after));
    }
    if (isPartial && as !== "outlier" && (state === undefined || entry === true)) {
      const { unknown, others } = await namedMembers(services, auths, before);
      if (unknown.size > 0) before = change.snapshot(before, unknown);
      if (others.size > 0) before = await meet([before, change.snapshot(before, others)]);
    }
    // 5. The state before it allows it. 6. So does the current state, or else nobody is shown it.
    if (as !== "outlier") allowed &&= authorise(memory.version, event, await authorising(event, before)).allowed;
    let outcome: Outcome = allowed ? as : as === "outlier" ? "rejected_outlier" : "rejected";
    if (outcome === "live" && entry !== true) {
      const current = await stateOfEnds();
      // Who is not known to be in the room now may well be.
      const refused = !isPartial && !isSameSnapshot(current, before) && !authorise(memory.version, event, await authorising(event, current)).allowed;
      if (refused || !(await isRecommended(event, current))) outcome = "soft_failed";
    }
    outcomes.set(event.event_id, outcome);
    const tuple = event.state_key === undefined ? undefined : tupleNids.get(stateTuple(event.type, event.state_key));
    const replaces = tuple === undefined ? undefined : eventAt(before, tuple);
    const redacts = await redacted(event, before);
    const withheld = redacts === undefined && isWithholdable(memory, event);
    const flags = withheld ? WITHHELD_FLAGS[outcome] : OUTCOME_FLAGS[outcome];
    const target = event.type === "m.room.redaction" && event.redacts !== undefined ? known.get(event.redacts) : undefined;
    const redactedBy = (flags & FLAGS.rejected) === 0 ? await redactedBefore(event) : [];
    const { nid, slot } = change.addReceived({
      event,
      flags,
      live: outcome === "live" && !withheld,
      before,
      prev_nids: previous.map((one) => one.nid),
      missing: as === "outlier" ? [] : missing,
      auth,
      replaces,
      relation: withheld ? undefined : relationIn(memory, event),
      redacts,
      redactsLater: event.type === "m.room.redaction" && (target === undefined || (target.flags & FLAGS.outlier) !== 0),
      redactedBy,
      passOn: passOn === true,
      wasMissing: as !== "outlier" && wereMissing.has(event.event_id),
      outlier: outlier === undefined ? undefined : { nid: outlier.nid, slot: slots.get(event.event_id), isUnlinked: incomplete.has(event.event_id) },
    });
    const changed = tuple !== undefined && as !== "outlier" && outcome !== "rejected";
    const following = changed ? change.snapshot(before, new Map([[tuple, nid]])) : before;
    const added: Known = { nid, event, flags, state_before: null, thread_root: null, slot, after: following };
    known.set(event.event_id, added);
    inBatch.set(nid, redactedBy.length === 0 ? added : { ...added, event: redactEvent(memory.version, event) });
    if (OUTCOME_FLAGS[outcome] === 0 && event.type === "m.room.redaction" && event.redacts !== undefined && target === undefined) {
      redactsLater.set(event.redacts, [...(redactsLater.get(event.redacts) ?? []), { nid, flags, event, before }]);
    }
    if (as !== "outlier") branches.rememberAfter(nid, following, memory.chain);
    if (outlier !== undefined) branches.forgetMet();
    if (entry === true) branches.forgetAll();
    if (outcome !== "live") continue;
    const replacesEnds = entry === true && !(beside === true && memory.partial);
    if (entry === true && partial !== undefined) change.noteKnowledge(beginPartialState(memory.nid, event.event_id, partial.servers, services.clock.now()));
    else if (entry === true) change.noteKnowledge(endPartialState(memory.nid, "complete", [], services.clock.now()));
    if (entry === true) memory.partial = partial !== undefined;
    const merged = new Set(previous.map((one) => one.nid));
    ends = [...(replacesEnds ? [] : ends.filter((end) => !merged.has(end.nid))), { nid, event }];
    endStates.set(nid, following);
  }

  if (change.isEmpty) return { position: 0, outcomes };
  const chain = await stateOfEnds();
  const changed = isSameSnapshot(chain, memory.chain) ? new Map<number, number>() : difference(foldChain(memory.chain), foldChain(chain));
  const changes = await namedChanges(services, memory, changed, inBatch);
  for (const { type, state_key } of changes) {
    const user = type === "m.room.member" ? parseUserId(state_key) : undefined;
    if (user !== undefined) for (const [id, nid] of await interning.users([user])) userNids.set(id, nid);
    for (const [name, nid] of await interning.types([type])) typeNids.set(name, nid);
  }
  change.replaceState(ends, chain, changes);
  // Who is in the room may have changed in ways that the counting did not see.
  if (changes.length > 0) memory.counting = undefined;
  return { position: await services.committer.submit(change.item()), outcomes };
}

/** Reads the events that states hold for some (type, state_key), each once; those `inBatch` are not in the tables yet. */
export function stateReader(
  memory: RoomMemory,
  { database }: RoomServices,
  numberOf: (tuple: StateTuple) => number | undefined,
  inBatch: ReadonlyMap<number, Known>,
): (chain: SnapshotChain, tuples: readonly StateTuple[]) => Promise<Map<StateTuple, RoomEvent>> {
  const seen = new Map<number, RoomEvent>();
  return async (chain, tuples) => {
    const wanted = tuples.flatMap((tuple) => {
      const number = numberOf(tuple);
      const nid = number === undefined ? undefined : eventAt(chain, number);
      const slot = memory.state.get(tuple);
      if (nid !== undefined && slot?.nid === nid) seen.set(nid, slot.event);
      return nid === undefined ? [] : [{ tuple, nid }];
    });
    const unseen = wanted.map(({ nid }) => nid).filter((nid) => !seen.has(nid) && !inBatch.has(nid));
    for (const row of (await eventsByNid(database, unseen)).values()) seen.set(row.nid, asCounted(memory, row));
    return new Map(wanted.flatMap(({ tuple, nid }) => {
      const found = inBatch.get(nid)?.event ?? seen.get(nid);
      return found === undefined ? [] : [[tuple, found] as const];
    }));
  };
}

/** What an event names as authorising it, and the create event where the room id implies it. */
export function authorisers(memory: RoomMemory, event: RoomEvent): readonly EventId[] {
  if (!memory.version.hashedRoomIds || event.type === "m.room.create") return event.auth_events;
  return [...event.auth_events, createEventIdOfRoom(memory.roomId)];
}

export function allowedByAuthEvents(memory: RoomMemory, event: RoomEvent, auths: readonly Known[]): boolean {
  const named = new Map(
    auths.map((auth) => [auth.event.event_id, { event: auth.event, rejected: (auth.flags & FLAGS.rejected) !== 0 }]),
  );
  if (!authoriseAuthEvents(memory.version, event, named).allowed) return false;
  const state = new Map(auths.map(({ event: auth }) => [stateTuple(auth.type, auth.state_key ?? ""), auth]));
  return authorise(memory.version, event, state).allowed;
}

/**
 * Whether an event is a redaction that clients are not shown as long as it has no effect: where the rules themselves judge redactions,
 * those that pass have one ("Handling redactions").
 */
export function isWithholdable({ version }: RoomMemory, { type, state_key }: RoomEvent): boolean {
  return type === "m.room.redaction" && state_key === undefined && !version.redactionAuthorised;
}

/** What `to` holds otherwise than `from`; 0: nothing any more. */
export function difference(from: ReadonlyMap<number, number>, to: ReadonlyMap<number, number>): Map<number, number> {
  const changes = new Map<number, number>();
  for (const [tuple, event] of to) if (from.get(tuple) !== event) changes.set(tuple, event);
  for (const tuple of from.keys()) if (!to.has(tuple)) changes.set(tuple, 0);
  return changes;
}

/**
 * The resolution of states, by numbers. It may hold events that none of the states has: what their auth chains differ in,
 * or what lies between conflicting events, takes part as well. Of what the states have in common only that is read which the
 * resolution asks for.
 */
export async function resolveStates(
  memory: RoomMemory,
  { database, interning }: RoomServices,
  states: readonly ReadonlyMap<number, number>[],
  inBatch: ReadonlyMap<number, Known>,
): Promise<Map<number, number>> {
  const numbers = new Map<EventId, number>();
  /** Ids of events that states hold, by number. */
  const idsOf = async (nids: Iterable<number>): Promise<Map<number, EventId>> => {
    const ids = new Map<number, EventId>();
    const stored: number[] = [];
    for (const nid of nids) {
      const own = inBatch.get(nid)?.event.event_id;
      if (own === undefined) stored.push(nid);
      else ids.set(nid, own);
    }
    for (const [nid, id] of await eventIds(database, stored)) ids.set(nid, id);
    for (const [nid, id] of ids) numbers.set(id, nid);
    for (const nid of stored) if (!ids.has(nid)) throw new Error(`state of room ${memory.roomId} names the unknown event ${nid}`);
    return ids;
  };
  const batch = new Map([...inBatch.values()].map((known) => [known.event.event_id, known]));
  const fetch: FetchEvents = async (wanted) => {
    const found = new Map<EventId, { readonly event: RoomEvent; readonly rejected: boolean }>();
    const unknown: EventId[] = [];
    for (const id of wanted) {
      const own = batch.get(id);
      if (own === undefined) {
        unknown.push(id);
        continue;
      }
      numbers.set(id, own.nid);
      found.set(id, { event: own.event, rejected: (own.flags & FLAGS.rejected) !== 0 });
    }
    // Read in pieces: others have their turn between them.
    for (let start = 0; start < unknown.length; start += READ_AT_ONCE) {
      for (const row of (await eventsById(database, unknown.slice(start, start + READ_AT_ONCE))).values()) {
        numbers.set(row.event_id, row.nid);
        found.set(row.event_id, { event: asEvent(memory, row), rejected: (row.flags & FLAGS.rejected) !== 0 });
      }
    }
    return found;
  };
  const named = async (parts: readonly ReadonlyMap<number, number>[]): Promise<Map<StateTuple, EventId>[]> => {
    const [names, ids] = await Promise.all([
      interning.tupleNames(new Set(parts.flatMap((part) => [...part.keys()]))),
      idsOf(new Set(parts.flatMap((part) => [...part.values()]))),
    ]);
    return parts.map((part) => {
      const result = new Map<StateTuple, EventId>();
      for (const [tuple, nid] of part) {
        const [name, id] = [names.get(tuple), ids.get(nid)];
        if (name !== undefined && id !== undefined) result.set(name, id);
      }
      return result;
    });
  };

  const [first = new Map<number, number>(), ...others] = states;
  // Version 1 looks at whole states.
  const isWhole = memory.version.stateResolution === "v1";
  const result = new Map(isWhole ? [] : [...first].filter(([tuple, nid]) => others.every((other) => other.get(tuple) === nid)));
  const sides = await named(await inTurns(states, (state) => new Map([...state].filter(([tuple]) => !result.has(tuple)))));
  const resolved = isWhole ? await resolve(memory.version, sides, fetch) : await resolveConflict(memory.version, sides, commonState(result), fetch);
  const tupleNids = await interning.tuples(resolved.keys());
  for (const [tuple, id] of resolved) {
    const [tupleNid, nid] = [tupleNids.get(tuple), numbers.get(id)];
    // To leave it out would be another state than the one that other servers have.
    if (tupleNid === undefined || nid === undefined) throw new Error(`the resolved state of room ${memory.roomId} names the unknown event ${id}`);
    result.set(tupleNid, nid);
  }
  return result;

  function commonState(common: ReadonlyMap<number, number>): CommonState {
    const nids = new Set(common.values());
    return {
      has: (id) => nids.has(numbers.get(id) ?? 0),
      async at(tuples) {
        const wanted = new Map<number, number>();
        for (const tuple of (await interning.findTuples([...tuples])).values()) {
          const nid = common.get(tuple);
          if (nid !== undefined) wanted.set(tuple, nid);
        }
        const [found = new Map<StateTuple, EventId>()] = await named([wanted]);
        return found;
      },
      async reached(ids) {
        // What is not in the tables yet is walked, the rest the index answers.
        const walked = new Set<EventId>();
        const left = new Set<EventId>();
        const own = [...nids].flatMap((nid) => inBatch.get(nid) ?? []);
        for (const { event } of own) {
          for (const id of event.auth_events) {
            if (walked.has(id)) continue;
            walked.add(id);
            const known = batch.get(id);
            if (known === undefined) left.add(id);
            else own.push(known); // and so visited in turn
          }
        }
        const before = [...(await eventsById(database, [...left])).values()].map(({ nid }) => nid);
        const wanted = new Map([...ids].flatMap((id) => (walked.has(id) || !numbers.has(id) ? [] : [[numbers.get(id) ?? 0, id] as const])));
        const found = await amongAuthChain(database, [...[...nids].filter((nid) => !inBatch.has(nid)), ...before], [...wanted.keys()]);
        return new Set([...[...ids].filter((id) => walked.has(id)), ...[...found].flatMap((nid) => wanted.get(nid) ?? [])]);
      },
    };
  }
}

/**
 * The states that were given with events, by numbers; undefined for one that names an event that we do not have. What was rejected
 * is no state, whoever says so.
 */
async function givenStates(
  memory: RoomMemory,
  { database, interning }: RoomServices,
  received: readonly ReceivedEvent[],
): Promise<Map<EventId, Map<number, number> | undefined>> {
  const given = new Map<EventId, Map<number, number> | undefined>();
  const states = received.flatMap(({ event, stateBefore }) => (stateBefore === undefined ? [] : [{ event, stateBefore }]));
  if (states.length === 0) return given;
  const events = await knownState(database, [...new Set(states.flatMap(({ stateBefore }) => [...stateBefore.values()]))]);
  const tuples = await interning.tuples(states.flatMap(({ stateBefore }) => [...stateBefore.keys()]));
  for (const { event, stateBefore } of states) {
    let state: Map<number, number> | undefined = new Map();
    for (const [tuple, id] of stateBefore) {
      const [tupleNid, row] = [tuples.get(tuple), events.get(id)];
      if (tupleNid === undefined || row?.room_nid !== memory.nid) {
        state = undefined;
        break;
      }
      if ((row.flags & FLAGS.rejected) === 0) state.set(tupleNid, row.nid);
    }
    given.set(event.event_id, state);
  }
  return given;
}

/** Changes of the current state with their names and events. */
export async function namedChanges(
  { database, interning }: RoomServices,
  memory: RoomMemory,
  changes: ReadonlyMap<number, number>,
  inBatch: ReadonlyMap<number, Known>,
): Promise<StateChangeRow[]> {
  const before = foldChain(memory.chain);
  const all = [...changes];
  const named: StateChangeRow[] = [];
  // There may be many of them: in between others have their turn.
  for (let start = 0; start < all.length; start += NAMED_AT_ONCE) {
    const some = all.slice(start, start + NAMED_AT_ONCE);
    const names = await interning.tupleNames(some.map(([tupleNid]) => tupleNid));
    const rows = await eventsByNid(database, some.map(([, nid]) => nid).filter((nid) => nid !== 0 && !inBatch.has(nid)));
    for (const [tupleNid, nid] of some) {
      const name = names.get(tupleNid);
      if (name === undefined) throw new Error("a state key has no name");
      const [type, state_key] = splitStateTuple(name);
      const row = rows.get(nid);
      const event = inBatch.get(nid)?.event ?? (row === undefined ? undefined : asEvent(memory, row));
      named.push({ tupleNid, type, state_key, slot: event === undefined ? undefined : { nid, event }, previous: before.get(tupleNid) });
    }
  }
  return named;
}

/**
 * The members that an event names as authorising it and a state does not know of, or knows otherwise: while only a part of a room's
 * state is known, who takes part is learned so. By numbers.
 */
async function namedMembers(
  { interning }: RoomServices,
  auths: readonly Known[],
  before: SnapshotChain,
): Promise<{ readonly unknown: ReadonlyMap<number, number>; readonly others: ReadonlyMap<number, number> }> {
  const members = auths.filter(({ event, flags }) => event.type === "m.room.member" && (flags & FLAGS.rejected) === 0);
  const tuples = await interning.tuples(members.map(({ event }) => stateTuple(event.type, event.state_key ?? "")));
  const [unknown, others] = [new Map<number, number>(), new Map<number, number>()];
  for (const { nid, event } of members) {
    const tuple = tuples.get(stateTuple(event.type, event.state_key ?? ""));
    const known = tuple === undefined ? undefined : eventAt(before, tuple);
    if (tuple !== undefined && known !== nid) (known === undefined ? unknown : others).set(tuple, nid);
  }
  return { unknown, others };
}

/** State events that we have, with their places in the auth chains. */
async function slotsOf(
  memory: RoomMemory,
  { database }: RoomServices,
  stored: readonly StoredEvent[],
): Promise<Map<EventId, StateSlot>> {
  const states = stored.filter((event) => event.state_key !== null);
  const places = await chainPlaces(database, states.map((event) => event.nid));
  const slots = new Map<EventId, StateSlot>();
  for (const row of states) {
    const place = places.get(row.nid);
    if (place === undefined) continue;
    memory.tails.set(place.chain, place.tail);
    slots.set(row.event_id, { nid: row.nid, event: asEvent(memory, row), chain: place.chain, sequence: place.sequence });
  }
  return slots;
}

export function asEvent(memory: RoomMemory, row: StoredEvent): RoomEvent {
  return storedEvent(memory.version, row.event_id, row.json);
}

/** An event as it counts: redacted, if it was. */
function asCounted(memory: RoomMemory, row: StoredEvent): RoomEvent {
  const event = asEvent(memory, row);
  return row.redacted_by === null ? event : redactEvent(memory.version, event);
}

function related(event: RoomEvent): EventId[] {
  const relation = relationOf(event.content);
  return relation === undefined ? [] : [relation.event_id];
}

function redactedBy({ redacts }: RoomEvent): EventId[] {
  return redacts === undefined ? [] : [redacts];
}

function relationIn(memory: RoomMemory, event: RoomEvent): Relation | undefined {
  const relation = relationOf(event.content);
  const target = relation === undefined ? undefined : memory.known.get(relation.event_id);
  if (relation === undefined || target === undefined) return undefined;
  const thread_root = relation.rel_type === "m.thread" ? target.nid : target.thread_root;
  return { rel_type: relation.rel_type, relates_to: target.nid, thread_root };
}

export function nidIn(nids: ReadonlyMap<string, number>): (name: string) => number {
  return (name) => {
    const nid = nids.get(name);
    if (nid === undefined) throw new Error("a name was not interned");
    return nid;
  };
}

/** One after the other: what later ones need may come of earlier ones. */
export async function oneByOne<Item, Result>(
  items: readonly Item[],
  each: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const item of items) results.push(await each(item));
  return results;
}

/** What takes milliseconds for each item, where a room is large: between them others have their turn. */
export async function inTurns<Item, Result>(items: readonly Item[], each: (item: Item) => Result): Promise<Result[]> {
  const results: Result[] = [];
  for (const item of items) {
    results.push(each(item));
    await new Promise((resolve) => setImmediate(resolve));
  }
  return results;
}
