// The number on the icon of a user's device.
import { unreadByScope } from "../storage/counts.js";
import { membershipsOfUser } from "../storage/memberships.js";
import { MEMBERSHIPS } from "../storage/room-rows.js";
import { inviteFilters } from "../rooms/membership/invite-filter.js";
import type { EventCache } from "../rooms/views/event-cache.js";
import type { Reads } from "../storage/statement.js";

/** What a user has not read: rooms, or with `byRoom` false all that notifies in them; each invitation that is shown is one. */
export async function unreadBadge(events: EventCache, reads: Reads, userNid: number, byRoom: boolean): Promise<number> {
  const memberships = await membershipsOfUser(reads, userNid);
  const invitations = memberships.filter(({ membership }) => membership === MEMBERSHIPS.invite).map(({ event_nid }) => event_nid);
  const invited = invitations.length === 0 ? 0 : await shownInvitations(events, reads, userNid, invitations);
  const joined = memberships.filter(({ membership }) => membership === MEMBERSHIPS.join);
  const scopes = await unreadByScope(reads, joined.map(({ room_nid }) => ({ user_nid: userNid, room_nid })));
  const unread = scopes.filter(({ notification_count }) => notification_count > 0);
  if (byRoom) return invited + new Set(unread.map(({ room_nid }) => room_nid)).size;
  return invited + unread.reduce((sum, { notification_count }) => sum + notification_count, 0);
}

async function shownInvitations(events: EventCache, reads: Reads, userNid: number, eventNids: readonly number[]): Promise<number> {
  const [read, verdict] = await Promise.all([events.get(reads, eventNids), inviteFilters(reads, [userNid])]);
  return [...read.values()].filter(({ event }) => verdict(userNid, event.sender) === "allow").length;
}
