// The threads of a room (client-server API, "Querying threads in a room").
import { invalidParam } from "../../errors.js";
import { eventHead } from "../../protocol/client-event.js";
import { redactEvent } from "../../protocol/event-format.js";
import type { RoomId } from "../../protocol/identifiers.js";
import { threadsOfRoom } from "../../storage/threads.js";
import { aggregationsOf } from "./aggregations.js";
import { eventContext, shownEvent } from "./client-event.js";
import type { RoomContext, RoomUser } from "../context.js";
import type { ReadEvent } from "./event-cache.js";
import { readerOf } from "./event-page.js";
import { ignoredUsers } from "../ignored-users.js";
import { END, type Place, tokenOf } from "./place.js";
import { requireView, visibleIn } from "./room-view.js";
import { parseToken } from "../token.js";

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;

export interface ThreadsRequest {
  readonly include?: "all" | "participated" | undefined;
  readonly from?: string | undefined;
  readonly limit?: number | undefined;
}

/**
 * The roots of a room's threads, that with the latest event first: JSON text. Threads that the user may see nothing of are
 * left out, so that a page may be short before the end. Throws M_FORBIDDEN, M_INVALID_PARAM for a token.
 */
export async function threads(context: RoomContext, user: RoomUser, roomId: RoomId, request: ThreadsRequest): Promise<string> {
  const { interning, events: cache } = context;
  const from = placeIn(request.from);
  const limit = Math.min(request.limit ?? DEFAULT_LIMIT, MAX_LIMIT);
  return await context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId);
    const participant = request.include === "participated" ? user.user_nid : undefined;
    // One more than wanted tells whether anything follows.
    const found = await threadsOfRoom(reads, view.room.nid, from, limit + 1, participant);
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : undefined;
    const read = await cache.get(
      reads,
      page.map(({ root }) => root),
    );
    const events = page.flatMap(({ root }) => read.get(root) ?? []);
    // Roots of ignored users are shown redacted, for the sake of what others say below them.
    const visible = await visibleIn(context, reads, { ...view, ignored: new Set() }, events);
    const reader = readerOf(context, view);
    const aggregations = await aggregationsOf(context, reads, reader, events);
    const ignored = new Set(await ignoredUsers(interning, reads, user.user_nid));
    const shown = events
      .filter(({ row }) => visible.has(row.nid) && aggregations.get(row.nid)?.thread !== undefined)
      .map((event) => ({
        read: ignored.has(event.row.sender_nid) ? redacted(event) : event,
        membership: visible.get(event.row.nid),
      }));
    const needed = await eventContext(cache, reads, reader, events, aggregations);
    const texts = shown.map((event) => shownEvent(event, reader, needed, true));
    return `{"chunk":[${texts.join(",")}]${last === undefined ? "}" : `,"next_batch":${JSON.stringify(tokenOf({ ...last, position: 0 }))}}`}`;
  });
}

function placeIn(from: string | undefined): Place {
  const token = from === undefined ? undefined : parseToken(from);
  if (token?.kind === "history") return token;
  if (from !== undefined) throw invalidParam('"from" is no token that this list of threads gave.');
  return END;
}

/** An event as if it had been redacted: so a user sees what those whom they ignore began. */
function redacted(read: ReadEvent): ReadEvent {
  const event = redactEvent(read.version, read.event);
  return { ...read, event, head: eventHead(read.version, event, "client") };
}
