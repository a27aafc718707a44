// The users whose clients are syncing: in memory are the rooms they are joined to, so that the log's follower knows whom to
// wake and a sync near the head needs no query. Loaded once, kept up to date from the log, dropped when idle.
import { logger } from "../log.js";
import { ignoredUserIds } from "../rooms/ignored-users.js";
import type { Database } from "../storage/database.js";
import type { LogFollower } from "../storage/log.js";
import type { PositionedEntry } from "../storage/log-entry.js";
import { joinedRooms, membershipsOfUser } from "../storage/memberships.js";
import { MEMBERSHIPS } from "../storage/room-rows.js";

const log = logger("sync");

const IDLE_MS = 5 * 60_000;
const SWEEP_MS = 60_000;
/** How long changes of presence are collected before anyone is woken for them. */
const PRESENCE_MS = 500;

/** How many syncs may be open at a time. */
export interface SyncLimits {
  readonly perDevice: number;
  readonly perUser: number;
}

/** A user with open or recent syncs. */
export class WatchedUser {
  readonly user_nid: number;
  /** The rooms joined, by number, as of `exactFrom`; undefined while they are (again) being loaded. */
  rooms: ReadonlyMap<number, string> | undefined;
  /** Those of them of which only a part of the state is known. */
  partial: ReadonlySet<number> = new Set();
  /** The ids of the users whom they ignore. */
  ignored: ReadonlySet<string> = new Set();
  /** From this position on `rooms` and `ignored` are right, until a membership or the list of ignored users changes. */
  exactFrom = 0;
  /** Counts the wakings: whoever reads notes it before, and waits only if it is still the same after. */
  version = 0;
  readers = 0;
  lastUsed = 0;
  readonly #waiting = new Set<() => void>();
  /** Open syncs by device. */
  readonly #open = new Map<string | undefined, number>();
  #allOpen = 0;

  constructor(user_nid: number) {
    this.user_nid = user_nid;
  }

  /** Counts an open sync of a device, until `leave`; false, and nothing is counted, when there are enough. */
  enter(device: string | undefined, { perDevice, perUser }: SyncLimits): boolean {
    const open = this.#open.get(device) ?? 0;
    if (open >= perDevice || this.#allOpen >= perUser) return false;
    this.#open.set(device, open + 1);
    this.#allOpen += 1;
    return true;
  }

  leave(device: string | undefined): void {
    const left = (this.#open.get(device) ?? 1) - 1;
    if (left > 0) this.#open.set(device, left);
    else this.#open.delete(device);
    this.#allOpen -= 1;
  }

  wake(): void {
    this.version += 1;
    for (const resume of this.#waiting) resume();
  }

  /** Waits until the user was woken since `version` was read, or the time is over, or the signal aborts. */
  async woken(version: number, timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.version !== version || timeoutMs <= 0 || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const resume = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(resume);
        signal.removeEventListener("abort", resume);
        resolve();
      };
      const timer = setTimeout(resume, timeoutMs);
      this.#waiting.add(resume);
      signal.addEventListener("abort", resume);
    });
  }
}

interface Watched {
  readonly user: WatchedUser;
  /** The rooms under which the user is entered. */
  entered: ReadonlyMap<number, string>;
  loading: Promise<void> | undefined;
  stale: boolean;
}

export class WatchedUsers implements Disposable {
  readonly #database: Database;
  readonly #follower: LogFollower;
  readonly #users = new Map<number, Watched>();
  readonly #byRoom = new Map<number, Set<WatchedUser>>();
  readonly #sweep: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  /** Users whose presence changed and whose acquaintances have not been woken for it. */
  readonly #presences = new Set<number>();
  #presenceTimer: NodeJS.Timeout | undefined;

  constructor(database: Database, follower: LogFollower) {
    this.#database = database;
    this.#follower = follower;
    this.#unsubscribe = follower.subscribeToEntries((entries) => this.#moved(entries));
    this.#sweep = setInterval(() => this.#dropIdle(), SWEEP_MS).unref();
  }

  /** The user, watched from now on; `release` when the request ends. */
  async watch(user_nid: number): Promise<WatchedUser> {
    let watched = this.#users.get(user_nid);
    if (watched === undefined) {
      watched = { user: new WatchedUser(user_nid), entered: new Map(), loading: undefined, stale: true };
      this.#users.set(user_nid, watched);
    }
    watched.user.readers += 1;
    if (watched.user.rooms === undefined) await this.#load(watched);
    return watched.user;
  }

  release(user: WatchedUser): void {
    user.readers -= 1;
    user.lastUsed = performance.now();
  }

