// Joins through other servers that this process is at: what comes for a room in between is not for a room that nobody of ours is in.
import { setTimeout as sleep } from "node:timers/promises";
import type { RoomId, ServerName } from "../../protocol/identifiers.js";

export class JoinsUnderWay {
  /** By room, and by the server that lets us in. */
  readonly #joins = new Map<RoomId | ServerName, Set<Promise<unknown>>>();

  /** Does what joins a room through a server. */
  async during<Result>(roomId: RoomId, server: ServerName, join: () => Promise<Result>): Promise<Result> {
    const joining = join();
    const settled = joining.catch(() => undefined);
    for (const key of [roomId, server]) this.#joins.set(key, (this.#joins.get(key) ?? new Set()).add(settled));
    try {
      return await joining;
    } finally {
      for (const key of [roomId, server]) {
        const joins = this.#joins.get(key);
        joins?.delete(settled);
        if (joins?.size === 0) this.#joins.delete(key);
      }
    }
  }

  /** Waits until the joins of a room, or through a server, that are under way have succeeded or failed, at most so many milliseconds: whether there were any. */
  async settled(key: RoomId | ServerName, milliseconds: number): Promise<boolean> {
    const joins = this.#joins.get(key);
    if (joins === undefined) return false;
    const waiting = new AbortController();
    await Promise.race([Promise.all(joins), sleep(milliseconds, undefined, { signal: waiting.signal }).catch(() => undefined)]);
    waiting.abort();
    return true;
  }
}
