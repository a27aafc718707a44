// Registration tokens as administrators look at them.
import type { Queryable, Reads, Statement } from "./statement.js";

export interface RegistrationToken {
  readonly token: string;
  readonly uses_allowed: number | null;
  readonly used: number;
  readonly expires_ts: number | null;
}

const COLUMNS = "token, uses_allowed, used, expires_ts";
const LIST: Statement<RegistrationToken> = {
  name: "admin_registration_tokens_list",
  text: `SELECT ${COLUMNS} FROM registration_tokens
    WHERE $1::boolean IS NULL
      OR $1 = ((uses_allowed IS NULL OR used < uses_allowed) AND (expires_ts IS NULL OR expires_ts > $2))
    ORDER BY created_ts, token`,
};
const FIND: Statement<RegistrationToken> = {
  name: "admin_registration_tokens_find",
  text: `SELECT ${COLUMNS} FROM registration_tokens WHERE token = $1`,
};
const UPDATE: Statement<RegistrationToken> = {
  name: "admin_registration_tokens_update",
  text: `UPDATE registration_tokens SET uses_allowed = CASE WHEN $2 THEN $3 ELSE uses_allowed END,
      expires_ts = CASE WHEN $4 THEN $5 ELSE expires_ts END
    WHERE token = $1 RETURNING ${COLUMNS}`,
};
const DELETE: Statement = {
  name: "admin_registration_tokens_delete",
  text: "DELETE FROM registration_tokens WHERE token = $1 RETURNING token",
};

/** The registration tokens, oldest first; with `valid` only those that can, or cannot, be used at this time. */
export async function listRegistrationTokens(reads: Reads, valid: boolean | undefined, now: number): Promise<RegistrationToken[]> {
  return await reads.read(LIST, [valid ?? null, now]);
}

export async function findRegistrationToken(reads: Reads, token: string): Promise<RegistrationToken | undefined> {
  return (await reads.read(FIND, [token]))[0];
}

/** Changes what is given, null being without limit; undefined if there is no such token. */
export async function updateRegistrationToken(
  tx: Queryable,
  token: string,
  { uses_allowed, expires_ts }: { readonly uses_allowed?: number | null | undefined; readonly expires_ts?: number | null | undefined },
): Promise<RegistrationToken | undefined> {
  const values = [token, uses_allowed !== undefined, uses_allowed ?? null, expires_ts !== undefined, expires_ts ?? null];
  return (await tx.query(UPDATE, values))[0];
}

/** Deletes a registration token; false if there is none. */
export async function deleteRegistrationToken(tx: Queryable, token: string): Promise<boolean> {
  return (await tx.query(DELETE, [token])).length > 0;
}
