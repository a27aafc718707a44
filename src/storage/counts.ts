// Unread counts: what is written with each change of a room, and what they add up to for a reader.
import type { EventId } from "../protocol/identifiers.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText } from "./text.js";
import { MAIN_TIMELINE, WHOLE_ROOM } from "./threads.js";

export interface CountedEventRow {
  readonly room_nid: number;
  readonly thread: number;
  readonly ordinal: number;
  readonly notifies: boolean;
  readonly highlights: boolean;
  /** Running numbers of the scope, this event included. */
  readonly notified: number;
  readonly highlighted: number;
}

export interface CountedScopeRow {
  readonly room_nid: number;
  readonly thread: number;
  readonly last_ordinal: number;
  readonly notified: number;
  readonly highlighted: number;
}

export interface CountExceptionRow {
  readonly room_nid: number;
  readonly user_nid: number;
  readonly thread: number;
  readonly ordinal: number;
  readonly notify: number;
  readonly highlight: number;
}

export interface ImpliedReceiptRow {
  readonly room_nid: number;
  readonly user_nid: number;
  readonly thread: number;
  readonly event_nid: number;
  readonly ordinal: number;
  readonly ts: number;
}

/** What a change of a room means for counts, as `write_counts` takes it. */
export interface CountRows {
  readonly counted_events: readonly CountedEventRow[];
  readonly counted_scopes: readonly CountedScopeRow[];
  readonly count_exceptions: readonly CountExceptionRow[];
  readonly implied_receipts: readonly ImpliedReceiptRow[];
  /** Events that were redacted: they count for nobody any more. */
  readonly uncounted_events: readonly { readonly nid: number }[];
}

export interface RunningNumbers {
  readonly notified: number;
  readonly highlighted: number;
}

/** A scope as a room's owner reads it. */
export interface ScopeOfRoom extends RunningNumbers {
  /** Our users who follow it, if it is a thread. */
  readonly followers: { readonly user_nid: number; readonly user_id: string; readonly joined: boolean }[];
}

interface ScopeRow extends RunningNumbers {
  readonly thread: number;
  readonly user_nid: number | null;
  readonly user_id: string | null;
  readonly joined: boolean;
}

const SCOPES: Statement<ScopeRow> = {
  name: "counts_scopes", // counted_scopes_pkey, thread_subscriptions_followers, users_pkey, memberships_pkey
  text: `SELECT wanted.thread, coalesce(notified, 0) AS notified, coalesce(highlighted, 0) AS highlighted, follower.user_nid, users.user_id,
      EXISTS (SELECT FROM memberships WHERE memberships.user_nid = follower.user_nid AND memberships.room_nid = $1 AND membership = 1) AS joined
    FROM unnest($2::bigint[]) AS wanted (thread) LEFT JOIN counted_scopes AS counted ON counted.room_nid = $1 AND counted.thread = wanted.thread
    LEFT JOIN thread_subscriptions AS follower ON follower.root = wanted.thread AND follower.subscribed
    LEFT JOIN users ON users.nid = follower.user_nid`,
};

/** Scopes of a room by their thread: their running numbers, and who follows them. */
export async function scopesOfRoom(reads: Reads, roomNid: number, threads: readonly number[]): Promise<Map<number, ScopeOfRoom>> {
  const scopes = new Map<number, ScopeOfRoom>();
  if (threads.length === 0) return scopes;
  for (const { thread, notified, highlighted, user_nid, user_id, joined } of await reads.read(SCOPES, [roomNid, threads])) {
    let scope = scopes.get(thread);
    if (scope === undefined) scopes.set(thread, (scope = { notified, highlighted, followers: [] }));
    if (user_nid !== null && user_id !== null) scope.followers.push({ user_nid, user_id: fromText(user_id), joined });
  }
  return scopes;
}

export interface TimelineEvent {
  readonly nid: number;
  readonly ordinal: number;
  readonly event_id: EventId;
  readonly thread_root: number | null;
  readonly sender_nid: number;
  readonly redacted_by: number | null;
  readonly json: string;
}

const TIMELINE: Statement<TimelineEvent> = {
  name: "counts_timeline", // events_ordinal
  text: `SELECT events.nid, ordinal, event_id, thread_root, sender_nid, redacted_by, coalesce(message.json, state.json) AS json
    FROM events
    LEFT JOIN state_event_json AS state ON state.nid = events.nid AND tuple_nid IS NOT NULL
    LEFT JOIN message_json AS message ON message.nid = events.nid AND tuple_nid IS NULL
    WHERE room_nid = $1 AND ordinal > $2 ORDER BY ordinal LIMIT $3`,
};

/** The events of a room's timeline after a place, in their order. */
export async function timelineFrom(tx: Queryable, roomNid: number, after: number, limit: number): Promise<TimelineEvent[]> {
  const rows = await tx.query(TIMELINE, [roomNid, after, limit]);
  return rows.map((row) => ({ ...row, event_id: fromText(row.event_id) as EventId }));
}

