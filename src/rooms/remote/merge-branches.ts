// Rooms whose history has many ends get an event that brings them together: without one each event of another server costs a
// resolution of more and more states. Other servers send the same event for the same reason.
import { logger } from "../../log.js";
import type { RoomId, UserId } from "../../protocol/identifiers.js";
import { requiredLevel, userLevel } from "../../protocol/power-levels.js";
import { RepeatedWork } from "../../repeated-work.js";
import { localMembers } from "../../storage/admin-rooms.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import { roomEnds } from "../../storage/rooms.js";
import type { RoomContext } from "../context.js";
import { CREATE, findRoom, POWER_LEVELS, powerLevelsAmong, type Room, stateEventsOf } from "../current-state.js";
import { MANY_ENDS } from "../owner/room-worker.js";

const log = logger("rooms");

const TYPE = "org.matrix.dummy_event";
const LOOK_EVERY_MS = 10_000;
/** What is said in a room brings its ends together as well: only after so long it is done for its own sake. */
const PATIENCE_MS = 60_000;
/** With so many ends it is done at once. */
const TOO_MANY_ENDS = 100;
/** Events for one room in one go: each brings twenty ends together. */
const MAX_EVENTS = 20;
/** Rooms that are remembered; of more those that came first are forgotten until something is received there again. */
const MAX_ROOMS = 1_000;
/** Who is tried as a sender, strongest first. */
const MAX_SENDERS = 5;

export class MergeBranches implements AsyncDisposable {
  readonly #context: RoomContext;
  readonly #patienceMs: number;
  /** Since when rooms are known to have many ends. */
  readonly #rooms = new Map<RoomId, number>();
  readonly #work: RepeatedWork;

  constructor(context: RoomContext, patienceMs = PATIENCE_MS) {
    this.#context = context;
    this.#patienceMs = patienceMs;
    this.#work = new RepeatedWork(
      LOOK_EVERY_MS,
      (stopping) => this.#mergeAll(stopping),
      (error) => log.warn({ err: error }, "the ends of rooms could not be brought together"),
    );
  }

  /** Hears of a room that this process owns and that has many ends. */
  note(roomId: RoomId, ends: number): void {
    const [oldest] = this.#rooms.keys();
    if (this.#rooms.size >= MAX_ROOMS && oldest !== undefined) this.#rooms.delete(oldest);
    const since = this.#rooms.get(roomId) ?? performance.now();
    this.#rooms.set(roomId, ends > TOO_MANY_ENDS ? Number.NEGATIVE_INFINITY : since);
    if (ends > TOO_MANY_ENDS || this.#patienceMs === 0) this.#work.wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#work[Symbol.asyncDispose]();
  }

  async #mergeAll(stopping: AbortSignal): Promise<void> {
    const due = [...this.#rooms].filter(([, since]) => performance.now() - since >= this.#patienceMs);
    for (const [roomId] of due) {
      if (stopping.aborted) return;
      this.#rooms.delete(roomId);
      const room = await findRoom(this.#context.database, roomId);
      if (room !== undefined) await this.#merge(room);
    }
  }

  async #merge(room: Room): Promise<void> {
    const { database, owners } = this.#context;
    let senders: readonly UserId[] | undefined;
    for (let event = 0; event < MAX_EVENTS && (await roomEnds(database, room.nid)).length > MANY_ENDS; event += 1) {
      senders ??= await this.#sendersIn(room);
      const [sender] = senders;
      if (sender === undefined) return;
      const [result] = await owners.submit(room.room_id, [{ type: TYPE, sender, content: {} }]);
      // A policy server may have something against it, or the sender has just left.
      if (result !== undefined && "error" in result) senders = senders.slice(1);
    }
  }

  /** Some of our users who may send such an event. */
  async #sendersIn(room: Room): Promise<UserId[]> {
    const { database } = this.#context;
    const state = await stateEventsOf(this.#context, database, room.nid, [CREATE, POWER_LEVELS]);
    const levels = powerLevelsAmong(room, state);
    return (await localMembers(database, room.nid))
      .filter(({ membership, user_id }) => membership === MEMBERSHIPS.join && userLevel(levels, user_id) >= requiredLevel(levels, TYPE, false))
      .toSorted((one, other) => userLevel(levels, other.user_id) - userLevel(levels, one.user_id))
      .slice(0, MAX_SENDERS)
      .map(({ user_id }) => user_id);
  }
}
