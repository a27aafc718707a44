// Sessions in which somebody proves that an address is theirs.
import type { ServerName } from "../protocol/identifiers.js";
import type { ThirdPartyId } from "../protocol/third-party-ids.js";
import type { Database, Tx } from "./database.js";
import type { Statement } from "./statement.js";

/** What a proof can be used for: to register, to reset the password, to add the address to an account. */
export type ValidationPurpose = "register" | "password" | "account";

export interface ValidationSession extends ThirdPartyId {
  readonly sid: string;
  readonly server_name: ServerName;
  readonly purpose: ValidationPurpose;
  readonly secret_digest: Buffer;
  readonly next_link: string | null;
  readonly validated_ts: number | null;
}

const COLUMNS = "sid, server_name, purpose, medium, address, secret_digest, next_link, validated_ts";

const CLEAN: Statement = {
  name: "validation_sessions_clean", // validation_sessions_expires
  text: "DELETE FROM validation_sessions WHERE expires_ts <= $1",
};
const BEGIN: Statement<{ sid: string }> = {
  name: "validation_sessions_begin", // the unique key
  // Only a greater attempt of a session that is not validated yet changes anything.
  text: `INSERT INTO validation_sessions
      (sid, server_name, purpose, medium, address, secret_digest, send_attempt, next_link, expires_ts)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (server_name, purpose, medium, address, secret_digest) DO UPDATE
      SET send_attempt = excluded.send_attempt, next_link = excluded.next_link, expires_ts = excluded.expires_ts
      WHERE validation_sessions.send_attempt < excluded.send_attempt AND validation_sessions.validated_ts IS NULL
    RETURNING sid`,
};
const EXISTING: Statement<{ sid: string }> = {
  name: "validation_sessions_existing", // the unique key
  text: `SELECT sid FROM validation_sessions
    WHERE server_name = $1 AND purpose = $2 AND medium = $3 AND address = $4 AND secret_digest = $5`,
};
const FIND: Statement<ValidationSession> = {
  name: "validation_sessions_find", // validation_sessions_pkey
  text: `SELECT ${COLUMNS} FROM validation_sessions WHERE sid = $1 AND expires_ts > $2`,
};
const TRY: Statement<{ sid: string }> = {
  name: "validation_sessions_try", // validation_sessions_pkey
  text: "UPDATE validation_sessions SET tries = tries + 1 WHERE sid = $1 AND tries < $2 RETURNING sid",
};
const VALIDATE: Statement = {
  name: "validation_sessions_validate", // validation_sessions_pkey
  text: "UPDATE validation_sessions SET validated_ts = $2, expires_ts = $3 WHERE sid = $1 AND validated_ts IS NULL",
};
const TAKE: Statement<ValidationSession> = {
  name: "validation_sessions_take", // validation_sessions_pkey
  text: `DELETE FROM validation_sessions WHERE sid = $1 AND expires_ts > $2 AND validated_ts IS NOT NULL RETURNING ${COLUMNS}`,
};

/**
 * Begins a session, or goes on with that of the same address and client secret: its id, and whether a message is due, which
 * it is not for an attempt that was made before. Expired sessions are dropped on the way.
 */
export async function beginValidation(
  tx: Tx,
  session: Omit<ValidationSession, "validated_ts"> & { readonly send_attempt: number; readonly expires_ts: number },
  now: number,
): Promise<{ readonly sid: string; readonly due: boolean }> {
  const { sid, server_name, purpose, medium, address, secret_digest, send_attempt, next_link, expires_ts } = session;
  await tx.query(CLEAN, [now]);
  const key = [server_name, purpose, medium, address, secret_digest];
  const [begun] = await tx.query(BEGIN, [sid, ...key, send_attempt, next_link, expires_ts]);
  if (begun !== undefined) return { sid: begun.sid, due: true };
  const [existing] = await tx.query(EXISTING, key);
  return { sid: existing?.sid ?? sid, due: false };
}

/** A session that has not expired. */
export async function findValidation(database: Database, sid: string, now: number): Promise<ValidationSession | undefined> {
  const [session] = await database.read(FIND, [sid, now]);
  return session;
}

/** Counts an attempt to prove; false if there were `most` before. */
export async function tryValidation(tx: Tx, sid: string, most: number): Promise<boolean> {
  return (await tx.query(TRY, [sid, most])).length > 0;
}

/** The address is proved to be theirs, and that can be used until `expiresTs`. */
export async function noteValidated(tx: Tx, sid: string, at: number, expiresTs: number): Promise<void> {
  await tx.query(VALIDATE, [sid, at, expiresTs]);
}

/** Takes a proof away to use it; undefined if there is none, or it was used, or has expired. */
export async function takeValidation(tx: Tx, sid: string, now: number): Promise<ValidationSession | undefined> {
  const [session] = await tx.query(TAKE, [sid, now]);
  return session;
}
