// Presence of our users: heartbeats travel over the bus, only transitions are stored and told (client-server API, "Presence").
import type { Clock } from "../clock.js";
import { logger } from "../log.js";
import { isObject, own, ownString, parseJson } from "../protocol/json.js";
import type { Bus } from "../storage/bus.js";
import type { Database } from "../storage/database.js";
import { LOG_CHANNEL } from "../storage/log.js";
import {
  isPresenceState,
  PRESENCE_POSITION,
  type PresenceState,
  presenceChanged,
  presenceOf,
  presenceOfMet,
  presenceOfUsers,
  presentUsers,
  storePresence,
  type UserPresence,
} from "../storage/presence.js";
import type { Reads } from "../storage/statement.js";
import type { Met, Range, SideEvent } from "./side-streams.js";

const log = logger("presence");

const CHANNEL = "presence";
/** A client that has not been heard of for so long is gone. */
const OFFLINE_MS = 45_000;
/** Without anything done for so long a user is idle. */
const IDLE_MS = 5 * 60_000;
/** Within this time after doing something a user is "currently active". */
const ACTIVE_MS = 60_000;
const SWEEP_MS = 5_000;
/** A user's heartbeats are told to other processes no more often. */
const TELL_EVERY_MS = 10_000;
const BUSY = "org.matrix.msc3026.busy";
const MAX_USERS = 100_000;

/** What this process knows of a user who is not offline. */
interface Present {
  state: PresenceState;
  status_msg: string | null;
  currently_active: boolean;
  last_active_ts: number;
  /** When a client of the user was last heard of, here or elsewhere. */
  seen: number;
  told: number;
}

export interface PresenceServices {
  readonly database: Database;
  readonly bus: Bus;
  readonly clock: Clock;
  /** Without, everyone is offline, whatever clients say. */
  readonly enabled: boolean;
}

export class Presence implements AsyncDisposable {
  readonly #database: Database;
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #enabled: boolean;
  readonly #users = new Map<number, Present>();
  /** What the clients of users said of themselves when they synced last, in whichever process. */
  readonly #clients = new Map<number, Map<string, { readonly state: PresenceState; readonly seen: number }>>();
  /** How many syncs of a user are open here. */
  readonly #syncs = new Map<number, number>();
  readonly #unsubscribe: () => void;
  readonly #timer: NodeJS.Timeout;
  #sweeping: Promise<void> | undefined;

  private constructor({ database, bus, clock, enabled }: PresenceServices) {
    this.#enabled = enabled;
    this.#database = database;
    this.#bus = bus;
    this.#clock = clock;
    this.#unsubscribe = bus.subscribe(CHANNEL, (message) => this.#heard(message));
    this.#timer = setInterval(() => {
      this.#sweeping ??= this.sweep()
        .catch((error: unknown) => log.warn({ err: error }, "presence could not be brought up to date"))
        .finally(() => (this.#sweeping = undefined));
    }, SWEEP_MS).unref();
  }

  /** Whether anybody's presence is told at all. */
  get enabled(): boolean {
    return this.#enabled;
  }

  /** Starts with those who were there when the last process stopped: who does not come back goes offline. */
  static async start(services: PresenceServices): Promise<Presence> {
    const presence = new Presence(services);
    for (const user of await presentUsers(services.database)) presence.#remember(user.user_nid, user);
    return presence;
  }

