// Ends sessions that nobody has used for as long as the configuration allows.
import { logger } from "../log.js";
import type { AccountContext } from "./context.js";
import { endUnusedSessions } from "./sessions.js";

const log = logger("accounts");

const LOOK_EVERY_MS = 10 * 60_000;
const AT_ONCE = 500;

/** Looks for unused sessions now and then, until it is disposed. */
export function keepSessions(context: AccountContext): AsyncDisposable {
  const lifetime = context.config.tokens.unused_session_lifetime;
  if (lifetime === undefined) return { [Symbol.asyncDispose]: () => Promise.resolve() };
  let stopped = false;
  let running: Promise<void> | undefined;
  const run = async (): Promise<void> => {
    const since = context.clock.now() - lifetime * 1000;
    let ended = 0;
    for (let more = true; more && !stopped; ) {
      const count = await endUnusedSessions(context, since, AT_ONCE);
      ended += count;
      more = count === AT_ONCE;
    }
    if (ended > 0) log.info({ sessions: ended }, "unused sessions were ended");
  };
  const wake = (): void => {
    running ??= run()
      .catch((error: unknown) => log.warn({ err: error }, "unused sessions could not be ended"))
      .finally(() => (running = undefined));
  };
  const timer = setInterval(wake, LOOK_EVERY_MS).unref();
  wake();
  return {
    async [Symbol.asyncDispose]() {
      stopped = true;
      clearInterval(timer);
      await running;
    },
  };
}
