// The processes of a deployment. Each holds a lock of PostgreSQL on a connection of its own, which goes at once when the
// process dies, and says every few seconds that it lives, which tells of one that only hangs.
import type { Clock } from "../clock.js";
import { logger } from "../log.js";
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";

const log = logger("processes");

const HEARTBEAT_MS = 1_500;
/** A process that was not heard of for so long has lost its rooms: whoever needs one takes it. */
export const LEASE_SECONDS = 6;

/** The first key of the locks of processes; the second is the process's number. */
const ALIVE_LOCK = 0x68616e76;

/** SQL: whether the process whose number is `column` is dead to the others, so that what it held can be taken. */
export function isDeadProcess(column: string): string {
  return `NOT EXISTS (SELECT FROM processes
    JOIN pg_locks ON locktype = 'advisory' AND classid = ${ALIVE_LOCK} AND objid = processes.nid::integer::oid AND objsubid = 2
      AND granted AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    WHERE processes.nid = ${column} AND processes.seen > clock_timestamp() - make_interval(secs => ${LEASE_SECONDS}))`;
}

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
  #nid = 0;
  #validUntil = 0;
  #session: Session | undefined;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> = Promise.resolve();
  #stopped = false;

  private constructor(database: Database, clock: Clock, address: string) {
    this.#database = database;
    this.#clock = clock;
    this.#address = address;
  }

  /** Registers this process. `address` is where the others reach it. */
  static async open(database: Database, clock: Clock, address: string): Promise<ProcessRegistration> {
    const registration = new ProcessRegistration(database, clock, address);
    await database.write(FORGET, []);
    await registration.#register();
    registration.#schedule();
    return registration;
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
    await this.#session?.end();
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      this.#beating = this.#beat().finally(() => {
        if (!this.#stopped) this.#schedule();
      });
    }, HEARTBEAT_MS);
    this.#timer.unref();
  }

  async #register(): Promise<void> {
    const validUntil = this.#clock.monotonic() + LEASE_SECONDS * 1000;
    const [row] = await this.#database.write(REGISTER, [this.#address]);
    if (row === undefined) throw new Error("the process was not registered");
    await this.#session?.end();
    this.#session = await holdLock(this.#database, row.nid);
    this.#nid = row.nid;
    this.#validUntil = validUntil;
  }

  async #beat(): Promise<void> {
    // Counted from before the question, so that a slow answer never makes the lease look longer than it is.
    const validUntil = this.#clock.monotonic() + LEASE_SECONDS * 1000;
    try {
      if (this.#session === undefined || this.#session.isLost()) this.#session = await holdLock(this.#database, this.#nid);
      const [seen] = await this.#database.write(SEEN, [this.#nid]);
      if (seen !== undefined) {
        this.#validUntil = validUntil;
        return;
      }
      const before = this.#nid;
      await this.#register();
      log.warn({ before, now: this.#nid }, "this process was silent too long and starts over with its rooms");
    } catch (error) {
      log.warn({ reason: error instanceof Error ? error.message : undefined }, "the heartbeat failed");
    }
  }
}

interface Session {
  isLost(): boolean;
  end(): Promise<void>;
}

/** Holds a process's lock for as long as the connection lasts. */
async function holdLock(database: Database, nid: number): Promise<Session> {
  const client = await database.connect();
  let lost = false;
  client.on("end", () => (lost = true));
  const { rows } = await client.query<{ held: boolean }>("SELECT pg_try_advisory_lock($1::integer, $2::integer) AS held", [
    ALIVE_LOCK,
    nid,
  ]);
  if (rows[0]?.held !== true) {
    // A connection that we have lost is still alive on the other side; the next heartbeat tries again.
    await client.end();
    throw new Error("the lock of this process is still held by a connection that was lost");
  }
  return { isLost: () => lost, end: () => client.end() };
}
