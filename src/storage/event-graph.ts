// Walks along prev_events, and what a room has from other servers' point of view.
import type { ServerName } from "../protocol/identifiers.js";
import type { Reads, Statement } from "./statement.js";

const PREDECESSORS: Statement<{ nid: number }> = {
  // events_pkey and missing_events_named_by, once for each event walked; the walk stops with the limit
  name: "event_graph_predecessors",
  text: `WITH RECURSIVE walk (nid) AS (
      SELECT unnest($1::bigint[])
      UNION
      SELECT prev.nid FROM walk JOIN events e ON e.nid = walk.nid CROSS JOIN LATERAL (
          SELECT unnest(e.prev_nids) AS nid UNION ALL SELECT event_nid FROM missing_events WHERE named_by = e.nid AND event_nid IS NOT NULL) prev
        WHERE e.depth > $3 AND walk.nid <> ALL ($2::bigint[]))
    SELECT e.nid FROM walk JOIN events e ON e.nid = walk.nid
    WHERE e.flags & 15 = 0 AND e.depth >= $3 AND e.nid <> ALL ($2::bigint[]) LIMIT $4`,
};

export interface Walk {
  readonly from: readonly number[];
  /** Neither given nor walked beyond. */
  readonly without: readonly number[];
  readonly minDepth: number;
  readonly limit: number;
}

/**
 * The events from which others of the same room come by prev_events, nearest first, those given included: breadth first, at
 * most `limit`. Outliers, rejected, soft-failed and purged events are walked through but not given.
 */
export async function predecessors(reads: Reads, { from, without, minDepth, limit }: Walk): Promise<number[]> {
  if (from.length === 0 || limit === 0) return [];
  return (await reads.read(PREDECESSORS, [from, without, minDepth, limit])).map(({ nid }) => nid);
}

const JOINED: Statement<{ members: number }> = {
  name: "event_graph_joined", // joined_servers_pkey
  text: "SELECT members FROM joined_servers WHERE room_nid = $1 AND server_name = $2 AND members > 0",
};

/** Whether a server has joined users in a room. */
export async function hasJoinedMembers(reads: Reads, roomNid: number, server: ServerName): Promise<boolean> {
  return (await reads.read(JOINED, [roomNid, server])).length > 0;
}

const PREVIOUS: Statement<{ nid: number }> = {
  name: "event_graph_previous", // events_pkey, missing_events_named_by
  text: `SELECT unnest(prev_nids) AS nid FROM events WHERE nid = ANY ($1)
    UNION SELECT event_nid FROM missing_events WHERE named_by = ANY ($1) AND event_nid IS NOT NULL`,
};

/** What events name as previous, as far as it is here. */
export async function previousEvents(reads: Reads, nids: readonly number[]): Promise<number[]> {
  return nids.length === 0 ? [] : (await reads.read(PREVIOUS, [nids])).map(({ nid }) => nid);
}

const MEMBERS_OF_SERVER: Statement<{ tuple_nid: number; membership: number }> = {
  name: "event_graph_members_of_server", // current_state_membership
  text: `SELECT c.tuple_nid, c.membership FROM current_state c JOIN users u ON u.nid = c.user_nid
    WHERE c.room_nid = $1 AND c.membership IS NOT NULL AND right(u.user_id, $3) = $2 LIMIT 10000`,
};

/** The memberships of a server's users in a room, by the number of their (type, state_key). */
export async function membersOfServer(reads: Reads, roomNid: number, server: ServerName): Promise<Map<number, number>> {
  const rows = await reads.read(MEMBERS_OF_SERVER, [roomNid, `:${server}`, server.length + 1]);
  return new Map(rows.map(({ tuple_nid, membership }) => [tuple_nid, membership]));
}
