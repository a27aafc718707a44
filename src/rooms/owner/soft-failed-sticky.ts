// Sticky events that the room's state did not allow when they came are judged again when it changes: those that it allows now are
// told, outside of the timeline (MSC4354, "Soft-failure").
import { authorisingTuples } from "../../protocol/auth-events.js";
import { authorise } from "../../protocol/authorisation.js";
import { eventsByNid } from "../../storage/events.js";
import type { LogEntry } from "../../storage/log-entry.js";
import { addStickyEvents, noLongerSoftFailed, softFailedSticky } from "../../storage/sticky-events.js";
import { isSignedByPolicy, isSubjectToPolicy, POLICY, policyServerOf } from "./policy.js";
import { asEvent } from "./received.js";
import { loadState, type RoomMemory } from "./room-memory.js";
import type { RoomServices } from "./room-services.js";

/** The latest that are judged again at a time: more only a hostile room has. */
const MOST = 200;

/** Judges them by the current state. Only for the room's owner, in its turn. */
export async function judgeSoftFailedSticky(memory: RoomMemory, { database, committer, clock }: RoomServices): Promise<void> {
  const waiting = await softFailedSticky(database, memory.nid, clock.now(), MOST);
  memory.hasSoftFailedSticky = waiting.length > 0;
  if (waiting.length === 0) return;
  const rows = await eventsByNid(database, waiting.map(({ event_nid }) => event_nid));
  const events = [...rows.values()].filter(({ redacted_by }) => redacted_by === null).map((row) => ({ nid: row.nid, event: asEvent(memory, row) }));
  await loadState(database, memory, [POLICY, ...events.flatMap(({ event }) => authorisingTuples(memory.version, event))]);
  const policy = policyServerOf(memory.state.get(POLICY)?.event);
  const allowed = new Set(events.flatMap(({ nid, event }) => {
    if (policy !== undefined && isSubjectToPolicy(event) && !isSignedByPolicy(memory.version, event, policy)) return [];
    const state = new Map(authorisingTuples(memory.version, event).flatMap((tuple) => {
      const slot = memory.state.get(tuple);
      return slot === undefined || slot === null ? [] : [[tuple, slot.event] as const];
    }));
    return authorise(memory.version, event, state).allowed ? [nid] : [];
  }));
  const told = waiting.filter(({ event_nid }) => allowed.has(event_nid)).toSorted((a, b) => a.event_nid - b.event_nid);
  if (told.length === 0) return;
  const nids = told.map(({ event_nid }) => event_nid);
  await committer.submit({
    statements: [noLongerSoftFailed(nids), addStickyEvents(memory.nid, told)],
    entries: nids.flatMap((reference): LogEntry[] => [
      { kind: "invalidation", room_nid: memory.nid, reference },
      { kind: "event", room_nid: memory.nid, reference },
    ]),
  });
  memory.hasSoftFailedSticky = told.length < waiting.length || waiting.length === MOST;
}
