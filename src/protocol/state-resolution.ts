// State resolution: the state of a room where branches of its history meet ("State resolution" of each room version).
import type { FetchEvents } from "./auth-chains.js";
import type { EventId } from "./identifiers.js";
import type { RoomVersion } from "./room-version.js";
import type { StateMap } from "./state-map.js";
import { resolveV1 } from "./state-resolution-v1.js";
import { resolveV2 } from "./state-resolution-v2.js";

/**
 * The resolution of a set of states by the room version's algorithm. The result does not depend on the order of the sets.
 * Throws Error if an event that takes part is of another room.
 */
export async function resolve(
  version: RoomVersion,
  sets: readonly StateMap<EventId>[],
  fetch: FetchEvents,
): Promise<StateMap<EventId>> {
  const [first, ...others] = sets;
  if (first === undefined) return new Map();
  if (others.every((set) => isSame(first, set))) return first;
  return version.stateResolution === "v1" ? resolveV1(version, sets, fetch) : resolveV2(version, sets, fetch);
}

function isSame(a: StateMap<EventId>, b: StateMap<EventId>): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const [tuple, id] of a) if (b.get(tuple) !== id) return false;
  return true;
}
