// What discovery asks the network: well-known documents and SRV records (server-server API, "Resolving server names").
import { Resolver } from "node:dns/promises";
import { buffer } from "node:stream/consumers";
import type { Clock } from "../clock.js";
import { logger } from "../log.js";
import { isObject, ownString, parseJson } from "../protocol/json.js";
import { type Lookups, maxAgeOf } from "./discovery.js";
import type { Outgoing } from "./outgoing.js";

const log = logger("discovery");

const WELL_KNOWN_BYTES = 50 * 1024;
const WELL_KNOWN_MS = 10_000;
const REDIRECTS = 5;
const SRV_MS = 5_000;
const MAX_RECORDS = 10;

/** Asks the network. */
export function networkLookups(outgoing: Outgoing, clock: Clock): Lookups {
  const resolver = new Resolver({ timeout: SRV_MS, tries: 2 });
  return {
    async wellKnown(host) {
      try {
        const answer = await outgoing.request(new URL(`https://${host}/.well-known/matrix/server`), {
          headers: { accept: "application/json" },
          maxBytes: WELL_KNOWN_BYTES,
          milliseconds: WELL_KNOWN_MS,
          redirects: REDIRECTS,
        });
        const bytes = await buffer(answer.body);
        if (answer.status !== 200) return undefined;
        const document = parseJson(bytes, { maxDepth: 20 });
        const server = isObject(document) ? ownString(document, "m.server") : undefined;
        if (server === undefined) return undefined;
        const { "cache-control": cacheControl, expires } = answer.headers;
        return { server, maxAge: maxAgeOf({ cacheControl, expires }, clock.now()) };
      } catch (error) {
        log.debug({ host, reason: error instanceof Error ? error.message : String(error) }, "no well-known document");
        return undefined;
      }
    },
    async srv(name) {
      try {
        const records = await resolver.resolveSrv(name);
        // RFC 2782: the lowest priority first; among equals at random, by weight. "." says that there is no service.
        return records
          .filter((record) => record.name !== "" && record.name !== ".")
          .map((record) => ({ ...record, order: -Math.log(1 - Math.random()) / Math.max(record.weight, 0.1) }))
          .toSorted((a, b) => a.priority - b.priority || a.order - b.order)
          .slice(0, MAX_RECORDS);
      } catch {
        return [];
      }
    },
  };
}
