// What decides who sees an event: a few pieces of state at many snapshots, and when users joined.
import type { Reads } from "./statement.js";
import type { Statement } from "./statement.js";

const OF_SNAPSHOTS: Statement<{ snapshot: number; tuple_nid: number; event_nid: number }> = {
  name: "visibility_state_of_snapshots", // state_snapshots_pkey, once per link of each chain
  text: `WITH RECURSIVE chain AS (
      SELECT s.nid AS snapshot, s.number, s.parent, s.tuple_nids, s.event_nids FROM state_snapshots s WHERE s.nid = ANY($1)
      UNION ALL
      SELECT chain.snapshot, s.number, s.parent, s.tuple_nids, s.event_nids
      FROM chain JOIN state_snapshots s ON s.nid = chain.parent)
    SELECT DISTINCT ON (snapshot, change.tuple_nid) snapshot, change.tuple_nid, change.event_nid
    FROM chain CROSS JOIN LATERAL unnest(chain.tuple_nids, chain.event_nids) AS change (tuple_nid, event_nid)
    WHERE change.tuple_nid = ANY($2)
    ORDER BY snapshot, change.tuple_nid, chain.number DESC`,
};

/** What many snapshots hold for a few tuples: snapshot to tuple to event, by number. */
export async function stateOfSnapshots(
  reads: Reads,
  snapshots: readonly number[],
  tuples: readonly number[],
): Promise<Map<number, Map<number, number>>> {
  if (snapshots.length === 0 || tuples.length === 0) return new Map();
  return folded(await reads.read(OF_SNAPSHOTS, [snapshots, tuples]));
}

function folded(
  rows: readonly { snapshot: number; tuple_nid: number; event_nid: number }[],
): Map<number, Map<number, number>> {
  const states = new Map<number, Map<number, number>>();
  for (const { snapshot, tuple_nid, event_nid } of rows) {
    // Event 0 says that the state was taken away.
    if (event_nid === 0) continue;
    let state = states.get(snapshot);
    if (state === undefined) states.set(snapshot, (state = new Map()));
    state.set(tuple_nid, event_nid);
  }
  return states;
}

const WHOLE_SNAPSHOTS: Statement<{ snapshot: number; tuple_nid: number; event_nid: number }> = {
  name: "visibility_whole_snapshots",
  text: OF_SNAPSHOTS.text.replace("WHERE change.tuple_nid = ANY($2)", ""),
};

/** All that many snapshots hold: snapshot to tuple to event, by number. */
export async function wholeSnapshots(
  reads: Reads,
  snapshots: readonly number[],
): Promise<Map<number, Map<number, number>>> {
  return snapshots.length === 0 ? new Map() : folded(await reads.read(WHOLE_SNAPSHOTS, [snapshots]));
}

/** More changes of one membership in one room are not looked through: who has that many sees less, not more. */
const MEMBER_EVENTS = 100;

const MEMBER_HISTORY: Statement<{ room_nid: number; nid: number }> = {
  name: "visibility_member_history", // events_state, once per room
  text: `SELECT input.room_nid, found.nid FROM unnest($1::bigint[]) AS input (room_nid)
    CROSS JOIN LATERAL (
      SELECT nid FROM events WHERE events.room_nid = input.room_nid AND tuple_nid = $2 AND flags = 0
      ORDER BY position DESC, nid DESC LIMIT ${MEMBER_EVENTS}) AS found`,
};

/** The member events of one user in each of these rooms, latest first. */
export async function memberHistory(
  reads: Reads,
  rooms: readonly number[],
  memberTuple: number,
): Promise<Map<number, number[]>> {
  const found = new Map<number, number[]>();
  if (rooms.length === 0) return found;
  for (const { room_nid, nid } of await reads.read(MEMBER_HISTORY, [rooms, memberTuple])) {
    const list = found.get(room_nid);
    if (list === undefined) found.set(room_nid, [nid]);
    else list.push(nid);
  }
  return found;
}
