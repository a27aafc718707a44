// "No event is ever missed by /sync", as something that can be checked: one client's chain of tokens, the union of the
// timelines it was given, gaps filled from /messages, and the comparison of all that with what the server says it holds.
import { objectAt, objectsAt, stringAt, type JsonObject } from "./json-path.js";
import { ok, type MatrixRequest } from "./matrix-request.js";

/** How many pages of /messages a gap may have before it counts as a walk that does not end. */
const MAX_PAGES = 10_000;
const PAGE = 100;

/** How many steps are made again at the end, spread over the chain. */
const REPLAYS = 10;

type Section = "join" | "leave" | "invite" | "knock";

interface RoomRecord {
  section: Section;
  /** Events in the order in which this client would show them. */
  readonly timeline: JsonObject[];
  readonly known: Set<string>;
  /** By type and state key. */
  readonly state: Map<string, JsonObject>;
}

/** What one step brought, to compare with when it is made again. */
interface Step {
  readonly since: string;
  readonly joined: ReadonlyMap<string, readonly string[]>;
}

export interface SyncChainOptions {
  /** A filter id or a filter as JSON. */
  readonly filter?: string;
  /** Goes on from a token of an earlier chain; what came before that token is then not asked for. */
  readonly since?: string;
}

function idOf(event: JsonObject): string {
  return stringAt(event, "event_id") ?? "";
}

function stateKeyOf(event: JsonObject): string | undefined {
  const stateKey = stringAt(event, "state_key");
  return stateKey === undefined ? undefined : JSON.stringify([stringAt(event, "type"), stateKey]);
}

/** Walks /messages backwards from `from` (or the newest event) until `stop` says so or the history ends; newest first. */
async function walkBack(
  request: MatrixRequest,
  roomId: string,
  from: string | undefined,
  stop: (event: JsonObject) => boolean,
): Promise<JsonObject[]> {
  const found: JsonObject[] = [];
  let token = from;
  for (let page = 0; page < MAX_PAGES; page++) {
    const query = new URLSearchParams({ dir: "b", limit: String(PAGE), ...(token === undefined ? {} : { from: token }) });
    const body = await ok(request, "GET", `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?${query.toString()}`);
    for (const event of objectsAt(body, "chunk")) {
      if (stop(event)) return found;
      found.push(event);
    }
    const end = stringAt(body, "end");
    if (end === undefined) return found;
    if (end === token) throw new Error(`/messages of ${roomId} gives the same token again: ${end}`);
    token = end;
  }
  throw new Error(`/messages of ${roomId} does not end after ${MAX_PAGES} pages`);
}

/** What differs between the state a client added up and the server's current state. */
function compareState(roomId: string, ours: ReadonlyMap<string, JsonObject>, current: readonly JsonObject[]): string[] {
  const held = new Map(current.map((event) => [stateKeyOf(event) ?? "", idOf(event)]));
  const faults: string[] = [];
  for (const [key, eventId] of held) {
    const sent = ours.get(key);
    if (sent === undefined) faults.push(`${roomId}: state ${key} was never sent`);
    else if (idOf(sent) !== eventId) faults.push(`${roomId}: state ${key} is ${eventId}, the chain has ${idOf(sent)}`);
  }
  for (const key of ours.keys()) if (!held.has(key)) faults.push(`${roomId}: state ${key} is not in /state`);
  return faults;
}

/** The chain of one device's syncs. Not to be stepped concurrently. */
export class SyncChain {
  readonly #request: MatrixRequest;
  readonly #filter: string | undefined;
  readonly #rooms = new Map<string, RoomRecord>();
  readonly #faults: string[] = [];
  readonly #steps: Step[] = [];
  #token: string | undefined;

  constructor(request: MatrixRequest, options: SyncChainOptions = {}) {
    this.#request = request;
    this.#filter = options.filter;
    this.#token = options.since;
  }

  /** The token that the next step will use. */
  get token(): string | undefined {
    return this.#token;
  }

  /** Faults seen while stepping: events given twice, events without an id, syncs that do not answer a token. */
  get faults(): readonly string[] {
    return this.#faults;
  }

  /** The events of a room as this client knows them, oldest first. */
  timeline(roomId: string): readonly JsonObject[] {
    return this.#rooms.get(roomId)?.timeline ?? [];
  }

  /** Which part of the answer the room was last in. */
  section(roomId: string): Section | undefined {
    return this.#rooms.get(roomId)?.section;
  }

