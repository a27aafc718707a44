// Asks for the rest of the state of rooms that were joined with a part of it (server-server API, "Joining Rooms",
// `members_omitted`). Whichever process takes a room up goes on where another one was interrupted.
import { FederationError, type FederationRequest } from "../../federation/client.js";
import { logger } from "../../log.js";
import { type RoomEvent, storedEvent } from "../../protocol/event.js";
import { createEventIdOfRoom, type EventId, parseEventId, type ServerName, serverNameOf } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import { roomVersion, type RoomVersion } from "../../protocol/room-version.js";
import { type StateTuple, stateTuple } from "../../protocol/state-map.js";
import { RepeatedWork } from "../../repeated-work.js";
import { eventsById, eventsByNid } from "../../storage/events.js";
import { serversInRoom } from "../../storage/joined-servers.js";
import type { LogFollower } from "../../storage/log.js";
import { hasLocalMember } from "../../storage/memberships.js";
import { claimIncompleteRoom, type IncompleteRoom, knownState, postponeIncompleteRoom } from "../../storage/partial-state.js";
import { FLAGS } from "../../storage/room-rows.js";
import { askForEvents, listOf, OutlierWriter } from "./bulk-state.js";
import { checkEvents } from "./check-events.js";
import type { RoomContext } from "../context.js";
import { findRoom } from "../current-state.js";

const log = logger("federation");

/** What another process left behind, and what is due again, is looked for so often. */
const LOOK_EVERY_MS = 5_000;
/** Rooms that this process asks for at once: one server that is slow keeps no other room waiting. */
const AT_ONCE = 8;
/** Servers that are tried one after the other before the room rests. */
const MAX_TRIES = 10;
/** Events before a join of ours. */
const MAX_PREVIOUS = 20;
const IDS_MS = 120_000;
const IDS_BYTES = 64 * 1024 * 1024;
const EVENT_MS = 30_000;
/** State events that are asked for one by one; more are asked for as a whole. */
const MAX_SINGLE = 50;
const SINGLE_AT_ONCE = 5;
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 10 * 60_000;

export interface PartialJoinsContext extends RoomContext {
  readonly follower: LogFollower;
}

