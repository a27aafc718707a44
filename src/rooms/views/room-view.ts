// What of a room a user may look at: as a member now, as one who left, or as anybody where the room is readable to the world.
import { forbidden, type MatrixError, notFound } from "../../errors.js";
import { historyVisibilityIn } from "../../protocol/history-visibility.js";
import type { EventId, RoomId } from "../../protocol/identifiers.js";
import { membershipIn, type Membership } from "../../protocol/membership.js";
import { type StateTuple, stateTuple } from "../../protocol/state-map.js";
import { eventsById } from "../../storage/events.js";
import { membershipInRoom } from "../../storage/memberships.js";
import { HIDDEN, MEMBERSHIPS } from "../../storage/room-rows.js";
import type { Reads } from "../../storage/statement.js";
import { currentStateOf } from "../../storage/state.js";
import { CURRENT_STATE } from "../../storage/sync.js";
import { memberHistory, wholeSnapshots } from "../../storage/visibility.js";
import type { ShownEvent } from "./client-event.js";
import type { RoomContext, RoomUser } from "../context.js";
import { findRoom, HISTORY_VISIBILITY, memberTuple, type Room, stateEventsOf } from "../current-state.js";
import type { ReadEvent } from "./event-cache.js";
import { ignoredUserIds } from "../ignored-users.js";
import { visibleEvents } from "./visibility.js";

type ViewContext = Pick<RoomContext, "interning" | "events">;

/** A room as one user may see it. */
export interface RoomView {
  readonly room: Room;
  readonly user: RoomUser;
  readonly joined: boolean;
  /** The users whom the viewer ignores. */
  readonly ignored: ReadonlySet<string>;
  /** The event by which the user left the room, where they have left it. */
  readonly leftBy: ReadEvent | undefined;
}

/**
 * A room for who is or was in it and has not forgotten it, and for anybody if it is readable to the world. Throws
 * `refusal`, by default M_FORBIDDEN, also for rooms that do not exist.
 */
export async function requireView(
  context: ViewContext,
  reads: Reads,
  user: RoomUser,
  roomId: RoomId,
  refusal: MatrixError = forbidden("You are not a member of this room."),
): Promise<RoomView> {
  const room = await findRoom(reads, roomId);
  if (room === undefined) throw refusal;
  if (user.oversees === true) return { room, user, joined: true, ignored: new Set(), leftBy: undefined };
  const [entry, ignored] = await Promise.all([membershipInRoom(reads, user.user_nid, roomId), ignoredUserIds(reads, user.user_nid)]);
  if (entry?.membership === MEMBERSHIPS.join) return { room, user, joined: true, ignored, leftBy: undefined };
  const leftBy = entry === undefined || entry.forgotten ? undefined : (await departures(context, reads, user, [room.nid])).get(room.nid);
  if (leftBy === undefined && !(await isWorldReadable(context, reads, room))) throw refusal;
  return { room, user, joined: false, ignored, leftBy };
}

/** Whether anybody may read what happens in a room now ("Room History Visibility"). */
export async function isWorldReadable(context: ViewContext, reads: Reads, { nid }: Room): Promise<boolean> {
  const state = await stateEventsOf(context, reads, nid, [HISTORY_VISIBILITY]);
  return historyVisibilityIn(state.get(HISTORY_VISIBILITY)?.content) === "world_readable";
}

/** By room, the event that ended a user's last stay in it; rooms that they never were in are left out. */
export async function departures(
  { interning, events }: ViewContext,
  reads: Reads,
  { user_id }: Pick<RoomUser, "user_id">,
  rooms: readonly number[],
): Promise<Map<number, ReadEvent>> {
  const tuple = memberTuple(user_id);
  const nid = (await interning.findTuples([tuple])).get(tuple);
  const histories = nid === undefined ? new Map<number, number[]>() : await memberHistory(reads, rooms, nid);
  const found = await events.get(reads, [...histories.values()].flat());
  const ends = new Map<number, ReadEvent>();
  for (const [room, history] of histories) {
    const joined = history.findIndex((event_nid) => membershipIn(found.get(event_nid)?.event.content ?? {}) === "join");
    const next = joined > 0 ? found.get(history[joined - 1] ?? 0) : undefined;
    if (next !== undefined) ends.set(room, next);
  }
  return ends;
}

/** Those of a room's events that the viewer may see, by number, with the viewer's membership at each. */
export async function visibleIn(
  context: ViewContext,
  reads: Reads,
  { user, joined, ignored }: RoomView,
  page: readonly ReadEvent[],
): Promise<Map<number, Membership>> {
  if (user.oversees === true) return new Map(page.map(({ row }) => [row.nid, "join"]));
  return await visibleEvents(context, reads, { user_id: user.user_id, joined: () => joined, ignored }, page);
}

/** An event of the room that the viewer may see. Throws M_NOT_FOUND, also where they may not. */
export async function requireEvent(context: ViewContext, reads: Reads, view: RoomView, eventId: EventId): Promise<ShownEvent> {
  const row = (await eventsById(reads, [eventId])).get(eventId);
  if (row !== undefined && row.room_nid === view.room.nid && isShown(row.flags)) {
    const read = context.events.add(row);
    const membership = (await visibleIn(context, reads, view, [read])).get(row.nid);
    if (membership !== undefined) return { read, membership };
  }
  throw noSuchEvent();
}

function isShown(flags: number): boolean {
  return (flags & HIDDEN) === 0;
}

/** The refusal of an event that is not there, or not for the viewer to see. */
export function noSuchEvent(): MatrixError {
  return notFound("There is no such event in this room that you may see.");
}

/** State by numbers: (type, state_key) to event. */
export type StateNumbers = ReadonlyMap<number, number>;

/** The state after an event. */
export async function stateAfter({ interning }: ViewContext, reads: Reads, read: ReadEvent): Promise<StateNumbers> {
  const { state_before, nid } = read.row;
  const state = new Map(state_before === null ? [] : (await wholeSnapshots(reads, [state_before])).get(state_before));
  const { type, state_key } = read.event;
  if (state_key !== undefined) {
    const tuple = stateTuple(type, state_key);
    const tupleNid = (await interning.findTuples([tuple])).get(tuple);
    if (tupleNid !== undefined) state.set(tupleNid, nid);
  }
  return state;
}

/** The state that the viewer sees: the current one, or that which they left behind (client-server API, "GET …/state"). */
export async function viewedState(context: ViewContext, reads: Reads, view: RoomView): Promise<StateNumbers> {
  if (view.leftBy !== undefined) return await stateAfter(context, reads, view.leftBy);
  const rows = await reads.read(CURRENT_STATE, [[view.room.nid]]);
  return new Map(rows.map(({ tuple_nid, event_nid }) => [tuple_nid, event_nid]));
}

/** The event that the viewer sees as one piece of state. */
export async function viewedEvent(
  context: ViewContext,
  reads: Reads,
  view: RoomView,
  tuple: StateTuple,
): Promise<ReadEvent | undefined> {
  const tupleNid = (await context.interning.findTuples([tuple])).get(tuple);
  if (tupleNid === undefined) return undefined;
  const nid =
    view.leftBy === undefined
      ? (await currentStateOf(reads, view.room.nid, [tuple]))[0]?.event_nid
      : (await viewedState(context, reads, view)).get(tupleNid);
  return nid === undefined ? undefined : (await context.events.get(reads, [nid])).get(nid);
}
