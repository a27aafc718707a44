// When and from where devices were last used: collected in memory and written together.
import type { Clock } from "../clock.js";
import { logger } from "../log.js";
import type { Database } from "../storage/database.js";
import { noteSightings, type Sighting } from "../storage/devices.js";
import type { Requester } from "./requester.js";

const log = logger("accounts");

const WRITE_MS = 30_000;
const MAX_PENDING = 20_000;
const MAX_AGENT = 500;

/** What was not written when the process ends abruptly is lost: it only says when a device was last seen. */
export class LastSeen implements AsyncDisposable {
  private readonly database: Database;
  private readonly clock: Clock;
  private pending = new Map<string, Sighting>();
  private readonly timer: NodeJS.Timeout;

  constructor(database: Database, clock: Clock) {
    this.database = database;
    this.clock = clock;
    this.timer = setInterval(() => void this.write(), WRITE_MS);
    this.timer.unref();
  }

  note({ user_nid, device_id }: Requester, ip: string, userAgent: string): void {
    if (device_id === undefined) return;
    const key = `${user_nid} ${device_id}`;
    if (this.pending.size >= MAX_PENDING && !this.pending.has(key)) return;
    this.pending.set(key, { user_nid, device_id, ts: this.clock.now(), ip, user_agent: userAgent.slice(0, MAX_AGENT) });
  }

  /** Writes what has come together. */
  async write(): Promise<void> {
    if (this.pending.size === 0) return;
    // In one order everywhere, so that two processes that write the same devices do not wait for each other in a circle.
    const sightings = [...this.pending].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, sighting]) => sighting);
    this.pending = new Map();
    try {
      await this.database.transaction((tx) => noteSightings(tx, sightings));
    } catch (error) {
      log.warn({ err: error, devices: sightings.length }, "when devices were last seen could not be written");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.timer);
    await this.write();
  }
}
