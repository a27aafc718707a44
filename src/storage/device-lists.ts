// Whose devices and keys have changed, and with whom a user came to share a room or no longer does.
import type { DeviceId, ServerName } from "../protocol/identifiers.js";
import type { Tx } from "./database.js";
import { LOG_KINDS } from "./log-entry.js";
import type { Queryable, Reads, Statement } from "./statement.js";

/** Changes of devices at one position that other servers are told one by one. Of more, only the last is told: they ask. */
export const TOLD_CHANGES = 20;
/** The numbers that one position has for changes of a user's devices. */
const NUMBERS = 32;

const CHANGED: Statement = {
  name: "device_lists_changed",
  text: `INSERT INTO device_lists AS list (user_nid, last_position, stream_id, stream_position)
    SELECT user_nid, currval('log_position'), CASE WHEN devices > 0 THEN currval('log_position') * ${NUMBERS} + least(devices, ${TOLD_CHANGES}) - 1 ELSE 0 END,
      CASE WHEN devices > 0 THEN currval('log_position') ELSE 0 END
    FROM unnest($1::bigint[], $2::bigint[]) AS change (user_nid, devices)
    ON CONFLICT (user_nid) DO UPDATE SET last_position = excluded.last_position,
      previous = CASE WHEN excluded.stream_id = 0 OR list.stream_position = excluded.stream_position THEN list.previous ELSE list.stream_id END,
      stream_id = greatest(list.stream_id, excluded.stream_id),
      stream_position = greatest(list.stream_position, excluded.stream_position)`,
};

/** Notes at the position of a transaction whose lists have changed: how many devices of each user, 0 for the user's own keys. */
export function noteDeviceLists(tx: Tx, changes: ReadonlyMap<number, number>): void {
  if (changes.size > 0) tx.atPosition(CHANGED, [[...changes.keys()], [...changes.values()]]);
}

const SIGNED: Statement = {
  name: "device_lists_signed",
  text: `INSERT INTO signed_users (signer_nid, user_nid, last_position)
    SELECT $1, user_nid, currval('log_position') FROM unnest($2::bigint[]) AS signed (user_nid)
    ON CONFLICT (signer_nid, user_nid) DO UPDATE SET last_position = excluded.last_position`,
};

/** Notes at the position of a transaction whose keys a user has signed. */
export function noteSigned(tx: Tx, signer: number, users: readonly number[]): void {
  if (users.length > 0) tx.atPosition(SIGNED, [signer, users]);
}

/** More than so many users are never told in one answer. */
const MOST = 100_000;
const SHARES = (reader: string, other: string): string => `EXISTS (SELECT FROM joined_members a JOIN joined_members b
      ON b.room_nid = a.room_nid AND b.user_nid = ${other} AND b.until IS NULL
    WHERE a.user_nid = ${reader} AND a.until IS NULL)`;

/**
 * Whether somebody turned out to be in a room when all of its state became known, where nothing is encrypted and their list has not
 * changed meanwhile: nobody came, and the specification asks only for those who now share an encrypted room.
 */
const TURNED_OUT = `EXISTS (SELECT FROM rooms JOIN room_entries e ON e.room_nid = nid
      WHERE nid = mine.room_nid AND whole_since = other.since
        AND NOT EXISTS (SELECT FROM current_state s JOIN state_tuples t ON t.nid = tuple_nid
          WHERE s.room_nid = mine.room_nid AND t.type = 'm.room.encryption' AND t.state_key = '')
        AND NOT EXISTS (SELECT FROM device_lists d WHERE d.user_nid = other.user_nid AND d.last_position > e.entered))`;

