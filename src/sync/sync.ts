// /sync: answers at once if there is something to tell, else waits until there is (client-server API, "Syncing").
import { invalidParam } from "../errors.js";
import { parseToken, type SyncToken } from "../rooms/token.js";
import { fastSync, type FastServices } from "./fast-sync.js";
import { isPositionValid } from "../storage/epoch.js";
import { asOpenSync, currentEpoch, isKnown, laterEpoch, type OpenSyncServices } from "./open-sync.js";
import { readSync } from "./read-sync.js";
import type { StateAfter, SyncAnswer, SyncReader, SyncRequest } from "./sync-request.js";
import type { SyncFilter } from "./sync-filter.js";
import type { Acknowledgements } from "./to-device.js";
import type { LargeAnswers } from "./large-answers.js";

export interface SyncDependencies extends FastServices, OpenSyncServices {
  readonly acknowledgements: Acknowledgements;
  readonly largeAnswers: LargeAnswers;
}

export interface SyncQuery {
  readonly since: string | undefined;
  readonly filter: SyncFilter;
  readonly fullState: boolean;
  readonly stateAfter: StateAfter | undefined;
  readonly timeoutMs: number;
}

/**
 * The body of an answer, as JSON text. Waits at most `timeoutMs` for something to happen; an aborted signal ends the wait.
 * Throws M_INVALID_PARAM for a `since` that is no token, M_UNKNOWN 503 while this process does not know what happens,
 * M_LIMIT_EXCEEDED when the reader has too many open. Without `since` or with `fullState` it waits its turn among such.
 */
export async function sync(
  services: SyncDependencies,
  reader: SyncReader,
  query: SyncQuery,
  signal: AbortSignal,
): Promise<string> {
  const { follower, clock } = services;
  let epoch = currentEpoch(follower);
  let since = sinceOf(query.since);
  let resync = since !== undefined && !(await isKnown(follower, since, signal));
  if (since !== undefined && !resync) await services.acknowledgements.note(reader, since);
  await follower.caughtUp();
  return await asOpenSync(services, reader, query.timeoutMs, async (user, deadline) => {
    for (let told = false; ; ) {
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
      const read = (): Promise<SyncAnswer> => readSync(services, reader, request);
      const tellsAll = request.since === undefined || request.fullState;
      const answer = (await fastSync(services, user, reader, request)) ?? (await (tellsAll ? services.largeAnswers.make(read, signal) : read()));
      const left = deadline - clock.monotonic();
      if (!answer.empty || left <= 0 || query.fullState || told || signal.aborted) return answer.text;
      since = answer.next;
      resync = false;
      await user.woken(version, left, signal);
      const later = laterEpoch(follower, epoch);
      if (later === undefined) continue;
      [epoch, told] = [later, true];
      resync = !isPositionValid(follower.epochs, since.epoch, since.position);
    }
  });
}

function sinceOf(text: string | undefined): SyncToken | undefined {
  if (text === undefined || text === "") return undefined;
  const token = parseToken(text);
  if (token?.kind !== "sync") throw invalidParam('"since" is not a token of a sync.');
  return token;
}
