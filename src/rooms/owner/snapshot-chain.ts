// Snapshots of a room's state that share what did not change, as their writer sees them.
import type { SnapshotRow } from "../../storage/room-rows.js";
import type { SnapshotLink } from "../../storage/state.js";

/** One snapshot of a chain: what it changes of its parent. Event 0 means that the tuple was taken away. */
interface Link {
  readonly nid: number;
  readonly number: number;
  readonly changes: ReadonlyMap<number, number>;
}

/** The snapshots that make up a state, root first. The empty chain is the empty state. */
export interface SnapshotChain {
  readonly links: readonly Link[];
}

export const EMPTY_CHAIN: SnapshotChain = { links: [] };

const RADIX = 16;

/** The chain that storage gave; it shares with another one what both hold. */
export function chainOf(links: readonly SnapshotLink[], other: SnapshotChain = EMPTY_CHAIN): SnapshotChain {
  const shared = new Map(other.links.map((link) => [link.nid, link]));
  return {
    links: links.map(
      ({ nid, number, tuple_nids, event_nids }) =>
        shared.get(nid) ?? { nid, number, changes: new Map(tuple_nids.map((tuple, index) => [tuple, event_nids[index] ?? 0])) },
    ),
  };
}

/** How much a chain holds that it does not share with another one: at least 1. */
export function chainSize(chain: SnapshotChain, other: SnapshotChain): number {
  const shared = new Set(other.links);
  return chain.links.reduce((sum, link) => (shared.has(link) ? sum : sum + link.changes.size), 1);
}

/** Whether two chains are the same snapshot. */
export function isSameSnapshot(a: SnapshotChain, b: SnapshotChain): boolean {
  return a === b || snapshotOf(a) === snapshotOf(b);
}

/** The event that a chain's state holds for a tuple: what `foldChain` has for it. */
export function eventAt(chain: SnapshotChain, tuple: number): number | undefined {
  for (let index = chain.links.length - 1; index >= 0; index -= 1) {
    const event = chain.links[index]?.changes.get(tuple);
    if (event !== undefined) return event === 0 ? undefined : event;
  }
  return undefined;
}

/** The number of the last snapshot's row; null for the empty state. */
export function snapshotOf(chain: SnapshotChain): number | null {
  return chain.links.at(-1)?.nid ?? null;
}

/** `number` with its lowest non-zero digit cleared. */
function parentNumber(number: number): number {
  let digit = 1;
  while (Math.floor(number / digit) % RADIX === 0) digit *= RADIX;
  return number - (Math.floor(number / digit) % RADIX) * digit;
}

/**
 * The state after `changes`: the longer chain and the row of the new snapshot `nid`. Its parent is the snapshot whose
 * number is the new number with the lowest digit cleared, so that a chain has at most as many links as the number digits.
 */
export function advance(
  chain: SnapshotChain,
  roomNid: number,
  nid: number,
  changes: ReadonlyMap<number, number>,
): { readonly chain: SnapshotChain; readonly row: SnapshotRow } {
  const number = (chain.links.at(-1)?.number ?? 0) + 1;
  const below = parentNumber(number);
  const kept = chain.links.filter((link) => link.number <= below);
  const merged = new Map<number, number>();
  for (const link of chain.links.slice(kept.length)) for (const [tuple, event] of link.changes) merged.set(tuple, event);
  for (const [tuple, event] of changes) merged.set(tuple, event);
  const row: SnapshotRow = {
    nid,
    room_nid: roomNid,
    number,
    parent: kept.at(-1)?.nid ?? null,
    tuple_nids: [...merged.keys()],
    event_nids: [...merged.values()],
  };
  return { chain: { links: [...kept, { nid, number, changes: merged }] }, row };
}

/** The whole state of a chain: tuple to event. */
export function foldChain(chain: SnapshotChain): Map<number, number> {
  const state = new Map<number, number>();
  for (const link of chain.links) {
    for (const [tuple, event] of link.changes) {
      if (event === 0) state.delete(tuple);
      else state.set(tuple, event);
    }
  }
  return state;
}
