// The member event of a user in a room, kept in memory for lazy loading: the same few people write most of what is synced.
import { LRUCache } from "lru-cache";
import type { Reads } from "../storage/statement.js";
import { currentMembers } from "../storage/sync.js";

const MEMBERS = 50_000;

export class CurrentMembers {
  readonly #reads: Reads;
  readonly #members = new LRUCache<string, Promise<number | undefined>>({ max: MEMBERS });

  constructor(reads: Reads) {
    this.#reads = reads;
  }

  /** The number of the user's member event in the room; undefined if there is none. */
  get(roomNid: number, userNid: number): Promise<number | undefined> {
    const key = `${roomNid} ${userNid}`;
    const known = this.#members.get(key);
    if (known !== undefined) return known;
    const loading = currentMembers(this.#reads, [[roomNid, userNid]]).then(([row]) => row?.event_nid);
    this.#members.set(key, loading);
    loading.catch(() => this.#members.delete(key));
    return loading;
  }

  /** Forgets a member: the log says that the membership changed. What is being read for it then counts for nobody else. */
  forget(roomNid: number, userNid: number): void {
    this.#members.delete(`${roomNid} ${userNid}`);
  }

  forgetAll(): void {
    this.#members.clear();
  }
}
