// A sync as long as it is open, whatever its form: counted by device, bounded in time, and only of a history that we know.
import type { Clock } from "../clock.js";
import { limitExceeded, unknownError } from "../errors.js";
import type { SyncToken } from "../rooms/token.js";
import { isPositionValid } from "../storage/epoch.js";
import type { LogFollower } from "../storage/log.js";
import type { SyncReader } from "./sync-request.js";
import type { SyncLimits, WatchedUser, WatchedUsers } from "./watched-users.js";

export interface OpenSyncServices {
  readonly follower: LogFollower;
  readonly users: WatchedUsers;
  readonly clock: Clock;
  /** How many syncs may be open here at a time. */
  readonly limits: SyncLimits;
}

/** Longer a client cannot make us hold its request. */
const MAX_TIMEOUT_MS = 10 * 60_000;
/** How long a token that another process gave out may be ahead of us. */
const LAG_MS = 5_000;
/** When a client that has too many open may try again. */
const RETRY_MS = 1_000;

/**
 * Does the work of a sync with its watched user and the time at which it must be answered (`clock.monotonic()`,
 * `timeoutMs` from now). Throws M_LIMIT_EXCEEDED when the reader has too many open.
 */
export async function asOpenSync(
  { users, clock, limits }: OpenSyncServices,
  { user_nid, device_id }: SyncReader,
  timeoutMs: number,
  work: (user: WatchedUser, deadline: number) => Promise<string>,
): Promise<string> {
  const deadline = clock.monotonic() + Math.min(timeoutMs, MAX_TIMEOUT_MS);
  const user = await users.watch(user_nid);
  if (!user.enter(device_id, limits)) {
    users.release(user);
    throw limitExceeded(RETRY_MS);
  }
  try {
    return await work(user, deadline);
  } finally {
    user.leave(device_id);
    users.release(user);
  }
}

/** The epoch that new tokens are of. Throws M_UNKNOWN 503 while this process does not know what happens. */
export function currentEpoch({ healthy, epochs }: LogFollower): number {
  if (!healthy) throw unknownError(503, "This process has lost sight of what happens: try again.");
  return epochs.at(-1)?.epoch ?? 0;
}

/**
 * The epoch as it is after a wait that began in another one: whoever waited is to be answered, since their device has lost its one-time
 * keys. Undefined where it is the same.
 */
export function laterEpoch({ epochs }: LogFollower, before: number): number | undefined {
  const now = epochs.at(-1)?.epoch;
  return now === before ? undefined : now;
}

/**
 * Whether a token is of the history that we know, once we have come as far as another process may have been. Throws M_UNKNOWN
 * 503 when this process stops before: what it does not know, the others do.
 */
export async function isKnown(follower: LogFollower, { epoch, position }: SyncToken, signal: AbortSignal): Promise<boolean> {
  if (!isPositionValid(follower.epochs, epoch, position)) return false;
  if (position <= follower.head || (await follower.reached(position, LAG_MS, signal))) return true;
  if (signal.aborted) throw unknownError(503, "This process stops: try again.");
  return false;
}