const TAKE_ROOM: Statement<{ version: string }> = {
  name: "counts_take_room",
  // The owner is fenced off: it reads the room again before it goes on.
  text: "UPDATE rooms SET revision = revision + 1 WHERE nid = $1 RETURNING version",
};
const FORGET: readonly Statement[] = [
  { name: "counts_forget_events", text: "DELETE FROM counted_events WHERE room_nid = $1" },
  { name: "counts_forget_scopes", text: "DELETE FROM counted_scopes WHERE room_nid = $1" },
  { name: "counts_forget_exceptions", text: "DELETE FROM count_exceptions WHERE room_nid = $1" },
  { name: "counts_forget_receipts", text: "DELETE FROM receipts WHERE room_nid = $1 AND kind = 3" },
];

/** Forgets all counts of a room, to which nobody else writes until the transaction ends. Its version; undefined: no such room. */
export async function forgetCounts(tx: Queryable, roomNid: number): Promise<string | undefined> {
  const [room] = await tx.query(TAKE_ROOM, [roomNid]);
  await Promise.all(FORGET.map((statement) => tx.query(statement, [roomNid])));
  return room?.version;
}

const WRITE: Statement = { name: "counts_write", text: "SELECT write_counts($1::json, $2::json, $3::json, $4::json, $5::json)" };

/** Writes counts alone. */
export async function writeCounts(tx: Queryable, counts: CountRows): Promise<void> {
  const { counted_events, counted_scopes, count_exceptions, implied_receipts, uncounted_events } = counts;
  const lists = [counted_events, counted_scopes, count_exceptions, implied_receipts, uncounted_events];
  await tx.query(WRITE, lists.map((list) => (list.length === 0 ? null : JSON.stringify(list))));
}

const JOINED: Statement<{ joined: number }> = {
  name: "counts_joined", // current_state_membership
  text: "SELECT count(*) AS joined FROM current_state WHERE room_nid = $1 AND membership = 1",
};

/** How many users are in a room. */
export async function joinedMembers(reads: Reads, roomNid: number): Promise<number> {
  const [row] = await reads.read(JOINED, [roomNid]);
  return row?.joined ?? 0;
}

export interface ScopeCount {
  readonly user_nid: number;
  readonly room_nid: number;
  readonly thread: number;
  /** The event id of the thread's root. */
  readonly root: string | null;
  readonly notification_count: number;
  readonly highlight_count: number;
}

// A scope counts from the user's furthest receipt in it or in the whole room: what the scope has by now, less what it had
// there, and the exceptions since.
const UNREAD: Statement<ScopeCount> = {
  name: "counts_unread", // receipts_pkey, counted_scopes_pkey, counted_events_pkey, count_exceptions_pkey
  text: `WITH read AS (
      SELECT wanted.user_nid, wanted.room_nid, coalesce((SELECT max(receipts.ordinal) FROM receipts
        WHERE receipts.room_nid = wanted.room_nid AND receipts.user_nid = wanted.user_nid AND thread = ${WHOLE_ROOM}), 0) AS ordinal
      FROM unnest($1::bigint[], $2::bigint[]) AS wanted (user_nid, room_nid)),
    scope AS (
      SELECT read.user_nid, counted.room_nid, counted.thread, counted.notified, counted.highlighted,
        greatest(read.ordinal, (SELECT max(receipts.ordinal) FROM receipts WHERE receipts.room_nid = read.room_nid
          AND receipts.user_nid = read.user_nid AND receipts.thread = counted.thread)) AS ordinal
      FROM read JOIN counted_scopes AS counted ON counted.room_nid = read.room_nid AND counted.last_ordinal > read.ordinal)
    SELECT scope.user_nid, scope.room_nid, scope.thread, root.event_id AS root,
      (scope.notified - coalesce(before.notified, 0) + coalesce(exceptions.notify, 0))::bigint AS notification_count,
      (scope.highlighted - coalesce(before.highlighted, 0) + coalesce(exceptions.highlight, 0))::bigint AS highlight_count
    FROM scope
    LEFT JOIN LATERAL (SELECT notified, highlighted FROM counted_events AS counted
      WHERE counted.room_nid = scope.room_nid AND counted.thread = scope.thread AND counted.ordinal <= scope.ordinal
      ORDER BY counted.ordinal DESC LIMIT 1) AS before ON true
    LEFT JOIN LATERAL (SELECT sum(notify) AS notify, sum(highlight) AS highlight FROM count_exceptions AS exception
      WHERE exception.room_nid = scope.room_nid AND exception.user_nid IN (0, scope.user_nid)
        AND exception.thread = scope.thread AND exception.ordinal > scope.ordinal) AS exceptions ON true
    LEFT JOIN events AS root ON root.nid = scope.thread AND scope.thread <> ${MAIN_TIMELINE}`,
};

/** The unread counts of (user, room) pairs by scope, for many rooms with one statement. */
export async function unreadByScope(
  reads: Reads,
  pairs: readonly { readonly user_nid: number; readonly room_nid: number }[],
): Promise<ScopeCount[]> {
  if (pairs.length === 0) return [];
  const rows = await reads.read(UNREAD, [pairs.map(({ user_nid }) => user_nid), pairs.map(({ room_nid }) => room_nid)]);
  return rows.map((row) => ({ ...row, root: row.root === null ? null : fromText(row.root) }));
}
