// The whole state of a room of which only a part was known: all that happened since is judged again (server-server API, "Joining
// Rooms", `members_omitted`; "Checks performed on receipt of a PDU", 4 and 5).
import { authorisingTuples } from "../../protocol/auth-events.js";
import { authorise } from "../../protocol/authorisation.js";
import { type EventId, parseUserId } from "../../protocol/identifiers.js";
import { stateTuple } from "../../protocol/state-map.js";
import { eventsById, eventsByNid, type StoredEvent } from "../../storage/events.js";
import { endPartialState, partialEntries, placedSince, type RejudgedRow, serversOfMembers } from "../../storage/partial-state.js";
import { FLAGS } from "../../storage/room-rows.js";
import { snapshotLinks } from "../../storage/state.js";
import { inOrder } from "./event-order.js";
import { RoomChange } from "./persist.js";
import { allowedByAuthEvents, asEvent, authorisers, difference, inTurns, isWithholdable, type Known, namedChanges, nidIn, oneByOne, resolveStates, stateReader } from "./received.js";
import { type Extremity, loadCounting, type RoomMemory } from "./room-memory.js";
import type { RoomServices } from "./room-services.js";
import { chainOf, EMPTY_CHAIN, eventAt, foldChain, isSameSnapshot, type SnapshotChain, snapshotOf } from "./snapshot-chain.js";

/** Events that are judged again, the earliest. */
const MAX_EVENTS = 20_000;

interface Placed extends Known {
  readonly row: StoredEvent;
}

/**
 * Puts the whole state of a room, once what came before our joins is here: each event since is judged by the state before it as it
 * comes out now, and so is the current state. False, and nothing is written, while something before one of our joins is missing; with
 * `giveUp` the state stays as it is then, and nobody waits for more.
 */
