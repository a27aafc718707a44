// Filters that clients have stored.
import type { Database, Tx } from "./database.js";
import type { Statement } from "./statement.js";

const PUT: Statement = {
  name: "filters_put",
  text: "INSERT INTO filters (user_nid, filter_id, filter) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
};
const COUNT: Statement = { name: "filters_count", text: "SELECT count(*) FROM filters WHERE user_nid = $1" };
const FIND: Statement = {
  name: "filters_find",
  text: "SELECT filter FROM filters WHERE user_nid = $1 AND filter_id = $2",
};

/** The JSON of a user's filter. */
export async function findFilter(database: Database, userNid: number, filterId: string): Promise<string | undefined> {
  const [row] = await database.read(FIND, [userNid, filterId]);
  return row && String(row["filter"]);
}

export async function countFilters(database: Database, userNid: number): Promise<number> {
  return Number((await database.read(COUNT, [userNid]))[0]?.["count"]);
}

export async function putFilter(tx: Tx, userNid: number, filterId: string, json: string): Promise<void> {
  await tx.query(PUT, [userNid, filterId, json]);
}
