// Filters that clients store to name them later (client-server API, "Filtering").
import { createHash } from "node:crypto";
import type { Filter } from "../../spec/types/filter.js";
import { notFound, tooLarge } from "../errors.js";
import type { Database } from "../storage/database.js";
import { countFilters, findFilter, putFilter } from "../storage/filters.js";

const MAX_FILTERS = 500;

/** Stores a filter and gives its id, which is a digest of it: the same filter is stored once. Throws M_TOO_LARGE. */
export async function storeFilter(database: Database, userNid: number, filter: Filter): Promise<string> {
  const json = JSON.stringify(filter);
  const id = createHash("sha256").update(json).digest("base64url").slice(0, 22);
  if ((await findFilter(database, userNid, id)) !== undefined) return id;
  if ((await countFilters(database, userNid)) >= MAX_FILTERS) {
    throw tooLarge(`A user may store at most ${MAX_FILTERS} filters.`);
  }
  await database.transaction((tx) => putFilter(tx, userNid, id, json));
  return id;
}

/** A stored filter. It was checked when it was stored. Throws M_NOT_FOUND. */
export async function loadFilter(database: Database, userNid: number, id: string): Promise<Filter> {
  const json = await findFilter(database, userNid, id);
  if (json === undefined) throw notFound("There is no filter of this id.");
  return JSON.parse(json) as Filter;
}
