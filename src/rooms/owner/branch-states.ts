// What a room's owner remembers of the states of its branches, so that where they meet again nothing is resolved anew.
import { LRUCache } from "lru-cache";
import { chainSize, snapshotOf, type SnapshotChain } from "./snapshot-chain.js";

const MAX_STATES = 1_000;
/** Pieces of state that these chains hold and the current one does not. */
const MAX_TUPLES = 100_000;
/** Shorter than the time for which a snapshot stays that nothing refers to: none is remembered that is gone. */
const KEPT_MS = 30 * 60_000;

/** States of branches of one room. Whoever forgets the room's memory forgets them with it. */
export class BranchStates {
  readonly #after = cache<number>();
  readonly #snapshots = cache<number>();
  readonly #met = cache<string>();

  /** The state after an event; undefined where it is not remembered. */
  after(eventNid: number): SnapshotChain | undefined {
    return this.#after.get(eventNid);
  }

  rememberAfter(eventNid: number, chain: SnapshotChain, current: SnapshotChain): void {
    this.#after.set(eventNid, chain, { size: chainSize(chain, current) });
  }

  /** The chain that ends with a snapshot. */
  snapshot(nid: number): SnapshotChain | undefined {
    return this.#snapshots.get(nid);
  }

  rememberSnapshot(nid: number, chain: SnapshotChain, current: SnapshotChain): void {
    this.#snapshots.set(nid, chain, { size: chainSize(chain, current) });
  }

  /** The resolution of states, in whatever order they are given. */
  met(chains: readonly SnapshotChain[]): SnapshotChain | undefined {
    return this.#met.get(keyOf(chains));
  }

  rememberMet(chains: readonly SnapshotChain[], result: SnapshotChain, current: SnapshotChain): void {
    this.#met.set(keyOf(chains), result, { size: chainSize(result, current) });
  }

  /** What was resolved may come out otherwise now: an event that took part is judged anew. */
  forgetMet(): void {
    this.#met.clear();
  }

  forgetAll(): void {
    for (const states of [this.#after, this.#snapshots, this.#met]) states.clear();
  }
}

function cache<Key extends number | string>(): LRUCache<Key, SnapshotChain> {
  return new LRUCache({ max: MAX_STATES, maxSize: MAX_TUPLES, ttl: KEPT_MS });
}

/** The set of the snapshots, each once. */
function keyOf(chains: readonly SnapshotChain[]): string {
  return [...new Set(chains.map((chain) => snapshotOf(chain) ?? 0))].toSorted((a, b) => a - b).join(" ");
}
