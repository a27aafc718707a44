// Client-server API, "Filtering".
import type * as spec from "../../../spec/client/filter.js";
import { loadFilter, storeFilter } from "../../accounts/filters.js";
import { forbidden } from "../../errors.js";
import type { Handler } from "../handler.js";

export const defineFilter: Handler<typeof spec.defineFilter> = async ({ database }, { auth, params, body }) => {
  if (params.userId !== auth.user_id) throw forbidden("You cannot store filters for other users.");
  return { filter_id: await storeFilter(database, auth.user_nid, body) };
};

export const getFilter: Handler<typeof spec.getFilter> = async ({ database }, { auth, params }) => {
  if (params.userId !== auth.user_id) throw forbidden("You cannot read filters of other users.");
  return loadFilter(database, auth.user_nid, params.filterId);
};
