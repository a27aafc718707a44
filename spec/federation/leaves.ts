// Server-server API, "Leaving Rooms" and "Knocking upon a room".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { EventId, RoomId, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const member = Type.Object({ roomId: RoomId, userId: UserId });
const event = Type.Object({ roomId: RoomId, eventId: EventId });

export const makeLeave = operation({
  operationId: "makeLeave",
  method: "GET",
  paths: ["/_matrix/federation/v1/make_leave/{roomId}/{userId}"],
  auth: "server",
  summary: "A leave to be completed and signed by the user's server.",
  params: member,
  response: Type.Object({ room_version: Type.String(), event: JsonObject }),
});

export const sendLeaveV1 = operation({
  operationId: "sendLeaveV1",
  method: "PUT",
  paths: ["/_matrix/federation/v1/send_leave/{roomId}/{eventId}"],
  auth: "server",
  summary: "Takes a leave of another server's user; as older servers ask.",
  params: event,
  body: JsonObject,
  response: Type.Tuple([Type.Literal(200), Type.Object({})]),
});

export const sendLeaveV2 = operation({
  operationId: "sendLeaveV2",
  method: "PUT",
  paths: ["/_matrix/federation/v2/send_leave/{roomId}/{eventId}"],
  auth: "server",
  summary: "Takes a leave of another server's user.",
  params: event,
  body: JsonObject,
  response: Type.Object({}),
});

export const makeKnock = operation({
  operationId: "makeKnock",
  method: "GET",
  paths: ["/_matrix/federation/v1/make_knock/{roomId}/{userId}"],
  auth: "server",
  summary: "A knock to be completed and signed by the user's server.",
  params: member,
  query: Type.Object({ ver: Type.Array(Type.String(), { default: ["1"] }) }),
  response: Type.Object({ room_version: Type.String(), event: JsonObject }),
});

export const sendKnock = operation({
  operationId: "sendKnock",
  method: "PUT",
  paths: ["/_matrix/federation/v1/send_knock/{roomId}/{eventId}"],
  auth: "server",
  summary: "Takes a knock of another server's user.",
  params: event,
  body: JsonObject,
  response: Type.Object({ knock_room_state: Type.Array(JsonObject) }),
});
