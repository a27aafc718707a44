// People who write, come, go and read over HTTP while the server is killed under them, and the record of what they were told.
import { setTimeout as sleep } from "node:timers/promises";
import { stringAt } from "../support/json-path.js";
import { matrixRequest, ok, UnexpectedAnswer, type MatrixRequest } from "../support/matrix-request.js";
import { SyncChain } from "../support/sync-chain.js";

const SENDERS = 10;
const GUESTS = 2;
const ROOMS = 4;
/** Timelines of the open syncs: of the server's usual length, so short that every answer leaves a gap, and long. */
const FILTERS = [undefined, '{"room":{"timeline":{"limit":1}}}', '{"room":{"timeline":{"limit":500}}}', undefined];
const POLL_MS = 1_000;
/** Longer than a restart of everything takes. A request that waits longer would never be answered. */
const ANSWER_MS = 90_000;
const PAUSE_MS = 20;
/** Who gives up on a request leaves the server alone for a while. */
const GIVE_UP_MS = 400;

export interface Person {
  readonly user_id: string;
  readonly request: MatrixRequest;
}

/** An event that somebody asked for. Its marker is in its content, so that it can be found without its id. */
export interface Attempt {
  readonly marker: string;
  readonly room: string;
  readonly person: Person;
  readonly path: string;
  readonly content: Readonly<Record<string, unknown>>;
  /** It has a transaction id: asked for again, it is the same event. */
  readonly repeatable: boolean;
  /** The event that it redacts. */
  readonly redacts?: string;
}

export interface Acknowledged extends Attempt {
  readonly event_id: string;
}

/** Whether an error says no more than that the server is away. */
function isOutage(error: unknown): boolean {
  // fetch: nobody listens, or the connection ended before the answer did.
  return error instanceof TypeError || (error instanceof UnexpectedAnswer && error.answer.status >= 500);
}

function roomPath(room: string, ...rest: readonly string[]): string {
  return ["/_matrix/client/v3/rooms", ...[room, ...rest].map(encodeURIComponent)].join("/");
}

export async function register(url: string, username: string): Promise<Person> {
  const body = { username, password: `secret of ${username}`, auth: { type: "m.login.dummy" } };
  const session = await ok(matrixRequest(url), "POST", "/_matrix/client/v3/register", body);
  const request = matrixRequest(url, stringAt(session, "access_token"));
  return {
    user_id: stringAt(session, "user_id") ?? "",
    request: (method, path, content) => request(method, path, content, AbortSignal.timeout(ANSWER_MS)),
  };
}

export class Traffic {
  readonly rooms: readonly string[];
  readonly chains: readonly SyncChain[];
  /** By marker: what was answered with an event id. */
  readonly acknowledged = new Map<string, Acknowledged>();
  /** By marker: what was asked for and not answered. */
  readonly unknown = new Map<string, Attempt>();
  /** What no client should ever be told. */
  readonly problems: string[] = [];
  /** Requests for events that wait for their answer. */
  inFlight = 0;
  readonly #senders: readonly Person[];
  readonly #guests: readonly Person[];
  readonly #next: () => number;
  #made = 0;
  #running = false;
  #workers: Promise<void>[] = [];

  private constructor(senders: readonly Person[], guests: readonly Person[], rooms: readonly string[], next: () => number) {
    this.#senders = senders;
    this.#guests = guests;
    this.#next = next;
    this.rooms = rooms;
    this.chains = FILTERS.map((filter, index) => {
      const { request } = senders[index] ?? this.reader;
      return new SyncChain(request, filter === undefined ? {} : { filter });
    });
  }

  /** Makes the people and their rooms; `next` gives numbers between 0 and 1. */
  static async prepare(url: string, next: () => number): Promise<Traffic> {
    const people = (name: string, count: number): Promise<Person[]> =>
      Promise.all(Array.from({ length: count }, (_, index) => register(url, `${name}${index}`)));
    const [senders, guests] = [await people("sender", SENDERS), await people("guest", GUESTS)];
    const rooms: string[] = [];
    for (const { request } of senders.slice(0, ROOMS)) {
      const options = { preset: "public_chat", power_level_content_override: { state_default: 0 } };
      const room = stringAt(await ok(request, "POST", "/_matrix/client/v3/createRoom", options), "room_id") ?? "";
      await Promise.all(senders.map((person) => ok(person.request, "POST", roomPath(room, "join"), {})));
      rooms.push(room);
    }
    const traffic = new Traffic(senders, guests, rooms, next);
    for (const chain of traffic.chains) await chain.step();
    return traffic;
  }

