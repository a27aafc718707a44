// The history of a room in pages, around an event, and by time (client-server API, "Getting events for a room", "Event
// context").
import { invalidParam, notFound } from "../errors.js";
import { compileFilter, type EventTest, type RoomEventFilter } from "../protocol/filter.js";
import type { EventId, RoomId } from "../protocol/identifiers.js";
import { stateTuple } from "../protocol/state-map.js";
import {
  eventsById,
  eventsClosestTo,
  historyBackwards,
  historyForwards,
  type HistoryKey,
  timelineBackwards,
} from "../storage/events.js";
import { relatedEvents } from "../storage/relations.js";
import { FLAGS } from "../storage/room-rows.js";
import type { Reads } from "../storage/statement.js";
import { stateOfSnapshots } from "../storage/visibility.js";
import type { ShownEvent } from "./client-event.js";
import type { RoomContext, RoomUser } from "./context.js";
import type { ReadEvent } from "./event-cache.js";
import { eventTexts } from "./event-page.js";
import { requireView, type RoomView, stateAfter, visibleIn } from "./room-view.js";
import { formatToken, parseToken } from "./token.js";

const DEFAULT_LIMIT = 10;
const MAX_LIMIT = 1_000;
/** How often more is read when a filter or the history's visibility left too little: then the page is short. */
const ROUNDS = 5;
/** Events around a time that are looked at for one that the user may see. */
const CANDIDATES = 100;

const START: HistoryKey = { depth: 0, nid: 0 };
const END: HistoryKey = { depth: Number.MAX_SAFE_INTEGER, nid: 0 };

type Direction = "b" | "f";

/** A place in the history, and in the log, as a token says it. */
interface Place extends HistoryKey {
  readonly position: number;
}

export interface PageRequest {
  readonly dir: Direction;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly limit?: number | undefined;
  readonly filter: RoomEventFilter;
}

/** A page of a room's history: JSON text. Throws M_FORBIDDEN, M_INVALID_PARAM for tokens. */
export async function messages(context: RoomContext, user: RoomUser, roomId: RoomId, request: PageRequest): Promise<string> {
  const { dir, filter } = request;
  return await context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId);
    const from = await firstPlace(reads, view, request);
    const to = request.to === undefined ? undefined : await placeOf(reads, view, request.to, "to");
    const page = await readPage(context, reads, view, {
      dir,
      from,
      to,
      limit: Math.min(request.limit ?? filter.limit ?? DEFAULT_LIMIT, filter.limit ?? MAX_LIMIT, MAX_LIMIT),
      filter,
    });
    const members = filter.lazy_load_members === true ? await membersFor(context, reads, page.shown) : [];
    const texts = await eventTexts(context, reads, user, [...page.shown, ...members]);
    const state = texts.splice(page.shown.length);
    return (
      `{"start":${JSON.stringify(request.from ?? tokenOf(from))}` +
      (page.next === undefined ? "" : `,"end":${JSON.stringify(tokenOf(page.next))}`) +
      `,"chunk":[${texts.join(",")}]` +
      (state.length === 0 ? "}" : `,"state":[${state.join(",")}]}`)
    );
  });
}

function tokenOf(place: Place): string {
  return formatToken({ kind: "history", depth: place.depth, nid: place.nid, position: place.position });
}

function testOf(filter: RoomEventFilter, { room }: RoomView): EventTest {
  const test = compileFilter(filter);
  return (event) => test({ ...event, room_id: room.room_id });
}

/** Those events to which the events that the filter asks for relate ("RoomEventFilter", `related_by_*`). */
async function related(
  { interning }: RoomContext,
  reads: Reads,
  { related_by_senders: senders, related_by_rel_types: types }: RoomEventFilter,
  events: readonly ReadEvent[],
): Promise<(event: ReadEvent) => boolean> {
  if (senders === undefined && types === undefined) return () => true;
  const found = await relatedEvents(
    reads,
    events.map(({ row }) => row.nid),
    senders === undefined ? null : [...(await interning.findUsers(senders)).values()],
    types === undefined ? null : [...(await interning.findTypes(types)).values()],
  );
  return ({ row }) => found.has(row.nid);
}

