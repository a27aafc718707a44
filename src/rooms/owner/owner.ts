// Every room has one owner among the processes. Whoever wants to write asks here: the owner does it, wherever it runs.
import { randomBytes, randomInt } from "node:crypto";
import { forbidden, MatrixError, notFound, unknownError } from "../../errors.js";
import { logger } from "../../log.js";
import { buildEvent } from "../../protocol/event-format.js";
import { parseEventId, parseRoomId, type RoomId, serverNameOf, type UserId } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import type { RoomVersion } from "../../protocol/room-version.js";
import type { CommitItem } from "../../storage/committer.js";
import { CommitUnknownError, isConnectionLoss, sqlState, violatedConstraint } from "../../storage/database.js";
import { LEASE_SECONDS, type ProcessRegistration } from "../../storage/processes.js";
import { FENCED } from "../../storage/room-rows.js";
import { claimRoom, roomOwner } from "../../storage/rooms.js";
import { type DraftResult, resultsFromJson, resultsToJson, type RoomDraft } from "./draft.js";
import { bytesOf, loadRoomMemory, newRoomMemory } from "./room-memory.js";
import { outcomesFromJson, outcomesToJson, type Received, type ReceivedEvent, receivedFromJson, receivedToJson } from "./received-event.js";
import type { RoomServices } from "./room-services.js";
import { RoomLostError, RoomWorker } from "./room-worker.js";

const log = logger("rooms");

/** How one process asks another. `method` is what `RoomOwners.methods` of the other answers to. */
export interface OwnerTransport {
  call(address: string, method: string, payload: unknown): Promise<unknown>;
}

export interface RoomCreation {
  readonly version: RoomVersion;
  readonly creator: UserId;
  /** The content of the create event. */
  readonly content: JsonObject;
  /** The events that follow the create event, in their order. */
  readonly drafts: (roomId: RoomId) => readonly RoomDraft[];
  /** What is written in the same transaction: an alias, a directory entry. */
  readonly alongside?: (room: { readonly room_nid: number; readonly room_id: RoomId }) => CommitItem;
}

export interface CreatedRoom {
  readonly room_id: RoomId;
  readonly room_nid: number;
  readonly position: number;
}

const SUBMIT = "rooms/submit";
const RECEIVE = "rooms/receive";
const COMPLETE = "rooms/complete";
/** How much of its bound the memory of rooms is brought down to when it has gone over it. */
const KEPT_SHARE = 0.9;
const ATTEMPTS = 8;
const RETRY_MS = 250;

/** The rooms that this process owns, and the way to those of others. */
export class RoomOwners {
  /** What other processes may ask of this one. */
  readonly methods: ReadonlyMap<string, (payload: unknown) => Promise<unknown>>;
  readonly #services: RoomServices;
  readonly #registration: ProcessRegistration;
  readonly #transport: OwnerTransport;
  // In the order of last use.
  readonly #workers = new Map<RoomId, Promise<RoomWorker | undefined>>();
  readonly #loaded = new Map<RoomId, RoomWorker>();
  readonly #maxBytes: number;
  /** What the rooms took when they were last used. */
  readonly #sizes = new Map<RoomId, number>();
  #bytes = 0;

