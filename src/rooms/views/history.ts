// The history of a room in pages, around an event, and by time (client-server API, "Getting events for a room", "Event
// context").
import { notFound } from "../../errors.js";
import { compileFilter, type EventTest, type RoomEventFilter } from "../../protocol/filter.js";
import type { EventId, RoomId } from "../../protocol/identifiers.js";
import { stateTuple } from "../../protocol/state-map.js";
import { eventsById, eventsClosestTo, type HistoryKey, historyBackwards, historyForwards } from "../../storage/events.js";
import { type Gap, gapsBetween } from "../../storage/gaps.js";
import type { Reads } from "../../storage/statement.js";
import { stateOfSnapshots } from "../../storage/visibility.js";
import { fetchClosest, fillGaps } from "../remote/backfill.js";
import type { ShownEvent } from "./client-event.js";
import type { RoomContext, RoomUser } from "../context.js";
import type { Room } from "../current-state.js";
import type { ReadEvent } from "./event-cache.js";
import { eventTexts } from "./event-page.js";
import { MAX_LIMIT, type Page, type PageBounds, readPage } from "./page.js";
import { type Direction, END, isBeyond, type Place, placeAfter, placeBefore, placeOf, START, tokenOf, within } from "./place.js";
import { relatedTest } from "./related-filter.js";
import { noSuchEvent, requireEvent, requireView, type RoomView, stateAfter, visibleIn } from "./room-view.js";

const DEFAULT_LIMIT = 10;
/** Events around a time that are looked at for one that the user may see. */
const CANDIDATES = 100;

export interface PageRequest {
  readonly dir: Direction;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly limit?: number | undefined;
  readonly filter: RoomEventFilter;
}

/** How long a request waits for other servers, and how often it asks them. */
const BUDGET_MS = 3_500;
const MAX_FETCHES = 8;

/** What was read of a history: an answer, with gaps to fill for who reads on; or what has to be asked for first. */
type Reading<Answer> = { readonly answer: Answer; readonly room: Room; readonly behind: readonly Gap[] } | { readonly room: Room; readonly ahead: readonly Gap[] };

/**
 * Reads until other servers gave what is missing, or time is up. `read` is told whether they may be asked still, and then gives
 * the gaps that an answer would cross.
 */
async function withHistory<Answer>(context: RoomContext, read: (reads: Reads, mayAsk: boolean) => Promise<Reading<Answer>>): Promise<Answer> {
  const deadline = performance.now() + BUDGET_MS;
  let mayAsk = true;
  for (let fetches = 1; ; fetches++) {
    const reading = await context.database.snapshot((reads) => read(reads, mayAsk));
    if ("answer" in reading) {
      if (reading.behind.length > 0) void fillGaps(context, reading.room, reading.behind, 0);
      return reading.answer;
    }
    if (!mayAsk) throw new Error("a history was read without end");
    const more = await fillGaps(context, reading.room, reading.ahead, deadline - performance.now());
    mayAsk = more && fetches < MAX_FETCHES && performance.now() < deadline;
  }
}

/** A page with what it says of gaps: those that it would cross, and those that it ends at. */
interface GappedPage extends Page {
  readonly ahead: readonly Gap[];
  readonly behind: readonly Gap[];
}

/**
 * A page of the history as far as there are no gaps that could be filled, unless it begins at one: then it crosses them. It has an
 * end only where there is nothing beyond. Gaps are filled first where `mayAsk`.
 */
async function gappedPage(
  context: RoomContext,
  reads: Reads,
  view: RoomView,
  bounds: PageBounds,
  filter: RoomEventFilter,
  mayAsk: boolean,
): Promise<GappedPage> {
  const { dir, from, to } = bounds;
  const page = await historyPage(context, reads, view, bounds, filter);
  // An event follows what is at most one deeper than the place where it is missed.
  const whole = page.next === undefined;
  const low = dir === "f" ? from : whole ? (to ?? START) : page.reached;
  const high = dir === "b" ? { depth: from.depth + 2, nid: 0 } : whole ? (to ?? END) : page.reached;
  const gaps = await gapsBetween(reads, view.room.nid, low, high, dir);
  const due = gaps.filter(({ due_ts }) => due_ts <= context.clock.now());
  // The one that a full page ends at is not crossed.
  const isOpen = dir === "f" || (whole && to === undefined);
  const isCrossed = (gap: Gap): boolean => isOpen || gap.depth !== low.depth || gap.nid !== low.nid;
  const crossed = due.filter(isCrossed);
  if (mayAsk && crossed.length > 0) return { ...page, ahead: crossed, behind: [] };
  const [first] = page.shown;
  const nearest = first === undefined ? undefined : crossed.find((gap) => !isBeyond(first.read.row, dir, gap));
  const behind = due.filter((gap) => !isCrossed(gap));
  // A filtered page that has found something does not say that it was the last: clients take that for the beginning of the room.
  // Forwards there may be more at any moment; only a page that finds nothing says that this is all for now.
  const found = page.shown.length > 0;
  const mayGoOn = dir === "b" ? gaps.length > 0 || (found && narrows(filter)) : found && to === undefined;
  const end = page.next ?? (mayGoOn ? page.reached : undefined);
  if (nearest === undefined) return { ...page, next: end, ahead: [], behind };
  const shown = page.shown.filter(({ read }) => !isBeyond(read.row, dir, nearest));
  return { shown, next: within(from, placeAt(nearest, shown.at(-1))), reached: page.reached, ahead: [], behind: [] };
}

