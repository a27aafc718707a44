// The state of a room as clients ask for it (client-server API, "Getting events for a room").
import { invalidParam, forbidden, notFound } from "../../errors.js";
import { memberText } from "../../protocol/client-event.js";
import type { RoomId } from "../../protocol/identifiers.js";
import { ownString } from "../../protocol/json.js";
import { membershipIn, type Membership } from "../../protocol/membership.js";
import { stateTuple } from "../../protocol/state-map.js";
import { timelineBackwards, timelineForwards } from "../../storage/events.js";
import { roomMembers } from "../../storage/state.js";
import type { Reads } from "../../storage/statement.js";
import type { RoomContext, RoomUser } from "../context.js";
import type { ReadEvent } from "./event-cache.js";
import { eventTexts } from "./event-page.js";
import { isWorldReadable, requireView, type RoomView, stateAfter, viewedEvent, viewedState } from "./room-view.js";
import { parseToken } from "../token.js";
import { onceWhole, requireWhole } from "./whole-state.js";

/** All positions of the log. */
const ALWAYS = { after: -1, upTo: Number.MAX_SAFE_INTEGER };

const MEMBERSHIP_NAMES = ["join", "invite", "knock", "leave", "ban"] as const;

/** The state events of a room: JSON text of an array. Throws M_FORBIDDEN. */
export async function stateOfRoom(context: RoomContext, user: RoomUser, roomId: RoomId): Promise<string> {
  return await onceWhole(context.database, () => context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId);
    requireWhole(view.room);
    const state = await viewedState(context, reads, view);
    const events = await context.events.get(reads, state.values());
    return `[${(await textsOf(context, reads, view, [...events.values()])).join(",")}]`;
  }));
}

async function textsOf(
  context: RoomContext,
  reads: Reads,
  view: RoomView,
  events: readonly ReadEvent[],
): Promise<string[]> {
  const shown = events.map((read) => ({ read, membership: undefined }));
  return await eventTexts(context, reads, view, shown);
}

/** One piece of state: the JSON text of its content, or of the whole event. Throws M_FORBIDDEN, M_NOT_FOUND. */
export async function stateEvent(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  type: string,
  stateKey: string,
  format: "content" | "event",
): Promise<string> {
  return await onceWhole(context.database, () => context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId);
    const read = await viewedEvent(context, reads, view, stateTuple(type, stateKey));
    if (read === undefined && type === "m.room.member") requireWhole(view.room);
    if (read === undefined) throw notFound("The room has no such state.");
    if (format === "content") return memberText(read.event.json, "content") ?? "{}";
    const [text] = await textsOf(context, reads, view, [read]);
    return text ?? "{}";
  }));
}

export interface MembersRequest {
  /** A token: the members as of then. */
  readonly at?: string | undefined;
  readonly membership?: Membership | undefined;
  readonly not_membership?: Membership | undefined;
}

/** The member events of a room: JSON text of `{ chunk }`. Throws M_FORBIDDEN, M_INVALID_PARAM for a token. */
export async function membersOfRoom(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  { at, membership, not_membership }: MembersRequest,
): Promise<string> {
  const wanted = MEMBERSHIP_NAMES.filter(
    (name) => name !== not_membership && (membership === undefined || name === membership),
  );
  return await onceWhole(context.database, () => context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId);
    requireWhole(view.room);
    const members = await membersAt(context, reads, view, at, wanted);
    return `{"chunk":[${(await textsOf(context, reads, view, members)).join(",")}]}`;
  }));
}

async function membersAt(
  context: RoomContext,
  reads: Reads,
  view: RoomView,
  at: string | undefined,
  wanted: readonly Membership[],
): Promise<ReadEvent[]> {
  const { events } = context;
  if (at === undefined && view.leftBy === undefined) {
    const members = await roomMembers(reads, view.room.nid, wanted);
    return [
      ...(
        await events.get(
          reads,
          members.map(({ event_nid }) => event_nid),
        )
      ).values(),
    ];
  }
  const moment = at === undefined ? view.leftBy : await eventAt(context, reads, view, at);
  if (moment === undefined) return [];
  const state = await stateAfter(context, reads, moment);
  const found = await events.get(reads, state.values());
  return [...found.values()].filter(({ event }) => {
    const now = membershipIn(event.content);
    return event.type === "m.room.member" && now !== undefined && wanted.includes(now);
  });
}

/**
 * The last event that the room had at a token, or the one by which the viewer left if that was before. A token from before
 * the room stands for its first moment: clients have it where their first page reaches back to the beginning.
 */
async function eventAt(
  { events }: RoomContext,
  reads: Reads,
  { room, leftBy }: RoomView,
  at: string,
): Promise<ReadEvent | undefined> {
  const token = parseToken(at);
  if (token === undefined) throw invalidParam('"at" is no token of this server.');
  if (leftBy !== undefined && token.position >= leftBy.row.position) return leftBy;
  const [first] = await timelineForwards(reads, room.nid, ALWAYS, 1);
  const upTo = Math.max(token.position, first?.position ?? 0);
  const [row] = await timelineBackwards(reads, room.nid, { ...ALWAYS, upTo }, 1);
  return row === undefined ? undefined : events.add(row);
}

/**
 * Names and pictures of the joined members, by user id. Throws M_FORBIDDEN for who is not in the room, unless it is readable
 * to the world: then its members are part of what anybody may read.
 */
export async function joinedMembers(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
): Promise<Record<string, { display_name: string | null; avatar_url: string | null }>> {
  return await onceWhole(context.database, () => context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId);
    if (!view.joined && !(await isWorldReadable(context, reads, view.room))) throw forbidden("You are not in this room.");
    requireWhole(view.room);
    const members = await roomMembers(reads, view.room.nid, ["join"]);
    const found = await context.events.get(
      reads,
      members.map(({ event_nid }) => event_nid),
    );
    return Object.fromEntries(
      [...found.values()].map(({ event: { state_key, content } }) => [
        state_key ?? "",
        {
          display_name: ownString(content, "displayname") ?? null,
          avatar_url: ownString(content, "avatar_url") ?? null,
        },
      ]),
    );
  }));
}