/** Where a page begins: at the token, else at the first event or after the last one that the viewer may see. */
async function firstPlace(reads: Reads, view: RoomView, { from, dir }: PageRequest): Promise<Place> {
  if (from !== undefined) return await placeOf(reads, view, from, "from");
  if (dir === "f") return { ...START, position: 0 };
  if (view.leftBy !== undefined) return placeAfter(view.leftBy);
  const [last] = await historyBackwards(reads, view.room.nid, END, 1);
  return last === undefined ? { ...START, position: 0 } : { depth: last.depth, nid: last.nid + 1, position: last.position };
}

/** The place in the room's history that a token names. A token of /sync stands for what had happened by then. */
async function placeOf(reads: Reads, { room }: RoomView, text: string, name: string): Promise<Place> {
  const token = parseToken(text);
  if (token === undefined) throw invalidParam(`"${name}" is no token of this server.`);
  if (token.kind === "history") return token;
  const [last] = await timelineBackwards(reads, room.nid, { after: -1, upTo: token.position }, 1);
  if (last === undefined) return { ...START, position: token.position };
  return { depth: last.depth, nid: last.nid + 1, position: token.position };
}

function placeBefore({ row }: ReadEvent): Place {
  return { depth: row.depth, nid: row.nid, position: Math.max(0, row.position - 1) };
}

function placeAfter({ row }: ReadEvent): Place {
  return { depth: row.depth, nid: row.nid + 1, position: row.position };
}

interface PageBounds {
  readonly dir: Direction;
  readonly from: Place;
  readonly to?: Place | undefined;
  readonly limit: number;
  readonly filter: RoomEventFilter;
}

interface Page {
  readonly shown: readonly ShownEvent[];
  /** Where the next page begins; undefined at the end of what there is. */
  readonly next: Place | undefined;
}

/** Reads events from a place on, until there are `limit` that pass the filter and that the viewer may see. */
async function readPage(context: RoomContext, reads: Reads, view: RoomView, bounds: PageBounds): Promise<Page> {
  const { dir, to, limit, filter } = bounds;
  const test = testOf(filter, view);
  const read = dir === "b" ? historyBackwards : historyForwards;
  const placeBeyond = dir === "b" ? placeBefore : placeAfter;
  const shown: ShownEvent[] = [];
  let at = bounds.from;
  // One more than wanted tells whether anything follows.
  for (let round = 0, size = limit + 1; round < ROUNDS; round++, size = Math.min(size * 2, MAX_LIMIT)) {
    const rows = await read(reads, view.room.nid, at, size);
    const events = rows.map((row) => context.events.add(row)).filter(({ row }) => !isBeyond(row, dir, to));
    const visible = await visibleIn(context, reads, view, events);
    const isRelated = await related(context, reads, filter, events);
    for (const event of events) {
      if (shown.length >= limit) return { shown, next: at };
      at = placeBeyond(event);
      const membership = visible.get(event.row.nid);
      if (membership !== undefined && test(event.event) && isRelated(event)) shown.push({ read: event, membership });
    }
    if (events.length < size) return { shown, next: undefined };
  }
  return { shown, next: at };
}

/** Whether an event lies on the other side of the place where reading stops. */
function isBeyond(key: HistoryKey, dir: Direction, to: HistoryKey | undefined): boolean {
  if (to === undefined) return false;
  const isBefore = key.depth < to.depth || (key.depth === to.depth && key.nid < to.nid);
  return dir === "b" ? isBefore : !isBefore;
}

/** The memberships of the senders of a page, as they were where reading it began ("Lazy-loading room members"). */
async function membersFor(context: RoomContext, reads: Reads, shown: readonly ShownEvent[]): Promise<ShownEvent[]> {
  const [first] = shown;
  if (first === undefined) return [];
  const tuples = [...new Set(shown.map(({ read }) => stateTuple("m.room.member", read.event.sender)))];
  const { state_before } = first.read.row;
  const nids = await context.interning.findTuples(tuples);
  const state = state_before === null ? undefined : (await stateOfSnapshots(reads, [state_before], [...nids.values()])).get(state_before);
  const found = new Map(state);
  const { type, state_key } = first.read.event;
  const own = state_key === undefined ? undefined : nids.get(stateTuple(type, state_key));
  if (own !== undefined) found.set(own, first.read.row.nid);
  return [...(await context.events.get(reads, found.values())).values()].map((read) => ({ read, membership: undefined }));
}

