// The state of a room as another server gives it, with many events: read and checked in threads as it comes, written in pieces.
import { setTimeout as sleep } from "node:timers/promises";
import type { FederationRequest } from "../../federation/client.js";
import { logger } from "../../log.js";
import { type RoomEvent, storedEvent } from "../../protocol/event.js";
import type { EventId, RoomId, ServerName } from "../../protocol/identifiers.js";
import { type JsonObject, type JsonValue, own } from "../../protocol/json.js";
import type { ListElement } from "../../protocol/json-lists.js";
import type { RoomVersion } from "../../protocol/room-version.js";
import { noteProgress } from "../../storage/partial-state.js";
import type { RoomContext } from "../context.js";
import { EventBatch, type WireBatch } from "./event-batch.js";
import { inOrder } from "../owner/event-order.js";
import { readInThread } from "./event-threads.js";

const log = logger("federation");

/** What a server gives of a large room takes its time: milliseconds, and bytes. */
const STATE_MS = 300_000;
const STATE_BYTES = 512 * 1024 * 1024;
/** Events that a thread reads and checks at once, at most, and bytes. What is less as a whole needs no thread. */
const BATCH_EVENTS = 100;
const BATCH_BYTES = 64 * 1024;
/**
 * Batches that threads are at, at once: beyond that the other server waits, and what they answer comes little by little. Those that wait
 * for keys, which may take long, do not count.
 */
const MAX_BATCHES = 12;
const LOOK_MS = 2;
const LOG_EVERY = 5_000;
/** Events that are written at once. */
const WRITE_AT_ONCE = 1_000;
const NOTE_EVERY_MS = 250;

/** A room whose state is asked for. */
interface AskedRoom {
  readonly version: RoomVersion;
  readonly roomId: RoomId;
}

/** What a server gave of a room's state. */
export interface GivenState {
  /** The answer without its events. */
  readonly answer: JsonObject;
  /** The ids of the well-formed events of a list, in their order. */
  readonly ids: (list: string) => readonly EventId[];
  /** Those that are signed as they have to be, but for those that are known, and for those that somebody took. */
  readonly events: ReadonlyMap<EventId, RoomEvent>;
  /** Whether an event was among those, whoever has it now. */
  readonly isSigned: (id: EventId) => boolean;
}

/** What is asked for: lists of many events of a room. */
interface AskedEvents {
  readonly room: AskedRoom;
  readonly lists: readonly string[];
  /** Whether an event needs no check, since it is here. */
  readonly isKnown?: (id: EventId) => boolean;
  /** Is given events as soon as they are checked. */
  readonly take?: (events: readonly RoomEvent[]) => void;
}

/** Asks for lists of many events, and checks them while they come. Throws FederationError. */
export async function askForEvents({ federation }: Pick<RoomContext, "federation">, request: FederationRequest, asked: AskedEvents): Promise<GivenState> {
  const { lists } = asked;
  const reader = new StateReader(federation, request.destination, asked);
  try {
    const answer = await federation.client.requestLists({ ...request, timeoutMs: STATE_MS, maxBytes: STATE_BYTES }, lists, (elements) => reader.take(elements));
    await reader.end();
    return { answer, ids: (list) => reader.ids.flatMap((batch) => (batch.list === list ? batch.ids : [])), events: reader.events, isSigned: (id) => reader.signed.has(id) };
  } finally {
    await reader.settled();
  }
}