  /** Keeps the memory of rooms below `maxBytes`, as far as they are not in use. */
  constructor(services: RoomServices, registration: ProcessRegistration, transport: OwnerTransport, maxBytes: number) {
    this.#services = services;
    this.#maxBytes = maxBytes;
    this.#registration = registration;
    this.#transport = transport;
    this.methods = new Map([
      [SUBMIT, (payload: unknown) => this.#submitted(payload)],
      [RECEIVE, (payload: unknown) => this.#received(payload)],
      [COMPLETE, (payload: unknown) => this.#completed(payload)],
    ]);
  }

  /**
   * Adds events to a room: what became of each draft, in their order. Each stands alone: one that is refused does not
   * keep the others from happening. Throws M_NOT_FOUND for a room that does not exist, M_UNKNOWN 503 where it cannot be
   * known whether the drafts happened: with transaction ids they can be submitted again.
   */
  async submit(roomId: RoomId, drafts: readonly RoomDraft[]): Promise<DraftResult[]> {
    if (drafts.length === 0) return [];
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const results = await this.#submitHere(roomId, drafts);
      if (results !== undefined) return results;
      const owner = await roomOwner(this.#services.database, roomId);
      if (owner === undefined) throw notFound("There is no such room.");
      if (owner.address !== null && owner.owner !== this.#registration.nid) {
        const answer = await this.#ask(owner.address, roomId, drafts);
        if (answer !== undefined) return answer;
      }
      // What was ours a moment ago can be loaded again at once; another's lease takes its time to run out.
      const pause = owner.owner === this.#registration.nid || owner.owner === null ? attempt - 1 : attempt;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * pause));
    }
    throw unknownError(503, "The room cannot be written to at the moment: try again.");
  }

  /** Judges and adds events that came from elsewhere: what became of those that are new. Throws as `submit`. */
  async receive(version: RoomVersion, roomId: RoomId, events: readonly ReceivedEvent[]): Promise<Received> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const received = await this.#receiveHere(roomId, events);
      if (received !== undefined) return received;
      const owner = await roomOwner(this.#services.database, roomId);
      if (owner === undefined) throw notFound("There is no such room.");
      if (owner.address !== null && owner.owner !== this.#registration.nid) {
        // What was written before the answer got lost is known when it is received again.
        const answer = await inTime(this.#transport.call(owner.address, RECEIVE, receivedToJson(version, roomId, events))).catch((error: unknown) => {
          log.warn({ address: owner.address, err: error }, "the owner of a room does not answer");
          return null;
        });
        if (answer !== null) return outcomesFromJson(answer);
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * attempt));
    }
    throw unknownError(503, "The room cannot be written to at the moment: try again.");
  }

