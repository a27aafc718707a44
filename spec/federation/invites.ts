// Server-server API, "Inviting to a room".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { EventId, RoomId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const event = Type.Object({ roomId: RoomId, eventId: EventId });
const signed = Type.Object({ event: JsonObject });

export const sendInviteV1 = operation({
  operationId: "sendInviteV1",
  method: "PUT",
  paths: ["/_matrix/federation/v1/invite/{roomId}/{eventId}"],
  auth: "server",
  summary: "Signs an invitation of one of our users; as older servers ask, for rooms of versions 1 and 2.",
  params: event,
  body: JsonObject,
  response: Type.Tuple([Type.Literal(200), signed]),
});

export const sendInviteV2 = operation({
  operationId: "sendInviteV2",
  method: "PUT",
  paths: ["/_matrix/federation/v2/invite/{roomId}/{eventId}"],
  auth: "server",
  summary: "Signs an invitation of one of our users.",
  params: event,
  body: Type.Object({
    event: JsonObject,
    room_version: Type.String(),
    invite_room_state: Type.Optional(Type.Array(JsonObject, { maxItems: 100 })),
  }),
  response: signed,
});