class StateReader {
  readonly events = new Map<EventId, RoomEvent>();
  readonly signed = new Set<EventId>();
  /** The well-formed events of each batch. */
  readonly ids: { readonly list: string; ids: readonly EventId[] }[] = [];
  readonly #federation: RoomContext["federation"];
  readonly #server: ServerName;
  readonly #room: AskedRoom;
  readonly #isKnown: (id: EventId) => boolean;
  readonly #take: (events: readonly RoomEvent[]) => void;
  readonly #underWay = new Set<Promise<void>>();
  #busy = 0;
  #list = "";
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #logged = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(federation: RoomContext["federation"], server: ServerName, { room, isKnown = () => false, take }: AskedEvents) {
    this.#federation = federation;
    this.#server = server;
    this.#room = room;
    this.#isKnown = isKnown;
    this.#take = take ?? ((events) => events.forEach((event) => this.events.set(event.event_id, event)));
  }

  async take(elements: readonly ListElement[]): Promise<void> {
    for (const { list, bytes } of elements) {
      if (list !== this.#list) this.#send(true);
      this.#list = list;
      this.#waiting.push(bytes);
      this.#bytes += bytes.length;
      if (this.#waiting.length >= BATCH_EVENTS || this.#bytes >= BATCH_BYTES) this.#send(false);
    }
    while (this.#busy >= MAX_BATCHES) await sleep(LOOK_MS);
    this.#throwFailure();
  }

  async end(): Promise<void> {
    this.#send(true);
    await this.settled();
    this.#throwFailure();
  }

  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #send(isLast: boolean): void {
    if (this.#waiting.length === 0) return;
    const ends: number[] = [];
    for (const bytes of this.#waiting) ends.push((ends.at(-1) ?? 0) + bytes.length);
    const batch: WireBatch = { roomId: this.#room.roomId, bytes: Buffer.concat(this.#waiting), ends };
    this.#waiting = [];
    this.#bytes = 0;
    const entry = { list: this.#list, ids: [] };
    this.ids.push(entry);
    const check = isLast && this.#underWay.size === 0 ? this.#checkHere(batch, entry) : this.#checkInThread(batch, entry);
    const work = check
      .catch((error: unknown) => (this.#failure ??= { error }))
      .then(() => void this.#underWay.delete(work));
    this.#underWay.add(work);
  }

  async #checkHere(batch: WireBatch, entry: { ids: readonly EventId[] }): Promise<void> {
    const read = new EventBatch(this.#room.version, batch);
    const wanted = this.#note(read.head.ids, entry);
    if (wanted.size > 0) this.#keep(read.check(await this.#federation.keyRing.untilWhen(read.head.wanted), wanted));
  }

  async #checkInThread(batch: WireBatch, entry: { ids: readonly EventId[] }): Promise<void> {
    const { head, check, forget } = await this.#counted(readInThread(this.#room.version, batch));
    try {
      const wanted = this.#note(head.ids, entry);
      if (wanted.size === 0) return;
      const keys = await this.#federation.keyRing.untilWhen(head.wanted);
      this.#keep(await this.#counted(check(keys, wanted)));
    } finally {
      forget();
    }
  }

  async #counted<Result>(work: Promise<Result>): Promise<Result> {
    this.#busy += 1;
    return await work.finally(() => (this.#busy -= 1));
  }

  /** Notes what a batch has: those of its events that are not known. */
  #note(ids: readonly EventId[], entry: { ids: readonly EventId[] }): Set<EventId> {
    entry.ids = ids;
    return new Set(ids.filter((id) => !this.#isKnown(id) && !this.signed.has(id)));
  }

  #keep(signed: readonly { readonly id: EventId; readonly json: string }[]): void {
    const events = signed.map(({ id, json }) => storedEvent(this.#room.version, id, json)).filter(({ event_id }) => !this.signed.has(event_id));
    for (const { event_id } of events) this.signed.add(event_id);
    this.#take(events);
    if (this.signed.size < this.#logged + LOG_EVERY) return;
    this.#logged = this.signed.size;
    log.info({ room: this.#room.roomId, server: this.#server, checked: this.signed.size }, "the state of a room is being read");
  }
}

/** Where the state of a room comes from. */
export interface Source extends AskedRoom {
  readonly roomNid: number;
  readonly server: ServerName;
  readonly create: EventId | undefined;
}

/** Writes many events that were checked, each after those that authorise it: while some are written, more may come. */
export class OutlierWriter {
  readonly #context: Pick<RoomContext, "database" | "owners">;
  readonly #source: Source;
  readonly #expected: number;
  /** What is here or will be written before whatever comes now. */
  readonly #placed: Set<EventId>;
  #ready: RoomEvent[] = [];
  /** What waits for others that authorise it, and by these others. */
  readonly #waiting = new Map<EventId, { readonly event: RoomEvent; missing: number }>();
  readonly #dependents = new Map<EventId, EventId[]>();
  #written = 0;
  #noted = -Infinity;
  #writing: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** `known` are events that are here, `expected` is how many are to come. */
  constructor(context: Pick<RoomContext, "database" | "owners">, source: Source, known: Iterable<EventId>, expected: number) {
    this.#context = context;
    this.#source = source;
    this.#expected = expected;
    this.#placed = new Set(known);
  }

  /** Events that came; each once. */
  add(events: Iterable<RoomEvent>): void {
    for (const event of events) {
      const missing = this.#authorisers(event).filter((id) => !this.#placed.has(id));
      if (missing.length === 0) this.#place(event);
      else {
        this.#waiting.set(event.event_id, { event, missing: missing.length });
        for (const id of missing) this.#dependents.set(id, [...(this.#dependents.get(id) ?? []), event.event_id]);
      }
    }
    if (this.#ready.length >= WRITE_AT_ONCE) this.#write(WRITE_AT_ONCE);
  }

  /** Writes what is left; nothing more comes. Throws what the writing threw. */
  async end(): Promise<void> {
    await this.settled();
    // Of what authorises them something is not among them: each is judged by what there is.
    this.#ready.push(...inOrder([...this.#waiting.values()].map(({ event }) => event), (event) => this.#authorisers(event)));
    this.#waiting.clear();
    this.#write(1);
    await this.settled();
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#written > 0) await this.#note();
  }

  /** Waits for what is being written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  // Where the room id implies the create event, nothing names it, and everything needs it.
  #authorisers({ event_id, auth_events }: RoomEvent): EventId[] {
    const { create } = this.#source;
    return [...new Set(create === undefined || event_id === create ? auth_events : [...auth_events, create])];
  }

  #place(first: RoomEvent): void {
    const placed = [first];
    for (let event = placed.pop(); event !== undefined; event = placed.pop()) {
      this.#placed.add(event.event_id);
      this.#ready.push(event);
      for (const id of this.#dependents.get(event.event_id) ?? []) {
        const waiting = this.#waiting.get(id);
        if (waiting === undefined) continue;
        waiting.missing -= 1;
        if (waiting.missing > 0) continue;
        this.#waiting.delete(id);
        placed.push(waiting.event);
      }
      this.#dependents.delete(event.event_id);
    }
  }

  /** Writes as long as so many events are ready. */
  #write(atLeast: number): void {
    this.#writing ??= this.#writeReady(atLeast)
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => (this.#writing = undefined));
  }

  async #writeReady(atLeast: number): Promise<void> {
    const { roomId, version, server } = this.#source;
    while (this.#ready.length >= atLeast && this.#failure === undefined) {
      const some = this.#ready.splice(0, WRITE_AT_ONCE);
      await this.#context.owners.receive(version, roomId, some.map((event) => ({ event, as: "outlier" as const })));
      this.#written += some.length;
      if (performance.now() < this.#noted + NOTE_EVERY_MS) continue;
      await this.#note();
      log.info({ room: roomId, server, written: this.#written, of: this.#expected }, "a room is being joined");
    }
  }

  async #note(): Promise<void> {
    this.#noted = performance.now();
    await noteProgress(this.#context.database, this.#source.roomNid, this.#written, this.#expected);
  }
}

/** A list in an answer; empty if it is none. */
export function listOf(answer: JsonObject, key: string): readonly JsonValue[] {
  const list = own(answer, key);
  return Array.isArray(list) ? list : [];
}