  /**
   * A client syncs: it is there, says how, and is there until what this gives is called. A sync that says `offline` leaves
   * presence as it is.
   */
  async syncing(userNid: number, device: string, state: PresenceState): Promise<() => void> {
    if (!this.#enabled || state === "offline") return () => undefined;
    const client = this.#clients.get(userNid)?.get(device);
    if (client?.state !== state || this.#clock.now() - client.seen > TELL_EVERY_MS) {
      this.#bus.publish(CHANNEL, JSON.stringify({ user_nid: userNid, beat: "client", device, state }));
    }
    await this.#synced(userNid, state);
    this.#syncs.set(userNid, (this.#syncs.get(userNid) ?? 0) + 1);
    return () => {
      const left = (this.#syncs.get(userNid) ?? 1) - 1;
      if (left > 0) this.#syncs.set(userNid, left);
      else this.#syncs.delete(userNid);
      this.#beat(userNid, false);
    };
  }

  async #synced(userNid: number, state: PresenceState): Promise<void> {
    const known = this.#users.get(userNid);
    this.#beat(userNid, false);
    if (known?.state === state) return;
    // Busy is what a user says, not what a client notices: it stays until the user says something else.
    if (known?.state === BUSY) return;
    // One idle client does not make a user idle whose other one is not.
    if (known?.state === "online" && this.#hasOnlineClient(userNid)) return;
    if (known?.state === "unavailable" && this.#clock.now() - known.last_active_ts > IDLE_MS) return;
    const stored = await presenceOf(this.#database, userNid);
    await this.#become(userNid, {
      state,
      status_msg: stored?.status_msg ?? null,
      last_active_ts: state === "online" ? this.#clock.now() : (stored?.last_active_ts ?? this.#clock.now()),
      currently_active: state === "online",
    });
  }

  #hasOnlineClient(userNid: number): boolean {
    const now = this.#clock.now();
    for (const { state, seen } of this.#clients.get(userNid)?.values() ?? []) {
      if (state === "online" && now - seen <= OFFLINE_MS) return true;
    }
    return false;
  }

  /** The user did something: sent a message, changed the presence. */
  async active(userNid: number): Promise<void> {
    if (!this.#enabled) return;
    const known = this.#users.get(userNid);
    this.#beat(userNid, true);
    if (known?.state === BUSY || (known?.state === "online" && known.currently_active)) return;
    const stored = await presenceOf(this.#database, userNid);
    await this.#become(userNid, {
      state: "online",
      status_msg: stored?.status_msg ?? null,
      last_active_ts: this.#clock.now(),
      currently_active: true,
    });
  }

  /** Sets presence as the user asks; a status message that is absent goes. */
  async set(userNid: number, state: PresenceState, statusMsg: string | null): Promise<void> {
    if (!this.#enabled) return;
    if (state !== "offline") this.#beat(userNid, state !== "unavailable");
    await this.#become(userNid, {
      state,
      status_msg: statusMsg,
      last_active_ts: this.#clock.now(),
      currently_active: state === "online",
    });
  }

