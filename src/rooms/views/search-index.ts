// Keeps what rooms are searched by: a reader of the log that writes the texts of messages, names and topics, and which rooms
// are open to everyone. Whichever process holds the reader's cursor does it; who searches brings it up to date first.
import { setTimeout as sleep } from "node:timers/promises";
import { logger } from "../../log.js";
import { isState, type RoomEvent, storedEvent } from "../../protocol/event.js";
import { historyVisibilityIn } from "../../protocol/history-visibility.js";
import { isObject, own, ownString } from "../../protocol/json.js";
import { roomVersion } from "../../protocol/room-version.js";
import { foldedWords } from "../../protocol/search-text.js";
import { stateTuple } from "../../protocol/state-map.js";
import type { Database, Tx } from "../../storage/database.js";
import { eventsByNid, type StoredEvent } from "../../storage/events.js";
import type { Interning } from "../../storage/interning.js";
import { advanceReader, type LogFollower, logHead, type LogReader } from "../../storage/log.js";
import type { PositionedEntry } from "../../storage/log-entry.js";
import { roomsAfter } from "../../storage/rebuild.js";
import { replacementsOf } from "../../storage/relations.js";
import {
  eventsAfter,
  holdSearchReader,
  removeTextsBetween,
  removeTextsOfRooms,
  replaceTexts,
  roomsHaving,
  SEARCH_KEYS,
  type SearchKey,
  searchPosition,
  type SearchRow,
  setOpenRooms,
} from "../../storage/search.js";
import type { Reads } from "../../storage/statement.js";
import { CURRENT_STATE_OF_TYPES } from "../../storage/sync.js";
import { HISTORY_VISIBILITY, JOIN_RULES } from "../current-state.js";

const log = logger("search");

export const ENCRYPTION = stateTuple("m.room.encryption", "");

/** Nobody waits for the index but who searches, and they do not wait for this: news are gathered meanwhile. */
const PAUSE_MS = 1_000;
/** How much longer it rests than it works while there is more to do. */
const REST = 3;
/** So long a search waits for what was said before it to be in the index. */
const PATIENCE_MS = 5_000;
const RETRY_MS = 10;
const REBUILT_AT_ONCE = 1_000;

export interface SearchIndexServices {
  readonly database: Database;
  readonly interning: Interning;
}

/** The work of one process on the index. */
export class SearchIndex implements AsyncDisposable {
  readonly #database: Database;
  readonly #reader: LogReader;
  readonly #unsubscribe: () => void;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(services: SearchIndexServices, follower: Pick<LogFollower, "subscribeToAll">) {
    this.#database = services.database;
    this.#reader = { name: "search", apply: (tx, entries) => applyEntries(services, tx, entries) };
    this.#unsubscribe = follower.subscribeToAll(() => this.#wakeLater());
    this.#wakeLater();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe();
    clearTimeout(this.#timer);
    await this.#running;
  }