  /** The rooms of one section. */
  roomsIn(section: Section): string[] {
    return [...this.#rooms].flatMap(([roomId, room]) => (room.section === section ? [roomId] : []));
  }

  /**
   * One sync, recorded; gives its body. Throws and changes nothing when the server does not answer 200, so that a step
   * cut off by a crash is simply made again.
   */
  async step(timeoutMs = 0): Promise<unknown> {
    const since = this.#token;
    const body = await this.#sync(since, timeoutMs);
    const next = stringAt(body, "next_batch");
    if (next === undefined) throw new Error("the answer of /sync has no next_batch");
    // Gaps are read before anything is recorded: a crash between the two must leave the chain as it was.
    const gaps = new Map<string, JsonObject[]>();
    for (const section of ["join", "leave"] as const) {
      for (const [roomId, room] of Object.entries(objectAt(body, "rooms", section))) {
        gaps.set(roomId, await this.#gapBefore(roomId, room));
      }
    }
    for (const section of ["join", "leave", "invite", "knock"] as const) {
      for (const [roomId, room] of Object.entries(objectAt(body, "rooms", section))) {
        this.#record(roomId, section, room, gaps.get(roomId) ?? []);
      }
    }
    this.#token = next;
    const joined = Object.entries(objectAt(body, "rooms", "join"));
    if (since !== undefined && joined.length > 0) {
      this.#steps.push({ since, joined: new Map(joined.map(([roomId, room]) => [roomId, objectsAt(room, "timeline", "events").map(idOf)])) });
    }
    return body;
  }

  #sync(since: string | undefined, timeoutMs: number): Promise<unknown> {
    const query = new URLSearchParams({
      timeout: String(timeoutMs),
      ...(since === undefined ? {} : { since }),
      ...(this.#filter === undefined ? {} : { filter: this.#filter }),
    });
    return ok(this.#request, "GET", `/_matrix/client/v3/sync?${query.toString()}`);
  }

  /** Makes some steps again: the same token gives the same events or more, never fewer. */
  async #replay(): Promise<string[]> {
    const faults: string[] = [];
    const stride = Math.max(1, Math.ceil(this.#steps.length / REPLAYS));
    for (const [index, { since, joined }] of this.#steps.entries()) {
      if (index % stride !== 0) continue;
      const body = await this.#sync(since, 0);
      for (const [roomId, before] of joined) {
        const timeline = objectAt(body, "rooms", "join", roomId, "timeline");
        // With a gap the rest is before prev_batch; rooms that were left since are elsewhere in the answer.
        if (timeline["limited"] === true || this.#rooms.get(roomId)?.section !== "join") continue;
        const again = new Set(objectsAt(timeline, "events").map(idOf));
        for (const eventId of before) if (!again.has(eventId)) faults.push(`${roomId}: ${eventId} does not come again from ${since}`);
      }
    }
    return faults;
  }

  /** Steps until a sync brings no room any more. */
  async catchUp(): Promise<void> {
    for (let step = 0; step < 1_000; step++) {
      const body = await this.step(0);
      if (["join", "leave", "invite", "knock"].every((section) => Object.keys(objectAt(body, "rooms", section)).length === 0)) return;
    }
    throw new Error("/sync with timeout 0 still brings rooms after 1,000 steps");
  }

  /** Steps, waiting for news, until `done` holds; throws after `timeoutMs`. */
  async until(what: string, done: () => boolean, timeoutMs = 120_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!done()) {
      if (performance.now() > deadline) throw new Error(`/sync did not bring ${what} within ${timeoutMs} ms`);
      await this.step(1_000);
    }
  }

  async #gapBefore(roomId: string, room: unknown): Promise<JsonObject[]> {
    const timeline = objectAt(room, "timeline");
    if (timeline["limited"] !== true) return [];
    const known = this.#rooms.get(roomId)?.known;
    const events = objectsAt(timeline, "events");
    if (events.some((event) => known?.has(idOf(event)) === true)) return [];
    const from = stringAt(timeline, "prev_batch");
    if (from === undefined) throw new Error(`${roomId}: a limited timeline without prev_batch`);
    const shown = new Set(events.map(idOf));
    const older = await walkBack(this.#request, roomId, from, (event) => known?.has(idOf(event)) === true);
    for (const event of older) if (shown.has(idOf(event))) this.#faults.push(`${roomId}: ${idOf(event)} is on both sides of prev_batch`);
    return older.filter((event) => !shown.has(idOf(event))).toReversed();
  }

  #record(roomId: string, section: Section, room: unknown, gap: readonly JsonObject[]): void {
    const before = this.#rooms.get(roomId);
    const record: RoomRecord = before ?? { section, timeline: [], known: new Set(), state: new Map() };
    // Who comes back to a room is shown its recent events, which a first stay may have shown already.
    const repeats = before !== undefined && before.section === section;
    record.section = section;
    this.#rooms.set(roomId, record);
    const timeline = objectsAt(room, "timeline", "events");
    for (const event of [...gap, ...timeline]) {
      const eventId = idOf(event);
      if (eventId === "") this.#faults.push(`${roomId}: an event without event_id`);
      if (!record.known.has(eventId)) record.timeline.push(event);
      else if (repeats) this.#faults.push(`${roomId}: ${eventId} came twice`);
      record.known.add(eventId);
    }
    const stateAfter = objectsAt(room, "state_after", "events");
    const changes = stateAfter.length > 0 ? stateAfter : [...objectsAt(room, "state", "events"), ...timeline];
    for (const event of changes) {
      const key = stateKeyOf(event);
      if (key !== undefined) record.state.set(key, event);
    }
  }

  /**
   * Compares the chain with the server, when nothing is being sent any more: every event that /messages shows was in a
   * timeline exactly once, state plus timelines add up to the current state, and steps made again give what they gave.
   * The faults; none when all is well.
   */
  async check(): Promise<string[]> {
    const faults = [...this.#faults, ...(await this.#replay())];
    for (const [roomId, room] of this.#rooms) {
      if (room.section !== "join") continue;
      const held = (await walkBack(this.#request, roomId, undefined, () => false)).toReversed().map(idOf);
      const heldSet = new Set(held);
      if (heldSet.size !== held.length) faults.push(`${roomId}: /messages shows an event twice`);
      for (const eventId of heldSet) if (!room.known.has(eventId)) faults.push(`${roomId}: ${eventId} was missed`);
      for (const eventId of room.known) if (!heldSet.has(eventId)) faults.push(`${roomId}: ${eventId} is not in /messages`);
      const current = await ok(this.#request, "GET", `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state`);
      faults.push(...compareState(roomId, room.state, objectsAt(current)));
    }
    return faults;
  }
}