  /** Wakes those who are in a room, for what is not in the log. */
  wakeRoom(roomNid: number): void {
    for (const user of this.#byRoom.get(roomNid) ?? []) user.wake();
  }

  /** Whether a user shares a room with one who is watched. */
  async shareRoom({ rooms }: WatchedUser, other: number): Promise<boolean> {
    const theirs = (await this.#roomsOf(other)) ?? new Map<number, string>();
    if (rooms === undefined) return true;
    const [few, many] = rooms.size < theirs.size ? [rooms, theirs] : [theirs, rooms];
    for (const room of few.keys()) if (many.has(room)) return true;
    return false;
  }

  async #roomsOf(userNid: number): Promise<ReadonlyMap<number, string> | undefined> {
    const known = this.#users.get(userNid)?.user.rooms;
    if (known !== undefined) return known;
    const user = await this.watch(userNid);
    this.release(user);
    return user.rooms;
  }

  /** Wakes everyone who shares a room with these users. */
  async #wakeAcquaintances(users: readonly number[]): Promise<void> {
    const woken = new Set<WatchedUser>();
    for (const userNid of users) {
      for (const room of (await this.#roomsOf(userNid))?.keys() ?? []) {
        for (const user of this.#byRoom.get(room) ?? []) woken.add(user);
      }
    }
    for (const user of woken) user.wake();
  }

  get count(): number {
    return this.#users.size;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#sweep);
    clearTimeout(this.#presenceTimer);
    this.#unsubscribe();
    this.#users.clear();
    this.#byRoom.clear();
  }

  /** The head of the log moved: wakes whom the new entries concern. */
  #moved(entries: readonly PositionedEntry[] | undefined): void {
    if (entries === undefined) {
      for (const watched of this.#users.values()) this.#outdated(watched);
      return;
    }
    const woken = new Set<WatchedUser>();
    const devices = new Set<number>();
    for (const { kind, room_nid, user_nid, reference } of entries) {
      for (const user of (room_nid === undefined ? undefined : this.#byRoom.get(room_nid)) ?? []) {
        woken.add(user);
        const watched = room_nid !== undefined && kind === "invalidation" && user.partial.has(room_nid) ? this.#users.get(user.user_nid) : undefined;
        if (watched !== undefined) this.#outdated(watched);
      }
      if (user_nid === undefined) continue;
      if (kind === "presence") this.#presenceChanged(user_nid);
      if (kind === "device_list") devices.add(user_nid);
      const watched = this.#users.get(user_nid);
      if (watched === undefined || kind === "presence") continue;
      // Data of the account as a whole: it may be the list of ignored users.
      if (kind === "state_change" || (kind === "account_data" && reference === undefined)) this.#outdated(watched);
      else woken.add(watched.user);
    }
    for (const user of woken) user.wake();
    if (devices.size === 0) return;
    this.#wakeAcquaintances([...devices]).catch((error: unknown) => log.warn({ err: error }, "changes of devices could not be told"));
  }

  /** Presence is told in company: in a large room someone's changes all the time, and each would wake everybody. */
  #presenceChanged(userNid: number): void {
    this.#presences.add(userNid);
    this.#presenceTimer ??= setTimeout(() => {
      this.#presenceTimer = undefined;
      const users = [...this.#presences];
      this.#presences.clear();
      this.#wakeAcquaintances(users).catch((error: unknown) => log.warn({ err: error }, "presence could not be told"));
    }, PRESENCE_MS).unref();
  }

  /** A membership may have changed: until it is known which, the user's syncs ask the database. */
  #outdated(watched: Watched): void {
    watched.user.rooms = undefined;
    watched.stale = true;
    watched.user.wake();
    this.#load(watched).then(
      () => watched.user.wake(),
      (error: unknown) => log.warn({ err: error }, "the rooms of a user could not be read again"),
    );
  }

  /** Reads the user's rooms; once more if a membership changed meanwhile. */
  async #load(watched: Watched): Promise<void> {
    watched.loading ??= (async () => {
      try {
        while (watched.stale) {
          watched.stale = false;
          const head = this.#follower.head;
          const [rows, ignored] = await Promise.all([
            membershipsOfUser(this.#database, watched.user.user_nid),
            ignoredUserIds(this.#database, watched.user.user_nid),
          ]);
          watched.user.ignored = ignored;
          // The rows may be ahead of what the follower has told; they are right from the latest of them on.
          watched.user.exactFrom = rows.reduce((latest, { position }) => Math.max(latest, position), head);
          const joined = rows.filter(({ membership }) => membership === MEMBERSHIPS.join);
          watched.user.partial = new Set(joined.filter(({ partial }) => partial).map(({ room_nid }) => room_nid));
          // Memberships are kept of our users; those of others are wanted for whom they share rooms with.
          this.#setRooms(
            watched,
            rows.length === 0
              ? await joinedRooms(this.#database, watched.user.user_nid)
              : new Map(joined.map(({ room_nid, room_id }) => [room_nid, room_id])),
          );
        }
      } catch (error) {
        watched.stale = true;
        throw error;
      } finally {
        watched.loading = undefined;
      }
    })();
    await watched.loading;
  }

  #setRooms(watched: Watched, rooms: ReadonlyMap<number, string>): void {
    const { user } = watched;
    for (const room of watched.entered.keys()) {
      const users = this.#byRoom.get(room);
      if (rooms.has(room) || users === undefined) continue;
      users.delete(user);
      if (users.size === 0) this.#byRoom.delete(room);
    }
    for (const room of rooms.keys()) {
      let users = this.#byRoom.get(room);
      if (users === undefined) this.#byRoom.set(room, (users = new Set()));
      users.add(user);
    }
    watched.entered = rooms;
    user.rooms = rooms;
  }

  #dropIdle(): void {
    const now = performance.now();
    for (const [nid, watched] of this.#users) {
      const { user } = watched;
      if (user.readers > 0 || now - user.lastUsed < IDLE_MS || watched.loading !== undefined) continue;
      this.#setRooms(watched, new Map());
      this.#users.delete(nid);
    }
  }
}
