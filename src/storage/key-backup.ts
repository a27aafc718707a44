// Backups of room keys, as versions with keys by room and session.
import type { RoomId } from "../protocol/identifiers.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** One version of a user's backup. */
export interface KeyBackup {
  readonly version: number;
  readonly algorithm: string;
  /** JSON text. */
  readonly auth_data: string;
  readonly keys: number;
  /** How often its keys have changed. */
  readonly changes: number;
}

export interface BackedUpKey {
  readonly room_id: RoomId;
  readonly session_id: string;
  readonly first_message_index: number;
  readonly forwarded_count: number;
  readonly is_verified: boolean;
  /** JSON text. */
  readonly session_data: string;
}

/** What of a backup is meant: all, one room, or one session of it. */
export interface KeySelection {
  readonly room_id?: RoomId | undefined;
  readonly session_id?: string | undefined;
}

/** How a backup stands after a change. */
export type KeyCount = Pick<KeyBackup, "keys" | "changes">;

const COLUMNS = "version, algorithm, auth_data, keys, changes";

const CREATE: Statement<{ version: number }> = {
  name: "key_backups_create", // key_backups_pkey
  text: `INSERT INTO key_backups (user_nid, version, algorithm, auth_data)
    SELECT $1, coalesce(max(version), 0) + 1, $2, $3 FROM key_backups WHERE user_nid = $1 RETURNING version`,
};
const LATEST: Statement<KeyBackup> = {
  name: "key_backups_latest", // key_backups_pkey, from its end
  text: `SELECT ${COLUMNS} FROM key_backups WHERE user_nid = $1 AND NOT deleted ORDER BY version DESC LIMIT 1`,
};
const FIND: Statement<KeyBackup & { deleted: boolean }> = {
  name: "key_backups_find",
  text: `SELECT ${COLUMNS}, deleted FROM key_backups WHERE user_nid = $1 AND version = $2`,
};
const LOCK: Statement = {
  name: "key_backups_lock",
  // All versions of the user: what is the latest must not change meanwhile.
  text: "SELECT FROM key_backups WHERE user_nid = $1 ORDER BY version FOR UPDATE",
};
const UPDATE: Statement = {
  name: "key_backups_update",
  text: "UPDATE key_backups SET auth_data = $3 WHERE user_nid = $1 AND version = $2",
};
const DELETE: Statement = {
  name: "key_backups_delete",
  text: `WITH gone AS (DELETE FROM key_backup_keys WHERE user_nid = $1 AND version = $2)
    UPDATE key_backups SET deleted = true, keys = 0, auth_data = '{}' WHERE user_nid = $1 AND version = $2`,
};
const PUT: Statement<KeyCount> = {
  name: "key_backup_keys_put",
  // Verified keys win, then those that decrypt from earlier on, then those that went through fewer hands.
  text: `WITH written AS (
      INSERT INTO key_backup_keys AS old (user_nid, version, room_id, session_id, first_message_index, forwarded_count, is_verified, session_data)
      SELECT $1::bigint, $2::bigint, room_id, session_id, first_message_index, forwarded_count, is_verified, session_data
      FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::boolean[], $8::text[])
        AS key (room_id, session_id, first_message_index, forwarded_count, is_verified, session_data)
      ON CONFLICT (user_nid, version, room_id, session_id) DO UPDATE SET first_message_index = excluded.first_message_index,
        forwarded_count = excluded.forwarded_count, is_verified = excluded.is_verified, session_data = excluded.session_data
      WHERE (NOT excluded.is_verified, excluded.first_message_index, excluded.forwarded_count)
        < (NOT old.is_verified, old.first_message_index, old.forwarded_count)
      RETURNING xmax = 0 AS is_new)
    UPDATE key_backups SET keys = keys + (SELECT count(*) FROM written WHERE is_new),
      changes = changes + (SELECT count(*) FROM (SELECT FROM written LIMIT 1) AS one)
    WHERE user_nid = $1 AND version = $2 RETURNING keys, changes`,
};
const REMOVE: Statement<KeyCount> = {
  name: "key_backup_keys_remove", // key_backup_keys_pkey
  text: `WITH gone AS (DELETE FROM key_backup_keys WHERE user_nid = $1 AND version = $2
        AND room_id = coalesce($3, room_id) AND session_id = coalesce($4, session_id) RETURNING 1)
    UPDATE key_backups SET keys = keys - (SELECT count(*) FROM gone),
      changes = changes + (SELECT count(*) FROM (SELECT FROM gone LIMIT 1) AS one)
    WHERE user_nid = $1 AND version = $2 RETURNING keys, changes`,
};
const PAGE = 5_000;
const KEY_COLUMNS = "room_id, session_id, first_message_index, forwarded_count, is_verified, session_data";
const NEXT_KEYS: Statement<BackedUpKey> = {
  name: "key_backup_keys_next", // key_backup_keys_pkey
  text: `SELECT ${KEY_COLUMNS} FROM key_backup_keys
    WHERE user_nid = $1 AND version = $2 AND (room_id, session_id) > ($3, $4) ORDER BY room_id, session_id LIMIT ${PAGE}`,
};
const NEXT_KEYS_OF_ROOM: Statement<BackedUpKey> = {
  name: "key_backup_keys_next_of_room", // key_backup_keys_pkey
  text: `SELECT ${KEY_COLUMNS} FROM key_backup_keys
    WHERE user_nid = $1 AND version = $2 AND room_id = $3 AND session_id > $4 ORDER BY session_id LIMIT ${PAGE}`,
};
const ONE_KEY: Statement<BackedUpKey> = {
  name: "key_backup_keys_one", // key_backup_keys_pkey
  text: `SELECT ${KEY_COLUMNS} FROM key_backup_keys WHERE user_nid = $1 AND version = $2 AND room_id = $3 AND session_id = $4`,
};

