// Short-lived tokens that say who somebody is: their digests, never the tokens.
import type { UserId } from "../protocol/identifiers.js";
import type { Database, Tx } from "./database.js";
import type { Statement } from "./statement.js";
import { fromText } from "./text.js";

/** What a token is for. The numbers are stored: they are never given another meaning. */
const KINDS = { login: 1, openid: 2 } as const;
export type UserTokenKind = keyof typeof KINDS;

const CLEAN: Statement = {
  name: "user_tokens_clean", // user_tokens_expires
  text: "DELETE FROM user_tokens WHERE expires_ts <= $1",
};
const PUT: Statement = {
  name: "user_tokens_put",
  text: "INSERT INTO user_tokens (digest, kind, user_nid, expires_ts, external_session) VALUES ($1, $2, $3, $4, $5)",
};
const FIND: Statement<{ user_id: string }> = {
  name: "user_tokens_find", // user_tokens_pkey
  text: `SELECT user_id FROM user_tokens JOIN users ON users.nid = user_nid JOIN accounts USING (user_nid)
    WHERE digest = $1 AND kind = $2 AND expires_ts > $3 AND deactivated_ts IS NULL`,
};
const TAKE: Statement<{ user_id: string; external_session: number | null }> = {
  name: "user_tokens_take", // user_tokens_pkey
  text: `DELETE FROM user_tokens USING users
    WHERE users.nid = user_nid AND digest = $1 AND kind = $2 AND expires_ts > $3 RETURNING user_id, external_session`,
};

/** Stores a token of a user. Expired ones are dropped on the way. */
export async function putUserToken(
  tx: Tx,
  token: { kind: UserTokenKind; digest: Buffer; user_nid: number; expires_ts: number; external?: number | undefined },
  now: number,
): Promise<void> {
  await Promise.all([tx.query(CLEAN, [now]), tx.query(PUT, [token.digest, KINDS[token.kind], token.user_nid, token.expires_ts, token.external ?? null])]);
}

/** Whose token it is; undefined if there is none of this kind, or it has expired, or the account has ended. */
export async function findUserToken(database: Database, kind: UserTokenKind, digest: Buffer, now: number): Promise<UserId | undefined> {
  const [row] = await database.read(FIND, [digest, KINDS[kind], now]);
  return row && (fromText(row.user_id) as UserId);
}

/** As findUserToken, and the token is gone; also through which session at another provider it came about. */
export async function takeUserToken(
  tx: Tx,
  kind: UserTokenKind,
  digest: Buffer,
  now: number,
): Promise<{ readonly user_id: UserId; readonly external: number | undefined } | undefined> {
  const [row] = await tx.query(TAKE, [digest, KINDS[kind], now]);
  return row && { user_id: fromText(row.user_id) as UserId, external: row.external_session ?? undefined };
}
