// What is remembered of asking other servers for history: what is under way, and who helped.
import { LRUCache } from "lru-cache";
import type { RoomId, ServerName } from "../../protocol/identifiers.js";

const REMEMBERED_ROOMS = 1_000;

/** Fills gaps of each room one after the other, whoever wants them. */
export class Backfills {
  readonly #running = new Map<RoomId, Promise<boolean>>();
  /** Who gave something last. */
  readonly helpful = new LRUCache<RoomId, ServerName>({ max: REMEMBERED_ROOMS });

  /** Does `fill` for a room; where that is under way already, waits for it instead. */
  async one(roomId: RoomId, fill: () => Promise<boolean>): Promise<boolean> {
    const running = this.#running.get(roomId);
    if (running !== undefined) return await running;
    const filling = fill().finally(() => this.#running.delete(roomId));
    this.#running.set(roomId, filling);
    return await filling;
  }
}
