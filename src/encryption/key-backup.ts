// Backups of room keys, which only the user's clients can read (client-server API, "Server-side key backups").
import { badJson, invalidParam, MatrixError, notFound, tooLarge } from "../errors.js";
import { parseRoomId, type RoomId } from "../protocol/identifiers.js";
import type { JsonObject } from "../protocol/json.js";
import { lockAccount } from "../storage/account-data.js";
import type { Database } from "../storage/database.js";
import {
  type BackedUpKey,
  createBackup,
  deleteBackup,
  findBackup,
  type KeyBackup,
  type KeyCount,
  type KeySelection,
  keysOfBackup,
  latestBackup,
  lockBackups,
  putKeys,
  removeKeys,
  updateBackup,
} from "../storage/key-backup.js";
import type { Queryable, Reads } from "../storage/statement.js";

export interface KeyBackupContext {
  readonly database: Database;
}

/** A key as clients send it. */
export interface KeyBackupData {
  readonly first_message_index: number;
  readonly forwarded_count: number;
  readonly is_verified: boolean;
  readonly session_data: JsonObject;
}

/** Keys by room and session, as clients send them. */
export type RoomKeys = Readonly<Record<string, { readonly sessions: Readonly<Record<string, KeyBackupData>> }>>;

const MAX_ALGORITHM_BYTES = 255;
const MAX_AUTH_DATA_BYTES = 65_536;
const MAX_SESSION_ID_BYTES = 255;
const MAX_SESSION_DATA_BYTES = 65_536;
/** What one version may hold: it has to be given back in one answer. */
const MAX_KEYS = 200_000;

const unknownVersion = (): MatrixError => notFound("There is no such version of a key backup.");

/** Begins a new version, which is the current one from now on: its name. Throws M_INVALID_PARAM, M_TOO_LARGE. */
export async function createVersion({ database }: KeyBackupContext, userNid: number, algorithm: string, authData: JsonObject): Promise<string> {
  if (Buffer.byteLength(algorithm) > MAX_ALGORITHM_BYTES) throw invalidParam("The name of the algorithm is too long.");
  const text = authDataText(authData);
  return await database.transaction(async (tx) => {
    await lockAccount(tx, userNid);
    return String(await createBackup(tx, userNid, algorithm, text));
  });
}

/** The current version. Throws M_NOT_FOUND if there is none. */
export async function currentVersion({ database }: KeyBackupContext, userNid: number): Promise<KeyBackup> {
  const backup = await latestBackup(database, userNid);
  if (backup === undefined) throw notFound("There is no key backup.");
  return backup;
}

/** One version. Throws M_NOT_FOUND. */
export async function readVersion({ database }: KeyBackupContext, userNid: number, version: string): Promise<KeyBackup> {
  return await existing(database, userNid, version);
}

/** Sets the `auth_data` of a version. Throws M_NOT_FOUND, M_INVALID_PARAM for another algorithm, M_TOO_LARGE. */
export async function updateVersion(
  { database }: KeyBackupContext,
  userNid: number,
  version: string,
  algorithm: string,
  authData: JsonObject,
): Promise<void> {
  const text = authDataText(authData);
  await database.transaction(async (tx) => {
    await lockBackups(tx, userNid);
    const backup = await existing(readsOf(tx), userNid, version);
    if (backup.algorithm !== algorithm) throw invalidParam("The algorithm of a key backup cannot be changed.");
    await updateBackup(tx, userNid, backup.version, text);
  });
}

/** Deletes a version with its keys; one that was deleted before stays so. Throws M_NOT_FOUND. */
export async function deleteVersion({ database }: KeyBackupContext, userNid: number, version: string): Promise<void> {
  await database.transaction(async (tx) => {
    await lockBackups(tx, userNid);
    const number = numberOf(version);
    const backup = number === undefined ? undefined : await findBackup(readsOf(tx), userNid, number);
    if (backup === undefined) throw unknownVersion();
    if (!backup.deleted) await deleteBackup(tx, userNid, backup.version);
  });
}

