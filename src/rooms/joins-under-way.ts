// Joins through other servers that this process is at: what comes for a room in between is not for a room that nobody of ours is in.
import { setTimeout as sleep } from "node:timers/promises";
import type { RoomId } from "../protocol/identifiers.js";

export class JoinsUnderWay {
  readonly #rooms = new Map<RoomId, Set<Promise<unknown>>>();

  /** Does what joins a room. */
  async during<Result>(roomId: RoomId, join: () => Promise<Result>): Promise<Result> {
    const joins = this.#rooms.get(roomId) ?? new Set();
    this.#rooms.set(roomId, joins);
    const joining = join();
    const settled = joining.catch(() => undefined);
    joins.add(settled);
    try {
      return await joining;
    } finally {
      joins.delete(settled);
      if (joins.size === 0) this.#rooms.delete(roomId);
    }
  }

  /** Waits until the joins of a room that are under way have succeeded or failed, at most so many milliseconds: whether there were any. */
  async settled(roomId: RoomId, milliseconds: number): Promise<boolean> {
    const joins = this.#rooms.get(roomId);
    if (joins === undefined) return false;
    const waiting = new AbortController();
    await Promise.race([Promise.all(joins), sleep(milliseconds, undefined, { signal: waiting.signal }).catch(() => undefined)]);
    waiting.abort();
    return true;
  }
}
