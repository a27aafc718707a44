// What waits for a time of day: a clock that was ahead and is put right leaves it waiting for hours or days more. No pause of ours is
// longer than its table says, so a time beyond that was written by a clock that was ahead.
import type { Clock } from "../clock.js";
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const STEP_MS = 30_000;

/** Table, column, and the longest that anything is ever put off there, with room to spare. */
const PUT_OFF: readonly (readonly [table: string, column: string, longestMs: number])[] = [
  ["destinations", "retry_ts", 2 * HOUR_MS],
  ["destinations", "claimed_until_ts", 10 * MINUTE_MS],
  ["staged_events", "due_ts", 6 * HOUR_MS],
  ["pushers", "retry_ts", 2 * HOUR_MS],
  ["outbox", "due_ts", HOUR_MS],
  ["delayed_events", "claimed_until_ts", 5 * MINUTE_MS],
  ["room_entries", "due_ts", HOUR_MS],
  ["missing_events", "due_ts", 25 * HOUR_MS],
  ["remote_device_lists", "retry_ts", 2 * HOUR_MS],
  ["appservices", "retry_ts", 2 * HOUR_MS],
];

const SETTLE: readonly Statement[] = [
  ...PUT_OFF.map(([table, column, longestMs]) => ({
    name: "",
    text: `UPDATE ${table} SET ${column} = 0 WHERE ${column} > $1::bigint + ${longestMs}`,
  })),
  ...["admin_tasks", "membership_upkeep"].map((table) => ({
    name: "",
    text: `UPDATE ${table} SET claimed_until = now() WHERE isfinite(claimed_until) AND claimed_until > now() + interval '1 hour' AND $1::bigint > 0`,
  })),
  // A delayed event is never further away than its delay.
  { name: "", text: "UPDATE delayed_events SET running_since = $1, send_ts = $1::bigint + delay_ms WHERE finalised_ts IS NULL AND send_ts > $1::bigint + delay_ms" },
];

/** Makes due what was put off further than anything is, as seen from `now`. Takes a look at whole tables: for when a clock was put back. */
async function settlePutOff(database: Database, now: number): Promise<void> {
  for (const statement of SETTLE) await database.write(statement, [now]);
}

/** Notices that the wall clock was put back, and settles then what waits for it; also at the first look, for what happened before. */
export class ClockSteps {
  readonly #database: Database;
  readonly #clock: Clock;
  #ahead = Number.POSITIVE_INFINITY;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** To be called every few seconds. Tells by how many milliseconds the clock was put back, 0 where it was not. */
  async look(): Promise<number> {
    const ahead = this.#clock.now() - this.#clock.monotonic();
    const back = this.#ahead - ahead;
    // What keeping time takes is no step, and makes nothing wait.
    if (back < STEP_MS) {
      this.#ahead = Math.max(this.#ahead, ahead);
      return 0;
    }
    await settlePutOff(this.#database, this.#clock.now());
    this.#ahead = ahead;
    return back;
  }
}
