// The PostgreSQL of a data folder serves one server process: what happens in it travels over that process's memory only.
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { ConfigError } from "../config.js";
import { logger } from "../log.js";
import type { Database } from "./database.js";

const log = logger("database");

const LOCK = 0x736f6c65;
/** How long the connection of a process that was killed may take to be noticed. */
const PATIENCE_MS = 8_000;
const RETRY_MS = 100;

/**
 * Holds the database of a data folder for this process until it is disposed, through restarts of PostgreSQL too. Throws
 * ConfigError if another process serves it.
 */
export async function holdAlone(database: Database, dataFolder: string): Promise<AsyncDisposable> {
  const stopping = new AbortController();
  let client: Client | undefined;

  async function take(): Promise<boolean> {
    const connected = await database.connect();
    const { rows } = await connected.query<{ held: boolean }>(`SELECT pg_try_advisory_lock(${LOCK}) AS held`);
    if (rows[0]?.held !== true || stopping.signal.aborted) {
      await connected.end();
      return false;
    }
    client = connected;
    connected.once("end", () => void takeAgain());
    return true;
  }

  async function takeAgain(): Promise<void> {
    while (!stopping.signal.aborted) {
      const taken = await take().catch((error: unknown) => {
        log.debug({ err: error }, "the database of the data folder cannot be held yet");
        return false;
      });
      if (taken) return;
      await sleep(RETRY_MS, undefined, { ref: false });
    }
  }

  const deadline = performance.now() + PATIENCE_MS;
  while (!(await take())) {
    if (performance.now() > deadline) {
      throw new ConfigError(
        `Another Hansa already serves the data folder ${dataFolder}: stop it, or set database.url so that several processes can share one PostgreSQL.`,
      );
    }
    await sleep(RETRY_MS);
  }
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await client?.end();
    },
  };
}
