// Memberships of our users in rooms that none of our users is in: invitations, knocks, and what becomes of them. Their events
// are kept without a place in the room, whose state we do not know.
import { forbidden } from "../../errors.js";
import { strippedEvent } from "../../protocol/client-event.js";
import { isState, type RoomEvent } from "../../protocol/event.js";
import { parseUserId, type RoomId, type UserId } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString, plainJson } from "../../protocol/json.js";
import { type Membership, membershipIn } from "../../protocol/membership.js";
import type { RoomVersion } from "../../protocol/room-version.js";
import { eventsById } from "../../storage/events.js";
import { membershipInRoom } from "../../storage/memberships.js";
import { offeredState, outsideMembership } from "../../storage/outside-memberships.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import { adoptRoom } from "../../storage/rooms.js";
import type { RoomContext } from "../context.js";
import { memberTuple, requireRoom } from "../current-state.js";

const MAX_STATE = 100;
/** No event has more, and none that a client can show is deeper. */
const MAX_CONTENT_BYTES = 65_536;
const MAX_DEPTH = 90;

/**
 * Notes what an event makes of a user of ours in a room that is known by other servers only, and what they tell of the room.
 * `state` is stripped state, or whole events. Throws M_FORBIDDEN for a user who is not ours.
 */
export async function setOutside(
  context: RoomContext,
  version: RoomVersion,
  roomId: RoomId,
  event: RoomEvent,
  state: readonly JsonValue[] | undefined,
): Promise<void> {
  const { database, numbers, interning, committer, owners } = context;
  const user = parseUserId(event.state_key);
  const membership = membershipIn(event.content);
  if (user === undefined || membership === undefined) throw forbidden("This is no event of a member.");
  await adoptRoom(database, (await numbers.allot("room_nids", 1)).take(), roomId, version.id);
  const room = await requireRoom(database, roomId);
  await owners.receive(version, roomId, [{ event, as: "outlier", unjudged: true }]);
  const stored = (await eventsById(database, [event.event_id])).get(event.event_id);
  const user_nid = (await interning.users([user])).get(user);
  const tuple = memberTuple(user);
  const tuple_nid = (await interning.tuples([tuple])).get(tuple);
  if (stored === undefined || user_nid === undefined) throw new Error("an outside membership was not written");
  await committer.submit({
    statements: [
      ...(state === undefined ? [] : [offeredState(user_nid, room.nid, strippedText(state))]),
      outsideMembership(user_nid, room.nid, MEMBERSHIPS[membership], stored.nid),
    ],
    // Whoever watches a user's rooms goes by changes of state.
    entries: [{ kind: "state_change", room_nid: room.nid, user_nid, reference: stored.nid, ...(tuple_nid !== undefined && { tuple_nid }) }],
  });
}

/** What clients are shown of state that another server sent: only the fields of stripped state, as they should be. */
function strippedText(state: readonly JsonValue[]): string {
  const events = state.slice(0, MAX_STATE).flatMap((entry): JsonObject[] => {
    if (!isObject(entry)) return [];
    const [type, state_key, sender, content] = [ownString(entry, "type"), ownString(entry, "state_key"), ownString(entry, "sender"), own(entry, "content")];
    if (type === undefined || state_key === undefined || parseUserId(sender) === undefined || !isObject(content)) return [];
    const time = own(entry, "origin_server_ts");
    const plain = plainJson(content, MAX_DEPTH);
    if (!isObject(plain) || Buffer.byteLength(JSON.stringify(plain)) > MAX_CONTENT_BYTES) return [];
    return [{ type, state_key, sender: sender ?? "", content: plain, ...(type === "m.room.create" && typeof time === "number" && { origin_server_ts: time }) }];
  });
  return JSON.stringify(events);
}

/** The event by which a user of ours is what they are in a room that none of ours is in. */
export async function outsideEvent(
  { database, events }: RoomContext,
  userNid: number,
  roomId: RoomId,
): Promise<{ readonly membership: number; readonly event: RoomEvent; readonly version: RoomVersion } | undefined> {
  const entry = await membershipInRoom(database, userNid, roomId);
  if (entry === undefined) return undefined;
  const read = (await events.get(database, [entry.event_nid])).get(entry.event_nid);
  return read === undefined ? undefined : { membership: entry.membership, event: read.event, version: read.version };
}

/**
 * Whether an event that a server sent of a room that we are not in takes an invitation or knock of a user of ours back: by who
 * invited, or from the room that was knocked on. Nothing else of such rooms concerns us.
 */
export async function takeBackOutside(context: RoomContext, version: RoomVersion, event: RoomEvent): Promise<boolean> {
  const user: UserId | undefined = event.type === "m.room.member" ? parseUserId(event.state_key) : undefined;
  const ended: readonly (Membership | undefined)[] = ["leave", "ban"];
  if (user === undefined || !ended.includes(membershipIn(event.content))) return false;
  const userNid = (await context.interning.findUsers([user])).get(user);
  const before = userNid === undefined ? undefined : await outsideEvent(context, userNid, event.room_id);
  // What comes late may be what was before the invitation: an unban is often sent with it.
  if (before !== undefined && event.depth <= before.event.depth) return false;
  const invited = before?.membership === MEMBERSHIPS.invite && before.event.sender === event.sender;
  if (!invited && before?.membership !== MEMBERSHIPS.knock) return false;
  await setOutside(context, version, event.room_id, event, undefined);
  return true;
}

/** Stripped state as JSON objects, of events that we have. */
export function strippedObjects(events: readonly RoomEvent[]): JsonObject[] {
  return events.filter(isState).map((event) => JSON.parse(strippedEvent(event)) as JsonObject);
}