const CHANGED_FOR: Statement<{ user_nid: number }> = {
  name: "device_lists_changed_for", // device_lists_changed, signed_users_pkey, joined_members_pkey, joined_members_since
  text: `SELECT user_nid FROM device_lists WHERE last_position > $2 AND (user_nid = $1 OR ${SHARES("$1", "device_lists.user_nid")})
    UNION SELECT user_nid FROM signed_users WHERE signer_nid = $1 AND last_position > $2
    UNION SELECT other.user_nid FROM joined_members mine JOIN joined_members other ON other.room_nid = mine.room_nid AND other.until IS NULL
      WHERE mine.user_nid = $1 AND mine.until IS NULL AND mine.since > $2
    UNION SELECT other.user_nid FROM joined_members mine JOIN joined_members other ON other.room_nid = mine.room_nid AND other.until IS NULL
        AND other.since > $2
      WHERE mine.user_nid = $1 AND mine.until IS NULL AND NOT ${TURNED_OUT}
    LIMIT ${MOST}`,
};
const LEFT_FOR: Statement<{ user_nid: number }> = {
  name: "device_lists_left_for", // joined_members_pkey, joined_members_until, joined_members_since
  text: `SELECT user_nid FROM (
      SELECT other.user_nid FROM joined_members mine JOIN joined_members other ON other.room_nid = mine.room_nid
          AND other.since <= $2 AND (other.until IS NULL OR other.until > $2)
        WHERE mine.user_nid = $1 AND mine.since <= $2 AND mine.until > $2
      UNION SELECT other.user_nid FROM joined_members mine JOIN joined_members other ON other.room_nid = mine.room_nid
          AND other.since <= $2 AND other.until > $2
        WHERE mine.user_nid = $1 AND mine.since <= $2 AND (mine.until IS NULL OR mine.until > $2)) parted
    WHERE user_nid <> $1 AND NOT ${SHARES("$1", "parted.user_nid")} LIMIT ${MOST}`,
};
/** The same up to a position. Who changed again after it is found in the log, or told in any case where the log no longer begins before the range. */
const CHANGED_BETWEEN: Statement<{ user_nid: number }> = {
  name: "device_lists_changed_between", // device_lists_changed, log_user, signed_users_pkey, joined_members_pkey, joined_members_since
  text: `SELECT user_nid FROM device_lists WHERE last_position > $2 AND (user_nid = $1 OR ${SHARES("$1", "device_lists.user_nid")})
      AND (last_position <= $3 OR (SELECT min(position) FROM log) > $2 + 1
        OR EXISTS (SELECT FROM log WHERE log.user_nid = device_lists.user_nid AND position > $2 AND position <= $3 AND kind = $4))
    UNION SELECT user_nid FROM signed_users WHERE signer_nid = $1 AND last_position > $2 AND last_position <= $3
    UNION SELECT other.user_nid FROM joined_members mine JOIN joined_members other ON other.room_nid = mine.room_nid AND other.until IS NULL
      WHERE mine.user_nid = $1 AND mine.until IS NULL AND mine.since <= $3 AND other.since <= $3
        AND (mine.since > $2 OR other.since > $2 AND NOT ${TURNED_OUT})
    LIMIT ${MOST}`,
};
const LEFT_BETWEEN: Statement<{ user_nid: number }> = {
  name: "device_lists_left_between", // joined_members_pkey, joined_members_until, joined_members_since
  text: `SELECT user_nid FROM (
      SELECT other.user_nid FROM joined_members mine JOIN joined_members other ON other.room_nid = mine.room_nid
          AND other.since <= $2 AND (other.until IS NULL OR other.until > $2)
        WHERE mine.user_nid = $1 AND mine.since <= $2 AND mine.until > $2 AND mine.until <= $3
      UNION SELECT other.user_nid FROM joined_members mine JOIN joined_members other ON other.room_nid = mine.room_nid
          AND other.since <= $2 AND other.until > $2 AND other.until <= $3
        WHERE mine.user_nid = $1 AND mine.since <= $2 AND (mine.until IS NULL OR mine.until > $2)) parted
    WHERE user_nid <> $1 AND NOT ${SHARES("$1", "parted.user_nid")} LIMIT ${MOST}`,
};
const SHARING_WITH: Statement<{ user_nid: number }> = {
  name: "device_lists_sharing_with", // joined_members_pkey, joined_members_since
  text: `SELECT DISTINCT other.user_nid FROM joined_members mine JOIN joined_members other ON other.room_nid = mine.room_nid AND other.until IS NULL
    WHERE mine.user_nid = $1 AND mine.until IS NULL LIMIT ${MOST}`,
};

