// Previews of web pages, kept for a while.
import type { Database } from "./database.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

const FIND: Statement<{ answer: string }> = {
  name: "url_previews_find", // url_previews_pkey
  text: "SELECT answer FROM url_previews WHERE key = $1 AND expires_ts > $2",
};
const PUT: Statement = {
  name: "url_previews_put",
  text: `INSERT INTO url_previews (key, answer, expires_ts) VALUES ($1, $2, $3)
    ON CONFLICT (key) DO UPDATE SET answer = excluded.answer, expires_ts = excluded.expires_ts`,
};
const EXPIRE: Statement<{ count: number }> = {
  name: "url_previews_expire", // url_previews_expires
  text: `WITH old AS (SELECT key FROM url_previews WHERE expires_ts <= $1 LIMIT 1000),
      gone AS (DELETE FROM url_previews p USING old WHERE p.key = old.key RETURNING 1)
    SELECT count(*) AS count FROM gone`,
};

/** The JSON of a preview that has not expired. */
export async function findUrlPreview(reads: Reads, key: Buffer, now: number): Promise<string | undefined> {
  const [found] = await reads.read(FIND, [key, now]);
  return found && fromText(found.answer);
}

/** Keeps the JSON of a preview until a time. */
export async function putUrlPreview(database: Database, key: Buffer, answer: string, expiresTs: number): Promise<void> {
  await database.execute(PUT, [key, toText(answer), expiresTs]);
}

/** Forgets previews that have expired: how many, at most 1,000 at a time. */
export async function expireUrlPreviews(database: Database, now: number): Promise<number> {
  return (await database.write(EXPIRE, [now]))[0]?.count ?? 0;
}
