// The processes of a deployment: each says every few seconds that it lives, and holds its rooms only as long as it does.
import type { Clock } from "../clock.js";
import { logger } from "../log.js";
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";

const log = logger("processes");

const HEARTBEAT_MS = 2_000;
/** A process that was not heard of for so long has lost its rooms: whoever needs one takes it. */
export const LEASE_SECONDS = 8;

const REGISTER: Statement<{ nid: number }> = {
  name: "processes_register",
  text: "INSERT INTO processes (address) VALUES ($1) RETURNING nid",
};
const SEEN: Statement<{ nid: number }> = {
  name: "processes_seen",
  // Too late is too late: others may have taken what was ours.
  text: `UPDATE processes SET seen = clock_timestamp()
    WHERE nid = $1 AND seen > clock_timestamp() - make_interval(secs => ${LEASE_SECONDS}) RETURNING nid`,
};
const LEAVE: Statement = { name: "processes_leave", text: "DELETE FROM processes WHERE nid = $1" };
const FORGET: Statement = {
  name: "processes_forget",
  text: "DELETE FROM processes WHERE seen < clock_timestamp() - interval '1 day'",
};

/** This process among the others. A registration that ran out is replaced by a new one with a new number. */
export class ProcessRegistration {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #address: string;
  #nid: number;
  #validUntil: number;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> = Promise.resolve();
  #stopped = false;

  private constructor(database: Database, clock: Clock, address: string, nid: number, validUntil: number) {
    this.#database = database;
    this.#clock = clock;
    this.#address = address;
    this.#nid = nid;
    this.#validUntil = validUntil;
    this.#schedule();
  }

  /** Registers this process. `address` is where the others reach it. */
  static async open(database: Database, clock: Clock, address: string): Promise<ProcessRegistration> {
    await database.write(FORGET, []);
    const validUntil = clock.monotonic() + LEASE_SECONDS * 1000;
    const [row] = await database.write(REGISTER, [address]);
    if (row === undefined) throw new Error("the process was not registered");
    return new ProcessRegistration(database, clock, address, row.nid, validUntil);
  }

  /** The number under which this process holds rooms. */
  get nid(): number {
    return this.#nid;
  }

  /** Whether the others still take this process for alive, as far as it can know. */
  isValid(): boolean {
    return this.#clock.monotonic() < this.#validUntil;
  }

  /** Gives up what this process holds: the others need not wait for its silence. */
  async close(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#beating;
    await this.#database.write(LEAVE, [this.#nid]);
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      this.#beating = this.#beat().finally(() => {
        if (!this.#stopped) this.#schedule();
      });
    }, HEARTBEAT_MS);
    this.#timer.unref();
  }

  async #beat(): Promise<void> {
    // Counted from before the question, so that a slow answer never makes the lease look longer than it is.
    const validUntil = this.#clock.monotonic() + LEASE_SECONDS * 1000;
    try {
      const [seen] = await this.#database.write(SEEN, [this.#nid]);
      if (seen === undefined) {
        const [row] = await this.#database.write(REGISTER, [this.#address]);
        if (row === undefined) throw new Error("the process was not registered");
        log.warn({ before: this.#nid, now: row.nid }, "this process was silent too long and starts over with its rooms");
        this.#nid = row.nid;
      }
      this.#validUntil = validUntil;
    } catch (error) {
      log.warn({ reason: error instanceof Error ? error.message : undefined }, "the heartbeat failed");
    }
  }
}
