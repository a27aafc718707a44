// Client-server API, "Syncing".
import { LRUCache } from "lru-cache";
import type * as spec from "../../../spec/client/sync.js";
import { Filter } from "../../../spec/types/filter.js";
import { loadFilter } from "../../accounts/filters.js";
import { parseJson } from "../../protocol/json.js";
import type { StateAfter } from "../../sync/sync-request.js";
import { NO_FILTER, compileSyncFilter, type SyncFilter } from "../../sync/sync-filter.js";
import { sync as answerSync } from "../../sync/sync.js";
import { Reply, type Handler } from "../handler.js";
import type { Services } from "../services.js";
import { check } from "../validation.js";

export const sync: Handler<typeof spec.sync> = async (services, { auth, query, signal }) => {
  const filter = await filterOf(services, auth.user_nid, query.filter);
  const gone = await services.presence.syncing(auth.user_nid, auth.device_id ?? "", query.set_presence ?? "online");
  try {
    const text = await answerSync(
      services.sync,
      auth,
      {
        since: query.since,
        filter,
        fullState: query.full_state ?? false,
        stateAfter: stateAfterOf(query),
        timeoutMs: query.timeout ?? 0,
      },
      signal,
    );
    return new Reply(200, text);
  } finally {
    gone();
  }
};

/** Who asks by the name from before it was specified is answered by that name: such clients know no other. */
function stateAfterOf(query: { readonly use_state_after?: boolean; readonly "org.matrix.msc4222.use_state_after"?: boolean }): StateAfter | undefined {
  if (query.use_state_after !== undefined) return query.use_state_after ? "state_after" : undefined;
  return query["org.matrix.msc4222.use_state_after"] === true ? "org.matrix.msc4222.state_after" : undefined;
}

const compiled = new LRUCache<string, SyncFilter>({ max: 2_000 });
/** Longer inline filters are compiled each time: they would fill the cache. */
const KEPT_LENGTH = 4_096;

/** The filter of a request: none, JSON, or the id of a stored one. A stored filter never changes. */
async function filterOf({ database }: Services, userNid: number, text: string | undefined): Promise<SyncFilter> {
  if (text === undefined || text === "") return NO_FILTER;
  const inline = text.startsWith("{");
  const key = inline ? text : `${userNid} ${text}`;
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const filter = inline
    ? (check(Filter, "body", parseJson(text, { maxDepth: 20 })) as Filter)
    : await loadFilter(database, userNid, text);
  const found = compileSyncFilter(filter);
  if (key.length <= KEPT_LENGTH) compiled.set(key, found);
  return found;
}
