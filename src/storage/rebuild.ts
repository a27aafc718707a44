// Writing again what follows from a room's last snapshot.
import type { Tx } from "./database.js";
import type { CurrentStateRow, MembershipRow } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";

const NEXT_ROOMS: Statement<{ nid: number }> = {
  name: "rebuild_next_rooms", // rooms_pkey
  text: "SELECT nid FROM rooms WHERE nid > $1 ORDER BY nid LIMIT 100",
};

/** The numbers of the next rooms after one, at most 100. */
export async function roomsAfter(database: Reads, nid: number): Promise<number[]> {
  return (await database.read(NEXT_ROOMS, [nid])).map((row) => row.nid);
}

const HOLD_ROOM: Statement<{ snapshot: number | null }> = {
  name: "rebuild_hold_room",
  // A new revision makes the room's owner read everything again.
  text: "UPDATE rooms SET revision = revision + 1 WHERE nid = $1 RETURNING snapshot",
};

/** Keeps everyone from writing to a room until the transaction ends: the snapshot of its current state. */
export async function holdRoom(tx: Tx, roomNid: number): Promise<number | null> {
  const [room] = await tx.query(HOLD_ROOM, [roomNid]);
  return room?.snapshot ?? null;
}

const REPLACE_STATE: Statement = {
  name: "rebuild_current_state",
  text: `WITH wanted AS (SELECT * FROM json_populate_recordset(NULL::current_state, $2::json)),
      gone AS (DELETE FROM current_state WHERE room_nid = $1 AND event_nid IS NOT NULL
        AND tuple_nid NOT IN (SELECT tuple_nid FROM wanted))
    INSERT INTO current_state SELECT * FROM wanted
      ON CONFLICT (room_nid, tuple_nid) DO UPDATE SET event_nid = excluded.event_nid, type_nid = excluded.type_nid,
        position = excluded.position, user_nid = excluded.user_nid, membership = excluded.membership
      WHERE current_state.event_nid IS DISTINCT FROM excluded.event_nid
        OR current_state.user_nid IS DISTINCT FROM excluded.user_nid
        OR current_state.membership IS DISTINCT FROM excluded.membership`,
};
const REPLACE_MEMBERSHIPS: Statement = {
  name: "rebuild_memberships",
  text: `WITH wanted AS (SELECT user_nid, room_nid, membership, event_nid, position
        FROM json_populate_recordset(NULL::memberships, $2::json)),
      gone AS (DELETE FROM memberships WHERE room_nid = $1 AND user_nid NOT IN (SELECT user_nid FROM wanted))
    INSERT INTO memberships (user_nid, room_nid, membership, event_nid, position) SELECT * FROM wanted
      ON CONFLICT (user_nid, room_nid) DO UPDATE SET membership = excluded.membership, event_nid = excluded.event_nid,
        position = excluded.position
      WHERE memberships.event_nid <> excluded.event_nid OR memberships.membership <> excluded.membership`,
};

type At<R> = R & { readonly position: number };

/** Makes the current state of a room and its users' memberships what they should be; what is right is not touched. */
export async function replaceRoomState(
  tx: Tx,
  roomNid: number,
  state: readonly At<CurrentStateRow>[],
  memberships: readonly At<MembershipRow>[],
): Promise<void> {
  await tx.query(REPLACE_STATE, [roomNid, JSON.stringify(state)]);
  await tx.query(REPLACE_MEMBERSHIPS, [roomNid, JSON.stringify(memberships)]);
}
