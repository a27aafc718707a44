// What users are told of rooms that they are invited to or knock on (client-server API, "Stripped state"), for many rooms.
import { strippedEvent } from "../protocol/client-event.js";
import { isState } from "../protocol/event.js";
import type { ReadEvent } from "../rooms/views/event-cache.js";
import { inviteFilters } from "../rooms/membership/invite-filter.js";
import { STRIPPED } from "../rooms/views/stripped-state.js";
import type { VisibilityServices } from "../rooms/views/visibility.js";
import { offeredStates } from "../storage/outside-memberships.js";
import { MEMBERSHIPS } from "../storage/room-rows.js";
import type { Reads } from "../storage/statement.js";
import { CURRENT_STATE_OF_TYPES, currentMembers } from "../storage/sync.js";

/** A room that a user is invited to or knocks on, with the number of the member event that says so. */
export interface WaitingRoom {
  readonly room_nid: number;
  readonly membership: number;
  readonly event_nid: number;
}

/**
 * The stripped state of rooms that a user waits for, by their numbers: JSON texts of events. Rooms whose inviter the user
 * does not want to hear of are left out. A constant number of statements.
 */
export async function strippedRooms(
  { events: cache }: VisibilityServices,
  reads: Reads,
  user_nid: number,
  waiting: readonly WaitingRoom[],
): Promise<Map<number, readonly string[]>> {
  if (waiting.length === 0) return new Map();
  const nids = waiting.map(({ room_nid }) => room_nid);
  const own = await cache.get(reads, waiting.map(({ event_nid }) => event_nid));
  const inviters = waiting.flatMap(({ room_nid, event_nid, membership }) => {
    const read = own.get(event_nid);
    return read && membership === MEMBERSHIPS.invite ? [[room_nid, read.row.sender_nid] as const] : [];
  });
  const rows = [
    ...(await reads.read(CURRENT_STATE_OF_TYPES, [nids, STRIPPED])),
    ...(await currentMembers(reads, inviters)),
  ];
  const events = await cache.get(reads, rows.map(({ event_nid }) => event_nid));
  // Of rooms that none of ours is in, what their servers said.
  const known = new Set(rows.map((row) => row.room_nid));
  const offered = await offeredStates(reads, user_nid, nids.filter((nid) => !known.has(nid)));
  const verdict = await inviteFilters(reads, inviters.length === 0 ? [] : [user_nid]);
  const shownOf = new Map<number, Map<number, ReadEvent>>(nids.map((nid) => [nid, new Map()]));
  for (const { room_nid, event_nid } of rows) {
    const read = events.get(event_nid);
    if (read !== undefined) shownOf.get(room_nid)?.set(event_nid, read);
  }
  const texts = new Map<number, readonly string[]>();
  for (const { room_nid, event_nid, membership } of waiting) {
    const mine = own.get(event_nid);
    if (membership === MEMBERSHIPS.invite && mine !== undefined && verdict(user_nid, mine.event.sender) !== "allow") continue;
    const shown = shownOf.get(room_nid) ?? new Map<number, ReadEvent>();
    if (mine !== undefined) shown.set(event_nid, mine);
    const stripped = [...shown.values()].map(({ event }) => event).filter(isState).map(strippedEvent);
    const said = offered.get(room_nid)?.slice(1, -1) ?? "";
    texts.set(room_nid, said === "" ? stripped : [said, ...stripped]);
  }
  return texts;
}
