// The scenarios: each sets up what it needs on a target, loads it, checks the answers, and gives its numbers.
import { setTimeout as sleep } from "node:timers/promises";
import { type JsonObject, objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { WrongAnswer, type User } from "./client.js";
import { ENCRYPTION_SCENARIOS } from "./encryption-scenarios.js";
import { closedLoop, inParallel, latencyOf, openLoop } from "./measure.js";
import { FILLED_VOCABULARY, PASSWORD, SEARCHER, type Target } from "./target.js";
import { Vocabulary, type WordClass } from "./vocabulary.js";

export type Numbers = Readonly<Record<string, number>>;

export interface Scenario {
  readonly name: string;
  /** `seconds`: how long each measured load lasts. */
  readonly run: (target: Target, seconds: number) => Promise<Numbers>;
}

/** The open loop runs at this share of what the closed loop has found to be possible. */
const OPEN_SHARE = 0.7;
const WARM_UP_SECONDS = 2;

/** `senders` people send into `rooms` rooms: first as fast as they are answered, then at a fixed rate below that. */
function sending(senders: number, rooms: number): Scenario {
  return {
    name: senders === 1 && rooms === 1 ? "send, sequential" : `send, ${senders} senders, ${rooms} rooms`,
    async run(target, seconds) {
      const users = await target.users(senders);
      const places = await inParallel(rooms, 8, async (number) => {
        const members = users.filter((_, index) => (senders >= rooms ? index % rooms === number : number % senders === index));
        return { members, roomId: await target.room(members), acknowledged: new Set<string>() };
      });
      const operation = async (number: number): Promise<void> => {
        const place = places[number % rooms];
        const sender = place?.members[Math.floor(number / rooms) % place.members.length];
        if (place === undefined || sender === undefined) throw new Error("a room without a sender");
        const eventId = await target.client.send(sender, place.roomId, target.freshName(), `message ${number}`);
        if (place.acknowledged.has(eventId)) throw new WrongAnswer(`two messages were given the event id ${eventId}`);
        place.acknowledged.add(eventId);
      };
      await closedLoop(senders, WARM_UP_SECONDS, operation);
      const most = await target.costOf(() => closedLoop(senders, seconds, operation));
      const steady = await openLoop(Math.max(1, most.per_second * OPEN_SHARE), seconds, operation);
      for (const { members, roomId, acknowledged } of places) {
        const [reader] = members;
        if (reader !== undefined) await target.checkHistory(reader, roomId, acknowledged);
      }
      return { ...most, open_rate: steady.per_second, open_median_ms: steady.median_ms, open_p99_ms: steady.p99_ms };
    },
  };
}

const FANOUT_RATE = 10;
/** Ten messages a second are few: with the usual length the 99th percentile would be the slowest but one of fifty. */
const FANOUT_LENGTHS = 6;
/** What has not arrived this long after the last message was sent counts as missed. */
const DELIVERY_MS = 30_000;
const FANOUT_FILTER = JSON.stringify({
  presence: { types: [] },
  account_data: { types: [] },
  room: { ephemeral: { types: [] }, account_data: { types: [] }, state: { lazy_load_members: true }, timeline: { limit: 50 } },
});

/** One device that is always in /sync, and when it got which message. */
class Listener {
  readonly arrivals = new Map<string, number>();
  repeated = 0;
  readonly #target: Target;
  readonly #user: User;
  readonly #roomId: string;
  #since: string | undefined;

  constructor(target: Target, user: User, roomId: string) {
    this.#target = target;
    this.#user = user;
    this.#roomId = roomId;
  }

  /** One sync; the first gives what the client starts from, later ones wait for news. */
  async step(timeoutMs: number): Promise<void> {
    const answer = await this.#target.client.sync(this.#user, {
      timeoutMs,
      filter: FANOUT_FILTER,
      ...(this.#since === undefined ? {} : { since: this.#since }),
    });
    const now = performance.now();
    const first = this.#since === undefined;
    this.#since = stringAt(answer, "next_batch");
    if (this.#since === undefined) throw new WrongAnswer("a sync without next_batch");
    if (first) return;
    for (const event of objectsAt(objectAt(answer, "rooms", "join"), this.#roomId, "timeline", "events")) {
      const body = stringAt(event, "content", "body");
      if (body === undefined) continue;
      if (this.arrivals.has(body)) this.repeated++;
      else this.arrivals.set(body, now);
    }
  }
}

/** One room, `clients` open syncs, ten messages a second: how long until the last client has each of them. */
function fanOut(clients: number): Scenario {
  return {
    name: `fan-out to ${clients} syncs`,
    async run(target, seconds) {
      const users = await target.users(clients + 1);
      const [sender, ...readers] = users;
      if (sender === undefined) throw new Error("no sender");
      const roomId = await target.room(users);
      const listeners = readers.map((user) => new Listener(target, user, roomId));
      await inParallel(listeners.length, 16, async (number) => listeners[number]?.step(0));
      const closing = new AbortController();
      const running = Promise.all(
        listeners.map(async (listener) => {
          while (!closing.signal.aborted) await listener.step(10_000);
        }),
      );
      await sleep(2_000);
      // Both ends are compiled by what they run: a new process needs a second of this load until it is what it stays.
      await openLoop(FANOUT_RATE, 2 * WARM_UP_SECONDS, async (number) => {
        await target.client.send(sender, roomId, target.freshName(), `warm-up ${number}`);
      });
      const started: { body: string; intended: number }[] = [];
      const operation = async (number: number): Promise<void> => {
        const body = `fan-out ${number}`;
        started.push({ body, intended: begin + (number / FANOUT_RATE) * 1_000 });
        await target.client.send(sender, roomId, target.freshName(), body);
      };
      const begin = performance.now();
      const load = await Promise.race([
        target.costOf(() => openLoop(FANOUT_RATE, seconds * FANOUT_LENGTHS, operation)),
        // Ends only by the failure of a listener: the loop above must not outlive it.
        running.then(() => Promise.reject(new Error("the listeners ended"))),
      ]);
      const deadline = performance.now() + DELIVERY_MS;
      while (performance.now() < deadline && listeners.some(({ arrivals }) => started.some(({ body }) => !arrivals.has(body)))) await sleep(20);
      closing.abort();
      // A last message lets every waiting sync come back.
      await target.client.send(sender, roomId, target.freshName(), "the end");
      await running;
      const last: number[] = [];
      const each: number[] = [];
      let missed = 0;
      for (const { body, intended } of started) {
        const delays = listeners.flatMap((listener) => {
          const arrival = listener.arrivals.get(body);
          return arrival === undefined ? [] : [arrival - intended];
        });
        missed += listeners.length - delays.length;
        each.push(...delays);
        last.push(delays.reduce((latest, delay) => Math.max(latest, delay), 0));
      }
      const delivery = latencyOf(each);
      const lastClient = latencyOf(last);
      return {
        operations: load.operations,
        per_second: load.per_second,
        median_ms: delivery.median_ms,
        p99_ms: delivery.p99_ms,
        last_median_ms: lastClient.median_ms,
        last_p99_ms: lastClient.p99_ms,
        missed,
        repeated: listeners.reduce((sum, listener) => sum + listener.repeated, 0),
        generator_lag_ms: load.generator_lag_ms,
        ...(load.cpu_seconds === undefined ? {} : { cpu_seconds: load.cpu_seconds }),
        ...(load.bytes_written === undefined ? {} : { bytes_written: load.bytes_written }),
      };
    },
  };
}

const WAITING_USERS = 500;
const SYNCS_OF_EACH = 4;
const WARM_UP_SYNCS = 20_000;

/**
 * Resident memory per sync that waits. The garbage of a young heap is larger than what waits, so the heap is first brought
 * to its usual size by syncs that do not wait.
 */
const waitingSyncs: Scenario = {
  name: "memory of waiting syncs",
  async run(target) {
    const users = await target.users(WAITING_USERS);
    await target.room(users);
    const since = await inParallel(users.length, 16, async (number) => stringAt(await sync(number, 0), "next_batch"));
    await inParallel(WARM_UP_SYNCS, 32, (number) => sync(number % users.length, 0, since[number % users.length]));
    const before = target.processes?.memory();
    const waiting = Promise.all(Array.from({ length: WAITING_USERS * SYNCS_OF_EACH }, (_, number) => sync(number % users.length, 20_000, since[number % users.length])));
    await sleep(10_000);
    const after = target.processes?.memory();
    await waiting;
    return before === undefined || after === undefined
      ? {}
      : {
          syncs: WAITING_USERS * SYNCS_OF_EACH,
          server_mb_before: megabytes(before.server_bytes),
          server_mb_waiting: megabytes(after.server_bytes),
          server_kb_per_sync: kilobytesEach(after.server_bytes - before.server_bytes),
          all_kb_per_sync: kilobytesEach(after.all_bytes - before.all_bytes),
        };

    function sync(number: number, timeoutMs: number, from?: string): Promise<JsonObject> {
      const user = users[number];
      if (user === undefined) throw new Error("no such user");
      return target.client.sync(user, { timeoutMs, filter: FANOUT_FILTER, ...(from === undefined ? {} : { since: from }) });
    }
  },
};

function kilobytesEach(bytes: number): number {
  return Math.round(bytes / 1_024 / (WAITING_USERS * SYNCS_OF_EACH));
}

const MESSAGES_PER_ROOM = 5;
const INITIAL_SYNCS = 10;

/** The first sync of somebody who is in many rooms. */
function initialSync(rooms: number): Scenario {
  return {
    name: `initial sync of ${rooms} rooms`,
    async run(target) {
      const user = await target.client.register(target.freshName(), PASSWORD);
      const other = await target.user();
      const roomIds = await inParallel(rooms, 8, async () => {
        const roomId = await target.room([user, other]);
        for (let number = 0; number < MESSAGES_PER_ROOM; number++) await target.client.send(other, roomId, target.freshName(), `message ${number}`);
        return roomId;
      });
      const samples: number[] = [];
      const load = await target.costOf(async () => {
        for (let number = 0; number < INITIAL_SYNCS; number++) {
          const start = performance.now();
          // Each asks a little differently: an answer kept from the one before would measure nothing.
          const filter = JSON.stringify({ room: { timeline: { limit: 10 + number } } });
          const answer = await target.client.sync(user, { filter });
          samples.push(performance.now() - start);
          const joined = objectAt(answer, "rooms", "join");
          for (const roomId of roomIds) {
            const texts = objectsAt(joined, roomId, "timeline", "events").filter((event) => stringAt(event, "type") === "m.room.message");
            if (texts.length !== MESSAGES_PER_ROOM) throw new WrongAnswer(`${roomId}: ${texts.length} of ${MESSAGES_PER_ROOM} messages in the first sync`);
          }
        }
        return { operations: INITIAL_SYNCS };
      });
      return { ...load, ...latencyOf(samples) };
    },
  };
}

const WALK_MESSAGES = 1_000;
const WALK_PAGE = 100;
const WALKS = 5;

const messagesWalk: Scenario = {
  name: `/messages walk, ${WALK_MESSAGES} events`,
  async run(target) {
    const user = await target.user();
    const roomId = await target.room([user]);
    const sent = await inParallel(WALK_MESSAGES, 8, (number) => target.client.send(user, roomId, target.freshName(), `message ${number}`));
    const acknowledged = new Set(sent);
    const samples: number[] = [];
    const load = await target.costOf(async () => {
      for (let walk = 0; walk < WALKS; walk++) {
        const start = performance.now();
        const found = await target.history(user, roomId, WALK_PAGE);
        samples.push(performance.now() - start);
        if (found.length !== acknowledged.size || !found.every((eventId) => acknowledged.has(eventId))) {
          throw new WrongAnswer(`${roomId}: the walk found ${found.length} of ${acknowledged.size} messages`);
        }
      }
      return { operations: WALKS * WALK_MESSAGES };
    });
    return { ...load, ...latencyOf(samples) };
  },
};

const DEEP_MESSAGES = 100_000;
const DEEP_PAGES = 100;

/** A room with a long history: its oldest pages must cost what its newest cost. */
const deepHistory: Scenario = {
  name: `/messages of a room of ${DEEP_MESSAGES} events`,
  async run(target) {
    const user = await target.user();
    const roomId = await target.room([user]);
    await inParallel(DEEP_MESSAGES, 32, (number) => target.client.send(user, roomId, target.freshName(), `message ${number}`));
    const samples: number[] = [];
    let seen = 0;
    let from: string | undefined;
    do {
      const start = performance.now();
      const answer = await target.client.messages(user, roomId, WALK_PAGE, from);
      samples.push(performance.now() - start);
      seen += objectsAt(answer, "chunk").filter((event) => stringAt(event, "type") === "m.room.message").length;
      from = stringAt(answer, "end");
    } while (from !== undefined);
    if (seen !== DEEP_MESSAGES) throw new WrongAnswer(`${roomId}: the walk found ${seen} of ${DEEP_MESSAGES} messages`);
    const [newest, oldest] = [latencyOf(samples.slice(0, DEEP_PAGES)), latencyOf(samples.slice(-DEEP_PAGES))];
    return { newest_median_ms: newest.median_ms, newest_p99_ms: newest.p99_ms, oldest_median_ms: oldest.median_ms, oldest_p99_ms: oldest.p99_ms };
  },
};

const HIERARCHY_PAGE = 50;
const HIERARCHY_PAGES = 40;

/** The first page of a space: it must cost the same however many rooms the space has. */
function hierarchy(rooms: number): Scenario {
  return {
    name: `hierarchy of ${rooms} rooms`,
    async run(target) {
      const user = await target.user();
      const space = await target.client.createSpace(user);
      await inParallel(rooms, 8, async () => target.client.addToSpace(user, space, await target.room([user])));
      const samples: number[] = [];
      const load = await target.costOf(async () => {
        for (let page = 0; page < HIERARCHY_PAGES; page++) {
          const start = performance.now();
          const answer = await target.client.hierarchy(user, space, HIERARCHY_PAGE);
          samples.push(performance.now() - start);
          const found = objectsAt(answer, "rooms").length;
          if (found !== Math.min(HIERARCHY_PAGE, rooms + 1)) throw new WrongAnswer(`${space}: a page of ${found} rooms`);
        }
        return { operations: HIERARCHY_PAGES };
      });
      return { ...load, ...latencyOf(samples) };
    },
  };
}

const SEARCH_ROOMS = 100;
const SEARCH_MESSAGES = 20_000;
const SEARCHES = 500;

/** Searches for words that are rare, less rare and everywhere, in what this scenario has said before. */
const searching: Scenario = {
  name: `search in ${SEARCH_MESSAGES} messages of ${SEARCH_ROOMS} rooms`,
  async run(target) {
    const user = await target.user();
    const rooms = await inParallel(SEARCH_ROOMS, 8, () => target.room([user]));
    const vocabulary = new Vocabulary(target.freshName());
    await inParallel(SEARCH_MESSAGES, 32, (number) =>
      target.client.send(user, rooms[number % SEARCH_ROOMS] ?? "", target.freshName(), vocabulary.message()),
    );
    return await searchMix(target, user, vocabulary);
  },
};

/** The same in what fill.ts has put there; nothing to measure where it has not. */
const searchingFilled: Scenario = {
  name: "search in a filled database",
  async run(target) {
    let user: User;
    try {
      user = await target.client.login(SEARCHER, PASSWORD);
    } catch (error) {
      if (error instanceof WrongAnswer) return {};
      throw error;
    }
    return await searchMix(target, user, new Vocabulary(FILLED_VOCABULARY));
  },
};

/** The mix of searches, on whatever the user can see of messages of the vocabulary. */
async function searchMix(target: Target, user: User, vocabulary: Vocabulary): Promise<Numbers> {
  const samples: number[] = [];
  const byClass: Record<WordClass, number[]> = { rare: [], medium: [], common: [] };
  let found = 0;
  for (let number = 0; number < SEARCHES; number++) {
    const { word, wordClass } = vocabulary.searched();
    const start = performance.now();
    const answer = await target.client.search(user, word);
    const took = performance.now() - start;
    samples.push(took);
    byClass[wordClass].push(took);
    for (const result of objectsAt(answer, "search_categories", "room_events", "results")) {
      found++;
      if (!(stringAt(result, "result", "content", "body") ?? "").includes(word)) throw new WrongAnswer(`a search for ${word} found something else`);
    }
  }
  if (found === 0) throw new WrongAnswer("no search found anything");
  const p95 = (list: readonly number[]): number => Math.round((list.toSorted((a, b) => a - b)[Math.floor(list.length * 0.95)] ?? 0) * 100) / 100;
  return {
    ...latencyOf(samples),
    p95_ms: p95(samples),
    rare_p95_ms: p95(byClass.rare),
    medium_p95_ms: p95(byClass.medium),
    common_p95_ms: p95(byClass.common),
    results_per_search: found / SEARCHES,
  };
}

const ACCOUNT_WORKERS = 4;

const registering: Scenario = {
  name: "register",
  run: (target, seconds) =>
    target.costOf(() => closedLoop(ACCOUNT_WORKERS, seconds, () => target.client.register(target.freshName(), PASSWORD))).then((load) => ({ ...load })),
};

const loggingIn: Scenario = {
  name: "login",
  async run(target, seconds) {
    const name = target.freshName();
    const { userId } = await target.client.register(name, PASSWORD);
    const load = await target.costOf(() =>
      closedLoop(ACCOUNT_WORKERS, seconds, async () => {
        const user = await target.client.login(name, PASSWORD);
        if (user.userId !== userId) throw new WrongAnswer(`logged in as ${user.userId} instead of ${userId}`);
      }),
    );
    return { ...load };
  },
};

function megabytes(bytes: number): number {
  return Math.round(bytes / 1_048_576);
}

const idle: Scenario = {
  name: "idle memory",
  async run(target) {
    await sleep(2_000);
    const memory = target.processes?.memory();
    return memory === undefined ? {} : { server_mb: megabytes(memory.server_bytes), all_mb: megabytes(memory.all_bytes) };
  },
};

export const SCENARIOS: readonly Scenario[] = [
  idle,
  registering,
  loggingIn,
  sending(1, 1),
  sending(1, 32),
  sending(8, 1),
  sending(8, 32),
  sending(32, 1),
  sending(32, 32),
  messagesWalk,
  initialSync(50),
  deepHistory,
  initialSync(300),
  initialSync(1_000),
  hierarchy(50),
  hierarchy(500),
  hierarchy(1_000),
  searching,
  searchingFilled,
  fanOut(100),
  fanOut(500),
  fanOut(1_000),
  waitingSyncs,
  ...ENCRYPTION_SCENARIOS,
];
