// Sessions of user-interactive authentication, shared by all processes.
import type { Database, Tx } from "./database.js";
import type { Statement } from "./statement.js";

export interface AuthenticationSession {
  readonly id: string;
  /** Digest of what the session can be completed for. */
  readonly purpose: Buffer;
  /** The operation, and the user or, where there is none yet, the server of who asks. */
  readonly operation: string;
  readonly asker: string;
  /** Completed stages; the value is what the stage left to be done. */
  readonly completed: ReadonlyMap<string, string>;
  /** The first body, sealed, if it was kept. */
  readonly body: Buffer | undefined;
  /** Of a session that was completed and kept: what came of it. Empty while that is not known. */
  readonly outcome?: string | undefined;
}

const FIND: Statement = {
  name: "authentication_sessions_find",
  text: "SELECT purpose, operation, asker, completed, body, outcome FROM authentication_sessions WHERE id = $1 AND expires_ts > $2",
};
const PUT: Statement = {
  name: "authentication_sessions_put",
  // Two stages completed at once must both count.
  text: `INSERT INTO authentication_sessions (id, purpose, completed, expires_ts, operation, asker, body)
      VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (id) DO UPDATE
      SET completed = (authentication_sessions.completed::jsonb || excluded.completed::jsonb)::text`,
};
const DELETE: Statement = {
  name: "authentication_sessions_delete",
  text: "DELETE FROM authentication_sessions WHERE id = $1 RETURNING id",
};
const KEEP: Statement = {
  name: "authentication_sessions_keep",
  text: "UPDATE authentication_sessions SET outcome = '' WHERE id = $1 AND outcome IS NULL RETURNING id",
};
const SET_OUTCOME: Statement = {
  name: "authentication_sessions_set_outcome",
  text: "UPDATE authentication_sessions SET outcome = $2 WHERE id = $1 AND outcome = ''",
};
const CLEAN: Statement = {
  name: "authentication_sessions_clean",
  // authentication_sessions_expires
  text: "DELETE FROM authentication_sessions WHERE expires_ts <= $1",
};

/** A session that has not expired. */
export async function findAuthenticationSession(
  database: Database,
  id: string,
  now: number,
): Promise<AuthenticationSession | undefined> {
  const [row] = await database.read(FIND, [id, now]);
  if (row === undefined || !Buffer.isBuffer(row["purpose"])) return undefined;
  const completed = JSON.parse(String(row["completed"])) as Record<string, string>;
  const { body, outcome } = row;
  return {
    id,
    purpose: row["purpose"],
    operation: String(row["operation"]),
    asker: String(row["asker"]),
    completed: new Map(Object.entries(completed)),
    body: Buffer.isBuffer(body) ? body : undefined,
    outcome: typeof outcome === "string" ? outcome : undefined,
  };
}

/** Stores a session, or adds the completed stages of one that is stored. Expired ones are dropped on the way. */
export async function putAuthenticationSession(
  tx: Tx,
  session: AuthenticationSession,
  now: number,
  expiresTs: number,
): Promise<void> {
  const completed = JSON.stringify(Object.fromEntries(session.completed));
  await Promise.all([
    tx.query(CLEAN, [now]),
    tx.query(PUT, [session.id, session.purpose, completed, expiresTs, session.operation, session.asker, session.body ?? null]),
  ]);
}

/** Takes a session away; false if it was not there any more: it can be completed once. */
export async function takeAuthenticationSession(tx: Tx, id: string): Promise<boolean> {
  return (await tx.query(DELETE, [id])).length > 0;
}

/** Marks a session as completed, but keeps it until it expires; false if it was completed before. */
export async function keepAuthenticationSession(tx: Tx, id: string): Promise<boolean> {
  return (await tx.query(KEEP, [id])).length > 0;
}

/** Notes what came of a session that was completed and kept; does nothing for any other. */
export async function setAuthenticationOutcome(tx: Tx, id: string, outcome: string): Promise<void> {
  await tx.query(SET_OUTCOME, [id, outcome]);
}
