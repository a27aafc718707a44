// Epochs: the histories that a database has had. A restore or a failover may take back positions that were given out;
// tokens carry their epoch, so that such a position is recognised instead of being trusted.
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";

export interface Epoch {
  readonly epoch: number;
  /** The head of the log when the epoch began. */
  readonly began_at: number;
}

const ENTER: Statement = {
  name: "epochs_enter",
  // The timeline is in the name of the WAL file that is being written.
  text: `INSERT INTO epochs (system_identifier, timeline, restore, began_at)
    SELECT system_identifier::text, ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer,
      coalesce((SELECT max(restore) FROM epochs), 0), (SELECT coalesce(max(position), 0) FROM log)
    FROM pg_control_system() ON CONFLICT DO NOTHING`,
};
const ALL: Statement<Epoch> = {
  name: "epochs_all",
  text: "SELECT epoch, began_at FROM epochs ORDER BY epoch",
};

/** The epochs of a database, the current one last. To be asked again after each reconnection. */
export async function epochs(database: Database): Promise<readonly Epoch[]> {
  await database.write(ENTER, []);
  return await database.read(ALL, []);
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
