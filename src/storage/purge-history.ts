// Takes the content of old events away, and them out of sight. Their places in the graph of the room stay: later events name them.
import type { Database, Tx } from "./database.js";
import type { HistoryKey } from "./events.js";
import { FLAGS } from "./room-rows.js";
import type { Statement } from "./statement.js";

/** Events that are looked at in one step. */
const STEP = 500;

/** What of a room's history is meant: before an event, or not sent after a time (milliseconds since 1970). */
export interface PurgeBounds {
  readonly before?: HistoryKey | undefined;
  readonly until?: number | undefined;
}

interface Candidate extends HistoryKey {
  readonly purgeable: boolean;
}

const CANDIDATES: Statement<Candidate> = {
  name: "purge_history_candidates", // events_depth
  // Never state, which the room stands on; nor the newest event or an end of the history, which the next event follows.
  text: `SELECT e.nid, e.depth, e.tuple_nid IS NULL AND e.flags & ${FLAGS.outlier | FLAGS.purged} = 0
      AND e.origin_server_ts <= coalesce($6, e.origin_server_ts) AND e.nid <> ALL (r.extremities)
      AND e.ordinal IS DISTINCT FROM r.ordinal AS purgeable
    FROM (SELECT * FROM events WHERE room_nid = $1 AND (depth, nid) > ($2, $3) AND (depth, nid) < ($4, $5)
      ORDER BY depth, nid LIMIT ${STEP}) e JOIN rooms r ON r.nid = e.room_nid
    ORDER BY e.depth, e.nid`,
};

/** The next events of a room's history after a place, earliest first, with whether each may be purged. */
export async function purgeCandidates(database: Database, roomNid: number, after: HistoryKey, { before, until }: PurgeBounds): Promise<Candidate[]> {
  const { depth, nid } = before ?? { depth: Number.MAX_SAFE_INTEGER, nid: Number.MAX_SAFE_INTEGER };
  return await database.read(CANDIDATES, [roomNid, after.depth, after.nid, depth, nid, until ?? null]);
}

const PURGE: Statement<{ nid: number }> = {
  name: "purge_history_purge",
  text: `WITH purged AS (
      UPDATE events e SET flags = flags | ${FLAGS.purged} | CASE WHEN e.ordinal IS NULL THEN 0 ELSE ${FLAGS.purged_live} END, ordinal = NULL FROM rooms r
      WHERE e.nid = ANY ($2::bigint[]) AND e.room_nid = $1 AND r.nid = e.room_nid AND e.tuple_nid IS NULL
        AND e.nid <> ALL (r.extremities) AND e.ordinal IS DISTINCT FROM r.ordinal
      RETURNING e.nid),
    texts AS (
      UPDATE message_json m SET json = stripped.json FROM unnest($2::bigint[], $3::text[]) AS stripped (nid, json)
      WHERE m.nid = stripped.nid AND m.nid IN (SELECT nid FROM purged))
    SELECT nid FROM purged`,
};

/** Purges events of a room, whose texts without content are given; tells all processes. Gives how many it were. */
export async function purgeEvents(tx: Tx, roomNid: number, events: readonly { readonly nid: number; readonly json: string }[]): Promise<number> {
  const purged = await tx.query(PURGE, [roomNid, events.map(({ nid }) => nid), events.map(({ json }) => json)]);
  tx.append(purged.map(({ nid }) => ({ kind: "invalidation", room_nid: roomNid, reference: nid })));
  return purged.length;
}