/** Completes the rooms of which only a part of the state is known. */
export class PartialJoins implements AsyncDisposable {
  readonly #context: PartialJoinsContext;
  readonly #work: RepeatedWork;
  readonly #unsubscribe: () => void;
  readonly #underWay = new Map<number, Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(context: PartialJoinsContext) {
    this.#context = context;
    this.#work = new RepeatedWork(
      LOOK_EVERY_MS,
      () => this.#takeUp(),
      (error) => log.warn({ err: error }, "rooms that are known in part could not be looked for"),
    );
    this.#unsubscribe = context.follower.subscribeToEntries((entries) => {
      const isToldOf = entries?.some(({ kind, room_nid, reference }) => kind === "invalidation" && room_nid !== undefined && reference === undefined);
      if (isToldOf !== false) this.#work.wake();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    this.#stopping.abort();
    await this.#work[Symbol.asyncDispose]();
    await Promise.all(this.#underWay.values());
  }

  async #takeUp(): Promise<void> {
    const { database, clock, owners } = this.#context;
    while (this.#underWay.size < AT_ONCE && !this.#stopping.signal.aborted) {
      const room = await claimIncompleteRoom(database, owners.process, [...this.#underWay.keys()], clock.now());
      if (room === undefined) return;
      const work = this.#complete(room)
        .catch((error: unknown) => log.warn({ room: room.room_id, err: error }, "a room could not be completed"))
        .finally(() => {
          this.#underWay.delete(room.room_nid);
          if (!this.#stopping.signal.aborted) this.#work.wake();
        });
      this.#underWay.set(room.room_nid, work);
    }
  }

  /** Completes a room, or puts it off until later; gives it up where that fails and nobody of ours is there any more. */
  async #complete(room: IncompleteRoom): Promise<void> {
    const { database, clock, owners } = this.#context;
    const { room_id, room_nid, attempts } = room;
    const begun = performance.now();
    let reason = "something before a join of ours is missing";
    try {
      await this.#fetchAll(room);
      if (await owners.complete(room_id, room_nid)) {
        log.info({ room: room_id, ms: Math.round(performance.now() - begun) }, "a room is complete");
        return;
      }
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
      log.info({ room: room_id, attempts, reason }, "a room cannot be completed yet");
    }
    if (this.#stopping.signal.aborted) return;
    if ((await findRoom(database, room_id))?.nid !== room_nid) {
      log.info({ room: room_id }, "a room that was known in part is gone");
      return;
    }
    if (!(await hasLocalMember(database, room_nid))) {
      await owners.complete(room_id, room_nid, true);
      log.info({ room: room_id }, "a room that is known in part is given up: nobody of ours is there");
      return;
    }
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempts - 1, 20));
    await postponeIncompleteRoom(database, room_nid, clock.now() + pause, reason);
  }

  /** Asks for what came before our joins, and the state before that. Throws FederationError if no server gives it. */
  async #fetchAll(room: IncompleteRoom): Promise<void> {
    const { database } = this.#context;
    const version = roomVersion(room.version);
    if (version === undefined) throw new Error(`room ${room.room_id} has the unknown version ${room.version}`);
    const joins = await eventsByNid(database, room.entries);
    const previous = [...joins.values()].flatMap((row) => storedEvent(version, row.event_id, row.json).prev_events.slice(0, MAX_PREVIOUS));
    const here = await knownState(database, previous);
    const missing = [...new Set(previous)].filter((id) => ((here.get(id)?.flags ?? FLAGS.outlier) & FLAGS.outlier) !== 0);
    for (const id of missing) await this.#fetchFromSome(room, version, id);
  }

  async #fetchFromSome(room: IncompleteRoom, version: RoomVersion, id: EventId): Promise<void> {
    const { database, servers, federation } = this.#context;
    const inRoom = await serversInRoom(database, room.room_nid, []);
    const toAsk = [...new Set([room.asked, ...inRoom, ...room.servers])].filter((name) => !servers.isLocal(name) && federation.policy.allows(name));
    let refusal: FederationError | undefined;
    for (const server of toAsk.slice(0, MAX_TRIES)) {
      try {
        await this.#fetch(room, version, server, id);
        return;
      } catch (error) {
        if (!(error instanceof FederationError) || this.#stopping.signal.aborted) throw error;
        log.info({ server, room: room.room_id, reason: error.message }, "a server does not give the state of a room");
        refusal ??= error;
      }
    }
    throw refusal ?? new Error("there is no server to ask");
  }

  /** Takes an event that one of our joins follows, and the state before it, from a server. Throws FederationError. */
  async #fetch(room: IncompleteRoom, version: RoomVersion, server: ServerName, id: EventId): Promise<void> {
    const { database, owners } = this.#context;
    const { room_id: roomId, room_nid: roomNid } = room;
    const unfit = (reason: string): FederationError => new FederationError(server, `the state of ${server} cannot be taken over: ${reason}`);
    const query = `${encodeURIComponent(roomId)}?event_id=${encodeURIComponent(id)}`;
    const answer = await this.#ask(room, server, `state_ids/${query}`, IDS_MS);
    const ids = listOf(answer, "pdu_ids").flatMap((one) => parseEventId(one) ?? []);
    if (ids.length === 0) throw unfit("there is none");
    const chain = listOf(answer, "auth_chain_ids").flatMap((one) => parseEventId(one) ?? []);
    const all = [...new Set([...ids, ...chain, id])];
    const here = await knownState(database, all);
    const missing = all.filter((one) => !here.has(one));
    const create = createEventIdOfRoom(roomId);
    const writer = new OutlierWriter(this.#context, { server, version, roomId, roomNid, create: version.hashedRoomIds ? create : undefined }, here.keys(), missing.length);
    try {
      const given = missing.length <= MAX_SINGLE ? undefined : await askForEvents(this.#context, this.#request(room, server, `state/${query}`), {
        room: { version, roomId },
        lists: ["auth_chain", "pdus"],
        isKnown: (one) => here.has(one),
        take: (events) => writer.add(events),
      });
      writer.add(await this.#fetchEach(room, version, server, missing.filter((one) => given?.isSigned(one) !== true).slice(0, MAX_SINGLE)));
      await writer.end();
    } finally {
      await writer.settled();
    }

    const found = await knownState(database, all);
    const state = new Map<StateTuple, EventId>();
    for (const one of ids) {
      const known = found.get(one);
      // What nobody signed is no state; a state with holes is better than none.
      if (known !== undefined && known.state_key !== null && known.room_nid === roomNid) state.set(stateTuple(known.type, known.state_key), one);
    }
    if (!state.has(stateTuple("m.room.create", ""))) throw unfit("there is no create event");
    const row = (await eventsById(database, [id])).get(id);
    if (row === undefined || row.room_nid !== roomNid) throw unfit("it does not give the event before our join");
    const event = storedEvent(version, id, row.json);
    // Some give the state after the event: then it replaced what authorised it.
    const own = event.state_key === undefined ? undefined : stateTuple(event.type, event.state_key);
    if (own !== undefined && state.get(own) === id) {
      state.delete(own);
      for (const before of (await knownState(database, event.auth_events)).values()) {
        if (before.state_key !== null && stateTuple(before.type, before.state_key) === own) state.set(own, before.event_id);
      }
    }
    await owners.receive(version, roomId, [{ event, as: "history", stateBefore: state }]);
  }

  /** Those of some events that a server gives, one by one. */
  async #fetchEach(room: IncompleteRoom, version: RoomVersion, server: ServerName, ids: readonly EventId[]): Promise<RoomEvent[]> {
    const events: RoomEvent[] = [];
    for (let start = 0; start < ids.length; start += SINGLE_AT_ONCE) {
      await Promise.all(
        ids.slice(start, start + SINGLE_AT_ONCE).map(async (id) => {
          try {
            const answer = await this.#ask(room, server, `event/${encodeURIComponent(id)}`, EVENT_MS);
            const [checked] = await checkEvents(this.#context.federation.keyRing, version, listOf(answer, "pdus").slice(0, 1));
            if (checked !== undefined && "event" in checked && checked.event.room_id === room.room_id && checked.event.event_id === id) events.push(checked.event);
          } catch (error) {
            if (!(error instanceof FederationError)) throw error;
          }
        }),
      );
    }
    return events;
  }

  async #ask(room: IncompleteRoom, destination: ServerName, path: string, timeoutMs: number): Promise<JsonObject> {
    return await this.#context.federation.client.request({ ...this.#request(room, destination, path), timeoutMs, hasEvents: true });
  }

  #request(room: IncompleteRoom, destination: ServerName, path: string): FederationRequest {
    return { origin: serverNameOf(room.user_id), destination, method: "GET", uri: `/_matrix/federation/v1/${path}`, maxBytes: IDS_BYTES, signal: this.#stopping.signal };
  }
}
