// The one committer of a process: whatever waits to be written, of all rooms and kinds, goes into the next transaction.
import { unknownError } from "../errors.js";
import type { Database, Tx } from "./database.js";
import { isConnectionLoss, sqlState } from "./database.js";
import type { LogEntry } from "./log-entry.js";
import { loneMessage } from "./lone-message.js";
import { type BoundStatement, type RoomRows, writeChanges } from "./room-rows.js";
import type { Statement } from "./statement.js";
import { messagesPut, messagesPutAlone, type SentMessages } from "./to-device.js";

/** A change that happens wholly or not at all. */
export interface CommitItem {
  readonly rows?: RoomRows;
  readonly statements?: readonly BoundStatement[];
  /** Messages to devices: those of all items are written by one statement. */
  readonly toDevice?: SentMessages;
  readonly entries: readonly LogEntry[];
}

interface Waiting {
  readonly item: CommitItem;
  readonly resolve: (position: number) => void;
  readonly reject: (error: unknown) => void;
}

const MAX_WAITING = 20_000;
/** Items of one transaction. More would not be faster per item, and a split would cost more. */
const MAX_ITEMS = 256;
/** Events, and messages to devices, of one transaction, so that it stays far below the statement timeout. */
const MAX_EVENTS = 5_000;

/** Hears the position and the entries of each transaction after it happened, and the users to whose pushers it owes something. */
export type OnCommit = (position: number, entries: readonly LogEntry[], pushed: readonly number[]) => void;

/** Groups changes into transactions, one at a time. */
export class Committer {
  readonly #database: Database;
  readonly #onCommit: OnCommit;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  constructor(database: Database, onCommit: OnCommit) {
    this.#database = database;
    this.#onCommit = onCommit;
  }

  /**
   * Writes a change; its position once it is durable. Throws what PostgreSQL said of this change alone (the others of its
   * transaction happen without it), CommitUnknownError if nobody can know, and M_UNKNOWN 503 if too much is waiting.
   */
  submit(item: CommitItem): Promise<number> {
    if (this.#waiting.length >= MAX_WAITING) {
      return Promise.reject(unknownError(503, "The server is busy: try again in a moment."));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Waits until everything that was submitted is decided. */
  async drain(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // What other events of this turn of the loop submit shall travel along.
    await nextTurn();
    while (this.#waiting.length > 0) {
      let events = 0;
      const cut = this.#waiting.findIndex(({ item }, index) => {
        events += (item.rows?.events?.length ?? 0) + (item.toDevice?.local.length ?? 0);
        return index > 0 && (index >= MAX_ITEMS || events > MAX_EVENTS);
      });
      await this.#commit(this.#waiting.splice(0, cut < 0 ? this.#waiting.length : cut));
      // Who was told, answers; those who have more to write at once travel with the next.
      await nextTurn();
    }
    this.#running = undefined;
  }

  /** Writes a group; if PostgreSQL refuses it, its halves, until what it objects to is alone. */
  async #commit(group: readonly Waiting[]): Promise<void> {
    try {
      const position = await write(this.#database, group.map(({ item }) => item));
      for (const { resolve } of group) resolve(position);
      // Who sent is answered before those are woken who read: a client that is shown its event first may take it for another.
      setImmediate(() => {
        const pushed = group.flatMap(({ item }) => item.rows?.pushes?.map(({ user_nid }) => user_nid) ?? []);
        this.#onCommit(position, group.flatMap(({ item }) => item.entries), pushed);
      });
    } catch (error) {
      if (group.length === 1 || isConnectionLoss(error) || sqlState(error) === undefined) {
        for (const { reject } of group) reject(error);
        return;
      }
      const middle = group.length >> 1;
      await this.#commit(group.slice(0, middle));
      await this.#commit(group.slice(middle));
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Writes a group: its position. Without statements of their own it is one statement, which is its own transaction. */
async function write(database: Database, items: readonly CommitItem[]): Promise<number> {
  const changes = items.flatMap(({ rows }) => rows ?? []);
  const entries = items.flatMap((item) => item.entries);
  const others = items.flatMap((item) => item.statements ?? []);
  const sent = items.flatMap(({ toDevice }) => toDevice ?? []);
  const [row] = await (changes.length + others.length === 0 && sent.length > 0
    ? written(database, messagesPutAlone(sent, entries), [])
    : written(database, loneMessage(changes, entries) ?? writeChanges(changes, entries), sent.length === 0 ? others : [...others, messagesPut(sent)]));
  if (row === undefined) throw new Error("a change took no position");
  return row.position;
}

type Positioned = { readonly statement: Statement<{ position: number }>; readonly values: readonly unknown[] };

async function written(database: Database, { statement, values }: Positioned, others: readonly BoundStatement[]): Promise<{ position: number }[]> {
  if (others.length === 0) return await database.execute(statement, values);
  return await database.transaction((tx) => {
    for (const other of others) if (other.atPosition !== true) void send(tx, other);
    const position = tx.query(statement, values);
    for (const other of others) if (other.atPosition === true) void send(tx, other);
    return position;
  });
}

/** Nothing is awaited before the end; a failure is the transaction's, which throws it there. */
async function send(tx: Tx, { statement, values }: BoundStatement): Promise<void> {
  await tx.query(statement, values).catch(() => undefined);
}
