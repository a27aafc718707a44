// Transactions of other servers (server-server API, "Transactions"): events are kept before they are answered for, and worked
// into their rooms now or, if something is missing, again later.
import { MatrixError } from "../errors.js";
import { logger } from "../log.js";
import type { EventId, RoomId } from "../protocol/identifiers.js";
import { parseRoomId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, parseJson } from "../protocol/json.js";
import type { RoomEvent } from "../protocol/event.js";
import { CommitUnknownError, isConnectionLoss } from "../storage/database.js";
import { DIRECT_TO_DEVICE } from "../storage/destinations.js";
import {
  answeredTransaction,
  forgetInbound,
  noteAnsweredTransaction,
  placedEvents,
  removeStagedEvents,
  stageEvents,
  takeStagedEvents,
} from "../storage/inbound-federation.js";
import type { RoomContext } from "./context.js";
import { isKnownWell } from "../storage/memberships.js";
import { checkEvents } from "./check-events.js";
import { findRoom, type Room } from "./current-state.js";
import { takeBackOutside } from "./outside.js";
import { receiveEvents, type Sender } from "./receive.js";
import { requireAllowedServer } from "./server-view.js";

const log = logger("transactions");

/** How long a transaction waits for its events to be worked in before it is answered: they are kept anyway. */
const WAIT_MS = 10_000;
/** Nobody else takes up events while they are worked in; afterwards, if they are still there, again after a pause. */
const HOLD_MS = 60_000;
const PAUSE_MS = 30_000;
const LOOK_MS = 5_000;
const TAKE = 100;
const DAY_MS = 86_400_000;

/** Whether a fault is one of this moment. */
function passes(error: unknown): boolean {
  return isConnectionLoss(error) || error instanceof CommitUnknownError || (error instanceof MatrixError && error.status === 503);
}

/** What became of an event of a transaction: an empty object, or why it was refused. */
type EventResult = Readonly<Record<string, string>>;

/** Takes what other servers send. */
export class InboundTransactions implements AsyncDisposable {
  readonly #context: RoomContext;
  readonly #takeEdu: (sender: Sender, edu: JsonObject) => Promise<void>;
  /** Transactions that are being worked on: the same again gets the same answer. */
  readonly #running = new Map<string, Promise<string>>();
  /** What is worked in for each room: one after the other. */
  readonly #rooms = new Map<RoomId, Promise<unknown>>();
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
    for (const edu of edus) {
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
      const room = await findRoom(database, roomId);
      if (room === undefined) continue;
      const events = await this.#admissible(room, sender, wire, results);
      if (events.length === 0) continue;
      const now = clock.now();
      const staged = events.map(({ event_id, json }) => ({ room_id: roomId, event_id, json }));
      await stageEvents(database, sender.origin, staged, now, now + HOLD_MS);
      work.push(this.#work(room, sender, events, results));
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

  /** Works events into their room, after what is being worked in there; what is decided is no longer kept. */
  async #work(room: Room, sender: Sender, events: readonly RoomEvent[], results?: Map<EventId, EventResult>): Promise<void> {
    const before = this.#rooms.get(room.room_id) ?? Promise.resolve();
    const work = (async (): Promise<void> => {
      await before;
      if (this.#closed) return;
      if (!(await isKnownWell(this.#context.database, room.nid))) {
        // Nobody of ours is there: only the end of an invitation or a knock is for us.
        for (const event of events) await takeBackOutside(this.#context, room.rules, event);
        await removeStagedEvents(this.#context.database, events.map(({ event_id }) => ({ room_id: room.room_id, event_id })));
        return;
      }
      const outcomes = await receiveEvents(this.#context, room, sender, events);
      for (const [id, outcome] of outcomes) {
        if (outcome === "rejected") results?.set(id, { error: "The rules of the room do not allow this event." });
      }
      const undecided = await this.#undecided(events);
      const decided = events.filter(({ event_id }) => !undecided.has(event_id));
      await removeStagedEvents(this.#context.database, decided.map(({ event_id }) => ({ room_id: room.room_id, event_id })));
    })();
    const quiet = work.catch((error: unknown) => {
      log.warn({ origin: sender.origin, room: room.room_id, err: error }, "events could not be worked into their room; they are tried again");
    });
    this.#rooms.set(room.room_id, quiet);
    await quiet;
    if (this.#rooms.get(room.room_id) === quiet) this.#rooms.delete(room.room_id);
  }

  async #undecided(events: readonly RoomEvent[]): Promise<Set<EventId>> {
    const known = await placedEvents(this.#context.database, events.map(({ event_id }) => event_id));
    return new Set(events.map(({ event_id }) => event_id).filter((id) => !known.has(id)));
  }

  /** Takes up what could not be worked in, also what a process left behind that died. */
  async #retry(): Promise<void> {
    const { database, clock, servers } = this.#context;
    try {
      const now = clock.now();
      await forgetInbound(database, { transactions: now - DAY_MS, events: now - 3 * DAY_MS });
      const taken = await takeStagedEvents(database, now, PAUSE_MS, TAKE);
      const groups = new Map<string, typeof taken>();
      for (const event of taken) {
        const key = `${event.origin} ${event.room_id}`;
        groups.set(key, [...(groups.get(key) ?? []), event]);
      }
      for (const group of groups.values()) {
        const [first] = group;
        const room = first === undefined ? undefined : await findRoom(database, first.room_id);
        if (first === undefined || room === undefined) continue;
        const wire = group.map(({ json }) => parseJson(json, { numbers: "lexemes" }));
        const sender = { origin: first.origin, destination: servers.names[0] };
        const events = await this.#admissible(room, sender, wire, new Map());
        await this.#work(room, sender, events);
      }
    } catch (error) {
      log.warn({ err: error }, "events that wait could not be taken up");
    }
  }

  /** Waits for what is being worked in. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#closed = true;
    await Promise.all([this.#retrying, ...this.#rooms.values()]);
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
