// What notified a user, read from what the unread counts are made of.
import type { Reads, Statement } from "./statement.js";
import { WHOLE_ROOM } from "./threads.js";

/** An event and what it counted for a user. */
export interface CountedFor {
  readonly nid: number;
  readonly position: number;
  readonly ordinal: number;
  readonly notify: boolean;
  readonly highlight: boolean;
  readonly read: boolean;
}

// The newest events of all the user's rooms are in the rooms whose last event is newest: only those are looked into. The sums are
// those of the unread counts, event by event.
const NEWEST: Statement<CountedFor> = {
  name: "notifications_newest", // memberships_pkey; events_position; counted_events_pkey, count_exceptions_pkey, receipts_pkey
  text: `WITH active AS (
      SELECT m.room_nid FROM memberships m CROSS JOIN LATERAL (
        SELECT position FROM events WHERE events.room_nid = m.room_nid AND ordinal IS NOT NULL AND (position, ordinal) < ($2::bigint, $3::bigint)
        ORDER BY position DESC LIMIT 1) last
      WHERE m.user_nid = $1 AND m.membership = 1 ORDER BY last.position DESC LIMIT $4),
    newest AS (
      SELECT e.* FROM active CROSS JOIN LATERAL (
        SELECT nid, room_nid, ordinal, position, sender_nid, coalesce(thread_root, 0) AS thread FROM events
        WHERE events.room_nid = active.room_nid AND ordinal IS NOT NULL AND (position, ordinal) < ($2::bigint, $3::bigint)
        ORDER BY position DESC, ordinal DESC LIMIT $4) e
      ORDER BY e.position DESC, e.ordinal DESC LIMIT $4)
    SELECT e.nid, e.position, e.ordinal,
      e.sender_nid <> $1 AND coalesce(counted.notifies::integer, 0) + exceptions.notify > 0 AS notify,
      e.sender_nid <> $1 AND coalesce(counted.highlights::integer, 0) + exceptions.highlight > 0 AS highlight,
      coalesce(e.ordinal <= (SELECT max(receipts.ordinal) FROM receipts WHERE receipts.room_nid = e.room_nid
        AND receipts.user_nid = $1 AND receipts.thread IN (${WHOLE_ROOM}, e.thread)), false) AS read
    FROM newest e
    LEFT JOIN counted_events counted ON counted.room_nid = e.room_nid AND counted.thread = e.thread AND counted.ordinal = e.ordinal
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(notify), 0) AS notify, coalesce(sum(highlight), 0) AS highlight FROM count_exceptions x
      WHERE x.room_nid = e.room_nid AND x.user_nid IN (0, $1) AND x.thread = e.thread AND x.ordinal = e.ordinal) exceptions
    ORDER BY e.position DESC, e.ordinal DESC`,
};

/** A place in the events of all of a user's rooms: just before this one. */
export interface NotificationPlace {
  readonly position: number;
  readonly ordinal: number;
}

/** The newest events before a place in the rooms that a user is in, newest first, with what each counted for the user. */
export async function newestCounted(reads: Reads, userNid: number, before: NotificationPlace, limit: number): Promise<CountedFor[]> {
  return await reads.read(NEWEST, [userNid, before.position, before.ordinal, limit]);
}
