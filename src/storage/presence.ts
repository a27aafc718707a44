// Presence of users as it was last told to others.
import type { ServerName } from "../protocol/identifiers.js";
import { LOG_KINDS } from "./log-entry.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

const PRESENCE_STATES = { online: 1, unavailable: 2, offline: 3, "org.matrix.msc3026.busy": 4 } as const;
export type PresenceState = keyof typeof PRESENCE_STATES;

const STATE_NAMES: readonly PresenceState[] = ["online", "unavailable", "offline", "org.matrix.msc3026.busy"];

/** Whether a word is the name of a state. */
export function isPresenceState(word: string | undefined): word is PresenceState {
  return word !== undefined && Object.hasOwn(PRESENCE_STATES, word);
}

export interface UserPresence {
  readonly user_nid: number;
  readonly user_id: string;
  readonly state: PresenceState;
  readonly status_msg: string | null;
  readonly last_active_ts: number;
  readonly currently_active: boolean;
}

interface PresenceRow extends Omit<UserPresence, "state"> {
  readonly state: number;
}

const COLUMNS = "users.nid AS user_nid, user_id, state, status_msg, last_active_ts, currently_active";

const OF_USER: Statement<PresenceRow> = {
  name: "presence_of_user", // presence_pkey
  text: `SELECT ${COLUMNS} FROM presence JOIN users ON users.nid = user_nid WHERE user_nid = $1`,
};
const OF_USERS: Statement<PresenceRow> = {
  name: "presence_of_users", // presence_pkey
  text: `SELECT ${COLUMNS} FROM presence JOIN users ON users.nid = user_nid WHERE user_nid = ANY($1)`,
};
const SHARES_ROOM = `EXISTS (SELECT FROM current_state AS reader JOIN current_state AS other
  ON other.room_nid = reader.room_nid AND other.user_nid = presence.user_nid AND other.membership = 1
  WHERE reader.user_nid = $1 AND reader.membership = 1)`;
const CHANGED: Statement<PresenceRow> = {
  name: "presence_changed", // presence_changed, then current_state_user
  text: `SELECT ${COLUMNS} FROM presence JOIN users ON users.nid = user_nid
    WHERE last_position > $2 AND last_position <= $3 AND (presence.user_nid = $1 OR ${SHARES_ROOM})
    ORDER BY last_position LIMIT 5000`,
};
const SHARED: Statement<{ shared: boolean }> = {
  name: "presence_shared", // current_state_user
  text: `SELECT EXISTS (SELECT FROM current_state AS reader JOIN current_state AS other
    ON other.room_nid = reader.room_nid AND other.user_nid = $2 AND other.membership = 1
    WHERE reader.user_nid = $1 AND reader.membership = 1) AS shared`,
};
const NOT_OFFLINE: Statement<PresenceRow> = {
  name: "presence_not_offline", // presence_not_offline
  text: `SELECT ${COLUMNS} FROM presence JOIN users ON users.nid = user_nid JOIN accounts USING (user_nid) WHERE state <> ${PRESENCE_STATES.offline}`,
};
const SET: Statement<{ user_nid: number }> = {
  name: "presence_set",
  // What says the same as before is no transition.
  text: `INSERT INTO presence (user_nid, state, status_msg, last_active_ts, currently_active, last_position)
    SELECT user_nid, state, status_msg, last_active_ts, currently_active, 0
    FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::bigint[], $5::boolean[])
      AS said (user_nid, state, status_msg, last_active_ts, currently_active)
    ON CONFLICT (user_nid) DO UPDATE SET state = excluded.state, status_msg = excluded.status_msg,
      last_active_ts = excluded.last_active_ts, currently_active = excluded.currently_active
      WHERE (presence.state, presence.status_msg, presence.currently_active)
        IS DISTINCT FROM (excluded.state, excluded.status_msg, excluded.currently_active)
    RETURNING user_nid`,
};

/** Gives rows that changed the position of their change. */
export const PRESENCE_POSITION: Statement = {
  name: "presence_position",
  text: "UPDATE presence SET last_position = currval('log_position') WHERE user_nid = ANY ($1::bigint[])",
};

