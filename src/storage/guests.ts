// Guests of ours in rooms.
import type { RoomId, UserId } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";
import { fromText } from "./text.js";

const ROOMS: Statement<{ room_nid: number; event_nid: number | null }> = {
  name: "guests_rooms", // accounts_guests; current_state_user; current_state_pkey
  text: `SELECT DISTINCT member.room_nid, access.event_nid FROM accounts
      JOIN current_state member ON member.user_nid = accounts.user_nid AND member.membership = 1
      LEFT JOIN current_state access ON access.room_nid = member.room_nid AND access.tuple_nid = $1
    WHERE accounts.is_guest`,
};
const IN_ROOMS: Statement<{ room_id: string; user_id: string }> = {
  name: "guests_in_rooms", // accounts_guests; current_state_user
  text: `SELECT room_id, user_id FROM accounts
      JOIN current_state member ON member.user_nid = accounts.user_nid AND member.membership = 1
      JOIN rooms ON rooms.nid = member.room_nid JOIN users ON users.nid = accounts.user_nid
    WHERE accounts.is_guest AND member.room_nid = ANY($1)`,
};

/** The rooms that guests of ours have joined, each with the event that its state has for a tuple. */
export async function roomsOfGuests(database: Database, tuple: number | undefined): Promise<{ room_nid: number; event_nid: number | null }[]> {
  return await database.read(ROOMS, [tuple ?? null]);
}

/** The guests of ours in some rooms. */
export async function guestsInRooms(database: Database, rooms: readonly number[]): Promise<{ room_id: RoomId; user_id: UserId }[]> {
  const rows = await database.read(IN_ROOMS, [rooms]);
  return rows.map(({ room_id, user_id }) => ({ room_id: fromText(room_id) as RoomId, user_id: fromText(user_id) as UserId }));
}