export async function completeState(memory: RoomMemory, services: RoomServices, giveUp: boolean): Promise<boolean> {
  if (!memory.partial) return true;
  const { database, interning, numbers, clock, ruleChanges, signingKey } = services;
  const { entries, servers } = await partialEntries(database, memory.nid);
  const nids = await placedSince(database, memory.nid, Math.min(...entries), MAX_EVENTS);
  const rows = await eventsByNid(database, nids);
  const events = [...rows.values()].map((row) => asEvent(memory, row));
  const named = new Set(events.flatMap((event) => [...event.prev_events, ...authorisers(memory, event)]));
  const known = new Map<EventId, Placed>();
  for (const row of [...(await eventsById(database, [...named])).values(), ...rows.values()]) {
    if (row.room_nid === memory.nid) known.set(row.event_id, { ...row, row, event: asEvent(memory, row) });
  }
  const isPlaced = (id: EventId): boolean => ((known.get(id)?.flags ?? FLAGS.outlier) & FLAGS.outlier) === 0;
  const isEntry = new Set(entries);
  const joins = [...rows.values()].filter(({ nid }) => isEntry.has(nid)).map((row) => asEvent(memory, row));
  const isHere = joins.every(({ prev_events }) => prev_events.every(isPlaced));
  if (!isHere && !giveUp) return false;

  const change = new RoomChange(
    memory,
    {
      user: (id) => nidIn(users)(id),
      type: (type) => nidIn(types)(type),
      tuple: () => unreachable(),
      mentioned: () => undefined,
    },
    {
      events: await numbers.allot("event_nids", 0),
      snapshots: await numbers.allot("snapshot_nids", 2 * (events.length + events.reduce((sum, { prev_events }) => sum + prev_events.length, 0)) + 10),
      chains: await numbers.allot("chain_nids", 0),
    },
    await loadCounting(database, memory, ruleChanges, []),
    (server) => signingKey(server) !== undefined,
    clock.now(),
  );

  if (!isHere) {
    change.noteKnowledge(endPartialState(memory.nid, "given_up", [], clock.now()));
    memory.partial = false;
    await services.committer.submit(change.item());
    return false;
  }
  const snapshots = new Map<number, SnapshotChain>();
  const snapshotBefore = async (number: number | null): Promise<SnapshotChain> => {
    if (number === null) return EMPTY_CHAIN;
    let chain = snapshots.get(number);
    if (chain === undefined) {
      chain = chainOf(await snapshotLinks(database, number), memory.chain);
      snapshots.set(number, chain);
    }
    return chain;
  };
  const judged = new Map<number, Known>();
  const after = async (event: Placed): Promise<SnapshotChain> => {
    if (event.after !== undefined) return event.after;
    return (event.after = await following(event.row, await snapshotBefore(event.row.state_before), event.row.flags));
  };
  const following = async (row: StoredEvent, before: SnapshotChain, flags: number): Promise<SnapshotChain> => {
    if (row.state_key === null || (flags & FLAGS.rejected) !== 0) return before;
    const tuple = stateTuple(row.type, row.state_key);
    const number = (await interning.tuples([tuple])).get(tuple);
    if (number === undefined || eventAt(before, number) === row.nid) return before;
    return change.snapshot(before, new Map([[number, row.nid]]));
  };
  const met = new Map<string, SnapshotChain>();
  const meet = async (chains: readonly SnapshotChain[]): Promise<SnapshotChain> => {
    const [first = EMPTY_CHAIN, ...others] = chains;
    if (others.every((chain) => isSameSnapshot(chain, first))) return first;
    const key = [...new Set(chains.map((chain) => snapshotOf(chain) ?? 0))].toSorted((a, b) => a - b).join(" ");
    let result = met.get(key);
    if (result === undefined) {
      const distinct = [...new Map(chains.map((chain) => [snapshotOf(chain), chain])).values()];
      const changes = difference(foldChain(first), await resolveStates(memory, services, await inTurns(distinct, foldChain), judged));
      result = changes.size === 0 ? first : change.snapshot(first, changes);
      met.set(key, result);
    }
    return result;
  };
  const asked = await interning.findTuples(events.flatMap((event) => authorisingTuples(memory.version, event)));
  const stateIn = stateReader(memory, services, (tuple) => asked.get(tuple), new Map());

  const rejudged: RejudgedRow[] = [];
  const accepted = new Set<number>();
  for (const event of inOrder(events, ({ prev_events, auth_events }) => [...auth_events, ...prev_events])) {
    const one = known.get(event.event_id);
    if (one === undefined) continue;
    const { row } = one;
    // What was asked of others as a whole is whole.
    const before = event.prev_events.every(isPlaced)
      ? await meet(await oneByOne(event.prev_events.flatMap((id) => known.get(id) ?? []), after))
      : await snapshotBefore(row.state_before);
    const auths = authorisers(memory, event).flatMap((id) => known.get(id) ?? []);
    const wasAllowed = (row.flags & FLAGS.rejected) === 0;
    // Of what was purged only the place is left: it stays as it was.
    const allowed = (row.flags & FLAGS.purged) !== 0 ? wasAllowed :
      event.auth_events.every((id) => known.has(id)) &&
      allowedByAuthEvents(memory, event, auths.map((auth) => judged.get(auth.nid) ?? auth)) &&
      authorise(memory.version, event, await stateIn(before, authorisingTuples(memory.version, event))).allowed;
    const flags = allowed === wasAllowed ? row.flags : allowed ? (isWithholdable(memory, event) ? FLAGS.withheld : 0) : FLAGS.rejected | (row.ordinal === null ? 0 : FLAGS.purged_live);
    one.after = await following(row, before, flags);
    judged.set(row.nid, { ...one, flags });
    const tuple = row.state_key === null ? undefined : stateTuple(row.type, row.state_key);
    const number = tuple === undefined ? undefined : (await interning.tuples([tuple])).get(tuple);
    const replaces = number === undefined ? null : (eventAt(before, number) ?? null);
    const state_before = snapshotOf(before);
    if (flags === 0 && !wasAllowed) accepted.add(row.nid);
    if (flags !== row.flags || state_before !== row.state_before) rejudged.push({ nid: row.nid, flags, state_before, replaces: replaces === row.nid ? row.replaces : replaces });
  }

  // Whoever was in the room since our join and was not known to be: states before it, and all memberships since.
  const [first] = joins.map(({ event_id }) => known.get(event_id)?.after ?? EMPTY_CHAIN);
  const members = [...foldChain(first ?? EMPTY_CHAIN).values(), ...nids];
  const missed = (await serversOfMembers(database, members)).filter((name) => !servers.has(name) && signingKey(name) === undefined);
  const lastJudged = endsOf(memory, [...rows.values()], judged);
  // Of a room in which too much has happened the last is left as it is: the whole state and what that says meet as other branches do.
  const isAll = nids.length < MAX_EVENTS;
  const ends = isAll ? lastJudged : memory.extremities;
  for (const row of (await eventsByNid(database, isAll ? [] : ends.map(({ nid }) => nid))).values()) {
    if (!known.has(row.event_id)) known.set(row.event_id, { ...row, row, event: asEvent(memory, row) });
  }
  const latest = new Map([...lastJudged, ...ends].map(({ event }) => [event.event_id, event]));
  const chain = await meet(await oneByOne([...latest.keys()].flatMap((id) => known.get(id) ?? []), after));
  const changed = difference(foldChain(memory.chain), foldChain(chain));
  const changes = await namedChanges(services, memory, changed, new Map());
  const users = await interning.users(changes.flatMap(({ type, state_key }) => (type === "m.room.member" && parseUserId(state_key)) || []));
  const types = await interning.types(new Set(changes.map(({ type }) => type)));
  change.rejudge(rejudged, accepted);
  change.replaceState(ends, chain, changes);
  change.noteKnowledge(endPartialState(memory.nid, "complete", missed, clock.now()));
  memory.partial = false;
  memory.counting = undefined;
  memory.state.clear();
  memory.tails.clear();
  memory.branches.forgetAll();
  await services.committer.submit(change.item());
  return true;
}

/** The ends of a room's history: what counts of its live timeline since our joins and is followed by nothing that does. */
function endsOf(memory: RoomMemory, rows: readonly StoredEvent[], judged: ReadonlyMap<number, Known>): Extremity[] {
  const live = rows.filter(({ nid, ordinal }) => {
    const flags = judged.get(nid)?.flags;
    return (ordinal !== null && flags === 0) || flags === (FLAGS.withheld | FLAGS.withheld_live);
  });
  const followed = new Set(live.flatMap(({ prev_nids }) => prev_nids));
  const ends = live.filter(({ nid }) => !followed.has(nid)).map((row) => ({ nid: row.nid, event: asEvent(memory, row) }));
  return ends.length === 0 ? [...memory.extremities] : ends;
}

function unreachable(): never {
  throw new Error("nothing new is written where events are judged anew");
}