function named(row: PresenceRow): UserPresence {
  return {
    ...row,
    user_id: fromText(row.user_id),
    status_msg: row.status_msg === null ? null : fromText(row.status_msg),
    state: STATE_NAMES[row.state - 1] ?? "offline",
  };
}

/** A user's presence; undefined if there never was any. */
export async function presenceOf(reads: Reads, userNid: number): Promise<UserPresence | undefined> {
  const [row] = await reads.read(OF_USER, [userNid]);
  return row && named(row);
}

/** The presence of users; those who never had any are left out. */
export async function presenceOfUsers(reads: Reads, userNids: readonly number[]): Promise<UserPresence[]> {
  return (await reads.read(OF_USERS, [userNids])).map(named);
}

/** The presence of the reader and of those who share a room with the reader, as far as it changed in (after, upTo]. */
export async function presenceChanged(
  reads: Reads,
  readerNid: number,
  range: { readonly after: number; readonly upTo: number },
): Promise<UserPresence[]> {
  return (await reads.read(CHANGED, [readerNid, range.after, range.upTo])).map(named);
}

const OF_MET: Statement<PresenceRow> = {
  name: "presence_of_met", // log_room; current_state_membership; presence_pkey
  text: `WITH met AS (
      SELECT log.user_nid FROM log JOIN current_state AS other
        ON other.room_nid = log.room_nid AND other.tuple_nid = log.tuple_nid AND other.membership = 1
      WHERE log.room_nid = ANY($4) AND log.position > $1 AND log.position <= $2 AND log.kind = $5 AND log.user_nid IS NOT NULL
      UNION SELECT user_nid FROM current_state WHERE room_nid = ANY($3) AND membership = 1 AND user_nid IS NOT NULL
      LIMIT 5000)
    SELECT ${COLUMNS} FROM met JOIN presence USING (user_nid) JOIN users ON users.nid = user_nid`,
};

/** The presence of all who are in the rooms `fresh`, and of those who came into the rooms `changed` in (after, upTo]. */
export async function presenceOfMet(
  reads: Reads,
  { after, upTo }: { readonly after: number; readonly upTo: number },
  fresh: readonly number[],
  changed: readonly number[],
): Promise<UserPresence[]> {
  return (await reads.read(OF_MET, [after, upTo, fresh, changed, LOG_KINDS.state_change])).map(named);
}

/** Whether two users are in a room together. */
export async function shareRoom(reads: Reads, userNid: number, otherNid: number): Promise<boolean> {
  const [row] = await reads.read(SHARED, [userNid, otherNid]);
  return row?.shared === true;
}

/** Everyone of ours who is not offline. */
export async function presentUsers(reads: Reads): Promise<UserPresence[]> {
  return (await reads.read(NOT_OFFLINE, [])).map(named);
}

/** Stores the presence of users, each once: the numbers of those of whom that says something new. */
export async function storePresence(tx: Queryable, presences: readonly Omit<UserPresence, "user_id">[]): Promise<number[]> {
  const rows = await tx.query(SET, [
    presences.map(({ user_nid }) => user_nid),
    presences.map(({ state }) => PRESENCE_STATES[state]),
    presences.map(({ status_msg }) => (status_msg === null ? null : toText(status_msg))),
    presences.map(({ last_active_ts }) => last_active_ts),
    presences.map(({ currently_active }) => currently_active),
  ]);
  return rows.map(({ user_nid }) => user_nid);
}

const SERVERS: Statement<{ user_nid: number; server_name: ServerName }> = {
  name: "presence_servers", // current_state_user, joined_servers_pkey
  text: `SELECT DISTINCT c.user_nid, j.server_name FROM current_state c JOIN joined_servers j ON j.room_nid = c.room_nid AND j.members > 0
    WHERE c.user_nid = ANY ($1::bigint[]) AND c.membership = 1 AND j.server_name <> ALL ($2::text[])`,
};

/** The servers, other than `ours`, that share a room with each of these users. */
export async function serversSharing(
  reads: Reads,
  userNids: readonly number[],
  ours: readonly ServerName[],
): Promise<{ user_nid: number; server_name: ServerName }[]> {
  return userNids.length === 0 ? [] : await reads.read(SERVERS, [userNids, ours]);
}