  /** Another server says how users of its are, each once. How long that is so is its business: they do not go idle here. */
  async told(presences: readonly Omit<UserPresence, "user_id">[]): Promise<void> {
    if (this.#enabled && presences.length > 0) await this.#store(presences);
  }

  /** The content of `m.presence` of a user; `offline` for one of whom nothing is known. */
  async get(userNid: number): Promise<PresenceContent> {
    const stored = this.#enabled ? await presenceOf(this.#database, userNid) : undefined;
    return stored === undefined ? { presence: "offline" } : this.#content(stored);
  }

  /** What changed in a range, for a reader: `m.presence` events of those who share a room, or do since then. */
  async changed(reads: Reads, readerNid: number, range: Range, { fresh, changed }: Met): Promise<SideEvent[]> {
    if (!this.#enabled) return [];
    const [told, met] = await Promise.all([
      presenceChanged(reads, readerNid, range),
      // The first sync tells of everyone anyway.
      range.after === 0 || fresh.length + changed.length === 0 ? [] : presenceOfMet(reads, range, fresh, changed),
    ]);
    const users = new Map([...met, ...told].map((user) => [user.user_nid, user]));
    return [...users.values()].map((user) => this.#event(user));
  }

  /** `m.presence` events of users as they are now, by number. */
  async of(reads: Reads, userNids: readonly number[]): Promise<Map<number, SideEvent>> {
    const users = this.#enabled ? await presenceOfUsers(reads, userNids) : [];
    return new Map(users.map((user) => [user.user_nid, this.#event(user)]));
  }

  #event(user: UserPresence): SideEvent {
    return { type: "m.presence", sender: user.user_id, content: JSON.stringify(this.#content(user)) };
  }

  /** Lets time pass: clients that were not heard of are gone, users that do nothing are idle. */
  async sweep(): Promise<void> {
    for (const userNid of this.#syncs.keys()) this.#beat(userNid, false);
    const now = this.#clock.now();
    for (const [userNid, clients] of this.#clients) {
      for (const [device, { seen }] of clients) if (now - seen > OFFLINE_MS) clients.delete(device);
      if (clients.size === 0) this.#clients.delete(userNid);
    }
    for (const [userNid, user] of this.#users) {
      if (now - user.seen > OFFLINE_MS) {
        await this.#become(userNid, { ...user, state: "offline", currently_active: false });
      } else if (user.state === "online" && now - user.last_active_ts > IDLE_MS) {
        await this.#become(userNid, { ...user, state: "unavailable", currently_active: false });
      } else if (user.currently_active && now - user.last_active_ts > ACTIVE_MS) {
        await this.#become(userNid, { ...user, currently_active: false });
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#unsubscribe();
    await this.#sweeping;
  }

  #content({ user_nid, state, status_msg, last_active_ts, currently_active }: UserPresence): PresenceContent {
    const lastActive = Math.max(last_active_ts, this.#users.get(user_nid)?.last_active_ts ?? 0);
    return {
      presence: state,
      last_active_ago: Math.max(0, this.#clock.now() - lastActive),
      ...(status_msg !== null && { status_msg }),
      ...(state === "online" && { currently_active }),
    };
  }

  /** Stores and tells a transition; every process hears of it. Nothing happens if it is none. */
  async #become(userNid: number, next: Pick<UserPresence, "state" | "status_msg" | "last_active_ts" | "currently_active">): Promise<void> {
    await this.#store([{ ...next, user_nid: userNid }]);
    this.#bus.publish(CHANNEL, JSON.stringify({ ...pick(next), user_nid: userNid, beat: "state" }));
  }

  async #store(presences: readonly Omit<UserPresence, "user_id">[]): Promise<void> {
    await this.#database.transaction(async (tx) => {
      const changed = await storePresence(tx, presences);
      if (changed.length === 0) return;
      tx.atPosition(PRESENCE_POSITION, [changed]);
      tx.append(changed.map((user_nid) => ({ kind: "presence", user_nid })));
      tx.afterCommit((position) => this.#bus.publish(LOG_CHANNEL, String(position)));
    });
  }

  #beat(userNid: number, active: boolean): void {
    const now = this.#clock.now();
    const known = this.#users.get(userNid);
    if (known === undefined) return;
    known.seen = now;
    if (active) known.last_active_ts = now;
    if (now - known.told < TELL_EVERY_MS) return;
    known.told = now;
    this.#bus.publish(CHANNEL, JSON.stringify({ user_nid: userNid, beat: active ? "active" : "seen" }));
  }

  #heard(message: string): void {
    const parsed = parseJson(message);
    if (!isObject(parsed)) return;
    const user_nid = own(parsed, "user_nid");
    if (typeof user_nid !== "number") return;
    const known = this.#users.get(user_nid);
    const now = this.#clock.now();
    if (own(parsed, "beat") === "client") {
      const state = ownString(parsed, "state");
      const device = ownString(parsed, "device");
      if (device === undefined || !isPresenceState(state)) return;
      let clients = this.#clients.get(user_nid);
      if (clients === undefined) this.#clients.set(user_nid, (clients = new Map()));
      clients.set(device, { state, seen: now });
      return;
    }
    if (own(parsed, "beat") !== "state") {
      if (known === undefined) return;
      known.seen = now;
      if (own(parsed, "beat") === "active") known.last_active_ts = now;
      return;
    }
    const state = ownString(parsed, "state");
    const last_active_ts = own(parsed, "last_active_ts");
    if (!isPresenceState(state) || typeof last_active_ts !== "number") return;
    this.#remember(user_nid, {
      state,
      last_active_ts,
      status_msg: ownString(parsed, "status_msg") ?? null,
      currently_active: own(parsed, "currently_active") === true,
    });
  }

  #remember(userNid: number, { state, status_msg, last_active_ts, currently_active }: ReturnType<typeof pick>): void {
    if (state === "offline" || (!this.#users.has(userNid) && this.#users.size >= MAX_USERS)) {
      this.#users.delete(userNid);
      return;
    }
    const before = this.#users.get(userNid);
    // A transition is no sign of a client: only who was not known before counts as seen.
    const { seen, told } = before ?? { seen: this.#clock.now(), told: 0 };
    this.#users.set(userNid, { state, status_msg, last_active_ts, currently_active, seen, told });
  }
}

function pick(next: Pick<UserPresence, "state" | "status_msg" | "last_active_ts" | "currently_active">) {
  const { state, status_msg, last_active_ts, currently_active } = next;
  return { state, status_msg, last_active_ts, currently_active };
}

export interface PresenceContent {
  presence: PresenceState;
  last_active_ago?: number;
  status_msg?: string;
  currently_active?: boolean;
}
