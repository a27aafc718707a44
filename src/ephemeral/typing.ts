// Who is typing where: kept in memory by every process, told over the bus, never stored (client-server API, "Typing
// Notifications").
import { randomInt } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Clock } from "../clock.js";
import { isObject, own, ownString, parseJson } from "../protocol/json.js";
import type { Bus } from "../storage/bus.js";

const CHANNEL = "typing";
const DEFAULT_MS = 30_000;
const MAX_MS = 120_000;
const MAX_ROOMS = 10_000;
const MAX_USERS = 500;

interface RoomTyping {
  readonly users: Map<string, NodeJS.Timeout>;
  /** When it last changed. */
  serial: number;
}

export class Typing implements Disposable {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #onChange: (roomNid: number) => void;
  readonly #unsubscribe: () => void;
  readonly #others = new Set<(roomNid: number) => void>();
  readonly #rooms = new LRUCache<number, RoomTyping>({
    max: MAX_ROOMS,
    dispose: ({ users }) => {
      for (const timer of users.values()) clearTimeout(timer);
    },
  });
  // Serials of processes lie far apart, so that one of another process is not taken for ours.
  readonly #first = (randomInt(2 ** 31) + 1) * 2 ** 20;
  #serial = this.#first;

  /** `onChange` is told the rooms in which typing changed. */
  constructor(bus: Bus, clock: Clock, onChange: (roomNid: number) => void) {
    this.#bus = bus;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#unsubscribe = bus.subscribe(CHANNEL, (message) => this.#heard(message));
  }

  /** The serial of now. */
  get serial(): number {
    return this.#serial;
  }

  /** Tells every process that a user types for so long, or no longer does. */
  set(roomNid: number, userId: string, typing: boolean, timeoutMs = DEFAULT_MS): void {
    const until = typing ? this.#clock.now() + Math.min(timeoutMs, MAX_MS) : 0;
    this.#bus.publish(CHANNEL, JSON.stringify({ room_nid: roomNid, user_id: userId, until }));
  }

  /** The content of `m.typing` as JSON text; undefined if nobody has typed in the room lately. */
  content(roomNid: number): string | undefined {
    const room = this.#rooms.get(roomNid);
    return room && JSON.stringify({ user_ids: [...room.users.keys()] });
  }

  /** The rooms of these in which typing changed after a serial; all that have any if the serial is not of this process. */
  changed(rooms: Iterable<number>, serial: number): number[] {
    const ours = serial >= this.#first && serial <= this.#serial;
    if (ours && serial === this.#serial) return [];
    return [...rooms].filter((nid) => {
      const room = this.#rooms.peek(nid);
      return room !== undefined && (!ours || room.serial > serial);
    });
  }

  /** Also tells another the rooms in which typing changed. Gives what ends it. */
  subscribe(handler: (roomNid: number) => void): () => void {
    this.#others.add(handler);
    return () => this.#others.delete(handler);
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
    this.#rooms.clear();
  }

  #heard(message: string): void {
    const parsed = parseJson(message);
    if (!isObject(parsed)) return;
    const room_nid = own(parsed, "room_nid");
    const user_id = ownString(parsed, "user_id");
    const until = own(parsed, "until");
    if (typeof room_nid !== "number" || user_id === undefined || typeof until !== "number") return;
    const left = Math.min(until - this.#clock.now(), MAX_MS);
    if (until > 0) this.#start(room_nid, user_id, Math.max(0, left));
    else this.#stop(room_nid, user_id);
  }

  #start(roomNid: number, userId: string, leftMs: number): void {
    let room = this.#rooms.get(roomNid);
    if (room === undefined) this.#rooms.set(roomNid, (room = { users: new Map(), serial: 0 }));
    const before = room.users.get(userId);
    if (before === undefined && room.users.size >= MAX_USERS) return;
    clearTimeout(before);
    room.users.set(userId, setTimeout(() => this.#stop(roomNid, userId), leftMs).unref());
    if (before === undefined) this.#changed(roomNid, room);
  }

  #stop(roomNid: number, userId: string): void {
    const room = this.#rooms.get(roomNid);
    const timer = room?.users.get(userId);
    if (room === undefined || timer === undefined) return;
    clearTimeout(timer);
    room.users.delete(userId);
    this.#changed(roomNid, room);
  }

  #changed(roomNid: number, room: RoomTyping): void {
    room.serial = this.#serial += 1;
    this.#onChange(roomNid);
    for (const handler of this.#others) handler(roomNid);
  }
}
