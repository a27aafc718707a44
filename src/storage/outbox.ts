// Messages that leave this deployment: kept until they are delivered or of no use any more.
import type { Database, Tx } from "./database.js";
import type { Statement } from "./statement.js";

export interface OutboxRow {
  readonly nid: number;
  readonly sealed: Buffer;
  /** How often it was tried before. */
  readonly attempts: number;
}

const PUT: Statement = {
  name: "outbox_put",
  text: "INSERT INTO outbox (sealed, due_ts, expires_ts) VALUES ($1, $2, $3)",
};
const CLAIM: Statement<OutboxRow> = {
  name: "outbox_claim", // outbox_due
  text: `UPDATE outbox SET due_ts = $2, attempts = attempts + 1
    WHERE nid = ANY(ARRAY(SELECT nid FROM outbox WHERE due_ts <= $1 ORDER BY due_ts LIMIT $3 FOR UPDATE SKIP LOCKED))
    RETURNING nid, sealed, attempts - 1 AS attempts`,
};
const POSTPONE: Statement = { name: "outbox_postpone", text: "UPDATE outbox SET due_ts = $2 WHERE nid = $1" };
const DELETE: Statement = { name: "outbox_delete", text: "DELETE FROM outbox WHERE nid = $1" };
const EXPIRE: Statement = {
  name: "outbox_expire",
  text: "DELETE FROM outbox WHERE due_ts <= $1 AND expires_ts <= $1 RETURNING nid",
};

/** Stores a message to be delivered now. */
export async function putInOutbox(tx: Tx, sealed: Buffer, now: number, expiresTs: number): Promise<void> {
  await tx.query(PUT, [sealed, now, expiresTs]);
}

/** Messages that are due, at most `most`. Nobody else gets them before `until`. */
export async function claimFromOutbox(database: Database, now: number, until: number, most: number): Promise<OutboxRow[]> {
  return await database.write(CLAIM, [now, until, most]);
}

export async function postponeInOutbox(database: Database, nid: number, until: number): Promise<void> {
  await database.write(POSTPONE, [nid, until]);
}

export async function deleteFromOutbox(database: Database, nid: number): Promise<void> {
  await database.write(DELETE, [nid]);
}

/** Deletes what is of no use any more; gives how many those were. */
export async function expireOutbox(database: Database, now: number): Promise<number> {
  return (await database.write(EXPIRE, [now])).length;
}
