// Questions about auth chains that state resolution asks, and the plain way to answer them: by walking.
import type { AuthEvent } from "./authorisation.js";
import type { EventId } from "./identifiers.js";

/** Loads events by id, rejected ones included; ids that are not known are absent. */
export type FetchEvents = (ids: readonly EventId[]) => Promise<ReadonlyMap<EventId, AuthEvent>>;

/**
 * Answers about auth chains. Storage has an index that answers with bounded work; `walkAuthChains` loads whole chains. Chains
 * here include the events that they start from.
 */
export interface AuthChains {
  /** The events that are in the auth chain of some sets but not of all ("Auth difference"). */
  difference(sets: readonly ReadonlySet<EventId>[]): Promise<ReadonlySet<EventId>>;
  /** The events on paths between conflicted events, those included ("Conflicted state subgraph"). */
  subgraph(conflicted: ReadonlySet<EventId>): Promise<ReadonlySet<EventId>>;
}

/** Answers by loading the chains whole, a generation of events at a time. */
export function walkAuthChains(fetch: FetchEvents): AuthChains {
  const parents = new Map<EventId, readonly EventId[]>();

  async function load(start: Iterable<EventId>): Promise<void> {
    let next = [...start].filter((id) => !parents.has(id));
    while (next.length > 0) {
      const loaded = await fetch(next);
      const found = new Set<EventId>();
      for (const id of next) {
        const auth = loaded.get(id)?.event.auth_events ?? [];
        parents.set(id, auth);
        for (const parent of auth) found.add(parent);
      }
      next = [...found].filter((id) => !parents.has(id));
    }
  }

  return {
    async difference(sets) {
      await load(sets.flatMap((set) => [...set]));
      const chains = sets.map((set) => reachable(set, parents));
      const union = new Set(chains.flatMap((chain) => [...chain]));
      return new Set([...union].filter((id) => !chains.every((chain) => chain.has(id))));
    },
    async subgraph(conflicted) {
      await load(conflicted);
      const chain = reachable(conflicted, parents);
      const children = new Map<EventId, EventId[]>();
      for (const id of chain) {
        for (const parent of parents.get(id) ?? []) {
          const siblings = children.get(parent);
          if (siblings) siblings.push(id);
          else children.set(parent, [id]);
        }
      }
      const descendants = reachable(conflicted, children);
      return new Set([...chain].filter((id) => descendants.has(id)));
    },
  };
}

/** Everything that edges lead to from the start, the start included. */
function reachable(start: Iterable<EventId>, edges: ReadonlyMap<EventId, readonly EventId[]>): Set<EventId> {
  const seen = new Set(start);
  for (const id of seen) for (const next of edges.get(id) ?? []) seen.add(next); // a Set also visits what is added
  return seen;
}
