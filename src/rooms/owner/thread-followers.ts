// Who follows the threads of a room, as the events of these threads are counted (MSC4306).
import { LRUCache } from "lru-cache";

/** One of our users who follows a thread. */
export interface Follower {
  readonly user_id: string;
  /** In the room: for others nothing counts. */
  joined: boolean;
}

const MAX_THREADS = 1_000;
/** More than a thread has: what keeps a room's memory small is that whole rooms are forgotten. */
const MAX_FOLLOWERS = 1_000_000;

export class ThreadFollowers {
  readonly #threads = new LRUCache<number, Map<number, Follower>>({
    max: MAX_THREADS,
    maxSize: MAX_FOLLOWERS,
    sizeCalculation: (followers) => followers.size + 1,
  });

  /** How many threads and followers are kept. */
  get size(): number {
    return this.#threads.calculatedSize;
  }

  /** Who follows a thread, by their numbers; undefined if that was not read. */
  of(root: number): ReadonlyMap<number, Follower> | undefined {
    return this.#threads.get(root);
  }

  set(root: number, followers: Map<number, Follower>): void {
    this.#threads.set(root, followers);
  }

  /** Forgets threads whose followers changed; all of them where it is not known which. */
  forget(roots: readonly number[] | undefined): void {
    if (roots === undefined) this.#threads.clear();
    else for (const root of roots) this.#threads.delete(root);
  }

  /** A user is in the room from now on, or no longer. */
  noteMember(userNid: number, joined: boolean): void {
    for (const followers of this.#threads.values()) {
      const follower = followers.get(userNid);
      if (follower !== undefined) follower.joined = joined;
    }
  }
}
