// What other servers told of their spaces lately (server-server API, "GET /hierarchy").
import { LRUCache } from "lru-cache";
import type { JsonObject } from "../../protocol/json.js";

/** Answers by who asked, and what. */
export type HierarchyCache = LRUCache<string, JsonObject>;

const CACHED_MS = 5 * 60_000;
const CACHED_BYTES = 16 * 1024 * 1024;

/** An empty cache: each answer is kept a few minutes, all together take a few megabytes. */
export function hierarchyCache(): HierarchyCache {
  return new LRUCache({ ttl: CACHED_MS, maxSize: CACHED_BYTES, sizeCalculation: (answer) => 500 + 3 * JSON.stringify(answer).length });
}
