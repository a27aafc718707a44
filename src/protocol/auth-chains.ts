// Questions about auth chains that state resolution asks, answered by walking from what is in conflict.
import type { AuthEvent } from "./authorisation.js";
import type { EventId } from "./identifiers.js";
import { Turns } from "./turns.js";

/** Loads events by id, rejected ones included; ids that are not known are absent. */
export type FetchEvents = (ids: readonly EventId[]) => Promise<ReadonlyMap<EventId, AuthEvent>>;

/** The events that states which meet have in common. */
export interface CommonEvents {
  /** Whether an event that was fetched is one of them. */
  has(id: EventId): boolean;
  /** Those of some events that are in the auth chains of any of them. */
  reached(ids: ReadonlySet<EventId>): Promise<ReadonlySet<EventId>>;
}

/**
 * The part of the auth difference ("Auth difference") that has to be known beside what is in conflict: events in the full auth
 * chains of some states but not of all. `sides` holds of each state the events that not all states have under their key. Chains
 * here include the events that they start from.
 *
 * What states have in common is in all of their chains with all before it, so that the walk ends there; only of what it found apart
 * from the conflict, and that not all sides lead to, it has to be asked whether it is in the chains of what they have in common.
 */
export async function authDifference(sides: readonly ReadonlySet<EventId>[], common: CommonEvents, fetch: FetchEvents): Promise<ReadonlySet<EventId>> {
  const walk = new Walk(fetch);
  const chains: Set<EventId>[] = [];
  for (const side of sides) chains.push(await walk.reach(side, (id) => common.has(id)));
  const conflicted = new Set(sides.flatMap((side) => [...side]));
  const difference = new Set<EventId>();
  for (const chain of chains) {
    for (const id of chain) if (!conflicted.has(id) && !common.has(id) && !chains.every((other) => other.has(id))) difference.add(id);
  }
  if (difference.size > 0) for (const id of await common.reached(difference)) difference.delete(id);
  return difference;
}

/** Everything in the full auth chains of events. */
export async function authChainOf(ids: Iterable<EventId>, fetch: FetchEvents): Promise<ReadonlySet<EventId>> {
  return await new Walk(fetch).reach(ids, () => false);
}

/** The events on paths between conflicted events, those included ("Conflicted state subgraph"). */
export async function conflictedSubgraph(conflicted: ReadonlySet<EventId>, fetch: FetchEvents): Promise<ReadonlySet<EventId>> {
  const walk = new Walk(fetch);
  const turns = new Turns();
  const chain = await walk.reach(conflicted, () => false);
  const children = new Map<EventId, EventId[]>();
  for (const id of chain) {
    await turns.next();
    for (const parent of walk.parents(id)) {
      const siblings = children.get(parent);
      if (siblings) siblings.push(id);
      else children.set(parent, [id]);
    }
  }
  const between = new Set<EventId>();
  const descendants = new Set(conflicted);
  for (const id of descendants) {
    await turns.next();
    if (chain.has(id)) between.add(id);
    for (const child of children.get(id) ?? []) descendants.add(child); // a Set also visits what is added
  }
  return between;
}

/** Goes back from events to those that authorise them, a generation at a time; what was loaded once is remembered. */
class Walk {
  readonly #fetch: FetchEvents;
  readonly #parents = new Map<EventId, readonly EventId[]>();
  readonly #turns = new Turns();

  constructor(fetch: FetchEvents) {
    this.#fetch = fetch;
  }

  /** What authorises an event that was reached. */
  parents(id: EventId): readonly EventId[] {
    return this.#parents.get(id) ?? [];
  }

  /** Everything that leads back from the start, the start included; nothing is followed beyond events that end the walk. */
  async reach(start: Iterable<EventId>, isEnd: (id: EventId) => boolean): Promise<Set<EventId>> {
    const reached = new Set<EventId>();
    let generation = new Set(start);
    while (generation.size > 0) {
      const unknown = [...generation].filter((id) => !this.#parents.has(id));
      const loaded = unknown.length === 0 ? new Map<EventId, AuthEvent>() : await this.#fetch(unknown);
      for (const id of unknown) this.#parents.set(id, loaded.get(id)?.event.auth_events ?? []);
      const next = new Set<EventId>();
      for (const id of generation) {
        await this.#turns.next();
        reached.add(id);
        if (isEnd(id)) continue;
        for (const parent of this.parents(id)) if (!reached.has(parent)) next.add(parent);
      }
      generation = next;
    }
    return reached;
  }
}
