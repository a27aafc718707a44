// Events that another server sends: completed by what they refer to, and given to the room's owner (server-server API,
// "Transactions", "Backfilling and retrieving missing events").
import { FederationError } from "../../federation/client.js";
import { logger } from "../../log.js";
import type { RoomEvent } from "../../protocol/event.js";
import { createEventIdOfRoom, type EventId, parseEventId, type ServerName } from "../../protocol/identifiers.js";
import { type JsonObject, type JsonValue, own } from "../../protocol/json.js";
import { type StateTuple, stateTuple } from "../../protocol/state-map.js";
import { eventsById } from "../../storage/events.js";
import { FLAGS } from "../../storage/room-rows.js";
import { roomEnds } from "../../storage/rooms.js";
import { checkEvents } from "./check-events.js";
import type { RoomContext } from "../context.js";
import type { Room } from "../current-state.js";
import { inOrder } from "../owner/event-order.js";
import type { Outcome, ReceivedEvent } from "../owner/received-event.js";

const log = logger("receive");

/** How often, and for how many at a time, a server is asked for what lies between what we have and what it sent. */
const GAP_ROUNDS = 5;
const GAP_EVENTS = 20;
const MAX_LATEST = 20;
/** Auth chains that are asked for to judge the events of one batch. */
const MAX_CHAINS = 10;
/** Events before which the state is asked for. */
const MAX_STATES = 10;
/** State events that are asked for one by one; more are asked for as a whole. */
const MAX_SINGLE = 50;
const AT_ONCE = 5;

/** Who is asked for what is missing, and in whose name. */
export interface Sender {
  readonly origin: ServerName;
  readonly destination: ServerName;
}

type ReceiveContext = Pick<RoomContext, "database" | "owners" | "federation">;

/** What became of each event; those that cannot be judged yet are left out. */
export type Outcomes = ReadonlyMap<EventId, Outcome>;

/** Events of one room that a server sent together. */
export interface SentEvents {
  readonly sender: Sender;
  readonly events: readonly RoomEvent[];
}

/**
 * Works events of one room, whose format and signatures were checked, into the room as one change: asks the sender of each for
 * what they refer to and neither we nor the others have, as far as that is little. Throws what the room's owner throws.
 */
export async function receiveEvents(context: RoomContext, room: Room, sent: readonly SentEvents[]): Promise<Outcomes> {
  const stored = new Map<EventId, boolean>();
  const together = new Set(sent.flatMap(({ events }) => events.map(({ event_id }) => event_id)));
  const batches = sent.map(({ sender, events }) => {
    const batch = new Batch(context, room, sender, { stored, together });
    for (const event of events) batch.send(event);
    return batch;
  });
  const [first] = batches;
  if (first === undefined) return new Map();
  const named = sent.flatMap(({ events }) => events.flatMap(({ prev_events, auth_events }) => [...prev_events, ...auth_events]));
  await first.lookUp(named.filter((id) => !together.has(id)));
  await Promise.all(
    batches.map(async (batch) => {
      await batch.closeGaps();
      await batch.findStates();
      await batch.findAuthEvents();
    }),
  );
  if (batches.length > 1) first.takeOver(batches.slice(1));
  const ordered = first.inOrder();
  const { owners } = context;
  // What a given state names has to be there before the events that it is the state of.
  const ahead = ordered.some(({ stateBefore }) => stateBefore !== undefined) ? ordered.filter(({ as }) => as === "outlier") : [];
  if (ahead.length > 0) await owners.receive(room.rules, room.room_id, ahead);
  const { outcomes } = await owners.receive(room.rules, room.room_id, ordered);
  return outcomes;
}

/**
 * Works the history that a server gave into a room, behind the live timeline: at most `limit` of its events that pass the checks.
 * How many the server gave. Throws what the room's owner throws.
 */
export async function receiveHistory(context: ReceiveContext, room: Room, sender: Sender, answer: JsonObject, limit: number): Promise<number> {
  const batch = new Batch(context, room, sender);
  const given = listOf(answer, "pdus").slice(0, limit);
  await batch.addHistory(given);
  await batch.findStates();
  await batch.findAuthEvents();
  const ordered = batch.inOrder();
  const ahead = ordered.filter(({ as }) => as === "outlier");
  if (ahead.length > 0) await context.owners.receive(room.rules, room.room_id, ahead);
  if (ordered.length > ahead.length) await context.owners.receive(room.rules, room.room_id, ordered);
  return given.length;
}

