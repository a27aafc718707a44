// Events that are sticky, as a reader is told them outside of timelines (MSC4354, "Sync API changes").
import type { EventCache, ReadEvent } from "../rooms/views/event-cache.js";
import { isIgnored, type VisibilityReader } from "../rooms/views/visibility.js";
import type { Reads } from "../storage/statement.js";
import type { StickyEvent } from "../storage/sticky-events.js";

/** The events by room, in their order, without those that were redacted since or whose sender the reader ignores. */
export async function stickyByRoom(
  cache: EventCache,
  reads: Reads,
  reader: VisibilityReader,
  rows: readonly StickyEvent[],
): Promise<Map<number, ReadEvent[]>> {
  const rooms = new Map<number, ReadEvent[]>();
  const events = await cache.get(reads, rows.map(({ event_nid }) => event_nid));
  for (const { room_nid, event_nid } of rows) {
    const read = events.get(event_nid);
    if (read?.event.sticky_duration_ms === undefined || isIgnored(reader, read)) continue;
    const room = rooms.get(room_nid);
    if (room === undefined) rooms.set(room_nid, [read]);
    else room.push(read);
  }
  return rooms;
}
