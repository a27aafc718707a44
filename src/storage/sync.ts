// What /sync reads: a constant number of statements whatever the number of rooms, to be run inside one snapshot.
import type { Reads, Statement } from "./statement.js";

/** The position as of which a snapshot sees everything: positions become visible in their order. */
export const HEAD: Statement<{ position: number; oldest: number }> = {
  name: "sync_head",
  text: "SELECT coalesce(max(position), 0) AS position, coalesce(min(position), 0) AS oldest FROM log",
};

export interface MembershipNow {
  readonly room_nid: number;
  readonly room_id: string;
  readonly version: string;
  readonly membership: number;
  readonly event_nid: number;
  readonly position: number;
  /** Since which position all of the room's state is known; null while it is not. */
  readonly whole_since: number | null;
}

/** $1 user, $2 position: the rooms of a local user, but those that were left by then and forgotten. */
export const MEMBERSHIPS_OF_USER: Statement<MembershipNow> = {
  name: "sync_memberships",
  // The event's position: forgetting gives the row a later one. An outlier was there before it meant anything.
  text: `SELECT memberships.room_nid, room_id, version, membership, event_nid, rooms.whole_since,
      CASE WHEN events.flags & 1 <> 0 AND NOT forgotten THEN memberships.position ELSE events.position END AS position
    FROM memberships JOIN rooms ON rooms.nid = room_nid JOIN events ON events.nid = event_nid
    WHERE user_nid = $1 AND (NOT forgotten OR events.position > $2)`,
};

export interface Change {
  readonly room_nid: number;
  readonly tuple_nid: number;
  readonly reference: number | null;
  readonly previous: number | null;
  readonly position: number;
}

/** $1 user, $2 after, $3 up to, $4 kind: changes of the user's own membership (log_user). */
export const OWN_CHANGES: Statement<Change> = {
  name: "sync_own_changes",
  text: `SELECT room_nid, tuple_nid, reference, previous, position FROM log
    WHERE user_nid = $1 AND position > $2 AND position <= $3 AND kind = $4 AND room_nid IS NOT NULL
    ORDER BY position, index`,
};

/** $1 rooms, $2 after, $3 up to: the rooms that the log speaks of (log_room), with the kinds it says. */
export const CHANGED_ROOMS: Statement<{ room_nid: number; kinds: number[] }> = {
  name: "sync_changed_rooms",
  text: `SELECT room_nid, array_agg(DISTINCT kind::integer) AS kinds FROM log
    WHERE room_nid = ANY($1) AND position > $2 AND position <= $3
    GROUP BY room_nid`,
};

export interface TimelineRow {
  readonly room_nid: number;
  readonly nid: number;
  /** Null for what the live timeline does not have. */
  readonly ordinal: number | null;
  readonly depth: number;
  readonly position: number;
}

/**
 * $1 rooms, $2 after which position, $3 up to which position, $4 before which ordinal, of each room; $5 how many: the newest
 * events of each room in that window, newest first (events_position where a window is open below, else the same index
 * backwards).
 */
export const TIMELINES: Statement<TimelineRow> = {
  name: "sync_timelines",
  text: `SELECT input.room_nid, found.*
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS input (room_nid, after, up_to, before)
    CROSS JOIN LATERAL (
      SELECT nid, ordinal, depth, position FROM events
      WHERE events.room_nid = input.room_nid AND ordinal IS NOT NULL AND position > after AND position <= up_to
        AND ordinal < before
      ORDER BY position DESC, ordinal DESC LIMIT $5) AS found`,
};

/**
 * $1 rooms, $2 and $3 before which depth and number, of each room; $4 how many: the ends of the rooms' histories, last event
 * first, with what only they have (events_depth backwards).
 */
export const HISTORIES: Statement<TimelineRow> = {
  name: "sync_histories",
  text: `SELECT input.room_nid, found.*
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS input (room_nid, before_depth, before_nid)
    CROSS JOIN LATERAL (
      SELECT nid, ordinal, depth, position FROM events
      WHERE events.room_nid = input.room_nid AND (depth, nid) < (before_depth, before_nid)
      ORDER BY depth DESC, nid DESC LIMIT $4) AS found`,
};

/**
 * $1 rooms, $2 before which ordinal, of each room; $3 how many: the deepest of the last events that arrived before, and the position
 * of the very last (events_ordinal).
 */
