// Events that are sent later, whether or not their sender is there then (MSC4140, "Cancellable delayed events").
import { hash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { limitExceeded, MatrixError, notFound, tooLarge, unknownError, userDeactivated, userLocked, userSuspended } from "../errors.js";
import { logger } from "../log.js";
import { type EventId, parseEventId, type RoomId, serverNameOf } from "../protocol/identifiers.js";
import { isObject, type JsonObject, parseJson } from "../protocol/json.js";
import { lockAccount } from "../storage/account-data.js";
import {
  cancelDelayed,
  claimDelayed,
  claimDue,
  countScheduled,
  type DelayedEvent,
  type DelayedFilter,
  type DelayedPlace,
  type DueEvent,
  finaliseDelayed,
  findDelayed,
  insertScheduled,
  listDelayed,
  nextDue,
  releaseDelayed,
  restartDelayed,
  scheduledUnder,
} from "../storage/delayed-events.js";
import { transactionKey } from "../storage/transaction-ids.js";
import type { RoomContext, RoomUser } from "./context.js";
import { sendMessage, setState } from "./send.js";

const log = logger("delayed-events");

const MAX_CONTENT_BYTES = 65_536;
const MAX_NAME_BYTES = 255;
/** What another process has scheduled and does not send is looked for so often. */
const LOOK_MS = 5_000;
/** Nobody else takes what a process is sending for so long; after a fault of ours it is tried again then. */
const HOLD_MS = 30_000;
/** After a fault of ours that does not pass, an event is given up. */
const GIVE_UP_MS = 3_600_000;
const AT_ONCE = 50;
const PAGE = 50;
/** How long an action waits for one that is under way. */
const WAIT_MS = 10_000;
const WAIT_STEP_MS = 50;

export type DelayedAction = "send" | "cancel" | "restart";

/** An event to be sent later. */
export interface ToSchedule {
  readonly room_id: RoomId;
  readonly type: string;
  /** Absent for what is no state event. */
  readonly state_key?: string | undefined;
  readonly content: JsonObject;
  readonly delay_ms: number;
  /** Absent where the request has none. */
  readonly txn_id?: string | undefined;
  readonly origin_server_ts?: number | undefined;
  readonly sticky_duration_ms?: number | undefined;
}

export interface DelayedEventsContext extends RoomContext {
  readonly limits: { readonly max_delay_seconds: number; readonly max_per_user: number };
}

/** The delayed events of a deployment, as one of its processes sends them. */
export class DelayedEvents implements AsyncDisposable {
  readonly #context: DelayedEventsContext;
  /** What is being sent, by room: one after the other. */
  readonly #rooms = new Map<RoomId, Promise<void>>();
  #sending = 0;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(context: DelayedEventsContext) {
    this.#context = context;
    this.#look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
    await Promise.allSettled(this.#rooms.values());
  }

  /**
   * Schedules an event: its delay id. The same transaction id of the same device again gives the same. Throws
   * M_INVALID_PARAM with `max_delay` for too long a delay, 429 M_LIMIT_EXCEEDED for too many events, M_TOO_LARGE.
   */
  async schedule(sender: RoomUser, event: ToSchedule): Promise<string> {
    const { database, clock, limits } = this.#context;
    const { room_id, type, delay_ms } = event;
    const max_delay = limits.max_delay_seconds * 1000;
    if (delay_ms > max_delay) {
      const unstable = { "org.matrix.msc4140.errcode": "M_MAX_DELAY_EXCEEDED", "org.matrix.msc4140.max_delay": max_delay };
      throw new MatrixError(400, "M_INVALID_PARAM", "The delay is longer than this server allows.", { extra: { max_delay, ...unstable } });
    }
    const content = JSON.stringify(event.content);
    if (Buffer.byteLength(content) > MAX_CONTENT_BYTES) throw tooLarge("The event is too large.");
    if ([type, event.state_key ?? ""].some((name) => Buffer.byteLength(name) > MAX_NAME_BYTES)) throw tooLarge("A type or state key is too long.");
    const delay_id = randomBytes(24).toString("base64url");
    const { txn_id, state_key = null, origin_server_ts = null, sticky_duration_ms = null } = event;
    const key = txn_id === undefined ? undefined : transactionKey(sender.user_id, sender.device_id ?? "", `delayed_event/${room_id}/${type}`, txn_id);
    const scheduled = await database.transaction(async (tx) => {
      // The account, so that two at once are counted, and are not taken for one another.
      await lockAccount(tx, sender.user_nid);
      const before = key === undefined ? undefined : await scheduledUnder(tx, key);
      if (before !== undefined) return before;
      const now = clock.now();
      const { count, next } = await countScheduled(tx, sender.user_nid);
      if (count >= limits.max_per_user) throw limitExceeded(Math.max(1_000, (next ?? now) - now));
      const times = { delay_ms, running_since: now, send_ts: now + delay_ms };
      await insertScheduled(tx, sender.user_nid, key, { delay_id, room_id, type, state_key, content, origin_server_ts, sticky_duration_ms, ...times });
      return delay_id;
    });
    this.#look();
    return scheduled;
  }

  /** One event of a user. Throws M_NOT_FOUND. */
  async find(userNid: number, delayId: string): Promise<DelayedEvent> {
    const found = await findDelayed(this.#context.database, delayId);
    if (found?.user_nid !== userNid) throw notFound("There is no such delayed event.");
    return found;
  }

  /** A page of a user's events by the time at which they are to be sent, and where the next begins if there is more. */
  async list(
    userNid: number,
    filter: DelayedFilter,
    from: DelayedPlace | undefined,
    backwards = false,
  ): Promise<{ readonly events: readonly DelayedEvent[]; readonly next: DelayedPlace | undefined }> {
    const start = from ?? { send_ts: backwards ? Number.MAX_SAFE_INTEGER : 0, delay_id: "" };
    const rows = await listDelayed(this.#context.database, userNid, filter, { from: start, backwards, limit: PAGE + 1 });
    const events = rows.slice(0, PAGE);
    return { events, next: rows.length > PAGE ? events.at(-1) : undefined };
  }

  /**
   * Sends, cancels or restarts an event; whoever knows its id may. Once more what was done already is no error. Throws
   * M_NOT_FOUND, 409 M_UNKNOWN for what is over in another way, and for `send` what sending throws: then it stays scheduled.
   */
  async act(delayId: string, action: DelayedAction): Promise<void> {
    const { database, clock } = this.#context;
    const deadline = clock.monotonic() + WAIT_MS;
    for (;;) {
      const event = await findDelayed(database, delayId);
      if (event === undefined) throw notFound("There is no such delayed event.");
      if (event.finalised_ts !== null) {
        const wasSent = event.event_id !== null;
        if (action === (wasSent ? "send" : "cancel")) return;
        throw unknownError(409, wasSent ? "The event has been sent." : "The event has been cancelled.");
      }
      if (await this.#act(delayId, action)) {
        this.#look();
        return;
      }
      // It is being sent: what becomes of it shows in a moment.
      if (this.#stopped || clock.monotonic() > deadline) throw unknownError(503, "The event is being sent: try again in a moment.");
      await sleep(WAIT_STEP_MS);
    }
  }

  /** False if the event is over, or somebody is sending it. */
  async #act(delayId: string, action: DelayedAction): Promise<boolean> {
    const { database, clock } = this.#context;
    const now = clock.now();
    if (action === "cancel") return await cancelDelayed(database, delayId, now);
    if (action === "restart") return await restartDelayed(database, delayId, now);
    const event = await claimDelayed(database, delayId, now, now + HOLD_MS);
    if (event === undefined) return false;
    try {
      const event_id = await this.#send(event);
      await finaliseDelayed(database, delayId, clock.now(), { event_id });
      return true;
    } catch (error) {
      await releaseDelayed(database, delayId);
      throw error;
    }
  }

  /** Looks now for what is to be sent, and then when the next is. */
  #look(): void {
    this.#again = true;
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#looking ??= this.#lookAndPause();
  }

  async #lookAndPause(): Promise<void> {
    const pause = await this.#lookOn().catch((error: unknown) => {
      log.warn({ err: error }, "delayed events could not be looked up");
      return LOOK_MS;
    });
    this.#looking = undefined;
    if (this.#again) this.#look();
    else if (!this.#stopped) this.#timer = setTimeout(() => this.#look(), pause).unref();
  }

  /** Takes what is due: how long to wait until the next. */
  async #lookOn(): Promise<number> {
    const { database, clock } = this.#context;
    this.#again = false;
    const free = AT_ONCE - this.#sending;
    if (free <= 0) return LOOK_MS;
    const now = clock.now();
    const next = await nextDue(database);
    if (next === undefined || next > now) return Math.min(LOOK_MS, Math.max(1, (next ?? Infinity) - now));
    const due = await claimDue(database, now, now + HOLD_MS, free);
    for (const event of due) this.#put(event);
    if (due.length > 0) this.#again = true;
    // Somebody else is at the rest.
    return due.length > 0 ? 1 : WAIT_STEP_MS * 4;
  }

  /** Sends an event after those of its room before it. */
  #put(event: DueEvent): void {
    this.#sending += 1;
    const before = this.#rooms.get(event.room_id) ?? Promise.resolve();
    const sent = before
      .then(() => this.#finish(event))
      .catch((error: unknown) => log.warn({ err: error }, "a delayed event could not be finished"))
      .finally(() => {
        this.#sending -= 1;
        if (this.#rooms.get(event.room_id) === sent) this.#rooms.delete(event.room_id);
        this.#look();
      });
    this.#rooms.set(event.room_id, sent);
  }

  /** Sends an event whose time has come, and notes what became of it. A fault of ours lets it come again. */
  async #finish(event: DueEvent): Promise<void> {
    const { database, clock } = this.#context;
    if (this.#stopped) {
      await releaseDelayed(database, event.delay_id);
      return;
    }
    try {
      const event_id = await this.#send(event);
      await finaliseDelayed(database, event.delay_id, clock.now(), { event_id });
    } catch (error) {
      const refused = error instanceof MatrixError && error.status < 500;
      if (!refused && clock.now() - event.send_ts < GIVE_UP_MS) throw error;
      const reason = error instanceof MatrixError ? error : unknownError(500, "Something went wrong here.");
      await finaliseDelayed(database, event.delay_id, clock.now(), { error: JSON.stringify(reason.body()) });
    }
  }

  /** Throws what sending the event now would throw. */
  async #send(event: DueEvent): Promise<EventId> {
    const { user_id, user_nid, is_guest, is_admin, room_id, type, state_key, delay_id } = event;
    if (event.deactivated) throw userDeactivated();
    if (event.locked) throw userLocked();
    if (event.suspended) throw userSuspended();
    if (!this.#context.servers.isLocal(serverNameOf(user_id))) throw notFound("This is no user of this server.");
    if (event.shadow_banned) return unheard(delay_id);
    const content = parseJson(event.content);
    if (!isObject(content)) throw new Error("a delayed event has no content");
    const sender: RoomUser = { user_id, user_nid, is_guest, is_admin, device_id: undefined };
    const how = { origin_server_ts: event.origin_server_ts ?? undefined, sticky_duration_ms: event.sticky_duration_ms ?? undefined, delay_id };
    if (state_key !== null) return await setState(this.#context, sender, room_id, type, state_key, content, how);
    // The transaction id makes that it is sent once, also if we die before we have noted it.
    return await sendMessage(this.#context, sender, room_id, type, delay_id, content, how);
  }
}

/** The event id of what a shadow-banned user is told was sent. */
function unheard(delayId: string): EventId {
  const id = parseEventId(`$${hash("sha256", delayId, "base64url")}`);
  if (id === undefined) throw new TypeError("a digest makes an event id");
  return id;
}
