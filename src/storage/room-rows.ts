// The rows that a change of a room writes, and the one statement that writes those of many rooms at once.
import type { CountRows } from "./counts.js";
import { type LogEntry, storedEntries } from "./log-entry.js";
import type { Statement } from "./statement.js";

/** Membership as it is stored. The numbers are never given another meaning. */
export const MEMBERSHIPS = { join: 1, invite: 2, knock: 3, leave: 4, ban: 5 } as const;

/**
 * What the room did with an event, as bits; `purged_live` is of those purged, or rejected later, that had a place in the live timeline.
 * `withheld` is of redactions that have no effect as far as we know: part of the room's graph, and shown to no client until what they
 * redact is here; `withheld_live` of those of them that belong into the live timeline.
 */
export const FLAGS = { outlier: 1, rejected: 2, soft_failed: 4, purged: 8, purged_live: 16, withheld: 32, withheld_live: 64 } as const;

/** What no client is shown. */
export const HIDDEN = FLAGS.outlier | FLAGS.rejected | FLAGS.soft_failed | FLAGS.purged | FLAGS.withheld;

export interface NewRoomRow {
  readonly nid: number;
  readonly room_id: string;
  readonly version: string;
  readonly revision: number;
  readonly owner: number;
  readonly extremities: readonly number[];
  readonly ordinal: number;
  readonly snapshot: number | null;
}

/** What a room row becomes, if it is still as its owner knows it. */
export interface FenceRow {
  readonly nid: number;
  readonly revision: number;
  readonly owner: number;
  readonly extremities: readonly number[];
  readonly ordinal: number;
  readonly snapshot: number | null;
}

export interface EventRow {
  readonly nid: number;
  readonly room_nid: number;
  readonly event_id: string;
  readonly type_nid: number;
  readonly tuple_nid: number | null;
  readonly sender_nid: number;
  readonly depth: number;
  readonly origin_server_ts: number;
  readonly ordinal: number | null;
  readonly flags: number;
  readonly state_before: number | null;
  readonly prev_nids: readonly number[];
  readonly auth_nids: readonly number[];
  readonly replaces: number | null;
  readonly relates_to: number | null;
  readonly rel_type_nid: number | null;
  readonly thread_root: number | null;
  readonly thread_ordinal: number | null;
}

export interface BodyRow {
  readonly nid: number;
  readonly json: string;
}

export interface CurrentStateRow {
  readonly room_nid: number;
  readonly tuple_nid: number;
  readonly event_nid: number | null;
  readonly type_nid: number;
  readonly user_nid: number | null;
  readonly membership: number | null;
}

export interface MembershipRow {
  readonly user_nid: number;
  readonly room_nid: number;
  readonly membership: number;
  readonly event_nid: number;
}

export interface SnapshotRow {
  readonly nid: number;
  readonly room_nid: number;
  readonly number: number;
  readonly parent: number | null;
  readonly tuple_nids: readonly number[];
  readonly event_nids: readonly number[];
}

export interface AuthChainRow {
  readonly event_nid: number;
  readonly chain: number;
  readonly sequence: number;
}

export interface AuthChainLinkRow {
  readonly chain: number;
  readonly sequence: number;
  readonly target_chain: number;
  readonly target_sequence: number;
}

export interface TransactionIdRow {
  /** A digest, in hexadecimal. */
  readonly key: string;
  readonly event_nid: number;
  readonly user_nid: number;
  readonly device_id: string;
  readonly txn_id: string;
}

export interface RedactionRow {
  readonly nid: number;
  readonly redacted_by: number;
}

/** Something that a user is to be notified of. */
export interface PushRow {
  readonly user_nid: number;
  readonly room_nid: number;
  /** Null where only the unread count has changed. */
  readonly event_nid: number | null;
  readonly thread: number;
  readonly ordinal: number;
  /** JSON. */
  readonly tweaks: string;
}

export interface MissingEventRow {
  readonly room_nid: number;
  readonly event_id: string;
  readonly named_by: number;
}

