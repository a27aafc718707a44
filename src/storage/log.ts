// The log as it is read: by ranges, by readers with a cursor, and by the one follower of each process.
import type { Clock } from "../clock.js";
import { logger } from "../log.js";
import type { Bus } from "./bus.js";
import type { Database, Tx } from "./database.js";
import { epochs, type Epoch } from "./epoch.js";
import { LOG_COLUMNS, LOG_KINDS, type LogEntry, type LogKind, type LogRow, type PositionedEntry, toEntry } from "./log-entry.js";
import type { Statement } from "./statement.js";

const log = logger("log");

/** The bus channel on which processes hint that the log has grown. */
export const LOG_CHANNEL = "log";

const HEAD: Statement<{ head: number }> = {
  name: "log_head", // log_pkey, from its end
  text: "SELECT coalesce(max(position), 0) AS head FROM log",
};

/** The largest position that is visible. */
export async function logHead(database: Database): Promise<number> {
  const [row] = await database.read(HEAD, []);
  return row?.head ?? 0;
}

const RANGE: Statement<LogRow> = {
  name: "log_range", // log_pkey
  text: `SELECT ${LOG_COLUMNS} FROM log WHERE position > $1 AND position <= $2 AND kind = ANY($3) ORDER BY position, index`,
};
const RANGE_OF_ROOMS: Statement<LogRow> = {
  name: "log_range_of_rooms", // log_room
  text: `SELECT ${LOG_COLUMNS} FROM log WHERE room_nid = ANY($4) AND position > $1 AND position <= $2 AND kind = ANY($3)
    ORDER BY position, index`,
};
const RANGE_OF_USERS: Statement<LogRow> = {
  name: "log_range_of_users", // log_user
  text: `SELECT ${LOG_COLUMNS} FROM log WHERE user_nid = ANY($4) AND position > $1 AND position <= $2 AND kind = ANY($3)
    ORDER BY position, index`,
};

/** Which entries of a range are wanted: of some kinds, and of some rooms or of some users. */
export interface LogSelection {
  readonly kinds: readonly LogKind[];
  readonly rooms?: readonly number[];
  readonly users?: readonly number[];
}

/** The entries with positions in (after, upTo]. */
export async function readLog(
  database: Database,
  range: { readonly after: number; readonly upTo: number },
  selection: LogSelection,
): Promise<PositionedEntry[]> {
  const values = [range.after, range.upTo, selection.kinds.map((kind) => LOG_KINDS[kind])];
  if (selection.rooms !== undefined) {
    return (await database.read(RANGE_OF_ROOMS, [...values, selection.rooms])).map(toEntry);
  }
  if (selection.users !== undefined) {
    return (await database.read(RANGE_OF_USERS, [...values, selection.users])).map(toEntry);
  }
  return (await database.read(RANGE, values)).map(toEntry);
}

const PAGE = 2_000;

const NEXT_PAGE: Statement<LogRow> = {
  name: "log_next_page", // log_pkey
  text: `SELECT ${LOG_COLUMNS} FROM log WHERE position > $1 ORDER BY position, index LIMIT ${PAGE}`,
};
const AT_POSITION: Statement<LogRow> = {
  name: "log_at_position", // log_pkey
  text: `SELECT ${LOG_COLUMNS} FROM log WHERE position = $1 ORDER BY index`,
};

/** What a reader did with the log. */
export interface Advance {
  /** The number of entries that it applied. */
  readonly applied: number;
  /** Whether more were there already: else it may wait for news, and for others to join them. */
  readonly more: boolean;
}

/** Some entries after a position, of whole positions only; none if it is the head. */
async function nextPage(read: Database["read"], after: number): Promise<{ readonly entries: PositionedEntry[]; readonly more: boolean }> {
  const rows = await read(NEXT_PAGE, [after]);
  const last = rows.at(-1);
  if (last === undefined || rows.length < PAGE) return { entries: rows.map(toEntry), more: false };
  // The last position may go on behind the page; all of a transaction becomes visible at once, also here.
  const whole = rows.filter((row) => row.position < last.position);
  return { entries: (whole.length > 0 ? whole : await read(AT_POSITION, [last.position])).map(toEntry), more: true };
}

