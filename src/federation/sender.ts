// What happens here and concerns other servers is sent to them (server-server API, "Transactions"): a reader of the log notes
// what is owed to whom, and whoever is free sends it, to each server in its order and to none of them at another's cost.
import { createHash } from "node:crypto";
import type { Clock } from "../clock.js";
import type { LocalServers } from "../config.js";
import { logger } from "../log.js";
import { parseUserId, type ServerName, serverNameOf } from "../protocol/identifiers.js";
import { isObject, type JsonObject, own } from "../protocol/json.js";
import { type Membership, membershipIn } from "../protocol/membership.js";
import type { Database, Tx } from "../storage/database.js";
import {
  catchUp,
  type ClaimedDestination,
  claimDestinations,
  eventsMissedInRooms,
  failingDestinations,
  nextOwed,
  noteFailed,
  noteSent,
  owe,
  type Owed,
  type OwedEdu,
  type OwedEvent,
  releaseDestinations,
  serversBefore,
  suspendDestination,
  wakeDestinations,
} from "../storage/destinations.js";
import { stickyForNewServers, stickyForServer } from "../storage/sticky-events.js";
import { eventsByNid, type StoredEvent } from "../storage/events.js";
import { advanceReader, type LogFollower } from "../storage/log.js";
import type { PositionedEntry } from "../storage/log-entry.js";
import type { Reads } from "../storage/statement.js";
import { FederationError } from "./client.js";
import type { Federation } from "./federation.js";

const log = logger("federation");

/** The most that one transaction holds. */
const EVENTS = 50;
const EDUS = 100;
const TIMEOUT_MS = 60_000;
const HOLD_MS = 3 * TIMEOUT_MS;
/**
 * Servers that are sent to at the same time by one process: who lets us wait takes nobody's place any more, and those that failed
 * when they were tried last have places of their own.
 */
const AT_ONCE = 50;
const FAILED_AT_ONCE = 100;
const MOST_AT_ONCE = 500;
const SLOW_MS = 1_000;
/** Servers whose deliveries are noted together, and different events that are read for all of them. */
const NOTED_AT_ONCE = 200;
const SHARED_EVENTS = 500;
/** Servers to which sending begins in one turn of the event loop. */
const BEGUN_AT_ONCE = 4;
/** What goes at most to a server that failed before. */
const FEW = 5;
/** Servers that are told at the same time what is worth telling only now. */
const TOLD_AT_ONCE = 500;
const TELL_TIMEOUT_MS = 10_000;
const LOOK_MS = 1_000;
/** What happens within this time is noted at once for all. */
const TOGETHER_MS = 30;
/** Pauses after failures: twice as long each time, with some chance, so that not all come back at once. */
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 3_600_000;
/**
 * Memberships that a user's server is told of also when none of its users is in the room, unless the user had one of them before: what
 * was an invitation or a knock has ended. The invitation itself came there by a request of its own; once more it would meet the join.
 */
const PARTED: readonly (Membership | undefined)[] = ["leave", "ban"];
/** For who is away longer nothing is kept. */
const KEEP_MS = 3_600_000;

export interface SenderOptions {
  readonly database: Database;
  readonly follower: LogFollower;
  readonly federation: Federation;
  readonly servers: LocalServers;
  readonly clock: Clock;
  /** The number of this process. */
  readonly process: () => number;
  /** Ephemeral messages that follow from entries of the log. */
  readonly edusOf: (tx: Tx, entries: readonly PositionedEntry[]) => Promise<readonly OwedEdu[]>;
  /** What a server has to be told that nothing was kept for since a position. */
  readonly missedEdus: (tx: Tx, server: ServerName, after: number) => Promise<readonly OwedEdu[]>;
}

/** An ephemeral message that is only worth something at once. */
export type PassingEdu = Omit<OwedEdu, "position">;

/** What a server is sent, and those of the events that were read for several servers at once. */
interface Parcel extends Owed {
  readonly rows?: ReadonlyMap<number, SentEvent>;
}

interface SentEvent {
  readonly row: StoredEvent;
  readonly pdu: JsonObject;
}

