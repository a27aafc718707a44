// Snapshots of state that nothing refers to any more: found once, looked at again an hour later, and only then removed.
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";

/** What keeps a snapshot: an event, the current state of its room, or another snapshot that is built on it. */
const IS_REACHABLE = `(EXISTS (SELECT FROM events WHERE events.room_nid = s.room_nid AND events.state_before = s.nid)
  OR EXISTS (SELECT FROM rooms WHERE rooms.nid = s.room_nid AND rooms.snapshot = s.nid)
  OR EXISTS (SELECT FROM state_snapshots child WHERE child.room_nid = s.room_nid AND child.parent = s.nid))`;

const MARK: Statement<{ marked: number }> = {
  name: "snapshots_mark", // state_snapshots_room, then the room's events
  text: `WITH marked AS (UPDATE state_snapshots s SET unreachable_since = now()
      WHERE s.room_nid = ANY($1) AND s.unreachable_since IS NULL AND NOT ${IS_REACHABLE} RETURNING 1)
    SELECT count(*) AS marked FROM marked`,
};
const UNMARK: Statement = {
  name: "snapshots_unmark", // state_snapshots_unreachable
  text: `UPDATE state_snapshots s SET unreachable_since = NULL WHERE s.unreachable_since IS NOT NULL AND ${IS_REACHABLE}`,
};
const COLLECT: Statement<{ collected: number }> = {
  name: "snapshots_collect", // state_snapshots_unreachable
  text: `WITH old AS (SELECT s.nid FROM state_snapshots s
        WHERE s.unreachable_since < now() - make_interval(secs => $1) AND NOT ${IS_REACHABLE} LIMIT 1000),
      gone AS (DELETE FROM state_snapshots USING old WHERE state_snapshots.nid = old.nid RETURNING 1)
    SELECT count(*) AS collected FROM gone`,
};

/** Notes which snapshots of these rooms nothing refers to; how many were found. Whoever deletes events asks for it. */
export async function markUnreachableSnapshots(database: Database, roomNids: readonly number[]): Promise<number> {
  const [row] = await database.write(MARK, [roomNids]);
  return row?.marked ?? 0;
}

/**
 * Removes snapshots that were unreachable `graceSeconds` ago and still are; how many, at most 1,000. One that somebody came
 * to refer to in between stays.
 */
export async function collectSnapshots(database: Database, graceSeconds = 3_600): Promise<number> {
  await database.write(UNMARK, []);
  const [row] = await database.write(COLLECT, [graceSeconds]);
  return row?.collected ?? 0;
}