/** All rows of one change, under the names that the statement knows: mostly those of the tables. */
export interface RoomRows {
  readonly rooms?: readonly NewRoomRow[];
  readonly fences?: readonly FenceRow[];
  readonly transaction_ids?: readonly TransactionIdRow[];
  readonly state_event_json?: readonly BodyRow[];
  readonly message_json?: readonly BodyRow[];
  readonly state_snapshots?: readonly SnapshotRow[];
  readonly auth_chains?: readonly AuthChainRow[];
  readonly auth_chain_links?: readonly AuthChainLinkRow[];
  readonly missing_events?: readonly MissingEventRow[];
  readonly events?: readonly EventRow[];
  readonly redactions?: readonly RedactionRow[];
  readonly current_state?: readonly CurrentStateRow[];
  readonly memberships?: readonly MembershipRow[];
  /** What the change means for unread counts. */
  readonly counts?: CountRows;
  /** What it owes to pushers. */
  readonly pushes?: readonly PushRow[];
}

/** A statement with its values, and whether it needs the position. */
export interface BoundStatement {
  readonly statement: Statement;
  readonly values: readonly unknown[];
  readonly atPosition?: boolean;
}

/** The tables in the order in which the statement takes their rows. */
export const TABLES = [
  "fences",
  "rooms",
  "transaction_ids",
  "state_event_json",
  "message_json",
  "state_snapshots",
  "auth_chains",
  "auth_chain_links",
  "missing_events",
  "events",
  "redactions",
  "current_state",
  "memberships",
] as const;
const COUNT_TABLES = ["counted_events", "counted_scopes", "count_exceptions", "implied_receipts", "uncounted_events"] as const;

function parameters(first: number, count: number): string {
  return Array.from({ length: count }, (_, index) => `$${first + index}::json`).join(", ");
}

const CHANGES = `write_changes(${parameters(1, TABLES.length + 1)}) AS position`;

// Counts and pushes come first: they need no position, and write_changes ends with the lock that everyone waits for.
const COUNTS = `write_counts(${parameters(TABLES.length + 2, COUNT_TABLES.length)})`;

const WRITE_CHANGES: Statement<{ position: number }> = {
  name: "write_changes",
  text: `SELECT ${CHANGES}`,
};
const WRITE_CHANGES_AND_COUNTS: Statement<{ position: number }> = {
  name: "write_changes_and_counts",
  text: `SELECT ${COUNTS}, ${CHANGES}`,
};
const WRITE_CHANGES_COUNTS_AND_PUSHES: Statement<{ position: number }> = {
  name: "write_changes_counts_and_pushes",
  text: `SELECT ${COUNTS}, ${writePushes(TABLES.length + COUNT_TABLES.length + 2)}, ${CHANGES}`,
};

/** SQL that writes what is owed to pushers: the rows of this parameter. */
export function writePushes(parameter: number): string {
  return `write_pushes($${parameter}::json)`;
}

/** The statement that writes changes and log entries, takes their position and gives it. */
export function writeChanges(
  changes: readonly RoomRows[],
  entries: readonly LogEntry[],
): { readonly statement: Statement<{ position: number }>; readonly values: readonly unknown[] } {
  const rows = TABLES.map((table) => changes.flatMap((change): readonly object[] => change[table] ?? []));
  const counts = COUNT_TABLES.map((table) => changes.flatMap((change): readonly object[] => change.counts?.[table] ?? []));
  const counted = counts.some((list) => list.length > 0);
  const pushes = changes.flatMap((change) => change.pushes ?? []);
  const beside = pushes.length > 0 ? [...counts, pushes] : counted ? counts : [];
  const lists = [...rows, storedEntries(entries), ...beside];
  return {
    statement: pushes.length > 0 ? WRITE_CHANGES_COUNTS_AND_PUSHES : counted ? WRITE_CHANGES_AND_COUNTS : WRITE_CHANGES,
    values: lists.map((list) => (list.length === 0 ? null : JSON.stringify(list))),
  };
}

/** PostgreSQL's code for a room that someone else changed. */
export const FENCED = "HA001";

const REMOVE_OUTLIERS: Statement = {
  name: "remove_outliers", // events_pkey
  text: `DELETE FROM events WHERE nid = ANY ($1::bigint[]) AND flags & ${FLAGS.outlier} <> 0`,
};

/** What takes the rows of outliers away, so that they can be written again as events whose place in the room is known. */
export function removeOutliers(nids: readonly number[]): BoundStatement {
  return { statement: REMOVE_OUTLIERS, values: [nids] };
}
