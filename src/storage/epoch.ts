// Epochs: the histories that a database has had. A restore or a failover may take back positions that were given out;
// tokens carry their epoch, so that such a position is recognised instead of being trusted.
import { logger } from "../log.js";
import type { Database, Tx } from "./database.js";
import { makePartition, PARTITION } from "./log-partitions.js";
import type { Statement } from "./statement.js";

const log = logger("database");

export interface Epoch {
  readonly epoch: number;
  /** The head of the log when the epoch began. */
  readonly began_at: number;
}

/** So many positions may have been given out since a backup: none of them comes again. */
const LEAP = PARTITION;

const LOCK: Statement = { name: "epochs_lock", text: "LOCK TABLE epochs IN SHARE ROW EXCLUSIVE MODE" };
const HERE = `SELECT system_identifier::text AS system_identifier,
    -- The timeline is in the name of the WAL file that is being written.
    ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer AS timeline,
    -- A dump makes new files wherever it is put back.
    (SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || pg_relation_filenode('epochs') AS place
  FROM pg_control_system()`;
const IS_CURRENT: Statement<{ known: boolean; current: boolean; placed: boolean }> = {
  name: "epochs_is_current",
  text: `SELECT latest.epoch IS NOT NULL AS known, latest.place IS NOT NULL AS placed,
      (latest.system_identifier, latest.timeline) = (here.system_identifier, here.timeline) AND coalesce(latest.place, here.place) = here.place AS current
    FROM (${HERE}) AS here LEFT JOIN (SELECT * FROM epochs ORDER BY epoch DESC LIMIT 1) AS latest ON true`,
};
const NOTE_PLACE: Statement = {
  name: "epochs_note_place",
  text: `UPDATE epochs SET place = here.place FROM (${HERE}) AS here WHERE epoch = (SELECT max(epoch) FROM epochs)`,
};
const BEGIN: Statement = {
  name: "epochs_begin",
  text: `INSERT INTO epochs (system_identifier, timeline, place, restore, began_at)
    SELECT system_identifier, timeline, place, coalesce((SELECT max(restore) + 1 FROM epochs), 0), (SELECT coalesce(max(position), 0) FROM log)
    FROM (${HERE}) AS here`,
};
const LEAP_AHEAD: Statement<{ position: number }> = { name: "epochs_leap", text: `SELECT setval('log_position', last_value + ${LEAP}) AS position FROM log_position` };
const FORGET_KEYS: Statement = { name: "epochs_forget_keys", text: "DELETE FROM one_time_keys WHERE claimed IS NULL" };
const MARK: Statement = {
  name: "epochs_mark_restored",
  text: "UPDATE epochs SET place = 'restored' WHERE epoch = (SELECT max(epoch) FROM epochs)",
};
const ALL: Statement<Epoch> = {
  name: "epochs_all",
  text: "SELECT epoch, began_at FROM epochs ORDER BY epoch",
};

/**
 * The epochs of a database, the current one last. To be asked at the start and again after each reconnection: a database that is not
 * where it was begins a new one. What may have been given out since the backup is not given out again then: positions, which clients
 * and other servers remember, and one-time keys, which would be used twice; devices upload new ones.
 */
export async function epochs(database: Database): Promise<readonly Epoch[]> {
  const [found] = await database.read(IS_CURRENT, []);
  if (found?.known !== true || !found.current || !found.placed) await database.transaction(enter);
  return await database.read(ALL, []);
}

async function enter(tx: Tx): Promise<void> {
  // Of several processes that have found the same, one does it.
  await tx.query(LOCK, []);
  const [found] = await tx.query(IS_CURRENT, []);
  if (found?.current === true) {
    await tx.query(NOTE_PLACE, []);
    return;
  }
  await tx.query(BEGIN, []);
  if (found?.known !== true) return;
  const [leapt] = await tx.query(LEAP_AHEAD, []);
  // The upkeep makes them ahead of what is written, which this is not.
  const partition = Math.floor((leapt?.position ?? 0) / PARTITION);
  for (const number of [partition, partition + 1]) await makePartition(tx, number);
  await tx.query(FORGET_KEYS, []);
  log.warn("the database was put back or moved: clients that know more than it does begin anew, and devices upload one-time keys again");
}

/** Says that the files of the database were put back from a copy, which nothing in them shows: the next start begins a new epoch. */
export async function markRestored(database: Database): Promise<void> {
  await database.write(MARK, []);
}

/**
 * Whether a position that was given out in an epoch still means what it meant: in an epoch that is over, only what was
 * there when the next one began.
 */
export function isPositionValid(all: readonly Epoch[], epoch: number, position: number): boolean {
  const index = all.findIndex((entry) => entry.epoch === epoch);
  if (index < 0) return false;
  const next = all[index + 1];
  return next === undefined || position <= next.began_at;
}