/** As many of a room's members are told of to a server that comes there, those who were active last. */
const TOLD_OF_ROOM = 200;
/** Servers that come to rooms, and pairs of a user and a server, that are looked at together. */
const ARRIVALS = 100;
const PAIRS = 5_000;

const NEW_SERVERS: Statement<{ user_nid: number; server_name: ServerName }> = {
  name: "presence_new_servers", // joined_members_pkey, joined_servers_pkey, room_entries_pkey, joined_members_since, presence_pkey
  text: `WITH came AS (SELECT user_nid, room_nid, position FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS given (user_nid, room_nid, position)),
    joined AS (
      SELECT came.* FROM came JOIN accounts USING (user_nid) JOIN rooms r ON r.nid = came.room_nid AND r.whole_since <= came.position
        CROSS JOIN LATERAL (SELECT FROM joined_members WHERE user_nid = came.user_nid AND room_nid = came.room_nid AND since = came.position AND until IS NULL LIMIT 1) m
      UNION (SELECT m.user_nid, m.room_nid, m.since FROM room_entries e JOIN joined_members m ON m.room_nid = e.room_nid AND m.since >= e.entered AND m.until IS NULL
        JOIN accounts USING (user_nid) WHERE e.room_nid = ANY ($4::bigint[]) AND e.phase = 'complete' LIMIT ${TOLD_OF_ROOM})),
    arrivals AS MATERIALIZED (
      SELECT DISTINCT j.room_nid, j.server_name, j.since AS position FROM came JOIN users u ON u.nid = came.user_nid
        JOIN joined_servers j ON j.room_nid = came.room_nid AND j.server_name = server_of(u.user_id) AND j.since = came.position AND j.members > 0
        WHERE j.server_name <> ALL ($5::text[]) LIMIT ${ARRIVALS}),
    -- Once for each room, however many servers come there.
    present AS MATERIALIZED (
      SELECT room.room_nid, m.user_nid FROM (SELECT DISTINCT room_nid FROM arrivals) room CROSS JOIN LATERAL (
        SELECT user_nid FROM joined_members JOIN accounts USING (user_nid) JOIN presence p USING (user_nid)
          WHERE joined_members.room_nid = room.room_nid AND until IS NULL AND p.state <> ${PRESENCE_STATES.offline}
          ORDER BY p.last_active_ts DESC LIMIT ${TOLD_OF_ROOM}) m),
    pairs AS (
      SELECT joined.user_nid, joined.room_nid, joined.position, j.server_name FROM joined
        JOIN joined_servers j ON j.room_nid = joined.room_nid AND j.members > 0 AND j.server_name <> ALL ($5::text[])
      UNION ALL SELECT present.user_nid, a.room_nid, a.position, a.server_name FROM arrivals a JOIN present USING (room_nid))
    SELECT DISTINCT user_nid, server_name FROM pairs
      WHERE EXISTS (SELECT FROM presence WHERE presence.user_nid = pairs.user_nid)
        AND NOT EXISTS (SELECT FROM joined_members o JOIN joined_servers s ON s.room_nid = o.room_nid AND s.server_name = pairs.server_name AND s.members > 0
          WHERE o.user_nid = pairs.user_nid AND o.until IS NULL AND o.room_nid <> pairs.room_nid AND o.since < pairs.position AND s.since < pairs.position)
      LIMIT ${PAIRS}`,
};

/**
 * Users of ours with a presence and the servers, other than `ours`, that came to share a room with them: where the user joined a room at
 * one of these positions, where the first user of a server did, and where it became known who is in the rooms `completed`.
 */
export async function newlySharingPresence(
  reads: Reads,
  joins: readonly { readonly user_nid: number; readonly room_nid: number; readonly position: number }[],
  completed: readonly number[],
  ours: readonly ServerName[],
): Promise<{ user_nid: number; server_name: ServerName }[]> {
  if (joins.length + completed.length === 0) return [];
  const columns = [joins.map(({ user_nid }) => user_nid), joins.map(({ room_nid }) => room_nid), joins.map(({ position }) => position)];
  return await reads.read(NEW_SERVERS, [...columns, completed, ours]);
}
