// Browsers in which a user is logged in to the pages of this server: the digests of their cookies.
import type { UserId } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";
import { fromText } from "./text.js";

const PUT: Statement = {
  name: "browser_sessions_put",
  text: "INSERT INTO browser_sessions (digest, user_nid, created_ts, expires_ts) VALUES ($1, $2, $3, $4)",
};
const FIND: Statement<{ user_nid: number; user_id: string }> = {
  name: "browser_sessions_find", // browser_sessions_pkey
  text: `SELECT user_nid, user_id FROM browser_sessions JOIN users ON users.nid = user_nid JOIN accounts USING (user_nid)
    WHERE digest = $1 AND expires_ts > $2 AND deactivated_ts IS NULL AND NOT locked
      AND (valid_until_ts IS NULL OR valid_until_ts > $2)`,
};
const DELETE: Statement = { name: "browser_sessions_delete", text: "DELETE FROM browser_sessions WHERE digest = $1" };

/** Notes that a user is logged in. */
export async function putBrowserSession(database: Database, digest: Buffer, userNid: number, now: number, expiresTs: number): Promise<void> {
  await database.write(PUT, [digest, userNid, now, expiresTs]);
}

/** Who is logged in with a cookie; nobody whose account cannot be used. */
export async function findBrowserSession(database: Database, digest: Buffer, now: number): Promise<{ user_nid: number; user_id: UserId } | undefined> {
  const [row] = await database.read(FIND, [digest, now]);
  return row && { user_nid: row.user_nid, user_id: fromText(row.user_id) as UserId };
}

/** Logs a browser out. */
export async function deleteBrowserSession(database: Database, digest: Buffer): Promise<void> {
  await database.write(DELETE, [digest]);
}
