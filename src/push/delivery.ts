// Delivers what is owed to pushers: each pusher in its order, many at once. Whichever process comes first takes a pusher; what
// it has not delivered when it dies, another one takes.
import { LRUCache } from "lru-cache";
import type { Outgoing } from "../federation/outgoing.js";
import { logger } from "../log.js";
import { notificationSent } from "../metrics.js";
import type { ProcessRegistration } from "../storage/processes.js";
import { inviteFilters } from "../rooms/membership/invite-filter.js";
import {
  type ClaimedPusher,
  claimPushers,
  collapsePushes,
  deletePushes,
  forgetPushes,
  hurryGateway,
  noteDelivered,
  type OwedPush,
  owedTo,
  type PusherRest,
  releasePusher,
} from "../storage/push-outbox.js";
import { deletePusherByNid } from "../storage/pushers.js";
import { unreadBadge } from "./badge.js";
import { notifyGateway, type Outcome } from "./gateway.js";
import { deliverMail, type MailServices } from "./mail.js";
import { badgeNotification, eventNotification, namesIn, tweaksOf, wantsBadge } from "./notification.js";

const log = logger("push");

const LOOK_EVERY_MS = 1_000;
const MOST_AT_ONCE = 128;
const PER_GATEWAY = 32;
/** Of a gateway that does not work one pusher is tried at a time, so that it holds up nobody else. */
const PER_FAILING_GATEWAY = 1;
const MAX_FAILING_GATEWAYS = 1_000;
const BATCH = 20;
/** What is kept of a room for a gateway that comes back after a while: the newest. */
const KEPT_PER_ROOM = 3;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 3_600_000;
/** So often a gateway may refuse a notification before it is taken at its word. */
const REFUSALS = 3;
const MAX_HURRIED = 10_000;

export interface DeliveryServices extends MailServices {
  readonly outgoing: Outgoing;
  readonly registration: ProcessRegistration;
}

/** Delivers from when it is made until it is disposed. */
export class PushDelivery implements AsyncDisposable {
  readonly #services: DeliveryServices;
  readonly #stopping = new AbortController();
  readonly #timer: NodeJS.Timeout;
  /** Users to whose pushers something has just been owed. */
  readonly #hurried = new Set<number>();
  readonly #serving = new Map<number, Promise<void>>();
  /** How many pushers of a gateway are being served. */
  readonly #busy = new Map<string, number>();
  readonly #failing = new LRUCache<string, true>({ max: MAX_FAILING_GATEWAYS });
  #lookAtAll = true;
  #looking: Promise<void> | undefined;