  /** How many ask for events, one after the other each. */
  get people(): number {
    return this.#senders.length + this.#guests.length;
  }

  /** Somebody who is in all rooms all the time. */
  get reader(): Person {
    const [first] = this.#senders;
    if (first === undefined) throw new Error("nobody is there");
    return first;
  }

  start(): void {
    this.#running = true;
    this.#workers = [
      ...this.#senders.map((person) => this.#talk(person)),
      ...this.#guests.map((person) => this.#comeAndGo(person)),
      ...this.chains.map((chain) => this.#follow(chain)),
    ];
  }

  /** Lets everybody finish what they are about. */
  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#workers.splice(0));
  }

  /** Asks for an event once: its id, or undefined where nobody can know. */
  async attempt(attempt: Attempt): Promise<string | undefined> {
    const { marker, person, path, content } = attempt;
    this.unknown.set(marker, attempt);
    this.inFlight += 1;
    try {
      const event_id = stringAt(await ok(person.request, "PUT", path, content), "event_id");
      if (event_id === undefined) throw new Error(`${marker} was answered without an event id`);
      this.unknown.delete(marker);
      this.acknowledged.set(marker, { ...attempt, event_id });
      return event_id;
    } catch (error) {
      if (!isOutage(error)) this.problems.push(`${marker}: ${String(error)}`);
      return undefined;
    } finally {
      this.inFlight -= 1;
    }
  }

  #pick<Item>(items: readonly Item[]): Item | undefined {
    return items[Math.floor(this.#next() * items.length)];
  }

  #state(person: Person, room: string, type: string, stateKey: string, content: Attempt["content"]): Attempt {
    const marker = `${type}-${(this.#made += 1)}`;
    const path = roomPath(room, "state", type, stateKey);
    return { marker, room, person, path, content: { ...content, marker }, repeatable: false };
  }

  #message(person: Person, room: string): Attempt {
    const marker = `message-${(this.#made += 1)}`;
    const path = roomPath(room, "send", "m.room.message", marker);
    return { marker, room, person, path, content: { msgtype: "m.text", body: marker, marker }, repeatable: true };
  }

  #redaction(person: Person, room: string, redacts: string): Attempt {
    const marker = `redaction-${(this.#made += 1)}`;
    const path = roomPath(room, "redact", redacts, marker);
    return { marker, room, person, path, content: { reason: "a slip", marker }, repeatable: true, redacts };
  }

  /** Messages most of the time, topics now and then, and now and then the last message is taken back. */
  async #talk(person: Person): Promise<void> {
    let last: { readonly room: string; readonly event_id: string } | undefined;
    while (this.#running) {
      const room = this.#pick(this.rooms) ?? "";
      const chance = this.#next();
      if (chance < 0.15) {
        await this.#insist(this.#state(person, room, "m.room.topic", "", { topic: `Topic ${this.#made}` }));
      } else if (chance < 0.25 && last !== undefined) {
        await this.#insist(this.#redaction(person, last.room, last.event_id));
        last = undefined;
      } else {
        const event_id = await this.#insist(this.#message(person, room));
        if (event_id !== undefined) last = { room, event_id };
      }
    }
  }

  /** Asks again under the same transaction id while there is no answer, or leaves it unknown. */
  async #insist(attempt: Attempt): Promise<string | undefined> {
    const persistent = attempt.repeatable && this.#next() < 0.6;
    for (;;) {
      const event_id = await this.attempt(attempt);
      if (event_id !== undefined) return event_id;
      if (!this.#running) return undefined;
      await sleep(persistent ? PAUSE_MS : GIVE_UP_MS);
      if (!persistent) return undefined;
    }
  }

  async #comeAndGo(person: Person): Promise<void> {
    const memberOf = (room: string, membership: string): Attempt =>
      this.#state(person, room, "m.room.member", person.user_id, { membership });
    while (this.#running) {
      const room = this.#pick(this.rooms) ?? "";
      // Who does not know whether they are in may always come in, but not always leave.
      if ((await this.#insist(memberOf(room, "join"))) !== undefined) await this.#insist(memberOf(room, "leave"));
    }
  }

  async #follow(chain: SyncChain): Promise<void> {
    while (this.#running) {
      try {
        await chain.step(POLL_MS);
      } catch (error) {
        if (!isOutage(error)) this.problems.push(`sync: ${String(error)}`);
        await sleep(PAUSE_MS);
      }
    }
  }
}
