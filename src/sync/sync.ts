// /sync: answers at once if there is something to tell, else waits until there is (client-server API, "Syncing").
import type { Clock } from "../clock.js";
import { invalidParam, limitExceeded, unknownError } from "../errors.js";
import { parseToken, type SyncToken } from "../rooms/token.js";
import { isPositionValid } from "../storage/epoch.js";
import { fastSync, type FastServices } from "./fast-sync.js";
import { readSync, type StateAfter, type SyncReader, type SyncRequest } from "./read-sync.js";
import type { SyncFilter } from "./sync-filter.js";
import type { Acknowledgements } from "./to-device.js";
import type { SyncLimits, WatchedUsers } from "./watched-users.js";

export interface SyncDependencies extends FastServices {
  readonly acknowledgements: Acknowledgements;
  readonly users: WatchedUsers;
  readonly clock: Clock;
  /** How many syncs may be open here at a time. */
  readonly limits: SyncLimits;
}

export interface SyncQuery {
  readonly since: string | undefined;
  readonly filter: SyncFilter;
  readonly fullState: boolean;
  readonly stateAfter: StateAfter | undefined;
  readonly timeoutMs: number;
}

/** Longer a client cannot make us hold its request. */
const MAX_TIMEOUT_MS = 10 * 60_000;
/** How long a token that another process gave out may be ahead of us. */
const LAG_MS = 5_000;
/** When a client that has too many open may try again. */
const RETRY_MS = 1_000;

/**
 * The body of an answer, as JSON text. Waits at most `timeoutMs` for something to happen; an aborted signal ends the wait.
 * Throws M_INVALID_PARAM for a `since` that is no token, M_UNKNOWN 503 while this process does not know what happens,
 * M_LIMIT_EXCEEDED when the reader has too many open.
 */
export async function sync(
  services: SyncDependencies,
  reader: SyncReader,
  query: SyncQuery,
  signal: AbortSignal,
): Promise<string> {
  const { follower, users, clock } = services;
  if (!follower.healthy) throw unknownError(503, "This process has lost sight of what happens: try again.");
  const all = follower.epochs;
  const epoch = all.at(-1)?.epoch ?? 0;
  let since = sinceOf(query.since);
  let resync = since !== undefined && !isPositionValid(all, since.epoch, since.position);
  if (since !== undefined && !resync && since.position > follower.head) {
    // Another process was faster; what is still ahead after that is of no history that we know.
    resync = !(await follower.reached(since.position, LAG_MS, signal));
  }
  if (since !== undefined && !resync) await services.acknowledgements.note(reader, since);
  const deadline = clock.monotonic() + Math.min(query.timeoutMs, MAX_TIMEOUT_MS);
  const user = await users.watch(reader.user_nid);
  if (!user.enter(reader.device_id, services.limits)) {
    users.release(user);
    throw limitExceeded(RETRY_MS);
  }
  try {
    for (;;) {
      const version = user.version;
      const request: SyncRequest = {
        since: resync ? undefined : since,
        resync,
        filter: query.filter,
        fullState: query.fullState,
        stateAfter: query.stateAfter,
        epoch,
        now: clock.now(),
      };
      const answer = (await fastSync(services, user, reader, request)) ?? (await readSync(services, reader, request));
      const left = deadline - clock.monotonic();
      if (!answer.empty || left <= 0 || query.fullState || signal.aborted) return answer.text;
      since = answer.next;
      resync = false;
      await user.woken(version, left, signal);
    }
  } finally {
    user.leave(reader.device_id);
    users.release(user);
  }
}

function sinceOf(text: string | undefined): SyncToken | undefined {
  if (text === undefined || text === "") return undefined;
  const token = parseToken(text);
  if (token?.kind !== "sync") throw invalidParam('"since" is not a token of a sync.');
  return token;
}
