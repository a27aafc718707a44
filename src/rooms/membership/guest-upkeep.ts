// Takes guests of ours out of rooms that do not allow guests any more (client-server API, "Guest Access"). What is to be done
// is seen from the state of the rooms: nothing has to be remembered, and two processes that do it at once do no harm.
import { logger } from "../../log.js";
import { RepeatedWork } from "../../repeated-work.js";
import type { RoomId, UserId } from "../../protocol/identifiers.js";
import { ownString } from "../../protocol/json.js";
import { stateTuple } from "../../protocol/state-map.js";
import { guestsInRooms, roomsOfGuests } from "../../storage/guests.js";
import type { LogFollower } from "../../storage/log.js";
import type { RoomContext } from "../context.js";

const log = logger("rooms");

const LOOK_EVERY_MS = 60_000;
const AT_ONCE = 8;
const GUEST_ACCESS = stateTuple("m.room.guest_access", "");

export class GuestUpkeep implements AsyncDisposable {
  readonly #context: RoomContext & { readonly follower: LogFollower };
  readonly #work: RepeatedWork;
  readonly #unsubscribe: () => void;
  #tuple: number | undefined;

  constructor(context: RoomContext & { readonly follower: LogFollower }) {
    this.#context = context;
    this.#work = new RepeatedWork(
      LOOK_EVERY_MS,
      (stopping) => this.#takeOut(stopping),
      (error) => log.warn({ err: error }, "guests could not be taken out of rooms"),
    );
    this.#unsubscribe = context.follower.subscribeToEntries((entries) => {
      // The tuple has a number as soon as one room has it in its state.
      const elsewhere = (tuple: number | undefined): boolean => this.#tuple !== undefined && tuple !== this.#tuple;
      if (entries?.every(({ kind, tuple_nid }) => kind !== "state_change" || elsewhere(tuple_nid)) !== true) this.#work.wake();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    await this.#work[Symbol.asyncDispose]();
  }

  async #takeOut(stopping: AbortSignal): Promise<void> {
    const guests = await this.#unwelcome();
    for (let start = 0; start < guests.length && !stopping.aborted; start += AT_ONCE) {
      await Promise.all(guests.slice(start, start + AT_ONCE).map(({ room_id, user_id }) => this.#leave(room_id, user_id)));
    }
  }

  /** The guests who are where guests may not be. */
  async #unwelcome(): Promise<{ room_id: RoomId; user_id: UserId }[]> {
    const { database, events, interning } = this.#context;
    this.#tuple ??= (await interning.findTuples([GUEST_ACCESS])).get(GUEST_ACCESS);
    const rooms = await roomsOfGuests(database, this.#tuple);
    const found = await events.get(database, rooms.flatMap(({ event_nid }) => event_nid ?? []));
    const closed = rooms.filter(({ event_nid }) => {
      const content = event_nid === null ? undefined : found.get(event_nid)?.event.content;
      return content === undefined || ownString(content, "guest_access") !== "can_join";
    });
    return closed.length === 0 ? [] : await guestsInRooms(database, closed.map(({ room_nid }) => room_nid));
  }

  async #leave(roomId: RoomId, userId: UserId): Promise<void> {
    const content = { membership: "leave", reason: "Guests may not be in this room any more." };
    try {
      const [result] = await this.#context.owners.submit(roomId, [{ type: "m.room.member", state_key: userId, sender: userId, content }]);
      if (result !== undefined && "error" in result) log.debug({ room: roomId, err: result.error }, "a guest was not taken out");
    } catch (error) {
      log.warn({ room: roomId, err: error }, "a guest could not be taken out of a room yet");
    }
  }
}