  /** Waits until all that was committed by now is in the index, but not long: false if it is not yet. */
  async bringUpToDate(): Promise<boolean> {
    const head = await logHead(this.#database);
    const deadline = performance.now() + PATIENCE_MS;
    while ((await searchPosition(this.#database)) < head) {
      if (performance.now() > deadline) return false;
      // Another process may hold the cursor and be at it.
      if ((await advanceReader(this.#database, this.#reader)).applied === 0) await sleep(RETRY_MS);
    }
    return true;
  }

  #wakeLater(): void {
    this.#again = true;
    if (this.#stopped || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#running = this.#advance().finally(() => {
        this.#timer = undefined;
        this.#running = undefined;
        if (this.#again) this.#wakeLater();
      });
    }, PAUSE_MS).unref();
  }

  async #advance(): Promise<void> {
    this.#again = false;
    try {
      for (;;) {
        const started = performance.now();
        if (this.#stopped || !(await advanceReader(this.#database, this.#reader)).more) return;
        // Indexing costs PostgreSQL about as much as sending: who sends goes first. Whoever searches does not wait for this.
        await sleep(REST * (performance.now() - started), undefined, { ref: false });
      }
    } catch (error) {
      // Nothing was done, and the cursor stands where it was: the next news tries again.
      log.warn({ err: error }, "the search index could not be brought up to date");
    }
  }
}

/** Writes what follows from entries of the log. */
async function applyEntries(services: SearchIndexServices, tx: Tx, entries: readonly PositionedEntry[]): Promise<void> {
  const tuples = await services.interning.findTuples([ENCRYPTION, JOIN_RULES, HISTORY_VISIBILITY]);
  const touched = new Set<number>();
  const closing = new Set<number>();
  const opening = new Set<number>();
  for (const { kind, room_nid, reference, tuple_nid } of entries) {
    if (room_nid === undefined) continue;
    // An invalidation of an event: it was redacted.
    if ((kind === "event" || kind === "history" || kind === "invalidation") && reference !== undefined) touched.add(reference);
    if (kind !== "state_change") continue;
    if (tuple_nid === tuples.get(ENCRYPTION)) closing.add(room_nid);
    if (tuple_nid === tuples.get(JOIN_RULES) || tuple_nid === tuples.get(HISTORY_VISIBILITY)) opening.add(room_nid);
  }
  const reads = readsOf(tx);
  await removeTextsOfRooms(tx, [...(await roomsHaving(reads, [...closing], tuples.get(ENCRYPTION)))]);
  await indexEvents(services, tx, [...touched]);
  await noteOpenRooms(tx, [...opening]);
}

function readsOf(tx: Tx): Reads {
  return { read: (statement, values) => tx.query(statement, values) };
}

/** Brings the texts of events up to date. An edit has none of its own: it gives its target another. */
async function indexEvents({ interning }: SearchIndexServices, tx: Tx, nids: readonly number[]): Promise<void> {
  if (nids.length === 0) return;
  const reads = readsOf(tx);
  const rows = await eventsByNid(reads, nids);
  const targets = [...rows.values()].flatMap((row) => {
    const event = row.relates_to === null ? undefined : eventOf(row);
    return event !== undefined && isEdit(event) && row.relates_to !== null ? [row.relates_to] : [];
  });
  for (const [nid, row] of await eventsByNid(reads, targets.filter((nid) => !rows.has(nid)))) rows.set(nid, row);
  const encryption = (await interning.findTuples([ENCRYPTION])).get(ENCRYPTION);
  const encrypted = await roomsHaving(reads, [...new Set([...rows.values()].map(({ room_nid }) => room_nid))], encryption);
  const replace = (await interning.findTypes(["m.replace"])).get("m.replace");
  const children = replace === undefined ? [] : await replacementsOf(reads, [...rows.keys()], replace);
  const replacements = await eventsByNid(reads, children.map(({ nid }) => nid));
  const latest = new Map<number, StoredEvent>();
  for (const { parent, nid } of children) {
    const row = replacements.get(nid);
    if (row !== undefined && !latest.has(parent) && newContent(eventOf(row)) !== undefined) latest.set(parent, row);
  }
  const texts = [...rows.values()]
    .filter(({ room_nid, flags, redacted_by }) => flags === 0 && redacted_by === null && !encrypted.has(room_nid))
    .flatMap((row) => searchRow(row, latest.get(row.nid)) ?? []);
  await replaceTexts(tx, [...rows.keys()], texts);
}

/** An event from its row; undefined for a damaged one, which must not stop everything behind it. */
function eventOf(row: StoredEvent): RoomEvent | undefined {
  try {
    const version = roomVersion(row.version);
    return version && storedEvent(version, row.event_id, row.json);
  } catch (error) {
    log.warn({ event: row.event_id, err: error }, "an event cannot be read and will not be found");
    return undefined;
  }
}

function isEdit({ content }: RoomEvent): boolean {
  const relation = own(content, "m.relates_to");
  return isObject(relation) && ownString(relation, "rel_type") === "m.replace";
}

/** What an edit puts in the place of its target's content. */
export function newContent(event: RoomEvent | undefined): RoomEvent["content"] | undefined {
  const content = event === undefined ? undefined : own(event.content, "m.new_content");
  return isObject(content) ? content : undefined;
}

function searchRow(row: StoredEvent, replacement: StoredEvent | undefined): SearchRow | undefined {
  const event = eventOf(row);
  if (event === undefined) return undefined;
  const found = searchedText(event, replacement && newContent(eventOf(replacement)));
  const words = foldedWords(found?.text ?? "");
  if (found === undefined || words === "") return undefined;
  const { nid, room_nid, sender_nid, ordinal, origin_server_ts } = row;
  return {
    nid,
    text_nid: replacement?.nid ?? nid,
    room_nid,
    sender_nid,
    position: ordinal === null ? 0 : row.position,
    sent_ts: origin_server_ts,
    key: SEARCH_KEYS[found.key],
    words,
  };
}

/** What of an event is searched: undefined if nothing is. */
export function searchedText(event: RoomEvent, newContent?: RoomEvent["content"]): { key: SearchKey; text: string } | undefined {
  if (event.type === "m.room.message" && !isState(event)) {
    const text = isEdit(event) ? undefined : ownString(newContent ?? event.content, "body");
    return text === undefined ? undefined : { key: "content.body", text };
  }
  if (event.state_key !== "" || (event.type !== "m.room.name" && event.type !== "m.room.topic")) return undefined;
  const property = event.type === "m.room.name" ? "name" : "topic";
  const text = ownString(event.content, property);
  return text === undefined ? undefined : { key: `content.${property}`, text };
}

/** Notes of rooms whether everyone may join or read them. */
async function noteOpenRooms(tx: Tx, rooms: readonly number[]): Promise<void> {
  if (rooms.length === 0) return;
  const reads = readsOf(tx);
  const state = await reads.read(CURRENT_STATE_OF_TYPES, [rooms, ["m.room.join_rules", "m.room.history_visibility"]]);
  const open = [...(await eventsByNid(reads, state.map(({ event_nid }) => event_nid))).values()].filter((row) => {
    const event = row.redacted_by === null && row.state_key === "" ? eventOf(row) : undefined;
    if (event?.type === "m.room.join_rules") return ownString(event.content, "join_rule") === "public";
    return event !== undefined && historyVisibilityIn(event.content) === "world_readable";
  });
  await setOpenRooms(tx, rooms, [...new Set(open.map(({ room_nid }) => room_nid))]);
}

/** Makes the whole index again while the server may run. Gives the number of events looked at. */
export async function rebuildSearch(services: SearchIndexServices, progress: (events: number) => void = () => undefined): Promise<number> {
  let events = 0;
  for (let after = 0; ; ) {
    const last = await services.database.transaction(async (tx) => {
      await holdSearchReader(tx);
      const nids = await eventsAfter(tx, after, REBUILT_AT_ONCE);
      const upTo = nids.at(-1) ?? Number.MAX_SAFE_INTEGER;
      await removeTextsBetween(tx, after, upTo);
      await indexEvents(services, tx, nids);
      events += nids.length;
      return nids.at(-1);
    });
    if (last === undefined) break;
    after = last;
    progress(events);
  }
  for (let rooms = await roomsAfter(services.database, 0); rooms.length > 0; rooms = await roomsAfter(services.database, rooms.at(-1) ?? 0)) {
    await services.database.transaction(async (tx) => {
      await holdSearchReader(tx);
      await noteOpenRooms(tx, rooms);
    });
  }
  return events;
}
