// The number on the icon of a user's device.
import { unreadByScope } from "../storage/counts.js";
import { membershipsOfUser } from "../storage/memberships.js";
import { MEMBERSHIPS } from "../storage/room-rows.js";
import type { Reads } from "../storage/statement.js";

/** What a user has not read: rooms, or with `byRoom` false all that notifies in them; each invitation is one. */
export async function unreadBadge(reads: Reads, userNid: number, byRoom: boolean): Promise<number> {
  const memberships = await membershipsOfUser(reads, userNid);
  const invited = memberships.filter(({ membership }) => membership === MEMBERSHIPS.invite).length;
  const joined = memberships.filter(({ membership }) => membership === MEMBERSHIPS.join);
  const scopes = await unreadByScope(reads, joined.map(({ room_nid }) => ({ user_nid: userNid, room_nid })));
  const unread = scopes.filter(({ notification_count }) => notification_count > 0);
  if (byRoom) return invited + new Set(unread.map(({ room_nid }) => room_nid)).size;
  return invited + unread.reduce((sum, { notification_count }) => sum + notification_count, 0);
}