/** A server to which something was sent, or nothing yet, or that failed, and that waits for what it gets next. */
interface Turn {
  readonly server: ServerName;
  readonly sent?: Owed | undefined;
  /** When it is to be tried again, and whether it may have got what it was sent. */
  readonly retry?: { readonly at: number; readonly unclear: boolean } | undefined;
  readonly resolve: (next: Parcel | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/** Sends to other servers. */
export class FederationSender implements AsyncDisposable {
  readonly #options: SenderOptions;
  readonly #unsubscribe: () => void;
  readonly #timer: NodeJS.Timeout;
  readonly #sending = new Map<ServerName, Promise<void>>();
  /** Those of them that take the places of others. */
  readonly #quick = new Set<ServerName>();
  readonly #failed = new Set<ServerName>();
  /** Servers that wait for what they get next. */
  readonly #turns: Turn[] = [];
  #noting = false;
  /** What servers are told next, by kind and key; who has an entry is being told. */
  readonly #telling = new Map<ServerName, Map<string, PassingEdu>>();
  readonly #told = new Set<Promise<void>>();
  #failing: ReadonlySet<ServerName> = new Set();
  #reading: Promise<void> | undefined;
  #failingReadAt = Number.NEGATIVE_INFINITY;
  #claiming: Promise<void> | undefined;
  #claimAgain = false;
  #soon: NodeJS.Timeout | undefined;
  #readAt = 0;
  #again = false;
  /** Tells messages of no position apart: other than positions, also after a restart and in another process. */
  #serial = -Math.floor(Math.random() * 2 ** 52);
  #stopped = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#unsubscribe = options.follower.subscribeToAll(() => this.#readSoon());
    this.#timer = setInterval(() => {
      this.#read();
      this.#claim();
    }, LOOK_MS).unref();
    this.#read();
  }

  /** A server has spoken to us: if it was away, it is back. */
  alive(server: ServerName): void {
    if (!this.#failing.has(server)) return;
    this.#failing = new Set([...this.#failing].filter((name) => name !== server));
    wakeDestinations(this.#options.database, [server]).then(
      () => this.#claim(),
      (error: unknown) => log.warn({ server, err: error }, "a server that is back could not be noted"),
    );
  }

  /**
   * Tells servers what is only worth telling now, of each kind and key the latest: nothing is kept for a server that cannot
   * be reached.
   */
  tell(edus: readonly PassingEdu[]): void {
    for (const edu of edus) {
      const { destination } = edu;
      if (this.#stopped || this.#failing.has(destination) || !this.#options.federation.policy.allows(destination)) continue;
      const waiting = this.#telling.get(destination) ?? new Map<string, PassingEdu>();
      // What comes first is behind: it is the order in which they are sent.
      waiting.delete(`${edu.edu_type} ${edu.key}`);
      if (waiting.size < EDUS) waiting.set(`${edu.edu_type} ${edu.key}`, edu);
      if (this.#telling.has(destination) || this.#telling.size >= TOLD_AT_ONCE) continue;
      this.#telling.set(destination, waiting);
      const told = this.#tellAll(destination, waiting)
        .catch((error: unknown) => log.debug({ server: destination, err: error }, "a server could not be told what happens now"))
        .finally(() => this.#told.delete(told));
      this.#told.add(told);
    }
  }

  async #tellAll(server: ServerName, waiting: Map<string, PassingEdu>): Promise<void> {
    try {
      while (waiting.size > 0 && !this.#stopped) {
        const edus = [...waiting.values()].map((edu) => ({ ...edu, position: (this.#serial += 1) }));
        waiting.clear();
        await this.#send(server, { owedPosition: 0, openUntil: 0, events: [], edus }, TELL_TIMEOUT_MS);
      }
    } finally {
      // In the same turn as the last look: nothing is put into what nobody reads.
      this.#telling.delete(server);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    this.#unsubscribe();
    await Promise.allSettled([this.#reading, this.#claiming, ...this.#sending.values(), ...this.#told]);
  }

  /** Reads on at once, after that in a moment with whatever else has happened by then: the cursor costs a transaction. */
  #readSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#readAt = performance.now();
      this.#read();
    }, Math.max(0, this.#readAt + TOGETHER_MS - performance.now())).unref();
  }

  /** Reads on in the log. */
  #read(): void {
    this.#again = true;
    if (this.#stopped) return;
    this.#reading ??= this.#readOn().finally(() => {
      this.#reading = undefined;
      if (this.#again) this.#read();
    });
  }

  async #readOn(): Promise<void> {
    const { database } = this.#options;
    this.#again = false;
    try {
      const reader = { name: "federation", apply: (tx: Tx, entries: readonly PositionedEntry[]) => this.#note(tx, entries) };
      while (!this.#stopped && (await advanceReader(database, reader)).more);
      this.#claim();
    } catch (error) {
      log.warn({ err: error }, "the log could not be read for other servers");
    }
  }

  /** Notes what follows from entries of the log: our events, and those that came in through us, for all servers in their rooms. */
  async #note(tx: Tx, entries: readonly PositionedEntry[]): Promise<void> {
    const { servers, federation } = this.#options;
    const mentioned = entries.flatMap(({ kind, reference }) => (kind === "event" && reference !== undefined ? [reference] : []));
    const passedOn = new Set(entries.flatMap(({ kind, reference }) => (kind === "server_membership" ? (reference ?? []) : [])));
    const reads: Reads = { read: (statement, values) => tx.query(statement, values) };
    const rows = await eventsByNid(reads, mentioned);
    const due = [...rows.values()].filter((row) => passedOn.has(row.nid) || servers.isLocal(serverNameOf(row.sender)));
    const targets = await serversBefore(tx, due, servers.names);
    // An invitation by address that we turned into one of our user was sent by nobody else, whoever is said to have invited.
    const isFrom = (row: StoredEvent, server: ServerName): boolean =>
      server === serverNameOf(row.sender) && !serversOfMember(row).some((name) => servers.isLocal(name));
    const parted = due.filter((row) => PARTED.includes(membershipOf(row)));
    const before = await eventsByNid(reads, parted.flatMap(({ replaces }) => replaces ?? []));
    const ended = new Set(parted.filter(({ replaces }) => !PARTED.includes(membershipOf(before.get(replaces ?? 0)))));
    const events = due.flatMap((row): OwedEvent[] =>
      [...new Set([...(targets.get(row.nid) ?? []), ...(ended.has(row) ? serversOfMember(row) : [])])]
        .filter((destination) => !servers.isLocal(destination) && !isFrom(row, destination) && federation.policy.allows(destination))
        .map((destination) => ({ destination, position: row.position, event_nid: row.nid })),
    );
    const completed = entries.flatMap(({ kind, room_nid, reference }) => (kind === "invalidation" && room_nid !== undefined && reference === undefined ? [room_nid] : []));
    events.push(...(await eventsMissedInRooms(tx, completed, servers.names)).filter(({ destination }) => federation.policy.allows(destination)));
    const edus = await this.#options.edusOf(tx, entries);
    await owe(tx, [...events, ...(await this.#stickyForArrivals(tx, [...rows.values()]))], edus, entries.at(-1)?.position ?? 0);
  }

  /** Servers that come to a room are owed our sticky events of before (MSC4354): they were not told these, and do not ask. */
  async #stickyForArrivals(tx: Tx, rows: readonly StoredEvent[]): Promise<OwedEvent[]> {
    const { servers, federation, clock } = this.#options;
    const arrivals = rows.flatMap((row) =>
      serversOfMember(row)
        .filter((server) => !servers.isLocal(server) && federation.policy.allows(server))
        .map((server) => ({ room_nid: row.room_nid, server, position: row.position })),
    );
    return await stickyForNewServers(tx, arrivals, clock.now());
  }

  /** Takes servers that are owed something, as many as can be sent to. */
  #claim(): void {
    this.#claimAgain = true;
    if (this.#stopped) return;
    this.#claiming ??= this.#claimSome()
      .catch((error: unknown) => log.warn({ err: error }, "servers to send to could not be looked up"))
      .finally(() => {
        this.#claiming = undefined;
        if (this.#claimAgain) this.#claim();
      });
  }

  async #claimSome(): Promise<void> {
    const { database, clock, process } = this.#options;
    this.#claimAgain = false;
    const most = MOST_AT_ONCE - this.#sending.size;
    const limits = { sound: Math.min(most, AT_ONCE - this.#quick.size), failed: Math.min(most, FAILED_AT_ONCE - this.#failed.size) };
    if (limits.sound <= 0) return;
    const now = clock.now();
    for (const destination of await claimDestinations(database, process(), now, HOLD_MS, limits, [...this.#sending.keys()])) {
      const name = destination.server_name;
      const places = destination.has_failed ? this.#failed : this.#quick;
      places.add(name);
      // It may be that the server was let go of a moment ago and whoever sent to it has not heard of it yet.
      const before = this.#sending.get(name) ?? Promise.resolve();
      const sending: Promise<void> = before
        .then(() => this.#sendTo(destination))
        .finally(() => {
          places.delete(name);
          if (this.#sending.get(name) === sending) this.#sending.delete(name);
        })
        .then(
          () => this.#claim(),
          // It is tried again at the next look.
          (error: unknown) => log.warn({ server: name, err: error }, "what a server is owed could not be looked up"),
        );
      this.#sending.set(name, sending);
    }
    if (performance.now() - this.#failingReadAt < LOOK_MS) return;
    this.#failingReadAt = performance.now();
    this.#failing = new Set(await failingDestinations(database, now));
  }

  /** Sends one transaction after the other until nothing is owed, or one fails. */
  async #sendTo({ server_name: server, failures, first_failure_ts, catch_up_after, is_fresh }: ClaimedDestination): Promise<void> {
    const { database, clock, servers } = this.#options;
    let isFresh = is_fresh;
    if (catch_up_after !== null) await this.#catchUp(server, catch_up_after);
    for (let owed = await this.#next(server); owed !== undefined; owed = await this.#next(server, { sent: owed })) {
      const slow = setTimeout(() => {
        if (this.#quick.delete(server)) this.#claim();
      }, SLOW_MS).unref();
      try {
        await this.#send(server, owed);
        isFresh = true;
      } catch (error) {
        if (!(error instanceof FederationError)) log.warn({ server, err: error }, "what a server is owed could not be sent");
        const now = clock.now();
        const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 20)) * (0.8 + 0.4 * Math.random());
        log.info({ server, failures: failures + 1, pause_ms: Math.round(pause), reason: String(error) }, "a server could not be sent to");
        this.#failing = new Set([...this.#failing, server]);
        // Events are what must not come in twice under two ids.
        const isClear = owed.events.length === 0 || (isFresh && servers.names.length === 1 && error instanceof FederationError && error.wasWithoutEffect);
        await this.#next(server, { retry: { at: now + Math.round(pause), unclear: !isClear } });
        if (first_failure_ts !== null && now - first_failure_ts > KEEP_MS) await suspendDestination(database, server);
        return;
      } finally {
        clearTimeout(slow);
      }
    }
  }

  /** Notes what a server has got, or that it failed, and gives what it gets next; undefined if that is nothing: then it has been let go of. */
  async #next(server: ServerName, outcome: Pick<Turn, "sent" | "retry"> = {}): Promise<Parcel | undefined> {
    return await new Promise((resolve, reject) => {
      this.#turns.push({ server, ...outcome, resolve, reject });
      if (!this.#noting) void this.#noteAll();
    });
  }

  /** Those that wait are noted together, and while that goes on others come to wait: many servers cost little more than one. */
  async #noteAll(): Promise<void> {
    this.#noting = true;
    for (let turns = this.#turns.splice(0, NOTED_AT_ONCE); turns.length > 0; turns = this.#turns.splice(0, NOTED_AT_ONCE)) {
      try {
        const parcels = await this.#noteSome(turns);
        for (const { server, resolve } of turns) if (!parcels.has(server)) resolve(undefined);
        // To sign and to begin a request takes a while: others have their turn between some of them.
        let begun = 0;
        for (const { server, resolve } of turns) {
          const parcel = parcels.get(server);
          if (parcel === undefined) continue;
          resolve(parcel);
          if ((begun += 1) % BEGUN_AT_ONCE === 0) await new Promise((goOn) => setImmediate(goOn));
        }
      } catch (error) {
        for (const { reject } of turns) reject(error);
      }
    }
    this.#noting = false;
  }

  async #noteSome(turns: readonly Turn[]): Promise<Map<ServerName, Parcel>> {
    const { database, clock } = this.#options;
    const sent = turns.flatMap(({ server, sent: owed }) => (owed === undefined ? [] : [{ server, owed }]));
    if (sent.length > 0) await noteSent(database, sent, clock.now() + HOLD_MS);
    const failed = turns.flatMap(({ server, retry }) => (retry === undefined ? [] : [{ server, retry: retry.at, unclear: retry.unclear }]));
    if (failed.length > 0) await noteFailed(database, failed, clock.now());
    const parcels = new Map<ServerName, Parcel>();
    const released: { readonly server: ServerName; readonly owedPosition: number }[] = [];
    const going = turns.filter(({ retry }) => retry === undefined);
    const next = await nextOwed(database, going.map(({ server }) => server), { events: EVENTS, edus: EDUS, few: FEW });
    for (const { server } of going) {
      const owed = next.get(server);
      if (owed !== undefined && !this.#stopped && owed.events.length + owed.edus.length > 0) parcels.set(server, owed);
      else released.push({ server, owedPosition: this.#stopped ? -1 : (owed?.owedPosition ?? -1) });
    }
    if (released.length > 0) await releaseDestinations(database, released);
    // Most often it is the same that many get.
    const nids = new Set([...parcels.values()].flatMap(({ events }) => events.map(({ event_nid }) => event_nid)));
    if (parcels.size < 2 || nids.size > SHARED_EVENTS) return parcels;
    const rows = await this.#eventsToSend([...nids]);
    return new Map([...parcels].map(([server, owed]) => [server, { ...owed, rows }]));
  }

  async #eventsToSend(nids: readonly number[]): Promise<Map<number, SentEvent>> {
    const rows = await eventsByNid(this.#options.database, nids);
    return new Map([...rows].map(([nid, row]) => [nid, { row, pdu: JSON.parse(row.json) as JsonObject }]));
  }

  /** Owes a server that was away what it missed. */
  async #catchUp(server: ServerName, after: number): Promise<void> {
    await this.#options.database.transaction(async (tx) => {
      const edus = await this.#options.missedEdus(tx, server, after);
      await catchUp(tx, server, after);
      const sticky = await stickyForServer(tx, server, this.#options.clock.now());
      await owe(tx, sticky.map((event) => ({ ...event, destination: server })), edus, after);
    });
  }

  async #send(server: ServerName, owed: Parcel, timeoutMs = TIMEOUT_MS): Promise<void> {
    const { servers, federation, clock } = this.#options;
    const rows = owed.rows ?? (await this.#eventsToSend(owed.events.map(({ event_nid }) => event_nid)));
    const events = owed.events.flatMap(({ event_nid }) => rows.get(event_nid) ?? []);
    // Several of our servers may have something to say: each for itself.
    for (const origin of servers.names) {
      const own = events.filter(({ row }) => speakerOf(row, servers) === origin);
      const edus = owed.edus.filter((edu) => edu.origin === origin);
      if (own.length + edus.length === 0) continue;
      const body = {
        origin,
        origin_server_ts: clock.now(),
        pdus: own.map(({ pdu }) => pdu),
        edus: edus.map(({ edu_type, content }) => ({ edu_type, content: JSON.parse(content) as JsonObject })),
      };
      // The same events have the same id until they are answered for, whoever sends them, and never again later. Ephemeral messages that
      // went with them may have been replaced by later ones since; none has been added.
      const digest = createHash("sha256").update(own.map(({ row }) => row.event_id).join(" "));
      if (own.length > 0) digest.update(` ${owed.openUntil}`);
      else for (const { edu_type, key, position } of edus) digest.update(`${edu_type} ${key} ${position} `);
      const uri = `/_matrix/federation/v1/send/${digest.digest("base64url").slice(0, 32)}`;
      await federation.client.request({ origin, destination: server, method: "PUT", uri, body, timeoutMs });
    }
  }
}

/** In whose name an event is sent: its sender's server if that is ours, else the first of ours, which passes it on. */
function speakerOf({ sender }: StoredEvent, servers: LocalServers): ServerName {
  const own = serverNameOf(sender);
  return servers.isLocal(own) ? own : servers.names[0];
}

/** The server of the user whose membership an event changes. */
function serversOfMember({ type, state_key }: StoredEvent): ServerName[] {
  const user = type === "m.room.member" && state_key !== null ? parseUserId(state_key) : undefined;
  return user === undefined ? [] : [serverNameOf(user)];
}

function membershipOf(row: StoredEvent | undefined): Membership | undefined {
  if (row?.type !== "m.room.member") return undefined;
  const content = own(JSON.parse(row.json) as JsonObject, "content");
  return isObject(content) ? membershipIn(content) : undefined;
}
