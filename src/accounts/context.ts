// What the functions of accounts work with.
import type { Clock } from "../clock.js";
import type { Config, LocalServers } from "../config.js";
import type { Database } from "../storage/database.js";
import type { SecretKey } from "../storage/sealing.js";
import type { AccessTokens } from "./access-tokens.js";
import type { Passwords } from "./passwords.js";

/** Counts wrong passwords and refuses when there were too many. */
export interface FailureLimiter {
  /** Throws M_LIMIT_EXCEEDED if the caller has failed too often. */
  require(limit: "login_failure", caller: string): void;
  count(limit: "login_failure", caller: string): void;
}

export interface AccountContext {
  readonly config: Config;
  readonly clock: Clock;
  readonly servers: LocalServers;
  readonly database: Database;
  /** Keys what is derived from requests and stored. */
  readonly secret: SecretKey;
  readonly passwords: Passwords;
  readonly tokens: AccessTokens;
  readonly limiter: FailureLimiter;
}
