// Browsers in which a user is logged in to the pages of this server: the digests of their cookies.
import type { UserId } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import type { Queryable, Statement } from "./statement.js";
import { fromText } from "./text.js";

const PUT: Statement = {
  name: "browser_sessions_put",
  text: "INSERT INTO browser_sessions (digest, user_nid, created_ts, expires_ts, external_session) VALUES ($1, $2, $3, $4, $5)",
};
const FIND: Statement<{ user_nid: number; user_id: string; external_session: number | null }> = {
  name: "browser_sessions_find", // browser_sessions_pkey
  text: `SELECT user_nid, user_id, external_session FROM browser_sessions JOIN users ON users.nid = user_nid JOIN accounts USING (user_nid)
    WHERE digest = $1 AND expires_ts > $2 AND deactivated_ts IS NULL AND NOT locked
      AND (valid_until_ts IS NULL OR valid_until_ts > $2)`,
};
const DELETE: Statement = { name: "browser_sessions_delete", text: "DELETE FROM browser_sessions WHERE digest = $1" };

/** Notes that a user is logged in, through a session at another provider if that is given. */
export async function putBrowserSession(database: Database, digest: Buffer, userNid: number, now: number, expiresTs: number, external: number | undefined): Promise<void> {
  await database.write(PUT, [digest, userNid, now, expiresTs, external ?? null]);
}

/** Who is logged in with a cookie; nobody whose account cannot be used. */
export async function findBrowserSession(database: Database, digest: Buffer, now: number): Promise<{ user_nid: number; user_id: UserId; external: number | undefined } | undefined> {
  const [row] = await database.read(FIND, [digest, now]);
  return row && { user_nid: row.user_nid, user_id: fromText(row.user_id) as UserId, external: row.external_session ?? undefined };
}

/** Logs a browser out. */
export async function deleteBrowserSession(database: Database, digest: Buffer): Promise<void> {
  await database.write(DELETE, [digest]);
}

const END_OF_USER: Statement<{ count: number }> = {
  name: "browser_sessions_end_of_user", // browser_sessions_user, oauth_codes_user, oauth_device_codes_user
  text: `WITH codes AS (DELETE FROM oauth_codes WHERE user_nid = $1), devices AS (DELETE FROM oauth_device_codes WHERE user_nid = $1),
      gone AS (DELETE FROM browser_sessions WHERE user_nid = $1 RETURNING 1)
    SELECT count(*) AS count FROM gone`,
};

/** Logs a user out of all browsers, and voids what is under way to log a client in: in how many they were. */
export async function endBrowserSessions(tx: Queryable, userNid: number): Promise<number> {
  return (await tx.query(END_OF_USER, [userNid]))[0]?.count ?? 0;
}
