// Transactions of other servers (server-server API, "Transactions"): events are kept before they are answered for, and worked
// into their rooms now or, if something is missing, again later.
import { MatrixError } from "../../errors.js";
import { logger } from "../../log.js";
import type { EventId, RoomId } from "../../protocol/identifiers.js";
import { parseRoomId } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, parseJson, plainJson } from "../../protocol/json.js";
import type { RoomEvent } from "../../protocol/event.js";
import { CommitUnknownError, isConnectionLoss } from "../../storage/database.js";
import { DIRECT_TO_DEVICE } from "../../storage/destinations.js";
import {
  answeredTransaction,
  forgetInbound,
  noteAnsweredTransaction,
  placedEvents,
  removeStagedEvents,
  stageEvents,
  type StagedEvent,
  takeFreshEvents,
  takeStagedEvents,
} from "../../storage/inbound-federation.js";
import type { RoomContext } from "../context.js";
import { isKnownWell } from "../../storage/memberships.js";
import { checkEvents } from "./check-events.js";
import { findRoom, type Room } from "../current-state.js";
import { takeBackOutside } from "../membership/outside.js";
import { receiveEvents, type Sender, type SentEvents } from "./receive.js";
import { requireAllowedServer } from "../views/server-view.js";

const log = logger("transactions");

/** How long a transaction waits for its events to be worked in before it is answered: they are kept anyway. */
const WAIT_MS = 5_000;
/** Nobody else takes up events while they are worked in; afterwards, if they are still there, again after a pause. */
const HOLD_MS = 60_000;
/** How long what comes for a room waits for a join of ours. */
const JOIN_MS = 30_000;
const PAUSE_MS = 30_000;
const LOOK_MS = 5_000;
const TAKE = 100;
const DAY_MS = 86_400_000;
/** What is no event is nested no deeper than what our own users may send. */
const MAX_EDU_DEPTH = 100;
/** Events of a room, of whatever servers, that are worked in together; what a server sent together always is. */
const TOGETHER = 250;
/** What waits in memory for one room and for all of them, in bytes of JSON; the rest waits in the database. */
const MAX_ROOM_BYTES = 4 * 1024 * 1024;
const MAX_BYTES = 64 * 1024 * 1024;

/** Whether a fault is one of this moment. */
function passes(error: unknown): boolean {
  return isConnectionLoss(error) || error instanceof CommitUnknownError || (error instanceof MatrixError && error.status === 503);
}

/** What became of an event of a transaction: an empty object, or why it was refused. */
type EventResult = Readonly<Record<string, string>>;

/** Events of one transaction that wait to be worked into their room. */
interface Waiting extends SentEvents {
  readonly results: Map<EventId, EventResult>;
  readonly done: () => void;
}

/** What waits for a room in this process. */
interface RoomQueue {
  readonly waiting: Waiting[];
  /** What of it is not being worked in yet, in bytes. */
  bytes: number;
  /** More waits in the database than here. */
  overflowed: boolean;
  working: Promise<void>;
}

const bytesOf = (events: readonly RoomEvent[]): number => events.reduce((sum, { json }) => sum + json.length, 0);

/** Takes what other servers send. */
export class InboundTransactions implements AsyncDisposable {
  readonly #context: RoomContext;
  readonly #takeEdu: (sender: Sender, edu: JsonObject) => Promise<void>;
  /** Transactions that are being worked on: the same again gets the same answer. */
  readonly #running = new Map<string, Promise<string>>();
  /** What waits for each room, and what works it in until nothing does. */
  readonly #rooms = new Map<RoomId, RoomQueue>();
  #bytes = 0;
  readonly #timer: NodeJS.Timeout;
  #retrying: Promise<void> | undefined;
  #closed = false;