/** Makes a user's next version, in a transaction that holds the account: its number. */
export async function createBackup(tx: Queryable, userNid: number, algorithm: string, authData: string): Promise<number> {
  const [row] = await tx.query(CREATE, [userNid, toText(algorithm), authData]);
  if (row === undefined) throw new Error("a backup got no version");
  return row.version;
}

/** The user's latest version that is not deleted. */
export async function latestBackup(reads: Reads, userNid: number): Promise<KeyBackup | undefined> {
  const [row] = await reads.read(LATEST, [userNid]);
  return row && { ...row, algorithm: fromText(row.algorithm) };
}

/** One version; it may be deleted. */
export async function findBackup(reads: Reads, userNid: number, version: number): Promise<(KeyBackup & { deleted: boolean }) | undefined> {
  const [row] = await reads.read(FIND, [userNid, version]);
  return row && { ...row, algorithm: fromText(row.algorithm) };
}

/** Keeps others from changing the user's backups until the transaction ends. */
export async function lockBackups(tx: Queryable, userNid: number): Promise<void> {
  await tx.query(LOCK, [userNid]);
}

/** Sets what a version says of itself. */
export async function updateBackup(tx: Queryable, userNid: number, version: number, authData: string): Promise<void> {
  await tx.query(UPDATE, [userNid, version, authData]);
}

/** Deletes a version and its keys. */
export async function deleteBackup(tx: Queryable, userNid: number, version: number): Promise<void> {
  await tx.query(DELETE, [userNid, version]);
}

/** Puts keys into a version, where they are better than what is there. */
export async function putKeys(tx: Queryable, userNid: number, version: number, keys: readonly BackedUpKey[]): Promise<KeyCount> {
  const [row] = await tx.query(PUT, [
    userNid,
    version,
    keys.map(({ room_id }) => toText(room_id)),
    keys.map(({ session_id }) => toText(session_id)),
    keys.map(({ first_message_index }) => first_message_index),
    keys.map(({ forwarded_count }) => forwarded_count),
    keys.map(({ is_verified }) => is_verified),
    keys.map(({ session_data }) => session_data),
  ]);
  if (row === undefined) throw new Error("a backup is gone that was locked");
  return row;
}

/** Removes keys from a version. */
export async function removeKeys(tx: Queryable, userNid: number, version: number, { room_id, session_id }: KeySelection): Promise<KeyCount> {
  const [row] = await tx.query(REMOVE, [userNid, version, room_id === undefined ? null : toText(room_id), session_id === undefined ? null : toText(session_id)]);
  if (row === undefined) throw new Error("a backup is gone that was locked");
  return row;
}

/** The keys of a version, ordered by room and session. */
export async function keysOfBackup(reads: Reads, userNid: number, version: number, { room_id, session_id }: KeySelection): Promise<BackedUpKey[]> {
  const room = room_id === undefined ? undefined : toText(room_id);
  if (room !== undefined && session_id !== undefined) return (await reads.read(ONE_KEY, [userNid, version, room, toText(session_id)])).map(toKey);
  const all: BackedUpKey[] = [];
  for (let last: BackedUpKey | undefined; ; ) {
    const page = await (room === undefined
      ? reads.read(NEXT_KEYS, [userNid, version, last?.room_id ?? "", last?.session_id ?? ""])
      : reads.read(NEXT_KEYS_OF_ROOM, [userNid, version, room, last?.session_id ?? ""]));
    for (const row of page) all.push(toKey(row));
    last = page.at(-1);
    if (page.length < PAGE) return all;
  }
}

function toKey(row: BackedUpKey): BackedUpKey {
  return { ...row, room_id: fromText(row.room_id) as RoomId, session_id: fromText(row.session_id) };
}
