// Hansa's own admin API: joins through other servers.
import type * as spec from "../../../spec/admin/joins.js";
import { listEntries } from "../../storage/partial-state.js";
import type { Handler } from "../handler.js";

export const adminListJoins: Handler<typeof spec.adminListJoins> = async ({ database }, { query }) => {
  const { from, limit } = query;
  const rows = await listEntries(database, limit, from);
  const joins = rows.map(({ asked, ...row }) => ({ ...row, server: asked }));
  return { joins, ...(rows.length === limit && { next_from: from + limit }) };
};
