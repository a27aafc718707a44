// Entries of the one ordered log, and the statements that give them their position.
import type { Queryable, Statement } from "./statement.js";

/** What an entry tells. The numbers are stored: they are never given another meaning. */
export const LOG_KINDS = {
  event: 1,
  state_change: 2,
  history: 3,
  receipt: 4,
  presence: 5,
  account_data: 6,
  push_rule: 7,
  profile: 8,
  device_list: 9,
  key: 10,
  to_device: 11,
  server_membership: 12,
  invalidation: 13,
  thread_subscription: 14,
} as const;

export type LogKind = keyof typeof LOG_KINDS;

const KIND_NAMES: ReadonlyMap<number, LogKind> = new Map(logKinds().map((kind) => [LOG_KINDS[kind], kind]));

function logKinds(): LogKind[] {
  return Object.keys(LOG_KINDS).filter((name): name is LogKind => Object.hasOwn(LOG_KINDS, name));
}

/**
 * One change that someone may have to be told about. It names whom it concerns (room, user, device, destination) and
 * refers to rows by number: what changed is read from its own table.
 */
export interface LogEntry {
  readonly kind: LogKind;
  readonly room_nid?: number;
  readonly user_nid?: number;
  readonly device?: string;
  readonly destination?: string;
  /** The state key pair of a state change. */
  readonly tuple_nid?: number;
  /** The event, or whatever row the kind speaks of. For a state change: the new event, absent if the state is gone. */
  readonly reference?: number;
  /** For a state change: the event that was the state before. */
  readonly previous?: number;
}

/** An entry as it is read: with its position, shared by all entries of its transaction, in the order they were given. */
export interface PositionedEntry extends LogEntry {
  readonly position: number;
}

/** The advisory lock that makes positions become visible in their order. */
export const LOG_LOCK = 0x68616e73;

const TAKE_POSITION: Statement<{ position: number }> = {
  name: "log_take_position",
  // The lock is taken by the inner query before the outer one draws the number; it is held until after COMMIT.
  text: `SELECT nextval('log_position') AS position FROM (SELECT pg_advisory_xact_lock(${LOG_LOCK}) OFFSET 0) AS locked`,
};

const INSERT_ENTRIES: Statement = {
  name: "log_insert",
  text: `INSERT INTO log (position, index, kind, room_nid, user_nid, device, destination, tuple_nid, reference, previous)
    SELECT currval('log_position'), row_number() OVER (), kind, room_nid, user_nid, device, destination, tuple_nid, reference,
      previous
    FROM json_to_recordset($1::json) AS entry (kind smallint, room_nid bigint, user_nid bigint, device text,
      destination text, tuple_nid bigint, reference bigint, previous bigint)`,
};

/** Entries with the numbers of their kinds, as the statements take them. */
export function storedEntries(entries: readonly LogEntry[]): object[] {
  return entries.map((entry) => ({ ...entry, kind: LOG_KINDS[entry.kind] }));
}

/**
 * Takes the next position in a transaction, runs the statements that need it, and writes the entries. It must be the last
 * thing before COMMIT, in the same flush: the lock it takes is what all writers wait for.
 */
export function appendToLog(tx: Queryable, entries: readonly LogEntry[], atPosition: () => void): Promise<{ position: number }[]> {
  const position = tx.query(TAKE_POSITION, []);
  atPosition();
  if (entries.length > 0) {
    // Its failure fails the transaction, which notes it; here it must only not go unhandled.
    tx.query(INSERT_ENTRIES, [JSON.stringify(storedEntries(entries))]).catch(() => undefined);
  }
  position.catch(() => undefined);
  return position;
}

/** The columns of the log that `toEntry` reads. */
export const LOG_COLUMNS = "position, kind, room_nid, user_nid, device, destination, tuple_nid, reference, previous";

/** A row of the log. */
export interface LogRow {
  readonly position: number;
  readonly kind: number;
  readonly room_nid: number | null;
  readonly user_nid: number | null;
  readonly device: string | null;
  readonly destination: string | null;
  readonly tuple_nid: number | null;
  readonly reference: number | null;
  readonly previous: number | null;
}

/** A row of the log as an entry. */
export function toEntry(row: LogRow): PositionedEntry {
  const kind = KIND_NAMES.get(row.kind);
  if (kind === undefined) throw new Error(`the log has an entry of the unknown kind ${row.kind}`);
  return {
    kind,
    position: row.position,
    ...(row.room_nid !== null && { room_nid: row.room_nid }),
    ...(row.user_nid !== null && { user_nid: row.user_nid }),
    ...(row.device !== null && { device: row.device }),
    ...(row.destination !== null && { destination: row.destination }),
    ...(row.tuple_nid !== null && { tuple_nid: row.tuple_nid }),
    ...(row.reference !== null && { reference: row.reference }),
    ...(row.previous !== null && { previous: row.previous }),
  };
}
