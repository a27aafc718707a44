// The devices of other servers' users, as far as somebody here has asked for them.
import type { DeviceId, ServerName } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { toText } from "./text.js";

/** A device of a user elsewhere. */
export interface RemoteDevice {
  readonly user_nid: number;
  readonly device_id: DeviceId;
  /** JSON text; null for a device without keys. */
  readonly keys: string | null;
  readonly display_name: string | null;
}

/** How it stands with what we have of a user's devices. */
export interface RemoteList {
  readonly user_nid: number;
  /** Undefined as long as the server has not told where its list stands. */
  readonly stream_id: number | null;
  readonly stale: boolean;
  readonly changes: number;
  readonly failures: number;
}

// What was fetched counts only if the user was in a room with us since then: we are told nothing of others.
const FRESH = `NOT stale AND EXISTS (SELECT FROM joined_members t JOIN joined_servers j ON j.room_nid = t.room_nid AND j.members > 0
    AND j.server_name = ANY ($2::text[]) AND j.since <= list.fetched
  WHERE t.user_nid = list.user_nid AND t.until IS NULL AND t.since <= list.fetched)`;
const LISTS: Statement<RemoteList & { fresh: boolean }> = {
  name: "remote_device_lists_of", // remote_device_lists_pkey, joined_members_pkey, joined_servers_pkey
  text: `SELECT user_nid, stream_id, stale, changes, failures, (${FRESH}) AS fresh FROM remote_device_lists list WHERE user_nid = ANY ($1::bigint[])`,
};
const SHARING: Statement<{ user_nid: number }> = {
  name: "remote_device_lists_sharing", // joined_members_pkey, joined_servers_pkey
  text: `SELECT DISTINCT t.user_nid FROM joined_members t JOIN joined_servers j ON j.room_nid = t.room_nid AND j.members > 0 AND j.server_name = ANY ($2::text[])
    WHERE t.user_nid = ANY ($1::bigint[]) AND t.until IS NULL`,
};
const DEVICES: Statement<RemoteDevice> = {
  name: "remote_device_lists_devices", // remote_device_keys_pkey
  text: "SELECT user_nid, device_id, keys, display_name FROM remote_device_keys WHERE user_nid = ANY ($1::bigint[]) ORDER BY user_nid, device_id",
};
const LOCK: Statement<RemoteList> = {
  name: "remote_device_lists_lock",
  text: "SELECT user_nid, stream_id, stale, changes, failures FROM remote_device_lists WHERE user_nid = $1 FOR UPDATE",
};
const BEGIN: Statement<{ user_nid: number; changes: number }> = {
  name: "remote_device_lists_begin",
  // Who asks is known from now on, so that what the server says meanwhile is not overlooked.
  text: `INSERT INTO remote_device_lists AS list (user_nid, fetched, stale) SELECT user_nid, 0, true FROM unnest($1::bigint[]) AS asked (user_nid)
    ON CONFLICT (user_nid) DO UPDATE SET failures = list.failures RETURNING user_nid, changes`,
};
const LOCK_ALL: Statement<{ user_nid: number; changes: number }> = {
  name: "remote_device_lists_lock_all",
  // In one order, so that two who hold some do not wait for each other in a circle.
  text: "SELECT user_nid, changes FROM remote_device_lists WHERE user_nid = ANY ($1::bigint[]) ORDER BY user_nid FOR UPDATE",
};
const PUT: Statement = {
  name: "remote_device_lists_put",
  text: `UPDATE remote_device_lists list SET stream_id = told.stream_id, fetched = $4, stale = list.changes <> told.changes, failures = 0, retry_ts = 0
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS told (user_nid, stream_id, changes) WHERE list.user_nid = told.user_nid`,
};
const REMOVE_ALL: Statement = {
  name: "remote_device_lists_remove_all",
  text: "DELETE FROM remote_device_keys WHERE user_nid = ANY ($1::bigint[])",
};
const MOVE: Statement = {
  name: "remote_device_lists_move",
  text: "UPDATE remote_device_lists SET stream_id = coalesce($2, stream_id), stale = stale OR $3, changes = changes + 1, retry_ts = CASE WHEN $3 THEN 0 ELSE retry_ts END WHERE user_nid = $1",
};
const REMOVE_DEVICE: Statement = {
  name: "remote_device_lists_remove_device",
  text: "DELETE FROM remote_device_keys WHERE user_nid = $1 AND device_id = $2",
};
const PUT_DEVICES: Statement<{ device_id: string }> = {
  name: "remote_device_lists_put_devices",
  text: `INSERT INTO remote_device_keys AS known (user_nid, device_id, keys, display_name)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS told
    ON CONFLICT (user_nid, device_id) DO UPDATE SET keys = excluded.keys, display_name = excluded.display_name
      WHERE (known.keys, known.display_name) IS DISTINCT FROM (excluded.keys, excluded.display_name)
    RETURNING device_id`,
};
const TAKE_STALE: Statement<{ user_nid: number; failures: number }> = {
  name: "remote_device_lists_take_stale", // remote_device_lists_stale
  text: `UPDATE remote_device_lists SET retry_ts = $2 WHERE user_nid IN (
      SELECT user_nid FROM remote_device_lists WHERE stale AND retry_ts <= $1 ORDER BY retry_ts LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING user_nid, failures`,
};
const FAILED: Statement = {
  name: "remote_device_lists_failed",
  text: "UPDATE remote_device_lists SET failures = failures + 1, retry_ts = $2 WHERE user_nid = $1",
};
const FORGET: Statement = {
  name: "remote_device_lists_forget",
  text: "DELETE FROM remote_device_lists WHERE user_nid = ANY ($1::bigint[])",
};