/** An event of the room that the viewer may see. Throws M_NOT_FOUND, also where they may not. */
async function requireEvent(context: RoomContext, reads: Reads, view: RoomView, eventId: EventId): Promise<ShownEvent> {
  const row = (await eventsById(reads, [eventId])).get(eventId);
  if (row !== undefined && row.room_nid === view.room.nid && isShown(row.flags)) {
    const read = context.events.add(row);
    const membership = (await visibleIn(context, reads, view, [read])).get(row.nid);
    if (membership !== undefined) return { read, membership };
  }
  throw noEvent();
}

function isShown(flags: number): boolean {
  return (flags & (FLAGS.outlier | FLAGS.rejected | FLAGS.soft_failed)) === 0;
}

const noEvent = (): ReturnType<typeof notFound> => notFound("There is no such event in this room that you may see.");

/** One event: JSON text. Throws M_NOT_FOUND. */
export async function roomEvent(context: RoomContext, user: RoomUser, roomId: RoomId, eventId: EventId): Promise<string> {
  return await context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId, noEvent());
    const [text] = await eventTexts(context, reads, user, [await requireEvent(context, reads, view, eventId)]);
    return text ?? "{}";
  });
}

/** An event with those around it and the state at the last of them: JSON text. Throws M_FORBIDDEN, M_NOT_FOUND. */
export async function eventSurroundings(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  eventId: EventId,
  request: { readonly limit?: number | undefined; readonly filter: RoomEventFilter },
): Promise<string> {
  const { filter } = request;
  const limit = Math.min(request.limit ?? filter.limit ?? DEFAULT_LIMIT, MAX_LIMIT);
  return await context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId);
    const event = await requireEvent(context, reads, view, eventId);
    const before = await readPage(context, reads, view, {
      dir: "b",
      from: placeBefore(event.read),
      limit: Math.floor(limit / 2),
      filter,
    });
    const after = await readPage(context, reads, view, {
      dir: "f",
      from: placeAfter(event.read),
      limit: Math.ceil(limit / 2),
      filter,
    });
    const last = after.shown.at(-1) ?? event;
    const shown = [event, ...before.shown, ...after.shown];
    const state = await stateAt(context, reads, view, last.read, filter, shown);
    const texts = await eventTexts(context, reads, user, [...shown, ...state]);
    const [text = "{}"] = texts.splice(0, 1);
    const start = before.next ?? placeBefore(before.shown.at(-1)?.read ?? event.read);
    return (
      `{"start":${JSON.stringify(tokenOf(start))},"end":${JSON.stringify(tokenOf(after.next ?? placeAfter(last.read)))},"event":${text}` +
      `,"events_before":[${texts.splice(0, before.shown.length).join(",")}]` +
      `,"events_after":[${texts.splice(0, after.shown.length).join(",")}]` +
      `,"state":[${texts.join(",")}]}`
    );
  });
}

/** The state after an event, as far as the filter lets it pass; with lazy loading only the members who speak. */
async function stateAt(
  context: RoomContext,
  reads: Reads,
  view: RoomView,
  last: ReadEvent,
  filter: RoomEventFilter,
  shown: readonly ShownEvent[],
): Promise<ShownEvent[]> {
  const test = testOf(filter, view);
  const senders = new Set<string | undefined>(shown.map(({ read }) => read.event.sender));
  const state = await context.events.get(reads, (await stateAfter(context, reads, last)).values());
  return [...state.values()]
    .filter(({ event }) => test(event))
    .filter(({ event }) => filter.lazy_load_members !== true || event.type !== "m.room.member" || senders.has(event.state_key))
    .map((read) => ({ read, membership: undefined }));
}

/** The event closest to a time that the user may see. Throws M_FORBIDDEN, M_NOT_FOUND. */
export async function eventByTimestamp(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  { ts, dir }: { readonly ts: number; readonly dir: Direction },
): Promise<{ event_id: EventId; origin_server_ts: number }> {
  return await context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId);
    const rows = await eventsClosestTo(reads, view.room.nid, ts, dir, CANDIDATES);
    const events = rows.map((row) => context.events.add(row));
    const visible = await visibleIn(context, reads, view, events);
    const found = events.find(({ row }) => visible.has(row.nid));
    if (found === undefined) throw notFound("There is no event in that direction that you may see.");
    return { event_id: found.event.event_id, origin_server_ts: found.event.origin_server_ts };
  });
}