  constructor(context: RoomContext, takeEdu: (sender: Sender, edu: JsonObject) => Promise<void>) {
    this.#context = context;
    this.#takeEdu = takeEdu;
    this.#timer = setInterval(() => {
      this.#retrying ??= this.#retry().finally(() => (this.#retrying = undefined));
    }, LOOK_MS).unref();
  }

  /** Takes a transaction: the text of its answer. The same transaction again, even at the same time, is taken once. */
  async take(sender: Sender, txnId: string, pdus: readonly JsonValue[], edus: readonly JsonValue[]): Promise<string> {
    const { origin, destination } = sender;
    const key = `${origin} ${destination} ${txnId}`;
    const running = this.#running.get(key) ?? this.#takeOnce(sender, txnId, pdus, edus).finally(() => this.#running.delete(key));
    this.#running.set(key, running);
    return await running;
  }

  async #takeOnce(sender: Sender, txnId: string, pdus: readonly JsonValue[], edus: readonly JsonValue[]): Promise<string> {
    const { database, clock } = this.#context;
    const { origin, destination } = sender;
    const before = await answeredTransaction(database, origin, destination, txnId);
    if (before !== undefined) return before;
    const results = await this.#takeEvents(sender, pdus);
    for (const wire of edus) {
      const edu = plainJson(wire, MAX_EDU_DEPTH);
      if (!isObject(edu)) continue;
      try {
        await this.#takeEdu(sender, edu);
      } catch (error) {
        // Messages to devices are kept by their sender until we have them: it comes again if the fault is ours and passes.
        if (own(edu, "edu_type") === DIRECT_TO_DEVICE && passes(error)) throw error;
        // What else is ephemeral is not sent again for one that failed.
        log.info({ origin, edu_type: own(edu, "edu_type"), err: error }, "an ephemeral message was dropped");
      }
    }
    const answer = JSON.stringify({ pdus: Object.fromEntries(results) });
    await noteAnsweredTransaction(database, origin, destination, txnId, answer, clock.now());
    return answer;
  }

  async #takeEvents(sender: Sender, pdus: readonly JsonValue[]): Promise<Map<EventId, EventResult>> {
    const { database, clock } = this.#context;
    const results = new Map<EventId, EventResult>();
    const work: Promise<void>[] = [];
    for (const [roomId, wire] of byRoom(pdus)) {
      const room = (await findRoom(database, roomId)) ?? ((await this.#context.joins.settled(roomId, WAIT_MS)) ? await findRoom(database, roomId) : undefined);
      if (room === undefined) continue;
      const events = await this.#admissible(room, sender, wire, results);
      if (events.length === 0) continue;
      const now = clock.now();
      const staged = events.map(({ event_id, json }) => ({ room_id: roomId, event_id, json }));
      await stageEvents(database, sender.origin, staged, now, now + HOLD_MS);
      work.push(this.#work(room, { sender, events }, results));
    }
    await inTime(Promise.all(work), WAIT_MS);
    return results;
  }

  /** The events that pass the checks that need no state, and whose room lets their sender take part. */
  async #admissible(
    room: Room,
    { origin }: Sender,
    wire: readonly JsonValue[],
    results: Map<EventId, EventResult>,
  ): Promise<RoomEvent[]> {
    const checked = await checkEvents(this.#context.federation.keyRing, room.rules, wire);
    const allowed = await requireAllowedServer(this.#context, this.#context.database, room, origin).then(
      () => true,
      () => false,
    );
    const events: RoomEvent[] = [];
    for (const result of checked) {
      if ("refused" in result) {
        log.info({ origin, room: room.room_id, event: result.event_id, reason: result.refused }, "an event was dropped");
        if (result.event_id !== undefined) results.set(result.event_id, { error: result.refused });
        continue;
      }
      const { event } = result;
      if (!allowed) results.set(event.event_id, { error: "The room does not let this server take part." });
      else if (event.room_id === room.room_id) {
        results.set(event.event_id, {});
        events.push(event);
      }
    }
    return events;
  }

  /** What waits in memory, in bytes of JSON. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Works events into their room, after what is being worked in there, and with whatever else waits for that. Where too much waits
   * already, they are read again from the database when their turn comes.
   */
  #work(room: Room, sent: SentEvents, results = new Map<EventId, EventResult>()): Promise<void> {
    const running = this.#rooms.get(room.room_id);
    const bytes = bytesOf(sent.events);
    if (running !== undefined && (running.overflowed || running.bytes + bytes > MAX_ROOM_BYTES || this.#bytes + bytes > MAX_BYTES)) {
      running.overflowed = true;
      return running.working;
    }
    return new Promise<void>((done) => {
      const queue = running ?? { waiting: [], bytes: 0, overflowed: false, working: Promise.resolve() };
      queue.waiting.push({ ...sent, results, done });
      queue.bytes += bytes;
      this.#bytes += bytes;
      if (running !== undefined) return;
      this.#rooms.set(room.room_id, queue);
      queue.working = this.#workAll(room, queue);
    });
  }

  async #workAll(room: Room, queue: RoomQueue): Promise<void> {
    const { waiting } = queue;
    for (;;) {
      if (waiting.length === 0 && queue.overflowed) await this.#takeBack(room, queue);
      if (waiting.length === 0) break;
      let events = 0;
      const cut = waiting.findIndex((one, index) => {
        events += one.events.length;
        return index > 0 && events > TOGETHER;
      });
      const taken = waiting.splice(0, cut < 0 ? waiting.length : cut);
      const bytes = bytesOf(taken.flatMap((one) => one.events));
      queue.bytes -= bytes;
      this.#bytes -= bytes;
      await this.#workTogether(room, taken);
      for (const { done } of taken) done();
    }
    this.#rooms.delete(room.room_id);
  }

  /** Reads the next of a room's events that did not fit into memory. What fails here is taken up later as all that is kept. */
  async #takeBack(room: Room, queue: RoomQueue): Promise<void> {
    if (this.#closed) return;
    const { database, clock } = this.#context;
    try {
      queue.overflowed = false;
      const taken = await takeFreshEvents(database, room.room_id, clock.now() + HOLD_MS, TOGETHER);
      if (taken.length === TOGETHER) queue.overflowed = true;
      for (const { sent } of await this.#groups(taken)) {
        queue.waiting.push({ ...sent, results: new Map(), done: () => undefined });
        const bytes = bytesOf(sent.events);
        queue.bytes += bytes;
        this.#bytes += bytes;
      }
    } catch (error) {
      log.warn({ room: room.room_id, err: error }, "events that wait for a room could not be read");
    }
  }

  /** Works in what several servers sent; each alone where one of them may have kept others from being worked in. */
  async #workTogether(room: Room, sent: readonly Waiting[]): Promise<void> {
    if (this.#closed) return;
    let left: readonly Waiting[];
    try {
      left = await this.#workIn(room, sent);
    } catch (error) {
      log.warn({ origins: sent.map(({ sender }) => sender.origin), room: room.room_id, err: error }, "events could not be worked into their room; they are tried again");
      left = passes(error) ? [] : sent;
    }
    if (sent.length > 1) for (const one of left) await this.#workTogether(room, [one]);
  }

  /** Works events into their room; what is decided is no longer kept. Who had counted on events of others in vain is given back. */
  async #workIn(room: Room, sent: readonly Waiting[]): Promise<Waiting[]> {
    const { database } = this.#context;
    const all = sent.flatMap(({ events }) => events);
    const isKnown = (): Promise<boolean> => isKnownWell(database, room.nid);
    if (!(await isKnown()) && !((await this.#context.joins.settled(room.room_id, JOIN_MS)) && (await isKnown()))) {
      // Nobody of ours is there: only the end of an invitation or a knock is for us.
      for (const event of all) await takeBackOutside(this.#context, room.rules, event);
      await removeStagedEvents(database, all.map(({ event_id }) => ({ room_id: room.room_id, event_id })));
      return [];
    }
    // What the rules reject is taken all the same, as rejected: to be sent it again would change nothing, so the answer says no error.
    await receiveEvents(this.#context, room, sent);
    const undecided = await this.#undecided(all);
    const decided = all.filter(({ event_id }) => !undecided.has(event_id));
    await removeStagedEvents(database, decided.map(({ event_id }) => ({ room_id: room.room_id, event_id })));
    return sent.filter(({ events }) => {
      const own = new Set(events.map(({ event_id }) => event_id));
      const inVain = (id: EventId): boolean => undecided.has(id) && !own.has(id);
      return events.some(({ event_id, prev_events, auth_events }) => undecided.has(event_id) && [...prev_events, ...auth_events].some(inVain));
    });
  }

  async #undecided(events: readonly RoomEvent[]): Promise<Set<EventId>> {
    const known = await placedEvents(this.#context.database, events.map(({ event_id }) => event_id));
    return new Set(events.map(({ event_id }) => event_id).filter((id) => !known.has(id)));
  }

  /** Takes up what could not be worked in, also what a process left behind that died. */
  async #retry(): Promise<void> {
    const { database, clock } = this.#context;
    try {
      const now = clock.now();
      await forgetInbound(database, { transactions: now - DAY_MS, events: now - 3 * DAY_MS });
      const full = [...this.#rooms].flatMap(([roomId, { overflowed }]) => (overflowed ? [roomId] : []));
      const groups = await this.#groups(await takeStagedEvents(database, now, PAUSE_MS, TAKE, full));
      // One room that takes its time keeps no other one waiting.
      await Promise.all(groups.map(({ room, sent }) => this.#work(room, sent)));
    } catch (error) {
      log.warn({ err: error }, "events that wait could not be taken up");
    }
  }

  /** Kept events by their room and who sent them, those that pass the checks that need no state. */
  async #groups(taken: readonly StagedEvent[]): Promise<{ readonly room: Room; readonly sent: SentEvents }[]> {
    const { database, servers } = this.#context;
    const groups = new Map<string, StagedEvent[]>();
    for (const event of taken) {
      const key = `${event.origin} ${event.room_id}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [event]);
      else group.push(event);
    }
    const found: { readonly room: Room; readonly sent: SentEvents }[] = [];
    for (const group of groups.values()) {
      const [first] = group;
      const room = first === undefined ? undefined : await findRoom(database, first.room_id);
      if (first === undefined || room === undefined) continue;
      const wire = group.map(({ json }) => parseJson(json, { numbers: "lexemes" }));
      const sender = { origin: first.origin, destination: servers.names[0] };
      const events = await this.#admissible(room, sender, wire, new Map());
      if (events.length > 0) found.push({ room, sent: { sender, events } });
    }
    return found;
  }

  /** Waits for what is being worked in. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#closed = true;
    await Promise.all([this.#retrying, ...[...this.#rooms.values()].map(({ working }) => working)]);
  }
}

function byRoom(pdus: readonly JsonValue[]): Map<RoomId, JsonValue[]> {
  const rooms = new Map<RoomId, JsonValue[]>();
  for (const pdu of pdus) {
    const room = isObject(pdu) ? parseRoomId(own(pdu, "room_id")) : undefined;
    if (room !== undefined) rooms.set(room, [...(rooms.get(room) ?? []), pdu]);
  }
  return rooms;
}

async function inTime(work: Promise<unknown>, milliseconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise((resolve) => (timer = setTimeout(resolve, milliseconds)))]);
  clearTimeout(timer);
}