/** Takes events that a server gave without their place in the room, those that pass the checks: only for what refers to them. */
export async function receiveOutliers(context: ReceiveContext, room: Room, sender: Sender, wire: readonly JsonValue[]): Promise<void> {
  const batch = new Batch(context, room, sender);
  await batch.addOutliers(wire);
  await batch.findAuthEvents();
  const ordered = batch.inOrder();
  if (ordered.length > 0) await context.owners.receive(room.rules, room.room_id, ordered);
}

/** What the batches of several senders know together. */
interface Shared {
  /** What the database has: true for events whose place in the room is known. */
  readonly stored: Map<EventId, boolean>;
  /** What one of them was sent: it is not asked for. */
  readonly together: ReadonlySet<EventId>;
}

interface Entry {
  readonly event: RoomEvent;
  as: ReceivedEvent["as"];
  stateBefore?: ReadonlyMap<StateTuple, EventId>;
}

/** Events that a server sent, and what was found for them. */
class Batch {
  readonly #context: ReceiveContext;
  readonly #room: Room;
  readonly #sender: Sender;
  readonly #events = new Map<EventId, Entry>();
  readonly #sent = new Set<EventId>();
  readonly #shared: Shared;

  constructor(context: ReceiveContext, room: Room, sender: Sender, shared: Shared = { stored: new Map(), together: new Set() }) {
    this.#context = context;
    this.#room = room;
    this.#sender = sender;
    this.#shared = shared;
  }

  /** Adds an event that was sent to us. */
  send(event: RoomEvent): void {
    this.#sent.add(event.event_id);
    this.add(event, "live");
  }