  /**
   * Puts the whole state of a room of which a part was known, or gives that up: whether all that it takes is here. Of a room that has
   * another number by now nothing is to be done. Throws as `submit`.
   */
  async complete(roomId: RoomId, roomNid: number, giveUp = false): Promise<boolean> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const complete = await this.#completeHere(roomId, roomNid, giveUp);
      if (complete !== null) return complete;
      const owner = await roomOwner(this.#services.database, roomId);
      if (owner === undefined) throw notFound("There is no such room.");
      if (owner.address !== null && owner.owner !== this.#registration.nid) {
        const answer = await this.#transport.call(owner.address, COMPLETE, { room_id: roomId, room_nid: roomNid, give_up: giveUp });
        if (typeof answer === "boolean") return answer;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * attempt));
    }
    throw unknownError(503, "The room cannot be written to at the moment: try again.");
  }

  /** Another process's word that a room can be completed which it believes to be ours: null if it is not. */
  async #completed(payload: unknown): Promise<unknown> {
    const { room_id, room_nid, give_up } = payload as { readonly room_id: RoomId; readonly room_nid: number; readonly give_up: boolean };
    return await this.#completeHere(room_id, room_nid, give_up);
  }

  /** As `complete`; null if the room is not ours. */
  async #completeHere(roomId: RoomId, roomNid: number, giveUp: boolean): Promise<boolean | null> {
    const worker = await this.#worker(roomId);
    if (worker === undefined) return null;
    if (worker.memory.nid !== roomNid) return true;
    try {
      return await worker.complete(giveUp);
    } catch (error) {
      this.#forget(roomId, worker);
      if (error instanceof RoomLostError || sqlState(error) === FENCED) return null;
      throw outward(error);
    }
  }

  async #receiveHere(roomId: RoomId, events: readonly ReceivedEvent[]): Promise<Received | undefined> {
    const worker = await this.#worker(roomId);
    if (worker === undefined) return undefined;
    try {
      return await worker.receive(events);
    } catch (error) {
      this.#forget(roomId, worker);
      if (error instanceof RoomLostError || sqlState(error) === FENCED) return undefined;
      throw outward(error);
    }
  }

  /** Another process's received events, for a room that it believes to be ours: null if it is not. */
  async #received(payload: unknown): Promise<unknown> {
    const { roomId, received } = receivedFromJson(payload);
    const outcomes = await this.#receiveHere(roomId, received);
    return outcomes === undefined ? null : outcomesToJson(outcomes);
  }

  /**
   * Creates a room with its first events, wholly or not at all. Throws the refusal of the first event that is refused.
   */
  async create(creation: RoomCreation): Promise<CreatedRoom> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#create(creation, this.#services.clock.now() + (attempt === 0 ? 0 : randomInt(1, 100)));
      } catch (error) {
        // Where the room id is a hash, the same user's same room of the same millisecond has the same id.
        if (attempt >= ATTEMPTS || violatedConstraint(error) !== "rooms_room_id_key") throw outward(error);
      }
    }
  }

  async #create(creation: RoomCreation, now: number): Promise<CreatedRoom> {
    const { version, creator, content } = creation;
    const { numbers, signingKey } = this.#services;
    if (!this.#registration.isValid()) throw unknownError(503, "This server has lost contact with its database.");
    const server = serverNameOf(creator);
    const key = signingKey(server);
    if (key === undefined) throw forbidden("Only local users can create rooms here.");
    const named = version.hashedRoomIds ? undefined : parseRoomId(`!${randomBytes(18).toString("base64url")}:${server}`);
    const chosen = version.eventIds === "chosen" ? parseEventId(`$${randomBytes(18).toString("base64url")}:${server}`) : undefined;
    const create = buildEvent(
      version,
      {
        ...(named !== undefined && { room_id: named }),
        type: "m.room.create",
        state_key: "",
        sender: creator,
        content,
        origin_server_ts: now,
        depth: 1,
        prev_events: [],
        auth_events: [],
        ...(chosen !== undefined && { event_id: chosen }),
      },
      server,
      key,
    );
    const room_nid = (await numbers.allot("room_nids", 1)).take();
    const room_id = create.room_id;
    const worker = new RoomWorker(newRoomMemory(room_nid, room_id, version, this.#registration.nid), this.#services);
    const alongside = creation.alongside?.({ room_nid, room_id });
    const position = await worker.create(create, creation.drafts(room_id), alongside);
    this.#workers.set(room_id, Promise.resolve(worker));
    this.#loaded.set(room_id, worker);
    this.#weigh(room_id, worker);
    return { room_id, room_nid, position };
  }

  /** The number of this process. */
  get process(): number {
    return this.#registration.nid;
  }

  /** Bytes in use, by estimate. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Forgets all rooms: they are loaded again when they are needed. What is under way is judged by its fence. */
  forgetAll(): void {
    this.#workers.clear();
    this.#loaded.clear();
    this.#sizes.clear();
    this.#bytes = 0;
  }

  /** Waits for what is under way; the registration, which the caller closes afterwards, gives the rooms up. */
  async close(): Promise<void> {
    for (const loaded of await Promise.allSettled(this.#workers.values())) {
      if (loaded.status === "fulfilled") await loaded.value?.drain();
    }
    this.forgetAll();
  }

  /** Submits to our own worker; undefined if the room is not ours, or was lost on the way without anything happening. */
  async #submitHere(roomId: RoomId, drafts: readonly RoomDraft[]): Promise<DraftResult[] | undefined> {
    const worker = await this.#worker(roomId);
    if (worker === undefined) return undefined;
    try {
      return await worker.submit(drafts);
    } catch (error) {
      // Another process owns the room now, or another send under the same transaction id was there first: nothing happened.
      const code = sqlState(error);
      const again = error instanceof RoomLostError || code === FENCED || code === "23505";
      if (!(error instanceof MatrixError)) this.#forget(roomId, worker);
      if (again) return undefined;
      throw outward(error);
    }
  }

  /** The worker of a room that this process owns or can come to own. */
  async #worker(roomId: RoomId): Promise<RoomWorker | undefined> {
    if (!this.#registration.isValid()) throw unknownError(503, "This server has lost contact with its database.");
    let loading = this.#workers.get(roomId);
    const worker = await loading;
    if (worker !== undefined && worker.memory.owner !== this.#registration.nid) {
      this.#forget(roomId, worker);
      loading = undefined;
    }
    loading ??= this.#workers.get(roomId) ?? this.#load(roomId);
    this.#workers.delete(roomId);
    this.#workers.set(roomId, loading);
    const loaded = await loading.catch((error: unknown) => {
      throw outward(error);
    });
    if (loaded === undefined && this.#workers.get(roomId) === loading) this.#workers.delete(roomId);
    if (loaded !== undefined && this.#loaded.get(roomId) === loaded) this.#weigh(roomId, loaded);
    return loaded;
  }

  async #load(roomId: RoomId): Promise<RoomWorker | undefined> {
    try {
      const owner = this.#registration.nid;
      const record = await claimRoom(this.#services.database, roomId, owner);
      if (record === undefined) return undefined;
      const memory = await loadRoomMemory(this.#services.database, roomId, record, owner);
      const worker = new RoomWorker(memory, this.#services);
      this.#loaded.set(roomId, worker);
      return worker;
    } catch (error) {
      this.#workers.delete(roomId);
      throw error;
    }
  }

  #forget(roomId: RoomId, worker: RoomWorker): void {
    if (this.#loaded.get(roomId) !== worker) return;
    this.#loaded.delete(roomId);
    this.#workers.delete(roomId);
    this.#bytes -= this.#sizes.get(roomId) ?? 0;
    this.#sizes.delete(roomId);
  }

  /** Notes what a room takes now that it is used, and makes room for it. */
  #weigh(roomId: RoomId, { memory }: RoomWorker): void {
    const bytes = bytesOf(memory);
    this.#bytes += bytes - (this.#sizes.get(roomId) ?? 0);
    this.#sizes.set(roomId, bytes);
    if (this.#bytes > this.#maxBytes) this.#evict(roomId);
  }

  /** Drops rooms that were not used for longest and have nothing to do. They stay ours until another process asks. */
  #evict(used: RoomId): void {
    for (const roomId of this.#workers.keys()) {
      if (this.#bytes < this.#maxBytes * KEPT_SHARE) return;
      const worker = this.#loaded.get(roomId);
      if (roomId !== used && worker?.isIdle === true) this.#forget(roomId, worker);
    }
  }

  async #ask(address: string, roomId: RoomId, drafts: readonly RoomDraft[]): Promise<DraftResult[] | undefined> {
    try {
      const answer = await inTime(this.#transport.call(address, SUBMIT, { room_id: roomId, drafts }));
      if (answer === null) return undefined;
      const results = resultsFromJson(answer);
      for (const result of results) if ("position" in result) this.#services.noteElsewhere(result.position);
      return results;
    } catch (error) {
      // A refusal is the room's; of a fault of the owner nobody knows what it did before.
      if (error instanceof MatrixError && error.status < 500) throw error;
      log.warn({ address, err: error }, "the owner of a room does not answer");
      // Only drafts that can be told apart can be tried again: they may have happened.
      if (drafts.every((draft) => draft.transaction !== undefined)) return undefined;
      throw unknownError(503, "It is not known whether this was sent: look before you try again.", error);
    }
  }

  /** Another process's drafts, for a room that it believes to be ours: null if it is not. */
  async #submitted(payload: unknown): Promise<unknown> {
    const { room_id, drafts } = payload as { readonly room_id: RoomId; readonly drafts: readonly RoomDraft[] };
    const results = await this.#submitHere(room_id, drafts);
    return results === undefined ? null : resultsToJson(results);
  }
}

/** An answer of another process, if it comes before its lease can have run out; a process that hangs says nothing at all. */
async function inTime<Answer>(answer: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(unknownError(503, "The owner of the room does not answer.")), (LEASE_SECONDS + 1) * 1_000);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What a caller is told of a fault: a refusal as it is, the rest as what can be tried again or not. */
function outward(error: unknown): unknown {
  if (error instanceof MatrixError) return error;
  if (error instanceof CommitUnknownError || isConnectionLoss(error)) {
    return unknownError(503, "The database did not answer: try again.", error);
  }
  return error;
}