  constructor(services: DeliveryServices) {
    this.#services = services;
    this.#timer = setInterval(() => {
      this.#lookAtAll = true;
      this.#look();
    }, LOOK_EVERY_MS).unref();
    this.#look();
  }

  /** Something is owed to the pushers of these users. What nobody tells of, unread counts after receipts, is found a second later. */
  hurry(users: readonly number[]): void {
    if (this.#hurried.size < MAX_HURRIED) for (const user of users) this.#hurried.add(user);
    this.#look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#looking;
    await Promise.all(this.#serving.values());
  }

  #look(): void {
    if (this.#stopping.signal.aborted) return;
    this.#looking ??= this.#claim()
      .catch((error: unknown) => log.warn({ err: error }, "what is owed to pushers could not be read"))
      .finally(() => {
        this.#looking = undefined;
        if (this.#lookAtAll || (this.#hurried.size > 0 && this.#serving.size < MOST_AT_ONCE)) this.#look();
      });
  }

  /** Takes pushers, as many as there is room for, and begins to serve them. */
  async #claim(): Promise<void> {
    const { database, clock, registration } = this.#services;
    // Who was silent too long may have been taken for dead: until it has another number it takes nothing.
    const most = MOST_AT_ONCE - this.#serving.size;
    const everyone = this.#lookAtAll;
    const users = [...this.#hurried];
    this.#lookAtAll = false;
    this.#hurried.clear();
    if (most === 0 || !registration.isValid() || (!everyone && users.length === 0)) return;
    const gateways = new Map([...this.#busy].map(([gateway, count]) => [gateway, PER_GATEWAY - count]));
    for (const gateway of this.#failing.keys()) gateways.set(gateway, PER_FAILING_GATEWAY - (this.#busy.get(gateway) ?? 0));
    const process = registration.nid;
    const limits = { process, now: clock.now(), gateways, perGateway: PER_GATEWAY, most };
    for (const pusher of await claimPushers(database, limits, everyone ? undefined : users)) {
      this.#busy.set(pusher.gateway, (this.#busy.get(pusher.gateway) ?? 0) + 1);
      this.#serving.set(pusher.nid, this.#serve(pusher, process));
    }
  }

  async #serve(pusher: ClaimedPusher, process: number): Promise<void> {
    const { database } = this.#services;
    try {
      const next = await (pusher.kind === "email" ? deliverMail(this.#services, pusher) : this.#deliver(pusher));
      if (next !== undefined) await releasePusher(database, pusher.nid, process, next);
    } catch (error) {
      if (!this.#stopping.signal.aborted) log.warn({ err: error, pusher: pusher.nid }, "a pusher could not be served");
      const { failures, failing_since } = pusher;
      const retry_ts = this.#stopping.signal.aborted ? 0 : this.#services.clock.now() + pauseAfter(failures);
      await releasePusher(database, pusher.nid, process, { retry_ts, failures, failing_since }).catch(() => undefined);
    } finally {
      const busy = this.#busy.get(pusher.gateway) ?? 1;
      // Others may have found no room.
      if (busy >= PER_GATEWAY || this.#serving.size >= MOST_AT_ONCE) this.#lookAtAll = true;
      this.#serving.delete(pusher.nid);
      if (busy === 1) this.#busy.delete(pusher.gateway);
      else this.#busy.set(pusher.gateway, busy - 1);
      // What came for it while it was being served was not taken.
      this.hurry([pusher.user_nid]);
    }
  }

  /** Delivers until nothing is left or the gateway fails: how the pusher is to be let go; undefined if it is no more. */
  async #deliver(pusher: ClaimedPusher): Promise<PusherRest | undefined> {
    const { database, config, events } = this.#services;
    if (pusher.failures > 0) await collapsePushes(database, pusher.nid, KEPT_PER_ROOM);
    let { failures } = pusher;
    let told = pusher.badge;
    for (;;) {
      const owed = await owedTo(database, pusher, BATCH);
      if (owed.length === 0) return { retry_ts: 0, failures: 0, failing_since: null };
      const unread = wantsBadge(pusher) ? await unreadBadge(events, database, pusher.user_nid, config.push.unread_by_room) : undefined;
      for (const { push, nids } of steps(owed)) {
        const outcome = await this.#send(pusher, push, unread, told);
        if (outcome !== "none") notificationSent(outcome);
        if (this.#stopping.signal.aborted && outcome === "failed") return { retry_ts: 0, failures, failing_since: pusher.failing_since };
        if (outcome === "rejected") {
          await database.transaction((tx) => deletePusherByNid(tx, pusher.nid));
          log.info({ pusher: pusher.nid }, "a pusher was deleted because its gateway rejects it");
          return undefined;
        }
        if (outcome === "failed" || (outcome === "refused" && failures < REFUSALS)) return await this.#failed(pusher, failures, outcome);
        if (outcome === "taken") told = unread ?? told;
        await database.transaction(async (tx) => {
          await Promise.all([deletePushes(tx, pusher.nid, nids), ...(outcome === "taken" ? [noteDelivered(tx, pusher.nid, unread)] : [])]);
        });
        if (outcome !== "none") failures = 0;
        if (outcome === "taken" && this.#failing.delete(pusher.gateway)) {
          await hurryGateway(database, pusher.gateway);
          this.#lookAtAll = true;
        }
        if (this.#stopping.signal.aborted) return { retry_ts: 0, failures: 0, failing_since: null };
      }
    }
  }

  /** Sends one notification: of an event, or the unread count if it is not what the gateway was told. */
  async #send(pusher: ClaimedPusher, push: OwedPush | undefined, unread: number | undefined, told: number | null): Promise<Outcome | "none"> {
    const { database, outgoing, events } = this.#services;
    const signal = this.#stopping.signal;
    if (push?.event_nid === undefined || push.event_nid === null) {
      if (unread === undefined || unread === told) return "none";
      return await notifyGateway(outgoing, pusher, badgeNotification(pusher, unread), signal);
    }
    const read = (await events.load(database, [push.event_nid])).get(push.event_nid);
    if (read === undefined) return "none";
    // An invitation that the user does not want to be shown is not told of either.
    const { type, sender, state_key } = read.event;
    const invited = type === "m.room.member" && state_key === pusher.user_id;
    if (invited && (await inviteFilters(database, [pusher.user_nid]))(pusher.user_nid, sender) !== "allow") return "none";
    const names = await namesIn(events, database, read.row.room_nid, [read.event.sender]);
    return await notifyGateway(outgoing, pusher, eventNotification(pusher, read, names, tweaksOf(push.tweaks), unread), signal);
  }

  async #failed(pusher: ClaimedPusher, before: number, outcome: Outcome): Promise<PusherRest> {
    const { database, clock, config } = this.#services;
    const now = clock.now();
    const failures = before + 1;
    const failing_since = before === 0 ? now : (pusher.failing_since ?? now);
    if (outcome === "failed") this.#failing.set(pusher.gateway, true);
    log.info({ pusher: pusher.nid, failures, outcome }, "a push gateway did not take a notification");
    if (now - failing_since > config.push.give_up_days * 86_400_000) {
      await forgetPushes(database, pusher.nid);
      log.warn({ pusher: pusher.nid }, "notifications were dropped because their gateway has not worked for too long");
      return { retry_ts: 0, failures: 0, failing_since: null };
    }
    return { retry_ts: now + pauseAfter(before), failures, failing_since };
  }
}

interface Step {
  /** What is sent; absent: the unread count, if it has changed. */
  readonly push: OwedPush | undefined;
  /** What is done with it. */
  readonly nids: readonly number[];
}

/** Each event that still stands, together with what before it does not; what is left at the end is told by the unread count. */
function steps(owed: readonly OwedPush[]): Step[] {
  const found: Step[] = [];
  let nids: number[] = [];
  for (const push of owed) {
    nids.push(push.nid);
    if (push.event_nid === null || !push.stands) continue;
    found.push({ push, nids });
    nids = [];
  }
  return nids.length === 0 ? found : [...found, { push: undefined, nids }];
}

/** How long to wait after a number of failures: longer each time, and not all at the same moment. */
function pauseAfter(failures: number): number {
  return Math.round(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 20)) * (0.8 + Math.random() * 0.4));
}
