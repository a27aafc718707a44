// What handlers are given to work with; wired in server.ts.
import type { Requester } from "../accounts/requester.js";
import type { Clock } from "../clock.js";
import type { Config } from "../config.js";

export interface Services {
  readonly config: Config;
  readonly clock: Clock;
  /** The owner of an access token. Throws M_UNKNOWN_TOKEN. */
  readonly authenticate: (token: string) => Promise<Requester>;
}
