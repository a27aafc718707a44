// Where two clients of a user meet: a few bytes each, for a few minutes.
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";

const CLEAN: Statement = { name: "rendezvous_clean", text: "DELETE FROM rendezvous WHERE expires_ts <= $1" };
const OPEN: Statement = {
  name: "rendezvous_open",
  text: `INSERT INTO rendezvous (id, data, expires_ts)
    SELECT $1::text, $2::bytea, $3::bigint WHERE (SELECT count(*) FROM (SELECT FROM rendezvous LIMIT $4::int) AS open) < $4::int RETURNING id`,
};
const FIND: Statement<Meeting> = {
  name: "rendezvous_find", // rendezvous_pkey
  text: "SELECT data, version, transaction_id, expires_ts FROM rendezvous WHERE id = $1 AND expires_ts > $2",
};
const PUT: Statement<{ version: number }> = {
  name: "rendezvous_put", // rendezvous_pkey
  text: `UPDATE rendezvous SET data = $3, version = version + 1, transaction_id = $4
    WHERE id = $1 AND version = $2 AND expires_ts > $5 RETURNING version`,
};
const CLOSE: Statement = { name: "rendezvous_close", text: "DELETE FROM rendezvous WHERE id = $1 RETURNING id" };

export interface Meeting {
  readonly data: Buffer;
  /** Goes up with each change. */
  readonly version: number;
  readonly transaction_id: string | null;
  readonly expires_ts: number;
}

/** Opens a place to meet; false if there are `most` already. Those whose time is over go on the way. */
export async function openMeeting(database: Database, id: string, data: Buffer, now: number, expiresTs: number, most: number): Promise<boolean> {
  await database.write(CLEAN, [now]);
  return (await database.write(OPEN, [id, data, expiresTs, most])).length > 0;
}

export async function findMeeting(database: Database, id: string, now: number): Promise<Meeting | undefined> {
  return (await database.read(FIND, [id, now]))[0];
}

/** Leaves something else there, if it is still at this version; gives the new one. */
export async function changeMeeting(database: Database, id: string, version: number, data: Buffer, transactionId: string | undefined, now: number): Promise<number | undefined> {
  const [row] = await database.write(PUT, [id, version, data, transactionId ?? null, now]);
  return row?.version;
}

/** Closes it; false if there was none. */
export async function closeMeeting(database: Database, id: string): Promise<boolean> {
  return (await database.write(CLOSE, [id])).length > 0;
}
