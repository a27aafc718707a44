// One server under measurement: its client, its processes where they are local, the users made so far.
import { randomBytes } from "node:crypto";
import { objectsAt, stringAt } from "../support/json-path.js";
import { BenchClient, WrongAnswer, type User } from "./client.js";
import { inParallel } from "./measure.js";
import { listenerOf, ProcessGroup, type Usage } from "./processes.js";

const SETUP_WIDTH = 8;
const LOCAL = new Set(["localhost", "127.0.0.1", "[::1]"]);
export const PASSWORD = "bench-password";
/** Who may search in what `fill.ts` has said, and the seed of its words. */
export const SEARCHER = "bench-searcher";
export const FILLED_VOCABULARY = "filled";

export interface Cost {
  /** Per 1,000 operations; absent when the target is not local. */
  readonly cpu_seconds?: number;
  readonly bytes_written?: number;
}

export class Target implements Disposable {
  readonly label: string;
  readonly url: string;
  readonly client: BenchClient;
  readonly processes: ProcessGroup | undefined;
  readonly #prefix = `bench-${randomBytes(4).toString("hex")}`;
  readonly #users: User[] = [];
  #names = 0;

  /** `spec` is a URL, and after commas further processes that belong to the server, such as its database. */
  constructor(label: string, spec: string) {
    const [url = "", ...processIds] = spec.split(",");
    const { hostname, port } = new URL(url);
    this.label = label;
    this.url = url;
    this.client = new BenchClient(url);
    const listener = LOCAL.has(hostname) ? listenerOf(Number(port)) : undefined;
    this.processes = listener === undefined ? undefined : new ProcessGroup([listener, ...processIds.map(Number)]);
  }

  [Symbol.dispose](): void {
    this.client[Symbol.dispose]();
  }

  /** A name nobody has had, for users and transactions. */
  freshName(): string {
    return `${this.#prefix}-${this.#names++}`;
  }

  /** The first `count` users of this run, registered when they are first asked for. */
  async users(count: number): Promise<User[]> {
    const missing = count - this.#users.length;
    const made = await inParallel(Math.max(0, missing), SETUP_WIDTH, () => this.client.register(this.freshName(), PASSWORD));
    this.#users.push(...made);
    return this.#users.slice(0, count);
  }

  async user(): Promise<User> {
    const [user] = await this.users(1);
    if (user === undefined) throw new Error("no user");
    return user;
  }

  /** A public room that `members` are in; the first made it. */
  async room(members: readonly User[]): Promise<string> {
    const [creator, ...others] = members;
    if (creator === undefined) throw new Error("a room needs a creator");
    const roomId = await this.client.createRoom(creator, "public_chat");
    await inParallel(others.length, SETUP_WIDTH, async (number) => {
      const other = others[number];
      if (other !== undefined) await this.client.join(other, roomId);
    });
    return roomId;
  }

  /** The event ids of a room's texts from the newest to the oldest, page by page; throws when paging does not end. */
  async history(user: User, roomId: string, limit: number): Promise<string[]> {
    const found: string[] = [];
    let from: string | undefined;
    for (let page = 0; page < 10_000; page++) {
      const answer = await this.client.messages(user, roomId, limit, from);
      for (const event of objectsAt(answer, "chunk")) {
        if (stringAt(event, "type") === "m.room.message") found.push(stringAt(event, "event_id") ?? "");
      }
      from = stringAt(answer, "end");
      if (from === undefined) return found;
    }
    throw new WrongAnswer(`/messages of ${roomId} does not end`);
  }

  /** Every acknowledged event is in its room's history exactly once, and no other. */
  async checkHistory(user: User, roomId: string, acknowledged: ReadonlySet<string>): Promise<void> {
    const found = await this.history(user, roomId, 100);
    const set = new Set(found);
    if (set.size !== found.length) throw new WrongAnswer(`${roomId}: /messages shows an event twice`);
    const missing = [...acknowledged].filter((eventId) => !set.has(eventId));
    if (missing.length > 0) throw new WrongAnswer(`${roomId}: ${missing.length} acknowledged events are missing, ${missing[0]} among them`);
    if (set.size !== acknowledged.size) throw new WrongAnswer(`${roomId}: ${set.size - acknowledged.size} events nobody sent`);
  }

  /** What `work` cost, in relation to the number of operations that it reports. */
  async costOf<T extends { readonly operations: number }>(work: () => Promise<T>): Promise<T & Cost> {
    const before = this.processes?.usage();
    const result = await work();
    const after = this.processes?.usage();
    if (before === undefined || after === undefined) return result;
    const per1000 = (of: (usage: Usage) => number): number => Math.round(((of(after) - of(before)) / result.operations) * 1_000_000) / 1_000;
    return { ...result, cpu_seconds: per1000((usage) => usage.cpu_seconds), bytes_written: Math.round(per1000((usage) => usage.bytes_written)) };
  }
}