/** Whether a filter keeps events out. */
function narrows({ limit: _limit, lazy_load_members: _lazy, include_redundant_members: _redundant, ...conditions }: RoomEventFilter): boolean {
  return Object.values(conditions).some((condition) => condition !== undefined);
}

function placeAt({ depth, nid }: Gap, last: ShownEvent | undefined): Place {
  return { depth, nid, position: last === undefined ? 0 : Math.max(0, last.read.row.position - 1) };
}

/** A page of a room's history: JSON text. Throws M_FORBIDDEN, M_INVALID_PARAM for tokens. */
export async function messages(context: RoomContext, user: RoomUser, roomId: RoomId, request: PageRequest): Promise<string> {
  const { dir, filter } = request;
  return await withHistory(context, async (reads, mayAsk) => {
    const view = await requireView(context, reads, user, roomId);
    const { room } = view;
    const from = await firstPlace(reads, view, request);
    const to = request.to === undefined ? undefined : await placeOf(reads, room.nid, request.to, "to");
    const limit = Math.min(request.limit ?? filter.limit ?? DEFAULT_LIMIT, filter.limit ?? MAX_LIMIT, MAX_LIMIT);
    const page = await gappedPage(context, reads, view, { dir, from, to, limit }, filter, mayAsk);
    if (page.ahead.length > 0) return { room, ahead: page.ahead };
    const members = filter.lazy_load_members === true ? await membersFor(context, reads, page.shown) : [];
    const texts = await eventTexts(context, reads, view, [...page.shown, ...members]);
    const state = texts.splice(page.shown.length);
    const answer =
      `{"start":${JSON.stringify(request.from ?? tokenOf(from))}` +
      (page.next === undefined ? "" : `,"end":${JSON.stringify(tokenOf(page.next))}`) +
      `,"chunk":[${texts.join(",")}]` +
      (state.length === 0 ? "}" : `,"state":[${state.join(",")}]}`);
    return { answer, room, behind: page.behind };
  });
}

function testOf(filter: RoomEventFilter, { room }: RoomView): EventTest {
  const test = compileFilter(filter);
  return (event) => test({ ...event, room_id: room.room_id });
}

/** Where a page begins: at the token, else at the first event or after the last one that the viewer may see. */
export async function firstPlace(reads: Reads, view: RoomView, { from, dir }: PageRequest): Promise<Place> {
  if (from !== undefined) return await placeOf(reads, view.room.nid, from, "from");
  if (dir === "f") return START;
  if (view.leftBy !== undefined) return placeAfter(view.leftBy);
  const [last] = await historyBackwards(reads, view.room.nid, END, 1);
  return last === undefined ? START : { depth: last.depth, nid: last.nid + 1, position: last.position };
}

/** A page of the history: what passes the filter and the viewer may see. */
export async function historyPage(
  context: RoomContext,
  reads: Reads,
  view: RoomView,
  bounds: PageBounds,
  filter: RoomEventFilter,
): Promise<Page> {
  const test = testOf(filter, view);
  const read = bounds.dir === "b" ? historyBackwards : historyForwards;
  return await readPage(bounds, {
    read: async (from, limit) => (await read(reads, view.room.nid, from, limit)).map((row) => context.events.add(row)),
    pass: async (events) => {
      const visible = await visibleIn(context, reads, view, events);
      const isRelated = await relatedTest(context.interning, reads, filter, events);
      for (const event of events) if (!test(event.event) || !isRelated(event)) visible.delete(event.row.nid);
      return visible;
    },
  });
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

/** One event: JSON text. Throws M_NOT_FOUND. */
export async function roomEvent(context: RoomContext, user: RoomUser, roomId: RoomId, eventId: EventId): Promise<string> {
  return await context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId, noSuchEvent());
    const [text] = await eventTexts(context, reads, view, [await requireEvent(context, reads, view, eventId)]);
    return text ?? "{}";
  });
}

