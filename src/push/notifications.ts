// What a user was notified of (client-server API, "Listing notifications"): the events of their rooms that counted for them when
// they came, from the rows that the unread counts are made of. Rules that were changed since do not change it.
import { invalidParam } from "../errors.js";
import { aggregationsOf } from "../rooms/views/aggregations.js";
import { eventContext, type EventReader, shownEvent } from "../rooms/views/client-event.js";
import type { RoomContext, RoomUser } from "../rooms/context.js";
import type { ReadEvent } from "../rooms/views/event-cache.js";
import { ignoredUserIds } from "../rooms/ignored-users.js";
import { visibleEvents } from "../rooms/views/visibility.js";
import { membershipsOfUser } from "../storage/memberships.js";
import { type CountedFor, newestCounted, type NotificationPlace } from "../storage/notifications.js";
import { MEMBERSHIPS } from "../storage/room-rows.js";
import type { Reads } from "../storage/statement.js";

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;
/** Events that are looked at at once, and how often more are when few of them notified: then the page is short. */
const LOOKED_AT = 100;
const ROUNDS = 10;

export interface NotificationsRequest {
  readonly from?: string | undefined;
  readonly limit?: number | undefined;
  readonly only?: string | undefined;
}

interface Notified {
  readonly read: ReadEvent;
  readonly counted: CountedFor;
}

/** A page of notifications, the newest first: JSON text. It may be short before the end. Throws M_INVALID_PARAM for a token. */
export async function notifications(context: RoomContext, user: RoomUser, request: NotificationsRequest): Promise<string> {
  const from = placeOf(request.from);
  const limit = Math.max(1, Math.min(request.limit ?? DEFAULT_LIMIT, MAX_LIMIT));
  const { user_id, user_nid, device_id } = user;
  return await context.database.snapshot(async (reads) => {
    const memberships = await membershipsOfUser(reads, user_nid);
    const joined = new Set(memberships.filter(({ membership }) => membership === MEMBERSHIPS.join).map(({ room_nid }) => room_nid));
    const reader: EventReader = {
      user_id,
      user_nid,
      device_id,
      joined: (room) => joined.has(room),
      ignored: await ignoredUserIds(reads, user_nid),
      now: context.clock.now(),
      format: "client",
      fields: undefined,
    };
    const { found, next } = await pageOf(context, reads, reader, from, limit, request.only === "highlight");
    const events = found.map(({ read }) => read);
    const aggregations = await aggregationsOf(context, reads, reader, events);
    const needed = await eventContext(context.events, reads, reader, events, aggregations);
    const texts = found.map(({ read, counted }) => {
      const event = shownEvent({ read, membership: "join" }, reader, needed, false);
      return (
        `{"actions":${JSON.stringify(actionsOf(counted))},"event":${event},"read":${counted.read}` +
        `,"room_id":${JSON.stringify(read.room_id)},"ts":${read.event.origin_server_ts}}`
      );
    });
    return `{"notifications":[${texts.join(",")}]${next === undefined ? "}" : `,"next_token":"n${next.position}_${next.ordinal}"}`}`;
  });
}

/** What was done; which sound a rule asked for is not kept. */
function actionsOf({ notify, highlight }: CountedFor): unknown[] {
  return [...(notify ? ["notify"] : []), ...(highlight ? [{ set_tweak: "highlight", value: true }] : [])];
}

function placeOf(text: string | undefined): NotificationPlace {
  if (text === undefined) return { position: Number.MAX_SAFE_INTEGER, ordinal: 0 };
  const [, position = NaN, ordinal = NaN] = (/^n(\d{1,16})_(\d{1,16})$/.exec(text) ?? []).map(Number);
  if (!Number.isSafeInteger(position) || !Number.isSafeInteger(ordinal)) throw invalidParam('"from" is no token of this list.');
  return { position, ordinal };
}

async function pageOf(
  context: RoomContext,
  reads: Reads,
  reader: EventReader,
  from: NotificationPlace,
  limit: number,
  highlightsOnly: boolean,
): Promise<{ found: Notified[]; next: NotificationPlace | undefined }> {
  const found: Notified[] = [];
  let at = from;
  for (let round = 0; round < ROUNDS; round++) {
    const newest = await newestCounted(reads, reader.user_nid, at, LOOKED_AT);
    const candidates = newest.filter(({ notify, highlight }) => highlight || (notify && !highlightsOnly));
    const events = await context.events.get(reads, candidates.map(({ nid }) => nid));
    const visible = await visibleEvents(context, reads, reader, [...events.values()]);
    for (const counted of newest) {
      if (found.length === limit) return { found, next: at };
      at = counted;
      const read = events.get(counted.nid);
      // Whoever was not in the room yet was not notified.
      const notified = visible.get(counted.nid) === "join";
      if (read !== undefined && notified && read.row.redacted_by === null) found.push({ read, counted });
    }
    if (newest.length < LOOKED_AT) return { found, next: undefined };
  }
  return { found, next: at };
}
