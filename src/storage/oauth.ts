// What the OAuth 2.0 API keeps: clients, codes, spent refresh tokens, the key for identity tokens.
import type { DeviceId, UserId } from "../protocol/identifiers.js";
import type { Database, Tx } from "./database.js";
import { seal, unseal, type SecretKey } from "./sealing.js";
import type { Statement } from "./statement.js";
import { fromText } from "./text.js";

/** Deletions of one statement. */
const AT_ONCE = 1000;

const PUT_CLIENT: Statement<{ client_id: string }> = {
  name: "oauth_clients_put", // oauth_clients_digest_key
  text: `INSERT INTO oauth_clients (client_id, digest, metadata, used_ts) VALUES ($1, $2, $3, $4)
    ON CONFLICT (digest) DO UPDATE SET used_ts = greatest(oauth_clients.used_ts, excluded.used_ts) RETURNING client_id`,
};
const FIND_CLIENT: Statement<{ metadata: string }> = {
  name: "oauth_clients_find", // oauth_clients_pkey
  text: "SELECT metadata FROM oauth_clients WHERE client_id = $1",
};
const FORGET_CLIENTS: Statement = {
  name: "oauth_clients_forget",
  // oauth_clients_used, access_tokens_oauth_client. What is used again meanwhile is locked, or seen as used.
  text: `DELETE FROM oauth_clients WHERE client_id IN (
      SELECT client_id FROM oauth_clients WHERE used_ts < $1
        AND NOT EXISTS (SELECT FROM access_tokens WHERE oauth_client_id = client_id)
      ORDER BY used_ts LIMIT ${AT_ONCE} FOR UPDATE SKIP LOCKED)`,
};
const USE_CLIENT: Statement = {
  name: "oauth_clients_use",
  text: "UPDATE oauth_clients SET used_ts = $2 WHERE client_id = $1 RETURNING client_id",
};
const PUT_CODE: Statement = {
  name: "oauth_codes_put",
  text: `INSERT INTO oauth_codes (digest, client_id, user_nid, device_id, scope, redirect_uri, code_challenge, nonce, expires_ts, external_session)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
};
const LOCK_CODE: Statement<Omit<StoredCode, "nonce" | "external"> & { nonce: string | null; external: number | null }> = {
  name: "oauth_codes_lock", // oauth_codes_pkey
  text: `SELECT client_id, user_nid, user_id, device_id, scope, redirect_uri, code_challenge, nonce, used, external_session AS external
    FROM oauth_codes JOIN users ON users.nid = user_nid WHERE digest = $1 AND expires_ts > $2 FOR UPDATE OF oauth_codes`,
};
const USE_CODE: Statement = { name: "oauth_codes_use", text: "UPDATE oauth_codes SET used = true WHERE digest = $1" };
const PUT_DEVICE_CODE: Statement = {
  name: "oauth_device_codes_put",
  text: `INSERT INTO oauth_device_codes (digest, user_code, client_id, device_id, scope, interval_seconds, expires_ts)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_code) DO NOTHING RETURNING user_code`,
};
const FIND_DEVICE_CODE: Statement<{ client_id: string; device_id: DeviceId; scope: string }> = {
  name: "oauth_device_codes_find", // oauth_device_codes_user_code_key
  text: "SELECT client_id, device_id, scope FROM oauth_device_codes WHERE user_code = $1 AND allowed IS NULL AND expires_ts > $2",
};
const DECIDE_DEVICE_CODE: Statement = {
  name: "oauth_device_codes_decide", // oauth_device_codes_user_code_key
  text: `UPDATE oauth_device_codes SET allowed = $2, user_nid = $3, external_session = $4
    WHERE user_code = $1 AND allowed IS NULL AND expires_ts > $5 RETURNING user_code`,
};
const LOCK_DEVICE_CODE: Statement<StoredDeviceCode> = {
  name: "oauth_device_codes_lock", // oauth_device_codes_pkey
  text: `SELECT client_id, device_id, scope, interval_seconds, asked_ts, allowed, user_nid, user_id, external_session AS external, expires_ts
    FROM oauth_device_codes LEFT JOIN users ON users.nid = user_nid WHERE digest = $1 FOR UPDATE OF oauth_device_codes`,
};
const ASKED_DEVICE_CODE: Statement = {
  name: "oauth_device_codes_asked",
  text: "UPDATE oauth_device_codes SET asked_ts = $2, interval_seconds = $3 WHERE digest = $1",
};
const TAKE_DEVICE_CODE: Statement = { name: "oauth_device_codes_take", text: "DELETE FROM oauth_device_codes WHERE digest = $1" };
const OWNER: Statement<{ user_nid: number; device_id: DeviceId }> = {
  name: "oauth_token_owner",
  // access_tokens_access_digest_key, access_tokens_refresh_digest_key
  text: "SELECT user_nid, device_id FROM access_tokens WHERE access_digest = $1 OR refresh_digest = $1",
};
const SPENT: Statement<{ user_nid: number; device_id: DeviceId }> = {
  name: "oauth_spent_tokens_find", // oauth_spent_tokens_pkey
  text: "SELECT user_nid, device_id FROM oauth_spent_tokens WHERE refresh_digest = $1",
};
const KEY: Statement<{ key_id: string; sealed: Buffer }> = { name: "oauth_keys_find", text: "SELECT key_id, sealed FROM oauth_keys" };
const PUT_KEY: Statement = {
  name: "oauth_keys_put",
  text: "INSERT INTO oauth_keys (key_id, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING",
};

/** So long a device whose code has expired can learn that, and not only that nobody knows its code (RFC 8628, 3.5). */
const EXPIRED_MS = 3_600_000;

const expired = (table: string, keptMs = 0): Statement => ({
  name: `${table}_expire`, // the table's index on expires_ts
  text: `DELETE FROM ${table} WHERE ctid IN (SELECT ctid FROM ${table} WHERE expires_ts <= $1::bigint - ${keptMs} LIMIT ${AT_ONCE})`,
});
const EXPIRE: readonly Statement[] = [
  expired("oauth_codes"),
  expired("oauth_device_codes", EXPIRED_MS),
  expired("oauth_spent_tokens"),
  expired("browser_sessions"),
];

/** Stores a client's metadata (JSON text) unless the same is stored; gives its client id. */
export async function putClient(database: Database, clientId: string, digest: Buffer, metadata: string, now: number): Promise<string> {
  const [row] = await database.write(PUT_CLIENT, [clientId, digest, metadata, now]);
  return row?.client_id ?? clientId;
}

/** A client's metadata as JSON text. */
export async function findClient(database: Database, clientId: string): Promise<string | undefined> {
  return (await database.read(FIND_CLIENT, [clientId]))[0]?.metadata;
}

/** Notes that a client was let in; false if it is forgotten. */
export async function useClient(tx: Tx, clientId: string, now: number): Promise<boolean> {
  return (await tx.query(USE_CLIENT, [clientId, now])).length > 0;
}

export interface NewCode {
  readonly client_id: string;
  readonly user_nid: number;
  readonly device_id: DeviceId;
  readonly scope: string;
  readonly redirect_uri: string;
  readonly code_challenge: string;
  readonly nonce: string | undefined;
  /** The session at another provider through which the user was logged in. */
  readonly external: number | undefined;
}

export interface StoredCode extends NewCode {
  readonly user_id: UserId;
  readonly used: boolean;
}

/** Stores an authorisation code. */
export async function putCode(database: Database, digest: Buffer, code: NewCode, expiresTs: number): Promise<void> {
  const { client_id, user_nid, device_id, scope, redirect_uri, code_challenge, nonce, external } = code;
  await database.write(PUT_CODE, [digest, client_id, user_nid, device_id, scope, redirect_uri, code_challenge, nonce ?? null, expiresTs, external ?? null]);
}

/** An authorisation code that has not expired, used or not, locked. */
export async function lockCode(tx: Tx, digest: Buffer, now: number): Promise<StoredCode | undefined> {
  const [row] = await tx.query(LOCK_CODE, [digest, now]);
  return row && { ...row, user_id: fromText(row.user_id) as UserId, nonce: row.nonce ?? undefined, external: row.external ?? undefined };
}

/** Marks a code as used. */
export async function useCode(tx: Tx, digest: Buffer): Promise<void> {
  await tx.query(USE_CODE, [digest]);
}

export interface NewDeviceCode {
  readonly user_code: string;
  readonly client_id: string;
  readonly device_id: DeviceId;
  readonly scope: string;
  readonly interval_seconds: number;
  readonly expires_ts: number;
}

export interface StoredDeviceCode extends Omit<NewDeviceCode, "user_code"> {
  readonly asked_ts: number;
  readonly allowed: boolean | null;
  readonly user_nid: number | null;
  readonly user_id: UserId | null;
  readonly external: number | null;
}

/** Stores a device authorisation; false if its user code is taken. */
export async function putDeviceCode(database: Database, digest: Buffer, code: NewDeviceCode): Promise<boolean> {
  const { user_code, client_id, device_id, scope, interval_seconds, expires_ts } = code;
  return (await database.write(PUT_DEVICE_CODE, [digest, user_code, client_id, device_id, scope, interval_seconds, expires_ts])).length > 0;
}

/** What a user code stands for, as long as nobody has decided about it. */
export async function findDeviceCode(database: Database, userCode: string, now: number): Promise<{ client_id: string; device_id: DeviceId; scope: string } | undefined> {
  return (await database.read(FIND_DEVICE_CODE, [userCode, now]))[0];
}

/** Notes what a user has decided; false if there is nothing to decide any more. */
export async function decideDeviceCode(database: Database, userCode: string, allowed: boolean, user: { readonly user_nid: number; readonly external: number | undefined }, now: number): Promise<boolean> {
  return (await database.write(DECIDE_DEVICE_CODE, [userCode, allowed, user.user_nid, user.external ?? null, now])).length > 0;
}

/** The device authorisation of a device code, expired or not, locked. */
export async function lockDeviceCode(tx: Tx, digest: Buffer): Promise<StoredDeviceCode | undefined> {
  const [row] = await tx.query(LOCK_DEVICE_CODE, [digest]);
  return row && { ...row, user_id: row.user_id === null ? null : (fromText(row.user_id) as UserId) };
}

/** Notes when a client last asked, and how long it has to wait now. */
export async function notePoll(tx: Tx, digest: Buffer, now: number, intervalSeconds: number): Promise<void> {
  await tx.query(ASKED_DEVICE_CODE, [digest, now, intervalSeconds]);
}

/** Takes a device authorisation away: it was answered. */
export async function takeDeviceCode(tx: Tx, digest: Buffer): Promise<void> {
  await tx.query(TAKE_DEVICE_CODE, [digest]);
}

interface Owner {
  readonly user_nid: number;
  readonly device_id: DeviceId;
}

/** Whose access or refresh token this is. */
export async function tokenOwner(database: Database, digest: Buffer): Promise<Owner | undefined> {
  return (await database.read(OWNER, [digest]))[0];
}

/** Whose session a refresh token was of that was used up long since. */
export async function spentTokenOwner(database: Database, digest: Buffer): Promise<Owner | undefined> {
  return (await database.read(SPENT, [digest]))[0];
}

/** The key that signs identity tokens (PKCS #8), or undefined: there is none, or it was sealed under another secret key. */
export async function findOauthKey(database: Database, secret: SecretKey): Promise<{ key_id: string; pkcs8: Uint8Array } | undefined> {
  const [row] = await database.read(KEY, []);
  const pkcs8 = row && unseal(secret, row.sealed);
  return pkcs8 && row && { key_id: row.key_id, pkcs8 };
}

/** Stores the key unless there is one. */
export async function putOauthKey(database: Database, secret: SecretKey, keyId: string, pkcs8: Uint8Array): Promise<void> {
  await database.write(PUT_KEY, [keyId, seal(secret, pkcs8)]);
}

/** Forgets what has expired, and clients without session that were last used before a time. */
export async function expireOauth(database: Database, now: number, clientsBefore: number): Promise<void> {
  for (const statement of EXPIRE) await database.write(statement, [now]);
  await database.write(FORGET_CLIENTS, [clientsBefore]);
}
