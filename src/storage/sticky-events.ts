// Events that are sticky (MSC4354): which they are, and until when. Redacted ones are no longer sticky, which is for the reader
// of their texts to see.
import type { ServerName } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import { type BoundStatement, FLAGS } from "./room-rows.js";
import type { Queryable, Reads, Statement } from "./statement.js";

/** A sticky event, with the time at which it no longer is, in milliseconds since 1970. */
export interface StickyRow {
  readonly event_nid: number;
  readonly expires_ts: number;
}

/** A place in the order in which sticky events came: those of one position are told apart by their numbers. */
export interface StickyPlace {
  readonly position: number;
  readonly event_nid: number;
}

export interface StickyEvent extends StickyPlace {
  readonly room_nid: number;
}

/** Of each server, room by room, so many are told to a server that comes anew: what is left out are the oldest. */
const MOST_OWED = 1_000;

const ADD: Statement = {
  name: "sticky_events_add",
  text: `INSERT INTO sticky_events (event_nid, room_nid, position, expires_ts)
    SELECT event_nid, $1, currval('log_position'), expires_ts FROM unnest($2::bigint[], $3::bigint[]) AS added (event_nid, expires_ts)
    ON CONFLICT DO NOTHING`,
};
const IN_ROOMS: Statement<StickyEvent> = {
  name: "sticky_events_in_rooms", // sticky_events_room
  text: `SELECT sticky.room_nid, sticky.position, sticky.event_nid
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS asked (room_nid, after_position, after_nid)
    JOIN sticky_events sticky ON sticky.room_nid = asked.room_nid AND (sticky.position, sticky.event_nid) > (asked.after_position, asked.after_nid)
    WHERE sticky.position <= $4 AND sticky.expires_ts > $5
    ORDER BY sticky.position, sticky.event_nid LIMIT $6`,
};
const EXPIRIES: Statement<StickyRow> = {
  name: "sticky_events_expiries", // sticky_events_pkey
  text: "SELECT event_nid, expires_ts FROM sticky_events WHERE event_nid = ANY ($1::bigint[])",
};
const ADD_SOFT_FAILED: Statement = {
  name: "sticky_events_add_soft_failed",
  text: `INSERT INTO soft_failed_sticky (event_nid, room_nid, expires_ts)
    SELECT event_nid, $1, expires_ts FROM unnest($2::bigint[], $3::bigint[]) AS added (event_nid, expires_ts) ON CONFLICT DO NOTHING`,
};
const SOFT_FAILED: Statement<StickyRow> = {
  name: "sticky_events_soft_failed", // soft_failed_sticky_room
  text: "SELECT event_nid, expires_ts FROM soft_failed_sticky WHERE room_nid = $1 AND expires_ts > $2 ORDER BY event_nid DESC LIMIT $3",
};
const NO_LONGER_SOFT_FAILED: Statement = {
  name: "sticky_events_no_longer_soft_failed", // events_pkey, soft_failed_sticky_pkey
  text: `WITH gone AS (DELETE FROM soft_failed_sticky WHERE event_nid = ANY ($1::bigint[]))
    UPDATE events SET flags = flags & ~${FLAGS.soft_failed} WHERE nid = ANY ($1::bigint[])`,
};
const EXPIRE_SOFT_FAILED: Statement = {
  name: "sticky_events_expire_soft_failed", // soft_failed_sticky_expires
  text: `DELETE FROM soft_failed_sticky WHERE event_nid = ANY (ARRAY (
      SELECT event_nid FROM soft_failed_sticky WHERE expires_ts <= $1 LIMIT 10000))`,
};
const EXPIRE: Statement<{ count: number }> = {
  name: "sticky_events_expire", // sticky_events_expires
  text: `WITH gone AS (DELETE FROM sticky_events WHERE event_nid = ANY (ARRAY (
      SELECT event_nid FROM sticky_events WHERE expires_ts <= $1 LIMIT 10000)) RETURNING 1)
    SELECT count(*) AS count FROM gone`,
};
const OURS_FOR_NEW_SERVERS: Statement<StickyPlace & { server_name: ServerName }> = {
  name: "sticky_events_for_new_servers", // joined_servers_pkey, sticky_events_room
  text: `SELECT owed.server_name, owed.position, owed.event_nid
    FROM (SELECT DISTINCT * FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS joined (room_nid, server_name, position)) come
    JOIN joined_servers j USING (room_nid, server_name)
    CROSS JOIN LATERAL (SELECT j.server_name, sticky.position, sticky.event_nid FROM sticky_events sticky
      JOIN events e ON e.nid = sticky.event_nid JOIN accounts a ON a.user_nid = e.sender_nid
      WHERE sticky.room_nid = come.room_nid AND sticky.position < come.position AND sticky.expires_ts > $4 AND e.redacted_by IS NULL
      ORDER BY sticky.position DESC LIMIT ${MOST_OWED}) owed
    WHERE j.since = come.position`,
};
const OURS_FOR_SERVER: Statement<StickyPlace> = {
  name: "sticky_events_for_server", // joined_servers_server, sticky_events_room
  text: `SELECT owed.position, owed.event_nid FROM joined_servers j
    CROSS JOIN LATERAL (SELECT sticky.position, sticky.event_nid FROM sticky_events sticky
      JOIN events e ON e.nid = sticky.event_nid JOIN accounts a ON a.user_nid = e.sender_nid
      WHERE sticky.room_nid = j.room_nid AND sticky.expires_ts > $2 AND e.redacted_by IS NULL) owed
    WHERE j.server_name = $1 AND j.members > 0 ORDER BY owed.position DESC LIMIT ${MOST_OWED}`,
};

