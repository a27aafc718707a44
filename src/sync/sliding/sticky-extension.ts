// The extension of sliding sync for sticky events (MSC4480).
import { invalidParam } from "../../errors.js";
import { eventContext, shownEvent } from "../../rooms/views/client-event.js";
import { stickyEventsInRooms, type StickyPlace } from "../../storage/sticky-events.js";
import { stickyByRoom } from "../sticky.js";
import type { PlannedRoom } from "./plan.js";
import { recentEntries } from "./recent.js";
import { isJoined } from "./room-list.js";
import type { SlidingReading } from "./sliding-reading.js";

const STICKY_EVENTS = "org.matrix.msc4354.sticky_events";
/** Sticky events of one answer. */
const MOST_STICKY = 100;
const FIRST_STICKY: StickyPlace = { position: 0, event_nid: 0 };

const stickyToken = ({ position, event_nid }: StickyPlace): string => `sticky_${position}_${event_nid}`;

/** The place that a token of the extension names. Throws M_INVALID_PARAM. */
function stickyPlaceIn(token: string): StickyPlace {
  const [, position, event_nid] = /^sticky_(\d{1,16})_(\d{1,16})$/.exec(token) ?? [];
  const place = { position: Number(position), event_nid: Number(event_nid) };
  if (!Number.isSafeInteger(place.position) || !Number.isSafeInteger(place.event_nid)) throw invalidParam('"since" is no token of sticky events.');
  return place;
}

/** The extension of sticky events (MSC4480): it has tokens of its own, by which the client says what it has. */
export async function stickyExtension(
  { services, reads, reader, asked: { request, now }, shownTo, upTo }: SlidingReading,
  rooms: readonly PlannedRoom[],
  shown: ReadonlySet<number>,
): Promise<{ texts: string[]; empty: boolean }> {
  const asked = request.extensions[STICKY_EVENTS];
  if (asked?.enabled !== true) return { texts: [], empty: true };
  const since = asked.since === undefined ? FIRST_STICKY : stickyPlaceIn(asked.since);
  // Whoever comes to a room is told those from before, too.
  const { follower } = services;
  const recent = recentEntries(follower, reader.user_nid, { after: since.position, upTo });
  const mayHave = ({ room, initial }: PlannedRoom): boolean => initial || recent?.ofRoom(room.room_nid).some(({ kind }) => kind === "event") !== false;
  const places = rooms.filter((planned) => isJoined(planned.room) && mayHave(planned)).map(({ room, initial }) => ({ room_nid: room.room_nid, after: initial ? FIRST_STICKY : since }));
  const limit = Math.max(1, Math.min(asked.limit ?? MOST_STICKY, MOST_STICKY));
  const found = await stickyEventsInRooms(reads, places, { upTo, now, limit: limit + 1 });
  const rows = found.slice(0, limit);
  const next = (found.length > limit ? rows.at(-1) : undefined) ?? { position: Math.max(upTo, since.position), event_nid: Number.MAX_SAFE_INTEGER };
  const byRoom = await stickyByRoom(services.events, reads, shownTo, rows.filter(({ event_nid }) => !shown.has(event_nid)));
  const context = await eventContext(services.events, reads, shownTo, [...byRoom.values()].flat());
  const texts = rooms.flatMap(({ room }) => {
    const events = (byRoom.get(room.room_nid) ?? []).map((read) => shownEvent({ read, membership: undefined }, shownTo, context, false));
    return events.length === 0 ? [] : [`${JSON.stringify(room.room_id)}:{"events":[${events.join(",")}]}`];
  });
  return { texts: [`"${STICKY_EVENTS}":{"rooms":{${texts.join(",")}},"next_batch":"${stickyToken(next)}"}`], empty: texts.length === 0 };
}
