// Threads: how many events each has.
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";

/** Threads that are none: the main timeline, and the whole room for receipts without thread. */
export const MAIN_TIMELINE = 0;
export const WHOLE_ROOM = -1;

const LAST: Statement<{ thread_root: number; last: number }> = {
  name: "threads_last_ordinals", // events_threads
  text: `SELECT wanted.root AS thread_root, e.thread_ordinal AS last FROM unnest($1::bigint[]) AS wanted (root)
    CROSS JOIN LATERAL (SELECT thread_ordinal FROM events WHERE thread_root = wanted.root
      ORDER BY thread_ordinal DESC LIMIT 1) e`,
};

/** The last ordinal of each thread, by its root; threads without events are left out. */
export async function lastThreadOrdinals(database: Database, roots: readonly number[]): Promise<Map<number, number>> {
  const rows = roots.length === 0 ? [] : await database.read(LAST, [roots]);
  return new Map(rows.map((row) => [row.thread_root, row.last]));
}