/** One event of whatever room: JSON text. Throws M_NOT_FOUND. */
export async function eventOfAnyRoom(context: RoomContext, user: RoomUser, eventId: EventId): Promise<string> {
  const row = (await eventsById(context.database, [eventId])).get(eventId);
  if (row === undefined) throw noSuchEvent();
  return await roomEvent(context, user, row.room_id, eventId);
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
  return await withHistory(context, async (reads, mayAsk) => {
    const view = await requireView(context, reads, user, roomId);
    const event = await requireEvent(context, reads, view, eventId);
    const [half, rest] = [Math.floor(limit / 2), Math.ceil(limit / 2)];
    const before = await gappedPage(context, reads, view, { dir: "b", from: placeBefore(event.read), limit: half }, filter, mayAsk && half > 0);
    const after = await gappedPage(context, reads, view, { dir: "f", from: placeAfter(event.read), limit: rest }, filter, mayAsk && rest > 0);
    const ahead = [...before.ahead, ...after.ahead];
    if (ahead.length > 0) return { room: view.room, ahead };
    const last = after.shown.at(-1) ?? event;
    const shown = [event, ...before.shown, ...after.shown];
    const state = await stateAt(context, reads, view, last.read, filter, shown);
    const texts = await eventTexts(context, reads, view, [...shown, ...state]);
    const [text = "{}"] = texts.splice(0, 1);
    const start = before.next ?? placeBefore(before.shown.at(-1)?.read ?? event.read);
    const answer =
      `{"start":${JSON.stringify(tokenOf(start))},"end":${JSON.stringify(tokenOf(after.next ?? placeAfter(last.read)))},"event":${text}` +
      `,"events_before":[${texts.splice(0, before.shown.length).join(",")}]` +
      `,"events_after":[${texts.splice(0, after.shown.length).join(",")}]` +
      `,"state":[${texts.join(",")}]}`;
    return { answer, room: view.room, behind: [...before.behind, ...after.behind] };
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

interface EventInTime {
  readonly event_id: EventId;
  readonly origin_server_ts: number;
}

/** The event closest to a time that the user may see, of this or other servers' history. Throws M_FORBIDDEN, M_NOT_FOUND. */
export async function eventByTimestamp(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  moment: { readonly ts: number; readonly dir: Direction },
): Promise<EventInTime> {
  const here = await closestHere(context, user, roomId, moment);
  const known = here.found?.origin_server_ts;
  const hasMore = here.byGap && (await fetchClosest(context, here.room, { ...moment, known }, BUDGET_MS));
  const { found } = hasMore ? await closestHere(context, user, roomId, moment) : here;
  if (found === undefined) throw notFound("There is no event in that direction that you may see.");
  return found;
}

/** The closest event that we have, and whether there is a gap between what is on both sides of the time. */
async function closestHere(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  { ts, dir }: { readonly ts: number; readonly dir: Direction },
): Promise<{ readonly room: Room; readonly found: EventInTime | undefined; readonly byGap: boolean }> {
  return await context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId);
    const { room } = view;
    const rows = await eventsClosestTo(reads, room.nid, ts, dir, CANDIDATES);
    const [beyond] = await eventsClosestTo(reads, room.nid, dir === "b" ? ts + 1 : ts - 1, dir === "b" ? "f" : "b", 1);
    const events = rows.map((row) => context.events.add(row));
    const visible = await visibleIn(context, reads, view, events);
    const closest = events.find(({ row }) => visible.has(row.nid))?.event;
    const found = closest && { event_id: closest.event_id, origin_server_ts: closest.origin_server_ts };
    const [before, after] = dir === "b" ? [rows[0], beyond] : [beyond, rows[0]];
    const past = ({ depth, nid }: HistoryKey): HistoryKey => ({ depth, nid: nid + 1 });
    const gaps = await gapsBetween(reads, room.nid, before === undefined ? START : past(before), after === undefined ? END : past(after), dir);
    return { room, found, byGap: gaps.some(({ due_ts }) => due_ts <= context.clock.now()) };
  });
}
