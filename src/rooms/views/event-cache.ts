// Events as readers need them: parsed once, redacted if they are, with the part of their client form that all readers share.
import { LRUCache } from "lru-cache";
import { eventHead } from "../../protocol/client-event.js";
import { storedEvent, type RoomEvent } from "../../protocol/event.js";
import { redactEvent } from "../../protocol/event-format.js";
import type { RoomId } from "../../protocol/identifiers.js";
import { roomVersion, type RoomVersion } from "../../protocol/room-version.js";
import type { Database } from "../../storage/database.js";
import type { Reads } from "../../storage/statement.js";
import { eventsByNid, type StoredEvent } from "../../storage/events.js";

/** An event with what is known about it here. `head` is its client form without `room_id`, `unsigned` and closing brace. */
export interface ReadEvent {
  readonly row: Omit<StoredEvent, "json">;
  readonly version: RoomVersion;
  readonly room_id: RoomId;
  /** After redaction, if it was redacted. */
  readonly event: RoomEvent;
  readonly head: string;
}

/** What an entry weighs besides its texts: objects, the row, the content as parsed. */
const ENTRY_BYTES = 1_500;

/** The events that were read lately, up to a number of bytes. */
export class EventCache {
  readonly #events: LRUCache<number, ReadEvent>;
  readonly #loading = new Map<number, Promise<unknown>>();
  /** Events that were redacted lately: a snapshot from before, still being read, would bring the old one back. */
  readonly #redacted = new LRUCache<number, true>({ max: 10_000, ttl: 10 * 60_000 });

  #erased: ReadonlySet<number> = new Set();

  constructor(maxBytes: number) {
    this.#events = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: ({ head, event }) => ENTRY_BYTES + 2 * head.length + 3 * event.json.length,
    });
  }

  /** Events by number; those that do not exist are left out. One statement for all that are not cached. */
  async get(reads: Reads, nids: Iterable<number>): Promise<Map<number, ReadEvent>> {
    const found = new Map<number, ReadEvent>();
    const missing = new Set<number>();
    for (const nid of nids) {
      const cached = this.#events.get(nid);
      if (cached === undefined) missing.add(nid);
      else found.set(nid, cached);
    }
    if (missing.size > 0) {
      for (const row of (await eventsByNid(reads, [...missing])).values()) found.set(row.nid, this.add(row));
    }
    return found;
  }

  /**
   * As `get`, outside of snapshots: many readers that want the same new event at the same time share one statement. The
   * events must be visible already, which is so for whatever the log speaks of.
   */
  async load(database: Database, nids: readonly number[]): Promise<Map<number, ReadEvent>> {
    const waiting: Promise<unknown>[] = [];
    const missing: number[] = [];
    for (const nid of nids) {
      if (this.#events.has(nid)) continue;
      const loading = this.#loading.get(nid);
      if (loading === undefined) missing.push(nid);
      else waiting.push(loading);
    }
    if (missing.length > 0) {
      const loading = this.get(database, missing);
      for (const nid of missing) this.#loading.set(nid, loading);
      waiting.push(
        loading.finally(() => {
          for (const nid of missing) this.#loading.delete(nid);
        }),
      );
    }
    await Promise.all(waiting);
    return this.get(database, nids);
  }

  /** Takes an event that was read as a row. */
  add(row: StoredEvent): ReadEvent {
    const read = readStored(row);
    if (row.redacted_by !== null || !this.#redacted.has(row.nid)) this.#events.set(row.nid, read);
    return read;
  }

  /** Forgets an event that was redacted. */
  forget(nid: number): void {
    this.#redacted.set(nid, true);
    this.#events.delete(nid);
  }

  /** Forgets everything: this process may have missed that something changed. */
  forgetAll(): void {
    this.#events.clear();
  }

  /** Senders whose events are shown redacted to readers who were not in the room at the time. */
  get erased(): ReadonlySet<number> {
    return this.#erased;
  }

  /** Sets those senders. */
  hideMessagesOf(users: ReadonlySet<number>): void {
    this.#erased = users;
  }

  /** Bytes in use, by estimate. */
  get bytes(): number {
    return this.#events.calculatedSize;
  }
}

/** An event from its row. Throws if the row holds no event of its room's version: the storage is damaged. */
export function readStored({ json, ...row }: StoredEvent): ReadEvent {
  const version = roomVersion(row.version);
  if (version === undefined) throw new Error(`room ${row.room_id} has the unknown version ${row.version}`);
  const whole = storedEvent(version, row.event_id, json);
  const event = row.redacted_by === null ? whole : redactEvent(version, whole);
  return { row, version, room_id: row.room_id, event, head: eventHead(version, event, "client") };
}
