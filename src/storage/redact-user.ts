// The events of a user that can be redacted.
import type { EventId, RoomId } from "../protocol/identifiers.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

interface Redactable {
  readonly nid: number;
  readonly event_id: EventId;
  readonly room_id: RoomId;
}

const EVENTS: Statement<Redactable> = {
  name: "redact_user_events", // memberships_pkey or rooms_room_id_key, then the rooms' events
  text: `SELECT e.nid, e.event_id, r.room_id FROM rooms r JOIN events e ON e.room_nid = r.nid
    WHERE r.nid = ANY (ARRAY (SELECT room_nid FROM memberships WHERE user_nid = $1 AND cardinality($2::text[]) = 0
        UNION SELECT nid FROM rooms WHERE room_id = ANY ($2))) AND e.sender_nid = $1 AND e.nid < $3 AND e.flags = 0 AND e.ordinal IS NOT NULL AND e.redacted_by IS NULL
      AND e.type_nid = ANY (ARRAY (SELECT nid FROM event_types WHERE type IN ('m.room.message', 'm.room.encrypted', 'm.sticker', 'm.reaction')))
    ORDER BY e.nid DESC LIMIT $4`,
};

/** Messages of a user before a number that are not redacted yet, the newest first; in some rooms, or if none are named in all. */
export async function eventsToRedact(
  reads: Reads,
  userNid: number,
  rooms: readonly RoomId[],
  before: number,
  limit: number,
): Promise<Redactable[]> {
  if (limit <= 0) return [];
  const rows = await reads.read(EVENTS, [userNid, rooms.map(toText), before, limit]);
  return rows.map((row) => ({ ...row, event_id: fromText(row.event_id) as EventId, room_id: fromText(row.room_id) as RoomId }));
}