/** Numbers of users. */
export interface DeviceListChanges {
  /** Who shares a room with the reader and has changed keys, or came to share one. */
  readonly changed: readonly number[];
  /** Who shared a room with the reader and no longer does. */
  readonly left: readonly number[];
}

const nids = (rows: readonly { user_nid: number }[]): number[] => rows.map(({ user_nid }) => user_nid).toSorted((a, b) => a - b);

/** What a user has to be told of others' device lists since a position ("Extensions to /sync"). */
export async function deviceListChanges(reads: Reads, reader: number, after: number): Promise<DeviceListChanges> {
  const [changed, left] = await Promise.all([reads.read(CHANGED_FOR, [reader, after]), reads.read(LEFT_FOR, [reader, after])]);
  return { changed: nids(changed), left: nids(left) };
}

/** What a user had to be told of others' device lists from a position up to another ("/keys/changes"). */
export async function deviceListChangesBetween(reads: Reads, reader: number, after: number, upTo: number): Promise<DeviceListChanges> {
  const [changed, left] = await Promise.all([
    reads.read(CHANGED_BETWEEN, [reader, after, upTo, LOG_KINDS.device_list]),
    reads.read(LEFT_BETWEEN, [reader, after, upTo]),
  ]);
  return { changed: nids(changed), left: nids(left) };
}

/** Everybody who shares a room with a user, the user too: whose lists may be other ones where nothing is known any more. */
export async function usersSharingRooms(reads: Reads, reader: number): Promise<DeviceListChanges> {
  return { changed: nids(await reads.read(SHARING_WITH, [reader])), left: [] };
}

/** A list of ours as other servers follow it. */
export interface DeviceStream {
  readonly user_nid: number;
  readonly stream_id: number;
  readonly previous: number;
  readonly stream_position: number;
}

const STREAMS: Statement<DeviceStream> = {
  name: "device_lists_streams", // device_lists_pkey
  text: "SELECT user_nid, stream_id, previous, stream_position FROM device_lists WHERE user_nid = ANY ($1::bigint[])",
};

/** Where the lists of users stand. Who never changed anything is left out. */
export async function deviceStreams(reads: Reads, userNids: readonly number[]): Promise<Map<number, DeviceStream>> {
  const rows = userNids.length === 0 ? [] : await reads.read(STREAMS, [userNids]);
  return new Map(rows.map((row) => [row.user_nid, row]));
}

/** The number of the `index`-th change of a position. */
export const streamId = (position: number, index: number): number => position * NUMBERS + index;

const NEW_SERVERS: Statement<{ user_nid: number; server_name: ServerName }> = {
  name: "device_lists_new_servers", // joined_members_pkey, joined_servers_pkey
  text: `SELECT DISTINCT m.user_nid, j.server_name
    FROM unnest($1::bigint[], $2::bigint[]) AS came (user_nid, room_nid)
    JOIN accounts USING (user_nid)
    -- By the key: where many have come to a room at once, a plan that goes by the room compares all with all.
    CROSS JOIN LATERAL (SELECT * FROM joined_members WHERE user_nid = came.user_nid AND room_nid = came.room_nid AND until IS NULL
      AND since = ANY ($3::bigint[]) LIMIT 1) m
    JOIN joined_servers j ON j.room_nid = m.room_nid AND j.members > 0 AND j.server_name <> ALL ($4::text[])
    JOIN rooms r ON r.nid = m.room_nid
    WHERE NOT EXISTS (SELECT FROM joined_members o JOIN joined_servers s ON s.room_nid = o.room_nid AND s.members > 0
      WHERE o.user_nid = m.user_nid AND o.until IS NULL AND o.room_nid <> m.room_nid AND s.server_name = j.server_name)
    AND (r.whole_since <= m.since OR EXISTS (SELECT FROM joined_members o JOIN joined_servers s ON s.room_nid = o.room_nid AND s.server_name = j.server_name
        AND s.since <= o.until AND (s.until IS NULL OR s.until >= o.since)
      JOIN device_lists d ON d.user_nid = o.user_nid AND d.last_position > least(o.until, s.until)
      WHERE o.user_nid = m.user_nid AND o.until <= m.since))`,
};

