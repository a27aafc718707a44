// Keeps the event cache told of the users whose messages are hidden from those who were not there (client-server API,
// "Account deactivation").
import { logger } from "../../log.js";
import type { Database } from "../../storage/database.js";
import { erasedUsers } from "../../storage/ended-accounts.js";
import type { LogFollower } from "../../storage/log.js";
import type { EventCache } from "./event-cache.js";

const log = logger("rooms");

/** Reads who has been erased, and again whenever the log says that an account has changed. Gives what ends it. */
export async function followErasedUsers(
  database: Database,
  follower: Pick<LogFollower, "subscribeToEntries">,
  events: EventCache,
): Promise<AsyncDisposable> {
  let stale = false;
  let reading: Promise<void> | undefined;
  const read = async (): Promise<void> => {
    while (stale) {
      stale = false;
      events.hideMessagesOf(await erasedUsers(database));
    }
  };
  const wake = (): void => {
    stale = true;
    reading ??= read()
      .catch((error: unknown) => {
        // The next news tries again.
        stale = true;
        log.warn({ err: error }, "who has been erased could not be read");
      })
      .finally(() => (reading = undefined));
  };
  const unsubscribe = follower.subscribeToEntries((entries) => {
    const changed = entries?.some(({ kind, user_nid, device }) => kind === "invalidation" && user_nid !== undefined && device === undefined);
    if (stale || changed !== false) wake();
  });
  events.hideMessagesOf(await erasedUsers(database));
  return {
    async [Symbol.asyncDispose]() {
      unsubscribe();
      await reading;
    },
  };
}
