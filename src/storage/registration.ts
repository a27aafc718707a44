// Registration tokens, and the nonces of registration by shared secret.
import type { Database, Tx } from "./database.js";
import type { Statement } from "./statement.js";

const VALID = "(uses_allowed IS NULL OR used < uses_allowed) AND (expires_ts IS NULL OR expires_ts > $2)";

const IS_VALID: Statement = {
  name: "registration_tokens_valid",
  text: `SELECT FROM registration_tokens WHERE token = $1 AND ${VALID}`,
};
const USE: Statement = {
  name: "registration_tokens_use",
  text: `UPDATE registration_tokens SET used = used + 1 WHERE token = $1 AND ${VALID} RETURNING token`,
};
const CREATE: Statement = {
  name: "registration_tokens_create",
  text: `INSERT INTO registration_tokens (token, uses_allowed, expires_ts, created_ts) VALUES ($1, $2, $3, $4)
    ON CONFLICT (token) DO NOTHING RETURNING token`,
};
const PUT_NONCE: Statement = {
  name: "registration_nonces_put",
  text: "INSERT INTO registration_nonces (nonce, expires_ts) VALUES ($1, $2)",
};
const CLEAN_NONCES: Statement = {
  name: "registration_nonces_clean",
  text: "DELETE FROM registration_nonces WHERE expires_ts <= $1",
};
const TAKE_NONCE: Statement = {
  name: "registration_nonces_take",
  text: "DELETE FROM registration_nonces WHERE nonce = $1 AND expires_ts > $2 RETURNING nonce",
};

/** Whether a registration token exists, has uses left and has not expired. */
export async function isRegistrationTokenValid(database: Database, token: string, now: number): Promise<boolean> {
  return (await database.read(IS_VALID, [token, now])).length > 0;
}

/** Uses a registration token once; false if it cannot be used. */
export async function useRegistrationToken(tx: Tx, token: string, now: number): Promise<boolean> {
  return (await tx.query(USE, [token, now])).length > 0;
}

/** Makes a registration token; false if it exists. */
export async function createRegistrationToken(
  tx: Tx,
  token: { token: string; uses_allowed: number | undefined; expires_ts: number | undefined; created_ts: number },
): Promise<boolean> {
  const values = [token.token, token.uses_allowed ?? null, token.expires_ts ?? null, token.created_ts];
  return (await tx.query(CREATE, values)).length > 0;
}

/** Stores a nonce, dropping those that have expired. */
export async function putRegistrationNonce(tx: Tx, nonce: string, now: number, expiresTs: number): Promise<void> {
  await Promise.all([tx.query(CLEAN_NONCES, [now]), tx.query(PUT_NONCE, [nonce, expiresTs])]);
}

/** Takes a nonce away; false if it was never given, was used, or has expired. */
export async function takeRegistrationNonce(tx: Tx, nonce: string, now: number): Promise<boolean> {
  return (await tx.query(TAKE_NONCE, [nonce, now])).length > 0;
}