/** What we have of users' lists; `fresh` if it can be believed. */
export async function remoteLists(reads: Reads, userNids: readonly number[], ours: readonly ServerName[]): Promise<(RemoteList & { fresh: boolean })[]> {
  return userNids.length === 0 ? [] : await reads.read(LISTS, [userNids, ours]);
}

/** Those of some users who share a room with users of ours. */
export async function sharingWithUs(reads: Reads, userNids: readonly number[], ours: readonly ServerName[]): Promise<Set<number>> {
  const rows = userNids.length === 0 ? [] : await reads.read(SHARING, [userNids, ours]);
  return new Set(rows.map(({ user_nid }) => user_nid));
}

export async function remoteDevices(reads: Reads, userNids: readonly number[]): Promise<RemoteDevice[]> {
  return userNids.length === 0 ? [] : await reads.read(DEVICES, [userNids]);
}

/** A user's list, held until the transaction ends. */
export async function lockRemoteList(tx: Queryable, userNid: number): Promise<RemoteList | undefined> {
  return (await tx.query(LOCK, [userNid]))[0];
}

/** Notes that lists are asked for; how often their servers had spoken of them by then. */
export async function beginFetch(database: Database, userNids: readonly number[]): Promise<Map<number, number>> {
  const rows = await database.write(BEGIN, [[...userNids].sort((a, b) => a - b)]);
  return new Map(rows.map(({ user_nid, changes }) => [user_nid, changes]));
}

/** A list as its server told it, and how often that had spoken of it when it was asked. */
export interface FetchedList {
  readonly user_nid: number;
  readonly stream_id: number | null;
  readonly changes: number;
}

/**
 * Keeps whole lists as of a position of the log, as lost ones if their servers have spoken of them since they were asked; gives
 * which are still wanted, and their devices are to be put.
 */
export async function putRemoteLists(tx: Queryable, lists: readonly FetchedList[], fetched: number): Promise<Set<number>> {
  const held = new Set((await tx.query(LOCK_ALL, [lists.map(({ user_nid }) => user_nid)])).map(({ user_nid }) => user_nid));
  const wanted = lists.filter(({ user_nid }) => held.has(user_nid));
  if (wanted.length === 0) return held;
  const nids = wanted.map(({ user_nid }) => user_nid);
  await tx.query(PUT, [nids, wanted.map(({ stream_id }) => stream_id), wanted.map(({ changes }) => changes), fetched]);
  await tx.query(REMOVE_ALL, [nids]);
  return held;
}

/** Notes that a server has spoken of a list: where it stands, or that we have lost it. */
export async function moveRemoteList(tx: Queryable, userNid: number, streamId: number | undefined, lost: boolean): Promise<void> {
  await tx.query(MOVE, [userNid, streamId ?? null, lost]);
}

/** Puts devices and gives how many of them are new or other than before. */
export async function putRemoteDevices(tx: Queryable, devices: readonly RemoteDevice[]): Promise<number> {
  if (devices.length === 0) return 0;
  const rows = await tx.query(PUT_DEVICES, [
    devices.map(({ user_nid }) => user_nid),
    devices.map(({ device_id }) => device_id),
    devices.map(({ keys }) => keys),
    devices.map(({ display_name }) => (display_name === null ? null : toText(display_name))),
  ]);
  return rows.length;
}

export async function removeRemoteDevice(tx: Queryable, userNid: number, deviceId: string): Promise<void> {
  await tx.query(REMOVE_DEVICE, [userNid, deviceId]);
}

/** Takes lists that were lost; until `hold` (milliseconds since 1970) nobody else does. */
export async function takeStaleLists(database: Database, now: number, hold: number, limit: number): Promise<{ user_nid: number; failures: number }[]> {
  return await database.write(TAKE_STALE, [now, hold, limit]);
}

/** Notes that a list could not be had, and when to try again. */
export async function noteFailedList(database: Database, userNid: number, retry: number): Promise<void> {
  await database.write(FAILED, [userNid, retry]);
}

export async function forgetRemoteLists(database: Database, userNids: readonly number[]): Promise<void> {
  await database.write(FORGET, [userNids]);
}
