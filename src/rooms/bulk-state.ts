// The state of a room as another server gives it, with many events: read and checked in threads as it comes, written in pieces.
import type { FederationRequest } from "../federation/client.js";
import { logger } from "../log.js";
import { type RoomEvent, storedEvent } from "../protocol/event.js";
import type { EventId, RoomId, ServerName } from "../protocol/identifiers.js";
import { type JsonObject, type JsonValue, own } from "../protocol/json.js";
import type { ListElement } from "../protocol/json-lists.js";
import type { RoomVersion } from "../protocol/room-version.js";
import { noteProgress } from "../storage/partial-state.js";
import type { RoomContext } from "./context.js";
import { EventBatch, type WireBatch } from "./event-batch.js";
import { inOrder } from "./event-order.js";
import { readInThread } from "./event-threads.js";

const log = logger("federation");

/** What a server gives of a large room takes its time: milliseconds, and bytes. */
const STATE_MS = 300_000;
const STATE_BYTES = 512 * 1024 * 1024;
/** Events that a thread reads and checks at once, at most, and bytes. What is less as a whole needs no thread. */
const BATCH_EVENTS = 100;
const BATCH_BYTES = 64 * 1024;
/** Batches that are under way at once: beyond that the other server waits. */
const MAX_BATCHES = 64;
const LOG_EVERY = 5_000;
/** Events that are written at once. */
const WRITE_AT_ONCE = 500;

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
  /** Those that are signed as they have to be, but for those that are known. */
  readonly events: Map<EventId, RoomEvent>;
}

/** Asks for lists of many events, and checks them while they come. Throws FederationError. */
export async function askForEvents(
  { federation }: Pick<RoomContext, "federation">,
  request: FederationRequest,
  room: AskedRoom,
  lists: readonly string[],
  isKnown: (id: EventId) => boolean = () => false,
): Promise<GivenState> {
  const reader = new StateReader(federation, request.destination, room, isKnown);
  try {
    const answer = await federation.client.requestLists({ ...request, timeoutMs: STATE_MS, maxBytes: STATE_BYTES }, lists, (elements) => reader.take(elements));
    await reader.end();
    return { answer, ids: (list) => reader.ids.flatMap((batch) => (batch.list === list ? batch.ids : [])), events: reader.events };
  } finally {
    await reader.settled();
  }
}

class StateReader {
  readonly events = new Map<EventId, RoomEvent>();
  /** The well-formed events of each batch. */
  readonly ids: { readonly list: string; ids: readonly EventId[] }[] = [];
  readonly #federation: RoomContext["federation"];
  readonly #server: ServerName;
  readonly #room: AskedRoom;
  readonly #isKnown: (id: EventId) => boolean;
  readonly #underWay = new Set<Promise<void>>();
  #list = "";
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #logged = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(federation: RoomContext["federation"], server: ServerName, room: AskedRoom, isKnown: (id: EventId) => boolean) {
    this.#federation = federation;
    this.#server = server;
    this.#room = room;
    this.#isKnown = isKnown;
  }

  async take(elements: readonly ListElement[]): Promise<void> {
    for (const { list, bytes } of elements) {
      if (list !== this.#list) this.#send(true);
      this.#list = list;
      this.#waiting.push(bytes);
      this.#bytes += bytes.length;
      if (this.#waiting.length >= BATCH_EVENTS || this.#bytes >= BATCH_BYTES) this.#send(false);
    }
    while (this.#underWay.size >= MAX_BATCHES) await Promise.race(this.#underWay);
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
    const { head, check, forget } = await readInThread(this.#room.version, batch);
    const wanted = this.#note(head.ids, entry);
    try {
      if (wanted.size > 0) this.#keep(await check(await this.#federation.keyRing.untilWhen(head.wanted), wanted));
    } finally {
      forget();
    }
  }

  /** Notes what a batch has: those of its events that are not known. */
  #note(ids: readonly EventId[], entry: { ids: readonly EventId[] }): Set<EventId> {
    entry.ids = ids;
    return new Set(ids.filter((id) => !this.#isKnown(id) && !this.events.has(id)));
  }

  #keep(signed: readonly { readonly id: EventId; readonly json: string }[]): void {
    for (const { id, json } of signed) this.events.set(id, storedEvent(this.#room.version, id, json));
    if (this.events.size < this.#logged + LOG_EVERY) return;
    this.#logged = this.events.size;
    log.info({ room: this.#room.roomId, server: this.#server, checked: this.events.size }, "the state of a room is being read");
  }
}

/** Where the state of a room comes from. */
export interface Source extends AskedRoom {
  readonly roomNid: number;
  readonly server: ServerName;
  readonly create: EventId;
}

/** Writes many events that were checked, each after those that authorise it. */
export async function writeOutliers(
  { database, owners }: Pick<RoomContext, "database" | "owners">,
  { server, version, roomId, roomNid, create }: Source,
  events: ReadonlyMap<EventId, RoomEvent>,
): Promise<void> {
  // Where the room id implies the create event, nothing names it, and everything needs it.
  const order = inOrder(events.values(), ({ auth_events }) => [...auth_events, create]);
  for (let start = 0; start < order.length; start += WRITE_AT_ONCE) {
    await owners.receive(version, roomId, order.slice(start, start + WRITE_AT_ONCE).map((event) => ({ event, as: "outlier" as const })));
    const written = Math.min(start + WRITE_AT_ONCE, order.length);
    await noteProgress(database, roomNid, written, order.length);
    log.info({ room: roomId, server, written, of: order.length }, "a room is being joined");
  }
}

/** A list in an answer; empty if it is none. */
export function listOf(answer: JsonObject, key: string): readonly JsonValue[] {
  const list = own(answer, key);
  return Array.isArray(list) ? list : [];
}
