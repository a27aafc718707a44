// Encryption sessions that a user has begun to send with. A client uploads the key of a session to its backup when an answer comes
// on the connection that it keeps for encryption; without one it would be lost with a device that goes before something else happens.
import { LRUCache } from "lru-cache";
import { ownString } from "../../protocol/json.js";
import type { EventCache } from "../../rooms/views/event-cache.js";
import type { Database } from "../../storage/database.js";
import type { PositionedEntry } from "../../storage/log-entry.js";
import type { SyncReader } from "../sync-request.js";

/** Sessions that are remembered as told, over all devices. */
const REMEMBERED = 20_000;
/** Characters of a session's id; that of Megolm has 43. */
const LONGEST_ID = 100;
/** Messages that are looked at together: who comes back after more has an answer of another kind to expect anyway. */
const AT_ONCE = 500;

export class BegunSessions {
  readonly #database: Database;
  readonly #events: EventCache;
  readonly #told = new LRUCache<string, true>({ max: REMEMBERED });

  constructor(database: Database, events: EventCache) {
    this.#database = database;
    this.#events = events;
  }

  /**
   * Whether entries of the log have a message that the reader encrypted with a session (Megolm's `session_id`) of which their
   * device was not told before. Tells of each once, as far as memory reaches.
   */
  async tell({ user_nid, device_id }: SyncReader, entries: readonly PositionedEntry[], rooms: ReadonlyMap<number, string>): Promise<boolean> {
    const nids = entries.flatMap(({ kind, room_nid, reference }) =>
      kind === "event" && room_nid !== undefined && rooms.has(room_nid) && reference !== undefined ? [reference] : [],
    );
    if (nids.length === 0 || nids.length > AT_ONCE) return false;
    let isNew = false;
    for (const { row, event } of (await this.#events.load(this.#database, nids)).values()) {
      if (row.sender_nid !== user_nid || event.type !== "m.room.encrypted") continue;
      const session = ownString(event.content, "session_id");
      if (session === undefined || session.length > LONGEST_ID) continue;
      const key = `${user_nid} ${device_id ?? ""} ${session}`;
      isNew ||= !this.#told.has(key);
      this.#told.set(key, true);
    }
    return isNew;
  }
}