/**
 * Puts keys into the current version; of two for the same session the better one is kept. Throws M_NOT_FOUND,
 * 403 M_WRONG_ROOM_KEYS_VERSION for a version that is not the current one, M_BAD_JSON, M_INVALID_PARAM, M_TOO_LARGE.
 */
export async function addKeys({ database }: KeyBackupContext, userNid: number, version: string, rooms: RoomKeys): Promise<KeyCount> {
  const keys = Object.entries(rooms).flatMap(([room, { sessions }]) => {
    const room_id = parseRoomId(room);
    if (room_id === undefined) throw badJson(`${JSON.stringify(room)} is no room id.`);
    return Object.entries(sessions).map(([session, key]) => storedKey(room_id, session, key));
  });
  return await database.transaction(async (tx) => {
    await lockBackups(tx, userNid);
    const reads = readsOf(tx);
    const current = await latestBackup(reads, userNid);
    if (current === undefined || String(current.version) !== version) {
      const known = numberOf(version);
      if (current === undefined || known === undefined || (await findBackup(reads, userNid, known)) === undefined) throw unknownVersion();
      throw new MatrixError(403, "M_WRONG_ROOM_KEYS_VERSION", "This is not the current version of the key backup.", {
        extra: { current_version: String(current.version) },
      });
    }
    const count = await putKeys(tx, userNid, current.version, keys);
    if (count.keys > MAX_KEYS) throw tooLarge(`A key backup may have at most ${MAX_KEYS} keys.`);
    return count;
  });
}

/** The keys of a version, or those of a room or session of it. Throws M_NOT_FOUND for an unknown version. */
export async function readKeys({ database }: KeyBackupContext, userNid: number, version: string, selection: KeySelection): Promise<BackedUpKey[]> {
  const backup = await existing(database, userNid, version);
  return await keysOfBackup(database, userNid, backup.version, selection);
}

/** Removes the keys of a version, or those of a room or session of it. Throws M_NOT_FOUND for an unknown version. */
export async function deleteKeys({ database }: KeyBackupContext, userNid: number, version: string, selection: KeySelection): Promise<KeyCount> {
  return await database.transaction(async (tx) => {
    await lockBackups(tx, userNid);
    const backup = await existing(readsOf(tx), userNid, version);
    return await removeKeys(tx, userNid, backup.version, selection);
  });
}

const readsOf = (tx: Queryable): Reads => ({ read: (statement, values) => tx.query(statement, values) });

/** A version that exists and is not deleted. Throws M_NOT_FOUND. */
async function existing(reads: Reads, userNid: number, version: string): Promise<KeyBackup> {
  const number = numberOf(version);
  const backup = number === undefined ? undefined : await findBackup(reads, userNid, number);
  if (backup === undefined || backup.deleted) throw unknownVersion();
  return backup;
}

function numberOf(version: string): number | undefined {
  return /^[1-9]\d{0,14}$/.test(version) ? Number(version) : undefined;
}

function authDataText(authData: JsonObject): string {
  const text = JSON.stringify(authData);
  if (Buffer.byteLength(text) > MAX_AUTH_DATA_BYTES) throw tooLarge(`auth_data may have at most ${MAX_AUTH_DATA_BYTES} bytes.`);
  return text;
}

function storedKey(room_id: RoomId, session_id: string, { session_data, ...key }: KeyBackupData): BackedUpKey {
  if (session_id === "" || Buffer.byteLength(session_id) > MAX_SESSION_ID_BYTES) throw invalidParam("This is no id of a session.");
  const text = JSON.stringify(session_data);
  if (Buffer.byteLength(text) > MAX_SESSION_DATA_BYTES) throw tooLarge(`A key may have at most ${MAX_SESSION_DATA_BYTES} bytes.`);
  const { first_message_index, forwarded_count, is_verified } = key;
  return { room_id, session_id, first_message_index, forwarded_count, is_verified, session_data: text };
}
