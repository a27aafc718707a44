// Memberships of our users in rooms that none of our users is in: what other servers told us of them.
import type { BoundStatement } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";

const SET: Statement = {
  name: "outside_memberships_set",
  text: `INSERT INTO memberships (user_nid, room_nid, membership, event_nid, position)
    VALUES ($1, $2, $3, $4, currval('log_position'))
    ON CONFLICT (user_nid, room_nid) DO UPDATE SET membership = excluded.membership, event_nid = excluded.event_nid,
      position = excluded.position, forgotten = false`,
};
const OFFER: Statement = {
  name: "outside_memberships_offer",
  text: `INSERT INTO offered_state (user_nid, room_nid, events) VALUES ($1, $2, $3)
    ON CONFLICT (user_nid, room_nid) DO UPDATE SET events = excluded.events`,
};
const OFFERED: Statement<{ room_nid: number; events: string }> = {
  name: "outside_memberships_offered", // offered_state_pkey
  text: "SELECT room_nid, events FROM offered_state WHERE user_nid = $1 AND room_nid = ANY ($2::bigint[])",
};

/** What sets such a membership, by the number of its event, to be given to the committer. */
export function outsideMembership(userNid: number, roomNid: number, membership: number, eventNid: number): BoundStatement {
  return { statement: SET, values: [userNid, roomNid, membership, eventNid], atPosition: true };
}

/** What keeps the stripped state that came with it: JSON text of an array. */
export function offeredState(userNid: number, roomNid: number, events: string): BoundStatement {
  return { statement: OFFER, values: [userNid, roomNid, events] };
}

/** The stripped state that a user was told of rooms: room number to JSON text of an array. */
export async function offeredStates(reads: Reads, userNid: number, rooms: readonly number[]): Promise<Map<number, string>> {
  if (rooms.length === 0) return new Map();
  return new Map((await reads.read(OFFERED, [userNid, rooms])).map(({ room_nid, events }) => [room_nid, events]));
}
