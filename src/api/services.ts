// What handlers are given to work with; wired in server.ts.
import type { Requester } from "../accounts/requester.js";
import type { Clock } from "../clock.js";
import type { Config, LocalServers } from "../config.js";
import type { RateLimiter } from "./rate-limit.js";

export interface Services {
  readonly config: Config;
  readonly clock: Clock;
  readonly servers: LocalServers;
  readonly limiter: RateLimiter;
  /** The owner of an access token. Throws M_UNKNOWN_TOKEN. */
  readonly authenticate: (token: string) => Promise<Requester>;
  /** Notes that a device was used. */
  readonly seen: (requester: Requester, address: string, userAgent: string) => void;
}
