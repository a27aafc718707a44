// What the functions of accounts work with.
import type { Clock } from "../clock.js";
import type { Config, LocalServers } from "../config.js";
import type { Bus } from "../storage/bus.js";
import type { Database, Tx } from "../storage/database.js";
import { LOG_CHANNEL } from "../storage/log.js";
import type { LogEntry } from "../storage/log-entry.js";
import type { SecretKey } from "../storage/sealing.js";
import type { AccessTokens } from "./access-tokens.js";
import type { Directory } from "./ldap.js";
import type { Passwords } from "./passwords.js";

/** Limits what is counted by something else than the caller's address: wrong passwords, messages to one address. */
export interface SubjectLimiter {
  /** Counts one call. Rejects with M_LIMIT_EXCEEDED instead if there were too many. */
  take(limit: "validation" | "login_failure", subject: string): Promise<void>;
  /** Takes back a call that was counted, for limits that count only failures. */
  giveBack(limit: "login_failure", subject: string): Promise<void>;
}

export interface AccountContext {
  readonly config: Config;
  readonly clock: Clock;
  readonly servers: LocalServers;
  readonly database: Database;
  /** Keys what is derived from requests and stored. */
  readonly secret: SecretKey;
  readonly passwords: Passwords;
  /** Whose users log in with the passwords they have there. */
  readonly directory?: Directory | undefined;
  readonly tokens: AccessTokens;
  readonly limiter: SubjectLimiter;
  /** Told when a message was put into the outbox. */
  readonly outbox: { readonly wake: () => void };
  readonly bus: Pick<Bus, "publish">;
}

/** Appends entries to the log, and tells all processes as soon as they are committed. */
export function appendToLog({ bus }: Pick<AccountContext, "bus">, tx: Tx, entries: readonly LogEntry[]): void {
  tx.append(entries);
  tx.afterCommit((position) => bus.publish(LOG_CHANNEL, String(position)));
}