  /** Adds what passes the checks of history that was asked for. */
  async addHistory(wire: readonly JsonValue[]): Promise<void> {
    const events = await this.#checked(wire);
    const stored = new Set(await this.#missing(events.map(({ event_id }) => event_id), true));
    for (const event of events) if (stored.has(event.event_id)) this.add(event, "history");
  }

  /** Adds what passes the checks of events that are not here at all. */
  async addOutliers(wire: readonly JsonValue[]): Promise<void> {
    const events = await this.#checked(wire);
    const lacking = new Set(await this.#missing(events.map(({ event_id }) => event_id), false));
    for (const event of events) if (lacking.has(event.event_id)) this.add(event, "outlier");
  }

  /** Adds an event of the room, once; others count for nothing. */
  add(event: RoomEvent, as: ReceivedEvent["as"]): void {
    if (event.room_id !== this.#room.room_id) return;
    const known = this.#events.get(event.event_id);
    if (known === undefined) this.#events.set(event.event_id, { event, as });
    else if (known.as === "outlier") known.as = as;
  }

  /** Asks the database for events, unless it is known that it has them. */
  async lookUp(ids: Iterable<EventId>): Promise<void> {
    const { stored } = this.#shared;
    const unknown = [...new Set(ids)].filter((id) => !stored.has(id));
    if (unknown.length === 0) return;
    for (const row of (await eventsById(this.#context.database, unknown)).values()) {
      if (row.room_nid === this.#room.nid) stored.set(row.event_id, (row.flags & FLAGS.outlier) === 0);
    }
  }

  /** Which of these events neither the database nor a batch has; `placed` counts outliers as missing. */
  async #missing(ids: Iterable<EventId>, placed: boolean): Promise<EventId[]> {
    const lacking = [...new Set(ids)].filter((id) => !this.#isHere(id, placed));
    await this.lookUp(lacking);
    return lacking.filter((id) => !this.#isHere(id, placed));
  }

  #isHere(id: EventId, placed: boolean): boolean {
    const here = this.#events.get(id);
    if (here !== undefined && (!placed || here.as !== "outlier")) return true;
    const { stored, together } = this.#shared;
    // What this batch was sent itself and left out again is not here.
    return (together.has(id) && !this.#sent.has(id)) || stored.get(id) === true || (!placed && stored.has(id));
  }

  /** Takes what other batches hold; then leaves out what follows events that these were sent and had to leave out themselves. */
  takeOver(others: readonly Batch[]): void {
    for (const { event_id, entry } of others.flatMap((other) => [...other.#events].map(([event_id, entry]) => ({ event_id, entry })))) {
      const here = this.#events.get(event_id);
      // Of what several found, that counts which needs least: a place over none, no given state over one.
      if (here === undefined || here.as === "outlier" || (entry.as !== "outlier" && entry.stateBefore === undefined)) this.#events.set(event_id, entry);
    }
    const { stored } = this.#shared;
    const isPlaced = (id: EventId): boolean => stored.get(id) === true || (this.#events.get(id)?.as ?? "outlier") !== "outlier";
    for (let again = true; again; ) {
      again = false;
      for (const [id, { event, as, stateBefore }] of this.#events) {
        if (as !== "outlier" && stateBefore === undefined && !event.prev_events.every(isPlaced)) again = this.#events.delete(id);
      }
    }
  }

  #placed(): RoomEvent[] {
    return [...this.#events.values()].filter(({ as }) => as !== "outlier").map(({ event }) => event);
  }

  /** Asks for the events between those that the room has and those that came, a few times. */
  async closeGaps(): Promise<void> {
    for (let round = 0; round < GAP_ROUNDS; round += 1) {
      const missing = new Set(await this.#missing(this.#placed().flatMap(({ prev_events }) => prev_events), true));
      if (missing.size === 0) return;
      const latest = this.#placed().filter(({ prev_events }) => prev_events.some((id) => missing.has(id)));
      const earliest = await roomEnds(this.#context.database, this.#room.nid);
      const body = {
        limit: GAP_EVENTS,
        min_depth: Math.max(0, Math.min(...latest.map(({ depth }) => depth)) - 10 * GAP_EVENTS),
        earliest_events: earliest.slice(0, 20),
        latest_events: latest.map(({ event_id }) => event_id).slice(0, MAX_LATEST),
      };
      const answer = await this.#ask("POST", `get_missing_events/${encodeURIComponent(this.#room.room_id)}`, body);
      const found = await this.#checked(listOf(answer, "events").slice(0, GAP_EVENTS));
      const fresh = found.filter(({ event_id }) => !this.#events.has(event_id));
      for (const event of fresh) this.add(event, "live");
      // A server that gave less than it was asked for has come to the end of what it has or gives: it would give the same again.
      if (fresh.length === 0 || (found.length < GAP_EVENTS && latest.length <= MAX_LATEST)) return;
    }
  }

  /**
   * For events before those that were sent which still have unknown predecessors: these, and the state before them as the sender knows
   * it, so that we find out ourselves what state they lead to; in history, which ends somewhere in any case, the state before the
   * events themselves. Whoever sends an event has to have what it follows: without that it is not taken.
   */
  async findStates(): Promise<void> {
    // What is left out is missing to those that follow it.
    for (let asked = 0, again = true; again; ) {
      again = false;
      const missing = new Set(await this.#missing(this.#placed().flatMap(({ prev_events }) => prev_events), true));
      for (const [id, entry] of this.#events) {
        const lacking = entry.as === "outlier" || entry.stateBefore !== undefined ? [] : entry.event.prev_events.filter((before) => missing.has(before));
        if (lacking.length === 0) continue;
        let isKnown = !this.#sent.has(id) && (asked += entry.as === "history" ? 1 : lacking.length) <= MAX_STATES;
        if (isKnown && entry.as === "history") {
          const stateBefore = await this.#stateBefore(id);
          if (stateBefore !== undefined) entry.stateBefore = stateBefore;
          else isKnown = false;
        } else {
          for (const before of lacking) {
            isKnown &&= await this.#place(before);
            if (isKnown) missing.delete(before);
          }
        }
        if (!isKnown) again = this.#events.delete(id);
      }
    }
  }

  /** Asks for an event that others follow, and for the state before it: whether both are had. */
  async #place(id: EventId): Promise<boolean> {
    const answer = await this.#ask("GET", `event/${encodeURIComponent(id)}`);
    const event = (await this.#checked(listOf(answer, "pdus").slice(0, 1))).find(({ event_id }) => event_id === id);
    const stateBefore = event === undefined ? undefined : await this.#stateBefore(id);
    if (event === undefined || stateBefore === undefined) return false;
    this.add(event, "live");
    const entry = this.#events.get(id);
    if (entry !== undefined) entry.stateBefore = await this.#withoutItself(event, stateBefore);
    return entry !== undefined;
  }

  /** Some give the state after an event for the one before it: there, what authorises the event was in its place. */
  async #withoutItself({ event_id, type, state_key, auth_events }: RoomEvent, given: ReadonlyMap<StateTuple, EventId>): Promise<ReadonlyMap<StateTuple, EventId>> {
    const own = state_key === undefined ? undefined : stateTuple(type, state_key);
    if (own === undefined || given.get(own) !== event_id) return given;
    const stored = await eventsById(this.#context.database, auth_events);
    const replaced = auth_events.find((id) => {
      const one = this.#events.get(id)?.event ?? stored.get(id);
      return one?.type === type && one.state_key === state_key;
    });
    const before = new Map(given);
    before.delete(own);
    if (replaced !== undefined) before.set(own, replaced);
    return before;
  }

  /** The state before an event by its sender's account; its events join the batch as outliers. Undefined: not to be had. */
  async #stateBefore(eventId: EventId): Promise<Map<StateTuple, EventId> | undefined> {
    const query = `${encodeURIComponent(this.#room.room_id)}?event_id=${encodeURIComponent(eventId)}`;
    const ids = await this.#ask("GET", `state_ids/${query}`);
    if (ids === undefined) return undefined;
    const state = idsOf(ids, "pdu_ids");
    const missing = await this.#missing([...state, ...idsOf(ids, "auth_chain_ids")], false);
    if (missing.length > MAX_SINGLE) {
      const whole = await this.#ask("GET", `state/${query}`);
      for (const event of await this.#checked([...listOf(whole, "auth_chain"), ...listOf(whole, "pdus")])) this.add(event, "outlier");
    } else {
      await this.#fetchEach(missing);
    }
    const stored = await eventsById(this.#context.database, state);
    const before = new Map<StateTuple, EventId>();
    for (const id of state) {
      const event = this.#events.get(id)?.event;
      const row = stored.get(id);
      if (event?.state_key !== undefined) before.set(stateTuple(event.type, event.state_key), id);
      else if (row !== undefined && row.state_key !== null && row.room_nid === this.#room.nid) before.set(stateTuple(row.type, row.state_key), id);
      // A state with a hole is another state.
      else return undefined;
    }
    return before;
  }

  async #fetchEach(ids: readonly EventId[]): Promise<void> {
    for (let start = 0; start < ids.length; start += AT_ONCE) {
      await Promise.all(
        ids.slice(start, start + AT_ONCE).map(async (id) => {
          const answer = await this.#ask("GET", `event/${encodeURIComponent(id)}`);
          for (const event of await this.#checked(listOf(answer, "pdus").slice(0, 1))) this.add(event, "outlier");
        }),
      );
    }
  }

  /** What authorises the events of the batch and is not here: asked for as whole chains, a few. */
  async findAuthEvents(): Promise<void> {
    for (let chain = 0; chain < MAX_CHAINS; chain += 1) {
      const missing = new Set(await this.#missing([...this.#events.values()].flatMap(({ event }) => event.auth_events), false));
      const lacking = [...this.#events.values()].find(({ event }) => event.auth_events.some((id) => missing.has(id)));
      if (lacking === undefined) return;
      const path = `event_auth/${encodeURIComponent(this.#room.room_id)}/${encodeURIComponent(lacking.event.event_id)}`;
      const before = this.#events.size;
      for (const event of await this.#checked(listOf(await this.#ask("GET", path), "auth_chain"))) this.add(event, "outlier");
      if (this.#events.size === before) await this.#fetchEach([...missing].slice(0, MAX_SINGLE));
      if (this.#events.size === before) return;
    }
  }

  /** The events that pass the checks of what comes in. */
  async #checked(wire: readonly JsonValue[]): Promise<RoomEvent[]> {
    const results = await checkEvents(this.#context.federation.keyRing, this.#room.rules, wire);
    return results.flatMap((result) => ("event" in result ? [result.event] : []));
  }

  async #ask(method: "GET" | "POST", path: string, body?: JsonObject): Promise<JsonObject | undefined> {
    const { origin, destination } = this.#sender;
    try {
      const uri = `/_matrix/federation/v1/${path}`;
      return await this.#context.federation.client.request({ origin: destination, destination: origin, method, uri, hasEvents: true, ...(body !== undefined && { body }) });
    } catch (error) {
      if (!(error instanceof FederationError)) throw error;
      log.info({ server: origin, room: this.#room.room_id, reason: error.message }, "a server did not give what its events refer to");
      return undefined;
    }
  }

  /** All events, each after those that it refers to. */
  inOrder(): ReceivedEvent[] {
    const create = createEventIdOfRoom(this.#room.room_id);
    const events = [...this.#events.values()].map(({ event }) => event);
    const ordered = inOrder(events, ({ event_id, prev_events, auth_events }) => {
      const { as, stateBefore } = this.#events.get(event_id) ?? {};
      return [...(as === "outlier" ? [] : prev_events), ...(stateBefore?.values() ?? []), ...auth_events, create];
    });
    return ordered.flatMap(({ event_id }) => {
      const entry = this.#events.get(event_id);
      return entry === undefined ? [] : [entry];
    });
  }
}

function listOf(answer: JsonObject | undefined, key: string): readonly JsonValue[] {
  const list = answer === undefined ? undefined : own(answer, key);
  return Array.isArray(list) ? list : [];
}

function idsOf(answer: JsonObject, key: string): EventId[] {
  return listOf(answer, key).flatMap((id) => parseEventId(id) ?? []);
}
