// /initialSync and /events, which came before /sync and are still called by old clients: they say what /sync says, in other
// words (client-server API, "GET /initialSync" and "GET /events", deprecated).
import { invalidParam } from "../errors.js";
import type { RoomId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../protocol/json.js";
import type { RoomContext, RoomUser } from "../rooms/context.js";
import { eventTexts } from "../rooms/views/event-page.js";
import { requireView, visibleIn } from "../rooms/views/room-view.js";
import { formatToken, parseToken, type SyncToken } from "../rooms/token.js";
import { timelineForwards } from "../storage/events.js";
import { compileSyncFilter } from "./sync-filter.js";
import { sync, type SyncDependencies } from "./sync.js";

const DEFAULT_LIMIT = 10;
/** Events of a room that is only watched, in one answer. */
const PEEKED = 100;
const MAX_TIMEOUT_MS = 10 * 60_000;

export interface OldSyncContext extends RoomContext {
  readonly sync: SyncDependencies;
}

/** All rooms of a user with their latest messages: what /initialSync answers. */
export async function initialSync(
  { sync: services }: OldSyncContext,
  user: RoomUser,
  { limit = DEFAULT_LIMIT, archived = false }: { readonly limit?: number | undefined; readonly archived?: boolean | undefined },
  signal: AbortSignal,
): Promise<JsonObject> {
  const filter = compileSyncFilter({ room: { include_leave: archived, timeline: { limit } } });
  const text = await sync(services, user, { since: undefined, filter, fullState: true, stateAfter: "state_after", timeoutMs: 0 }, signal);
  const body: JsonValue = JSON.parse(text);
  const end = member(body, "next_batch") ?? "";
  const rooms: JsonObject[] = [];
  const receipts: JsonObject[] = [];
  for (const membership of ["join", "leave"]) {
    for (const [room_id, room] of members(member(member(body, "rooms"), membership))) {
      const start = ownString(objectIn(member(room, "timeline")), "prev_batch");
      const chunk = eventsIn(room, "timeline", room_id);
      rooms.push({
        room_id,
        membership,
        messages: { ...(start !== undefined && { start }), end, chunk },
        state: eventsIn(room, "state_after", room_id),
        account_data: eventsIn(room, "account_data"),
      });
      receipts.push(...eventsIn(room, "ephemeral", room_id).filter(({ type }) => type === "m.receipt"));
    }
  }
  for (const [room_id] of members(member(member(body, "rooms"), "invite"))) rooms.push({ room_id, membership: "invite" });
  return { end, rooms, presence: presenceIn(body), receipts, account_data: eventsIn(body, "account_data") };
}

export interface EventsRequest {
  /** Where the last answer ended; the present if absent. */
  readonly from?: string | undefined;
  readonly timeout?: number | undefined;
  /** A room that anybody may read, to be watched without joining it; or one of the user's. */
  readonly room_id?: RoomId | undefined;
}

/** What happened since a token, of all rooms of a user or of one: what /events answers. Throws M_INVALID_PARAM, M_FORBIDDEN. */
export async function eventsSince(context: OldSyncContext, user: RoomUser, request: EventsRequest, signal: AbortSignal): Promise<JsonObject> {
  const services = context.sync;
  const { room_id, timeout = 0 } = request;
  await services.follower.caughtUp();
  const given = request.from === undefined ? presentToken(services) : parseToken(request.from);
  if (given === undefined) throw invalidParam('"from" is no token of /events, /initialSync or /sync.');
  // The end of what a room's initialSync has is a place in its history.
  const since: SyncToken = given.kind === "sync" ? given : { ...presentToken(services), position: given.position };
  const start = formatToken(since);
  if (room_id !== undefined) {
    const { joined, room } = await requireView(context, context.database, user, room_id);
    if (!joined) return await watchRoom(context, user, { room_id, nid: room.nid }, since, timeout, signal);
  }
  const filter = compileSyncFilter({ room: { timeline: { limit: 1_000 }, ...(room_id !== undefined && { rooms: [room_id] }) } });
  const query = { since: start, filter, fullState: false, stateAfter: undefined, timeoutMs: timeout };
  const body: JsonValue = JSON.parse(await sync(services, user, query, signal));
  const rooms = member(body, "rooms");
  const chunk: JsonValue[] = [];
  for (const section of ["join", "leave"]) {
    for (const [id, room] of members(member(rooms, section))) {
      chunk.push(...eventsIn(room, "timeline", id), ...eventsIn(room, "ephemeral", id), ...eventsIn(room, "account_data", id));
    }
  }
  for (const [id, room] of members(member(rooms, "invite"))) {
    const own_member = (event: JsonObject): boolean => event["type"] === "m.room.member" && event["state_key"] === user.user_id;
    chunk.push(...eventsIn(room, "invite_state", id).filter(own_member));
  }
  if (room_id === undefined) chunk.push(...presenceIn(body), ...eventsIn(body, "account_data"));
  return { start, end: member(body, "next_batch") ?? start, chunk };
}

function presentToken({ follower, streams }: SyncDependencies): SyncToken {
  const epoch = follower.epochs.at(-1)?.epoch ?? 0;
  return { kind: "sync", epoch, position: follower.head, ephemeral: streams.typingSerial() };
}

/** Waits for events of a room that the user is not in. */
async function watchRoom(
  context: OldSyncContext,
  user: RoomUser,
  { room_id, nid }: { readonly room_id: RoomId; readonly nid: number },
  since: SyncToken,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<JsonObject> {
  const { database, events, clock, sync: { follower } } = context;
  const deadline = clock.monotonic() + Math.min(timeoutMs, MAX_TIMEOUT_MS);
  let wake: () => void = () => undefined;
  const subscription = follower.subscribe({ rooms: [nid] }, () => wake());
  try {
    for (;;) {
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const head = Math.max(follower.head, since.position);
      const { texts, upTo } = await database.snapshot(async (reads) => {
        const view = await requireView(context, reads, user, room_id);
        const rows = await timelineForwards(reads, nid, { after: since.position, upTo: head }, PEEKED);
        // What happened at one position is told at once: the token lies between two of them.
        const lastPosition = rows.at(-1)?.position ?? head;
        const whole = rows.length < PEEKED ? rows : rows.filter(({ position }) => position < lastPosition);
        const page = (whole.length === 0 ? rows : whole).map((row) => events.add(row));
        const visible = await visibleIn(context, reads, view, page);
        const shown = page.flatMap((read) => {
          const membership = visible.get(read.row.nid);
          return membership === undefined ? [] : [{ read, membership }];
        });
        const end = rows.length < PEEKED ? head : (page.at(-1)?.row.position ?? head);
        return { texts: await eventTexts(context, reads, view, shown), upTo: end };
      });
      const left = deadline - clock.monotonic();
      if (texts.length > 0 || left <= 0 || signal.aborted) {
        const chunk = texts.map((text): JsonValue => JSON.parse(text));
        return { start: formatToken(since), end: formatToken({ ...since, position: upTo }), chunk };
      }
      await Promise.race([woken, pause(left, signal)]);
    }
  } finally {
    subscription.close();
  }
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, milliseconds).unref();
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}

function objectIn(value: JsonValue | undefined): JsonObject {
  return value !== undefined && isObject(value) ? value : {};
}

function member(value: JsonValue | undefined, name: string): JsonValue | undefined {
  return own(objectIn(value), name);
}

function members(value: JsonValue | undefined): [string, JsonValue][] {
  return Object.entries(objectIn(value));
}

/** The presence of users, who are named in it as well: there clients of these operations look for them. */
function presenceIn(body: JsonValue): JsonObject[] {
  return eventsIn(body, "presence").map((event) => ({ ...event, content: { ...objectIn(event["content"]), user_id: event["sender"] ?? null } }));
}

/** The events of a section, with the room that /sync leaves out of them. */
function eventsIn(value: JsonValue | undefined, section: string, room_id?: string): JsonObject[] {
  const events = member(member(value, section), "events");
  const list = Array.isArray(events) ? events.filter(isObject) : [];
  return room_id === undefined ? list : list.map((event) => ({ ...event, room_id }));
}
