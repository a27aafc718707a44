// Access tokens and the refresh tokens given with them: their digests, never the tokens.
import type { DeviceId, UserId } from "../protocol/identifiers.js";
import type { Database, Tx } from "./database.js";
import type { Statement } from "./statement.js";
import { fromText } from "./text.js";

export interface StoredToken {
  readonly nid: number;
  readonly user_nid: number;
  readonly user_id: UserId;
  readonly device_id: DeviceId;
  readonly is_admin: boolean;
  readonly is_guest: boolean;
  readonly locked: boolean;
  readonly suspended: boolean;
  readonly shadow_banned: boolean;
  readonly valid_until_ts: number | undefined;
  readonly messages_per_second: number | undefined;
  readonly burst_count: number | undefined;
  readonly expires_ts: number | undefined;
  /** The pair that goes as soon as this one is used. */
  readonly replaces: number | undefined;
  /** It was given through the OAuth 2.0 API. */
  readonly oauth: boolean;
}

/** The client of the OAuth 2.0 API that has a token, and the scope that it was granted. */
export interface OauthGrant {
  readonly client_id: string;
  readonly scope: string;
}

export interface StoredRefreshToken {
  readonly nid: number;
  readonly user_nid: number;
  readonly device_id: DeviceId;
  readonly locked: boolean;
  readonly expires_ts: number;
  readonly replaces: number | undefined;
  readonly oauth: OauthGrant | undefined;
}

export interface NewToken {
  readonly access_digest: Buffer;
  readonly refresh_digest: Buffer | undefined;
  readonly user_nid: number;
  readonly device_id: DeviceId;
  readonly expires_ts: number | undefined;
  readonly refresh_expires_ts: number | undefined;
  readonly replaces?: number;
  readonly oauth?: OauthGrant | undefined;
}

const FIND: Statement = {
  name: "access_tokens_find",
  // access_tokens_access_digest_key, accounts_pkey, users_pkey
  text: `SELECT access_tokens.nid, access_tokens.user_nid, users.user_id, device_id, is_admin, is_guest, locked, suspended, shadow_banned, valid_until_ts,
      messages_per_second, burst_count, expires_ts, replaces, oauth_client_id IS NOT NULL AS oauth
    FROM access_tokens JOIN accounts USING (user_nid) JOIN users ON users.nid = access_tokens.user_nid
    WHERE access_digest = $1 AND deactivated_ts IS NULL`,
};
const FIND_REFRESH: Statement = {
  name: "access_tokens_find_refresh",
  // access_tokens_refresh_digest_key. The row is locked: of two refreshes at once the second sees what the first did.
  text: `SELECT access_tokens.nid, access_tokens.user_nid, device_id, locked, refresh_expires_ts, replaces, oauth_client_id, oauth_scope
    FROM access_tokens JOIN accounts USING (user_nid)
    WHERE refresh_digest = $1 AND deactivated_ts IS NULL FOR UPDATE OF access_tokens`,
};
const INSERT: Statement = {
  name: "access_tokens_insert",
  text: `INSERT INTO access_tokens
      (access_digest, refresh_digest, user_nid, device_id, expires_ts, refresh_expires_ts, replaces, oauth_client_id, oauth_scope)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
};
const DELETE_OF_DEVICE: Statement = {
  name: "access_tokens_delete_of_device",
  text: "DELETE FROM access_tokens WHERE user_nid = $1 AND device_id = $2 RETURNING nid",
};
const DELETE_UNUSED: Statement = {
  name: "access_tokens_delete_unused",
  // access_tokens_replaces
  text: "DELETE FROM access_tokens WHERE replaces = $1",
};
const FIRST_USE: Statement = {
  name: "access_tokens_first_use",
  // Of OAuth clients the refresh token is remembered: whoever shows it again has no right to it.
  text: `WITH used AS (UPDATE access_tokens SET replaces = NULL WHERE nid = $1 AND replaces = $2 RETURNING nid),
      gone AS (DELETE FROM access_tokens WHERE nid = $2 AND EXISTS (SELECT FROM used)
        RETURNING refresh_digest, user_nid, device_id, refresh_expires_ts, oauth_client_id)
    INSERT INTO oauth_spent_tokens (refresh_digest, user_nid, device_id, expires_ts)
      SELECT refresh_digest, user_nid, device_id, refresh_expires_ts FROM gone WHERE oauth_client_id IS NOT NULL
      ON CONFLICT DO NOTHING`,
};

const optionalNumber = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);

/** The token of this digest, expired or not; undefined if there is none or its account is deactivated. */
export async function findAccessToken(database: Database, digest: Buffer): Promise<StoredToken | undefined> {
  const [row] = await database.read(FIND, [digest]);
  if (row === undefined) return undefined;
  return {
    nid: Number(row["nid"]),
    user_nid: Number(row["user_nid"]),
    user_id: fromText(String(row["user_id"])) as UserId,
    device_id: row["device_id"] as DeviceId,
    is_admin: row["is_admin"] === true,
    is_guest: row["is_guest"] === true,
    locked: row["locked"] === true,
    suspended: row["suspended"] === true,
    shadow_banned: row["shadow_banned"] === true,
    valid_until_ts: optionalNumber(row["valid_until_ts"]),
    messages_per_second: optionalNumber(row["messages_per_second"]),
    burst_count: optionalNumber(row["burst_count"]),
    expires_ts: optionalNumber(row["expires_ts"]),
    replaces: optionalNumber(row["replaces"]),
    oauth: row["oauth"] === true,
  };
}

/** The pair whose refresh token has this digest, locked; undefined if there is none. */
export async function lockRefreshToken(tx: Tx, digest: Buffer): Promise<StoredRefreshToken | undefined> {
  const [row] = await tx.query(FIND_REFRESH, [digest]);
  if (row === undefined) return undefined;
  return {
    nid: Number(row["nid"]),
    user_nid: Number(row["user_nid"]),
    device_id: row["device_id"] as DeviceId,
    locked: row["locked"] === true,
    expires_ts: Number(row["refresh_expires_ts"]),
    replaces: optionalNumber(row["replaces"]),
    oauth: typeof row["oauth_client_id"] === "string" ? { client_id: row["oauth_client_id"], scope: String(row["oauth_scope"]) } : undefined,
  };
}

export async function insertToken(tx: Tx, token: NewToken): Promise<void> {
  await tx.query(INSERT, [
    token.access_digest,
    token.refresh_digest ?? null,
    token.user_nid,
    token.device_id,
    token.expires_ts ?? null,
    token.refresh_expires_ts ?? null,
    token.replaces ?? null,
    token.oauth?.client_id ?? null,
    token.oauth?.scope ?? null,
  ]);
}

/** Deletes the tokens of a device; false if it had none. */
export async function deleteTokensOfDevice(tx: Tx, userNid: number, deviceId: DeviceId): Promise<boolean> {
  return (await tx.query(DELETE_OF_DEVICE, [userNid, deviceId])).length > 0;
}

/** Deletes what was given for a pair and never used. */
export async function deleteUnusedReplacements(tx: Tx, nid: number): Promise<void> {
  await tx.query(DELETE_UNUSED, [nid]);
}

/** Notes the first use of a pair: the one it replaces is void from here on. */
export async function noteFirstUse(tx: Tx, nid: number, replaces: number): Promise<void> {
  await tx.query(FIRST_USE, [nid, replaces]);
}