/**
 * The servers with which users of ours came to share a room, of those who joined rooms at some positions. Where the room was known in
 * part, only those that shared one before and whose list is old since: who is there is not known, and sees the join.
 */
export async function newlySharingServers(
  tx: Queryable,
  joins: readonly { readonly user_nid: number; readonly room_nid: number; readonly position: number }[],
  ours: readonly ServerName[],
): Promise<{ user_nid: number; server_name: ServerName }[]> {
  if (joins.length === 0) return [];
  return await tx.query(NEW_SERVERS, [
    joins.map(({ user_nid }) => user_nid),
    joins.map(({ room_nid }) => room_nid),
    [...new Set(joins.map(({ position }) => position))],
    ours,
  ]);
}

const MISSED: Statement<{ user_nid: number }> = {
  name: "device_lists_missed", // device_lists_changed, joined_members_pkey, joined_servers_pkey
  text: `SELECT user_nid FROM device_lists JOIN accounts USING (user_nid) WHERE last_position > $2 AND EXISTS (
      SELECT FROM joined_members m JOIN joined_servers j ON j.room_nid = m.room_nid AND j.server_name = $1 AND j.members > 0
      WHERE m.user_nid = device_lists.user_nid AND m.until IS NULL)
    LIMIT 5000`,
};

/** Users of ours whose lists changed since a position and who share a room with a server. */
export async function listsMissedBy(tx: Queryable, server: ServerName, after: number): Promise<number[]> {
  return (await tx.query(MISSED, [server, after])).map(({ user_nid }) => user_nid);
}

const MISSED_IN_ROOMS: Statement<{ user_nid: number; server_name: ServerName; position: number }> = {
  name: "device_lists_missed_in_rooms", // room_entries_pkey, joined_members_since, device_lists_pkey, joined_servers_pkey
  text: `SELECT DISTINCT ON (m.user_nid, s.server_name) m.user_nid, s.server_name, d.last_position AS position
    FROM room_entries e CROSS JOIN unnest(e.missed) AS s (server_name)
    JOIN joined_members m ON m.room_nid = e.room_nid AND m.until IS NULL
    JOIN accounts USING (user_nid) JOIN device_lists d ON d.user_nid = m.user_nid AND d.last_position > e.entered
    WHERE e.room_nid = ANY ($1::bigint[]) AND e.phase = 'complete' AND s.server_name <> ALL ($2::text[])
      AND EXISTS (SELECT FROM joined_members o JOIN joined_servers j ON j.room_nid = o.room_nid AND j.server_name = s.server_name AND j.members > 0
        WHERE o.user_nid = m.user_nid AND o.until IS NULL)
    LIMIT 5000`,
};

/**
 * Users of ours whose lists changed while not all servers of a room were known, and the servers that missed it, as far as they share
 * a room with them now.
 */
export async function listsMissedInRooms(
  tx: Queryable,
  roomNids: readonly number[],
  ours: readonly ServerName[],
): Promise<{ user_nid: number; server_name: ServerName; position: number }[]> {
  return roomNids.length === 0 ? [] : await tx.query(MISSED_IN_ROOMS, [roomNids, ours]);
}

/** A device of ours with what is told of it. */
export interface ToldDevice {
  readonly user_nid: number;
  readonly device_id: DeviceId;
  readonly display_name: string | null;
  /** JSON text. */
  readonly keys: string | null;
}

const DEVICES: Statement<ToldDevice> = {
  name: "device_lists_devices", // devices_pkey, device_keys_pkey
  text: `SELECT user_nid, device_id, display_name, keys FROM devices LEFT JOIN device_keys USING (user_nid, device_id)
    WHERE user_nid = ANY ($1::bigint[]) ORDER BY user_nid, created_ts, device_id LIMIT 50000`,
};

/** All devices of users of ours. Names are as they are stored. */
export async function toldDevices(reads: Reads, userNids: readonly number[]): Promise<ToldDevice[]> {
  return userNids.length === 0 ? [] : await reads.read(DEVICES, [userNids]);
}