/** What notes sticky events of a room, for the committer. */
export function addStickyEvents(roomNid: number, rows: readonly StickyRow[]): BoundStatement {
  const values = [roomNid, rows.map(({ event_nid }) => event_nid), rows.map(({ expires_ts }) => expires_ts)];
  return { statement: ADD, values, atPosition: true };
}

/** What notes sticky events that are soft-failed, for the committer. */
export function addSoftFailedSticky(roomNid: number, rows: readonly StickyRow[]): BoundStatement {
  return { statement: ADD_SOFT_FAILED, values: [roomNid, rows.map(({ event_nid }) => event_nid), rows.map(({ expires_ts }) => expires_ts)] };
}

/** The latest soft-failed sticky events of a room that have not expired `now`. */
export async function softFailedSticky(reads: Reads, roomNid: number, now: number, limit: number): Promise<StickyRow[]> {
  return await reads.read(SOFT_FAILED, [roomNid, now, limit]);
}

/** What takes the mark of a soft failure from events, for the committer. */
export function noLongerSoftFailed(nids: readonly number[]): BoundStatement {
  return { statement: NO_LONGER_SOFT_FAILED, values: [nids] };
}

/** The first sticky events of rooms, each behind a place in it, up to a position, that have not expired `now`, in their order. */
export async function stickyEventsInRooms(
  reads: Reads,
  rooms: readonly { readonly room_nid: number; readonly after: StickyPlace }[],
  { upTo, now, limit }: { readonly upTo: number; readonly now: number; readonly limit: number },
): Promise<StickyEvent[]> {
  if (rooms.length === 0) return [];
  const nids = rooms.map(({ room_nid }) => room_nid);
  return await reads.read(IN_ROOMS, [nids, rooms.map(({ after }) => after.position), rooms.map(({ after }) => after.event_nid), upTo, now, limit]);
}

/** When events stop being sticky: by number, in milliseconds since 1970. */
export async function stickyExpiries(reads: Reads, nids: readonly number[]): Promise<Map<number, number>> {
  const rows = nids.length === 0 ? [] : await reads.read(EXPIRIES, [nids]);
  return new Map(rows.map(({ event_nid, expires_ts }) => [event_nid, expires_ts]));
}

/** Forgets events that are no longer sticky: how many, at most 10,000 at a time. */
export async function expireStickyEvents(database: Database, now: number): Promise<number> {
  await database.write(EXPIRE_SOFT_FAILED, [now]);
  return (await database.write(EXPIRE, [now]))[0]?.count ?? 0;
}

/** A user of a server came into a room by an event at a position. */
export interface Arrival {
  readonly room_nid: number;
  readonly server: ServerName;
  readonly position: number;
}

/** The sticky events of our users from before servers came into their rooms, for those servers that were not in them until then. */
export async function stickyForNewServers(
  reads: Queryable,
  arrivals: readonly Arrival[],
  now: number,
): Promise<{ readonly destination: ServerName; readonly position: number; readonly event_nid: number }[]> {
  if (arrivals.length === 0) return [];
  const columns = [arrivals.map(({ room_nid }) => room_nid), arrivals.map(({ server }) => server), arrivals.map(({ position }) => position)];
  const rows = await reads.query(OURS_FOR_NEW_SERVERS, [...columns, now]);
  return rows.map(({ server_name, position, event_nid }) => ({ destination: server_name, position, event_nid }));
}

/** The sticky events of our users in all rooms that a server is in, the latest 1,000 at most. */
export async function stickyForServer(reads: Queryable, server: ServerName, now: number): Promise<StickyPlace[]> {
  return await reads.query(OURS_FOR_SERVER, [server, now]);
}