/** Who follows the log through a cursor. */
export interface LogReader {
  /** The name of the cursor. */
  readonly name: string;
  /** What follows from entries, written in the transaction that also moves the cursor past them. */
  apply(tx: Tx, entries: readonly PositionedEntry[]): Promise<void>;
}

const MAKE_CURSOR: Statement = {
  name: "log_cursor_make",
  text: "INSERT INTO log_cursors (name, position) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING",
};
const HOLD_CURSOR: Statement<{ position: number }> = {
  name: "log_cursor_hold",
  text: "SELECT position FROM log_cursors WHERE name = $1 FOR UPDATE SKIP LOCKED",
};
const MOVE_CURSOR: Statement = {
  name: "log_cursor_move",
  text: "UPDATE log_cursors SET position = $2 WHERE name = $1",
};

const NOTHING: Advance = { applied: 0, more: false };

/**
 * Lets a reader apply the next entries after its cursor, a page of them at most. The cursor's row is held meanwhile, so
 * that of several processes one does it; the others apply nothing. Throws what `apply` throws, with nothing done.
 */
export async function advanceReader(database: Database, reader: LogReader): Promise<Advance> {
  return await database.transaction(async (tx) => {
    await tx.query(MAKE_CURSOR, [reader.name]);
    const [cursor] = await tx.query(HOLD_CURSOR, [reader.name]);
    if (cursor === undefined) return NOTHING;
    const { entries, more } = await nextPage((statement, values) => tx.query(statement, values), cursor.position);
    const last = entries.at(-1);
    if (last === undefined) return NOTHING;
    await reader.apply(tx, entries);
    await tx.query(MOVE_CURSOR, [reader.name, last.position]);
    return { applied: entries.length, more };
  });
}

/** Entries that a process keeps in memory, so that what is near the head needs no query. */
const TAIL_ENTRIES = 20_000;
const FOLLOW_EVERY_MS = 1_000;
const BEHIND_MS = 5_000;

/** Whoever is to be woken when an entry of one of its rooms or users appears. */
export interface Subscription {
  /** Also wakes for these from now on. */
  add(keys: { readonly rooms?: Iterable<number>; readonly users?: Iterable<number> }): void;
  close(): void;
}

