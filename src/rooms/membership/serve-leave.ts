// Users of other servers leave our rooms, decline our invitations, and knock (server-server API, "Leaving Rooms" and "Knocking
// upon a room").
import { forbidden } from "../../errors.js";
import type { RoomEvent } from "../../protocol/event.js";
import { type EventId, type RoomId, serverNameOf, type UserId } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import { eventsById } from "../../storage/events.js";
import type { RoomContext } from "../context.js";
import type { Room } from "../current-state.js";
import { memberTemplate, requireKnownVersion } from "./event-template.js";
import type { Sender } from "../remote/receive.js";
import { requireMemberEvent, requireServedRoom } from "./serve-join.js";
import { strippedStateOf } from "../views/stripped-state.js";

type Template = { room_version: string; event: JsonObject };

/** A leave to be completed by the user's server. Throws M_NOT_FOUND, M_FORBIDDEN. */
export async function leaveTemplate(context: RoomContext, sender: Sender, roomId: RoomId, userId: UserId): Promise<Template> {
  return await template(context, await requireServedRoom(context, sender, roomId), sender, userId, "leave");
}

/** A knock to be completed by the user's server. Throws M_NOT_FOUND, M_INCOMPATIBLE_ROOM_VERSION, M_FORBIDDEN. */
export async function knockTemplate(
  context: RoomContext,
  sender: Sender,
  roomId: RoomId,
  userId: UserId,
  versions: readonly string[],
): Promise<Template> {
  const room = await requireServedRoom(context, sender, roomId);
  requireKnownVersion(room, versions);
  return await template(context, room, sender, userId, "knock");
}

async function template(context: RoomContext, room: Room, { origin }: Sender, userId: UserId, membership: string): Promise<Template> {
  if (serverNameOf(userId) !== origin) throw forbidden("A server speaks for its own users only.");
  const event = await memberTemplate(context, context.database, room, userId, { membership });
  return { room_version: room.rules.id, event };
}

/** Takes a leave or a knock that another server has completed. Throws M_NOT_FOUND, M_INVALID_PARAM, M_FORBIDDEN. */
async function take(
  context: RoomContext,
  sender: Sender,
  roomId: RoomId,
  eventId: EventId,
  wire: JsonObject,
  membership: "leave" | "knock",
): Promise<Room> {
  const room = await requireServedRoom(context, sender, roomId);
  const event: RoomEvent = await requireMemberEvent(context, room, sender, eventId, wire, membership);
  if ((await eventsById(context.database, [eventId])).has(eventId)) return room;
  const { outcomes } = await context.owners.receive(room.rules, roomId, [{ event, as: "live", passOn: true }]);
  if (outcomes.get(eventId) !== "live") throw forbidden("The room does not allow this, or not any more.");
  return room;
}

/** Takes a leave. Throws M_NOT_FOUND, M_INVALID_PARAM, M_FORBIDDEN. */
export async function takeLeave(context: RoomContext, sender: Sender, roomId: RoomId, eventId: EventId, wire: JsonObject): Promise<void> {
  await take(context, sender, roomId, eventId, wire, "leave");
}

/** Takes a knock: the events that tell what room it is. Throws M_NOT_FOUND, M_INVALID_PARAM, M_FORBIDDEN. */
export async function takeKnock(
  context: RoomContext,
  sender: Sender,
  roomId: RoomId,
  eventId: EventId,
  wire: JsonObject,
): Promise<RoomEvent[]> {
  const room = await take(context, sender, roomId, eventId, wire, "knock");
  return (await strippedStateOf(context, context.database, room.nid)).map(({ event }) => event);
}