export const DEEPEST_BEFORE: Statement<{ room_nid: number; depth: number; nid: number; last: number }> = {
  name: "sync_deepest_before",
  text: `SELECT input.room_nid, found.*
    FROM unnest($1::bigint[], $2::bigint[]) AS input (room_nid, before)
    CROSS JOIN LATERAL (
      SELECT depth, nid, max(position) OVER () AS last FROM (
        SELECT depth, nid, position FROM events
        WHERE events.room_nid = input.room_nid AND ordinal IS NOT NULL AND ordinal < before
        ORDER BY ordinal DESC LIMIT $3) AS recent
      ORDER BY depth DESC, nid DESC LIMIT 1) AS found`,
};

export interface StateRow {
  readonly room_nid: number;
  readonly tuple_nid: number;
  readonly event_nid: number;
  readonly user_nid: number | null;
}

/** $1 rooms: their current state (current_state's key). */
export const CURRENT_STATE: Statement<StateRow> = {
  name: "sync_current_state",
  text: `SELECT room_nid, tuple_nid, event_nid, user_nid FROM current_state
    WHERE room_nid = ANY($1) AND event_nid IS NOT NULL`,
};

/** $1 rooms: their current state but for members (current_state_type). */
export const CURRENT_STATE_WITHOUT_MEMBERS: Statement<StateRow> = {
  name: "sync_current_state_without_members",
  text: `SELECT room_nid, tuple_nid, event_nid, user_nid FROM current_state
    WHERE room_nid = ANY($1) AND event_nid IS NOT NULL AND membership IS NULL`,
};

/** $1 rooms and $2 users, in pairs: these members of these rooms (current_state_user). */
const CURRENT_MEMBERS: Statement<StateRow> = {
  name: "sync_current_members",
  text: `SELECT current_state.room_nid, tuple_nid, event_nid, current_state.user_nid
    FROM unnest($1::bigint[], $2::bigint[]) AS input (room_nid, user_nid)
    JOIN current_state ON current_state.room_nid = input.room_nid AND current_state.user_nid = input.user_nid
      AND membership IS NOT NULL
    WHERE event_nid IS NOT NULL`,
};

/** The member events of pairs of rooms and users, as far as there are any. */
export async function currentMembers(reads: Reads, pairs: readonly (readonly [room_nid: number, user_nid: number])[]): Promise<StateRow[]> {
  if (pairs.length === 0) return [];
  return await reads.read(CURRENT_MEMBERS, [pairs.map(([room]) => room), pairs.map(([, user]) => user)]);
}

export interface SummaryRow {
  readonly room_nid: number;
  readonly joined: number;
  readonly invited: number;
  readonly heroes: number[];
}

/**
 * $1 rooms, $2 reader: how many are in each room, and the first five others (current_state_membership): joined or invited
 * ones, or those who left or were banned if there are none.
 */
export const SUMMARIES: Statement<SummaryRow> = {
  name: "sync_summaries",
  text: `SELECT input.room_nid,
      (SELECT count(*) FROM current_state AS s WHERE s.room_nid = input.room_nid AND s.membership = 1) AS joined,
      (SELECT count(*) FROM current_state AS s WHERE s.room_nid = input.room_nid AND s.membership = 2) AS invited,
      coalesce(nullif(ARRAY(
        SELECT user_nid FROM current_state AS s
        WHERE s.room_nid = input.room_nid AND s.membership IN (1, 2) AND user_nid <> $2
        ORDER BY event_nid LIMIT 5), '{}'), ARRAY(
        SELECT user_nid FROM current_state AS s
        WHERE s.room_nid = input.room_nid AND s.membership IN (4, 5) AND user_nid <> $2
        ORDER BY event_nid LIMIT 5)) AS heroes
    FROM unnest($1::bigint[]) AS input (room_nid)`,
};

/** $1 rooms, $2 types: their current state of these types (current_state_type). */
export const CURRENT_STATE_OF_TYPES: Statement<StateRow> = {
  name: "sync_current_state_of_types",
  text: `SELECT room_nid, tuple_nid, event_nid, user_nid FROM current_state
    WHERE room_nid = ANY($1) AND event_nid IS NOT NULL
      AND type_nid = ANY (ARRAY (SELECT nid FROM event_types WHERE type = ANY($2)))`,
};