/** Reads the head of the log for a whole process: keeps the newest entries at hand and wakes whom they concern. */
export class LogFollower {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #unsubscribe: () => void;
  #head: number;
  /** The largest position that this process was told of. */
  #told: number;
  #epochs: readonly Epoch[];
  #losses: number;
  #current: number;
  #tailStart: number;
  #tail: PositionedEntry[] = [];
  #byRoom = new Map<number, PositionedEntry[]>();
  #byUser = new Map<number, PositionedEntry[]>();
  readonly #rooms = new Map<number, Set<Waiter>>();
  readonly #users = new Map<number, Set<Waiter>>();
  readonly #all = new Set<Waiter>();
  readonly #rewound = new Set<Waiter>();
  #reading: Promise<void> | undefined;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  private constructor(database: Database, bus: Bus, clock: Clock, head: number, all: readonly Epoch[], losses: number) {
    this.#database = database;
    this.#clock = clock;
    this.#head = head;
    this.#told = head;
    this.#epochs = all;
    this.#losses = losses;
    this.#tailStart = head;
    this.#current = clock.monotonic();
    this.#unsubscribe = bus.subscribe(LOG_CHANNEL, (position) => this.tell(Number(position)));
    this.#timer = setInterval(() => this.hurry(), FOLLOW_EVERY_MS).unref();
  }

  /** Starts to follow at the head of the log. */
  static async start(database: Database, bus: Bus, clock: Clock): Promise<LogFollower> {
    const { losses } = database;
    const all = await epochs(database);
    return new LogFollower(database, bus, clock, await logHead(database), all, losses);
  }

  /** The epochs of the database, the current one last. */
  get epochs(): readonly Epoch[] {
    return this.#epochs;
  }

  /** Calls `handler` when the database turns out to have another history than before: nothing read from it counts any more. */
  onNewEpoch(handler: () => void): () => void {
    const waiter = new Waiter(handler);
    this.#rewound.add(waiter);
    return () => this.#rewound.delete(waiter);
  }

  /** The largest position that was read: everything up to it is complete here. */
  get head(): number {
    return this.#head;
  }

  /** False if this process may not know what happened in the last seconds: then it must not answer. */
  get healthy(): boolean {
    return this.#clock.monotonic() - this.#current < BEHIND_MS;
  }

  /** Notes that a position was committed, here or elsewhere. */
  tell(position: number): void {
    if (position <= this.#head) return;
    this.#told = Math.max(this.#told, position || 0);
    this.hurry();
  }

  /** Reads as soon as possible. */
  hurry(): void {
    if (this.#stopped) return;
    if (this.#reading !== undefined) {
      this.#again = true;
      return;
    }
    this.#reading = this.#read().finally(() => {
      this.#reading = undefined;
      if (this.#again && !this.#stopped) {
        this.#again = false;
        this.hurry();
      }
    });
  }

  /**
   * Takes the entries of a position that this process has just committed: if it is the one after the head, nothing can have
   * come between, and what is known need not be read.
   */
  committed(position: number, entries: readonly LogEntry[]): void {
    if (this.#stopped || position <= this.#head) return;
    if (position === this.#head + 1 && this.#reading === undefined && entries.length > 0) {
      this.#take(entries.map((entry) => ({ ...entry, position })));
    } else this.hurry();
  }

  /** Calls `wake` for every new position with an entry of one of the rooms or users; register first, then read. */
  subscribe(keys: { readonly rooms?: Iterable<number>; readonly users?: Iterable<number> }, wake: () => void): Subscription {
    const waiter = new Waiter(wake);
    const add: Subscription["add"] = ({ rooms = [], users = [] }) => {
      for (const room of rooms) waiter.enter(this.#rooms, room);
      for (const user of users) waiter.enter(this.#users, user);
    };
    add(keys);
    return { add, close: () => waiter.leave() };
  }

  /** Calls `wake` whenever the head moves. */
  subscribeToAll(wake: () => void): () => void {
    const waiter = new Waiter(wake);
    this.#all.add(waiter);
    return () => this.#all.delete(waiter);
  }

  /**
   * Gives `take` the entries that appear, once they may have; undefined where it is not known what has changed, since memory does
   * not reach back so far or another epoch began, be it at the same head. What it gives ends it.
   */
  subscribeToEntries(take: (entries: readonly PositionedEntry[] | undefined) => void): () => void {
    let seen = this.#head;
    let epochs = this.#epochs.length;
    return this.subscribeToAll(() => {
      const range = { after: seen, upTo: this.#head };
      const isSameHistory = this.#epochs.length === epochs;
      seen = range.upTo;
      epochs = this.#epochs.length;
      take(isSameHistory ? this.allEntries(range) : undefined);
    });
  }

  /**
   * The entries of a room after a position and up to another, from memory; undefined if memory does not reach back so far:
   * then `readLog` has them; nor if the head was taken back.
   */
  roomEntries(room: number, range: { readonly after: number; readonly upTo: number }): readonly PositionedEntry[] | undefined {
    return this.#entries(this.#byRoom.get(room), range);
  }

  /** As roomEntries, for a user. */
  userEntries(user: number, range: { readonly after: number; readonly upTo: number }): readonly PositionedEntry[] | undefined {
    return this.#entries(this.#byUser.get(user), range);
  }

  /** As roomEntries, for everyone. */
  allEntries(range: { readonly after: number; readonly upTo: number }): readonly PositionedEntry[] | undefined {
    return this.#entries(this.#tail, range);
  }

  /**
   * Waits until what this process was told of by now has been read, be it by its own writers: what a client was told is done, its next
   * request is to find.
   */
  async caughtUp(): Promise<void> {
    // A reading that is under way may have begun before what was told last; the one behind it has not.
    for (let readings = 0; readings < 2 && this.#told > this.#head; readings += 1) await this.#reading;
  }

  /** Waits until the head has reached a position that another process gave out: false if it did not in time. */
  async reached(position: number, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.#head >= position) return true;
    return await new Promise<boolean>((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", finish);
        unsubscribe();
        resolve(this.#head >= position);
      };
      const timer = setTimeout(finish, timeoutMs);
      const unsubscribe = this.subscribeToAll(() => {
        if (this.#head >= position) finish();
      });
      signal?.addEventListener("abort", finish);
      this.hurry();
    });
  }

  async close(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe();
    clearInterval(this.#timer);
    await this.#reading;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #entries(
    entries: readonly PositionedEntry[] | undefined,
    { after, upTo }: { readonly after: number; readonly upTo: number },
  ): readonly PositionedEntry[] | undefined {
    if (after < this.#tailStart || upTo < after) return undefined;
    if (entries === undefined) return [];
    return entries.slice(firstAfter(entries, after), firstAfter(entries, upTo));
  }

  async #read(): Promise<void> {
    try {
      for (let more = true; more && !this.#stopped; ) {
        const asked = this.#clock.monotonic();
        await this.#compareEpochs();
        const page = await nextPage((statement, values) => this.#database.read(statement, values), this.#head);
        this.#take(page.entries);
        ({ more } = page);
        if (!more) this.#current = asked;
      }
    } catch (error) {
      log.warn({ reason: error instanceof Error ? error.message : undefined }, "the head of the log cannot be read");
    }
  }

  /** After a lost connection: is it still the database that it was? */
  async #compareEpochs(): Promise<void> {
    const { losses } = this.#database;
    if (losses === this.#losses) return;
    const all = await epochs(this.#database);
    const changed = all.at(-1)?.epoch !== this.#epochs.at(-1)?.epoch;
    this.#epochs = all;
    if (changed) {
      log.warn({ epoch: all.at(-1) }, "the database has another history than before: all that was read from it is forgotten");
      this.#head = await logHead(this.#database);
      this.#told = this.#head;
      this.#tailStart = this.#head;
      this.#tail = [];
      this.#byRoom = new Map();
      this.#byUser = new Map();
      for (const waiter of [...this.#rewound, ...this.#all]) waiter.wake();
    }
    this.#losses = losses;
  }

  #take(entries: readonly PositionedEntry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    const woken = new Set(this.#all);
    for (const entry of entries) {
      this.#index(entry);
      if (entry.room_nid !== undefined) for (const waiter of this.#rooms.get(entry.room_nid) ?? []) woken.add(waiter);
      if (entry.user_nid !== undefined) for (const waiter of this.#users.get(entry.user_nid) ?? []) woken.add(waiter);
    }
    this.#head = last.position;
    if (this.#tail.length > TAIL_ENTRIES * 1.5) this.#shorten();
    for (const waiter of woken) waiter.wake();
  }

  #index(entry: PositionedEntry): void {
    this.#tail.push(entry);
    if (entry.room_nid !== undefined) push(this.#byRoom, entry.room_nid, entry);
    if (entry.user_nid !== undefined) push(this.#byUser, entry.user_nid, entry);
  }

  #shorten(): void {
    const from = this.#tail[this.#tail.length - TAIL_ENTRIES];
    if (from === undefined) return;
    // Whole positions only: what is at or before the new start must be read from the table.
    this.#tailStart = from.position;
    const kept = this.#tail.slice(firstAfter(this.#tail, from.position));
    this.#tail = [];
    this.#byRoom = new Map();
    this.#byUser = new Map();
    for (const entry of kept) this.#index(entry);
  }
}

/** One subscriber and where it is entered. */
class Waiter {
  readonly wake: () => void;
  readonly #places: { readonly map: Map<number, Set<Waiter>>; readonly key: number }[] = [];

  constructor(wake: () => void) {
    this.wake = () => {
      try {
        wake();
      } catch (error) {
        log.error({ err: error }, "a follower of the log failed");
      }
    };
  }

  enter(map: Map<number, Set<Waiter>>, key: number): void {
    let waiters = map.get(key);
    if (waiters === undefined) map.set(key, (waiters = new Set()));
    if (waiters.has(this)) return;
    waiters.add(this);
    this.#places.push({ map, key });
  }

  leave(): void {
    for (const { map, key } of this.#places.splice(0)) {
      const waiters = map.get(key);
      waiters?.delete(this);
      if (waiters?.size === 0) map.delete(key);
    }
  }
}

function push(index: Map<number, PositionedEntry[]>, key: number, entry: PositionedEntry): void {
  const entries = index.get(key);
  if (entries === undefined) index.set(key, [entry]);
  else entries.push(entry);
}

/** The index of the first entry after a position, in entries sorted by position. */
function firstAfter(entries: readonly PositionedEntry[], position: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((entries[middle]?.position ?? Infinity) <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}
