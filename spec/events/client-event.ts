// An event as clients see it (client-server API, "Room event format").
import { Type, type Static } from "typebox";
import { EventId, RoomId, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const common = {
  type: Type.String(),
  content: JsonObject,
  sender: UserId,
  event_id: EventId,
  origin_server_ts: Type.Integer(),
  state_key: Type.Optional(Type.String()),
  redacts: Type.Optional(EventId),
  unsigned: Type.Optional(JsonObject),
};

export const ClientEvent = Type.Object({ ...common, room_id: RoomId });
export type ClientEvent = Static<typeof ClientEvent>;

/** Inside /sync the room is the section's. */
export const ClientEventWithoutRoomId = Type.Object(common);

/** What a user who is not in a room is told of its state (client-server API, "Stripped state"). */
export const StrippedStateEvent = Type.Object({
  type: Type.String(),
  state_key: Type.String(),
  content: JsonObject,
  sender: UserId,
});
export type StrippedStateEvent = Static<typeof StrippedStateEvent>;
