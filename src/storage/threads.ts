// Threads: their events, who takes part, which of a room spoke last.
import type { Database } from "./database.js";
import type { Reads, Statement } from "./statement.js";

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

/** What one user is told of a thread. */
export interface ThreadNumbers {
  readonly root: number;
  /** How many events it has, without those of the senders that were to be left out. */
  readonly events: number;
  /** Whether the user wrote any of them. */
  readonly participated: boolean;
}

const NUMBERS: Statement<ThreadNumbers> = {
  name: "threads_numbers", // threads_pkey, thread_participants_pkey
  text: `SELECT root, participated, events - coalesce(
      (SELECT sum(events)::bigint FROM thread_participants p WHERE p.root = threads.root AND p.user_nid = ANY($3)), 0) AS events
    FROM threads CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM thread_participants p
      WHERE p.root = threads.root AND p.user_nid = $2) AS participated) own
    WHERE root = ANY($1)`,
};

/** The numbers of threads for a user, by their roots; what is no thread is left out. */
export async function threadNumbers(
  reads: Reads,
  roots: readonly number[],
  userNid: number,
  without: readonly number[],
): Promise<Map<number, ThreadNumbers>> {
  const rows = roots.length === 0 ? [] : await reads.read(NUMBERS, [roots, userNid, without]);
  return new Map(rows.map((row) => [row.root, row]));
}

/** A thread, and where in the room's history its latest event is. */
export interface ThreadPlace {
  readonly root: number;
  readonly depth: number;
  readonly nid: number;
}

const ROOTS = `SELECT root, latest_depth AS depth, latest_nid AS nid FROM threads
  WHERE room_nid = $1 AND (latest_depth, latest_nid) < ($2, $3)`;
const ROOTS_ORDER = "ORDER BY latest_depth DESC, latest_nid DESC LIMIT $4";

const OF_ROOM: Statement<ThreadPlace> = {
  name: "threads_of_room", // threads_latest
  text: `${ROOTS} ${ROOTS_ORDER}`,
};
const WITH_PARTICIPANT: Statement<ThreadPlace> = {
  name: "threads_with_participant", // threads_latest, thread_participants_pkey
  text: `${ROOTS} AND (EXISTS (SELECT FROM thread_participants p WHERE p.root = threads.root AND p.user_nid = $5)
      OR EXISTS (SELECT FROM events WHERE events.nid = threads.root AND events.sender_nid = $5)) ${ROOTS_ORDER}`,
};

/** The threads of a room by their latest events, latest first, from before a place on; of a user only those with them. */
export async function threadsOfRoom(
  reads: Reads,
  roomNid: number,
  before: Omit<ThreadPlace, "root">,
  limit: number,
  participant?: number,
): Promise<ThreadPlace[]> {
  const values = [roomNid, before.depth, before.nid, limit];
  return participant === undefined
    ? await reads.read(OF_ROOM, values)
    : await reads.read(WITH_PARTICIPANT, [...values, participant]);
}
