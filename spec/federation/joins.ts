// Server-server API, "Joining Rooms".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { EventId, RoomId, ServerName, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const pdus = Type.Array(JsonObject);
const event = Type.Object({ roomId: RoomId, eventId: EventId });

/** What lets a server that has joined go on by itself. */
const joined = Type.Object({
  origin: ServerName,
  state: pdus,
  auth_chain: pdus,
  event: JsonObject,
  members_omitted: Type.Boolean(),
  servers_in_room: Type.Array(ServerName),
});

export const makeJoin = operation({
  operationId: "makeJoin",
  method: "GET",
  paths: ["/_matrix/federation/v1/make_join/{roomId}/{userId}"],
  auth: "server",
  summary: "A join to be completed and signed by the user's server.",
  params: Type.Object({ roomId: RoomId, userId: UserId }),
  query: Type.Object({ ver: Type.Array(Type.String(), { default: ["1"] }) }),
  response: Type.Object({ room_version: Type.String(), event: JsonObject }),
});

export const sendJoinV1 = operation({
  operationId: "sendJoinV1",
  method: "PUT",
  paths: ["/_matrix/federation/v1/send_join/{roomId}/{eventId}"],
  auth: "server",
  summary: "Takes a join of another server's user; as older servers ask.",
  params: event,
  body: JsonObject,
  response: Type.Tuple([Type.Literal(200), joined]),
});

export const sendJoinV2 = operation({
  operationId: "sendJoinV2",
  method: "PUT",
  paths: ["/_matrix/federation/v2/send_join/{roomId}/{eventId}"],
  auth: "server",
  summary: "Takes a join of another server's user.",
  params: event,
  query: Type.Object({ omit_members: Type.Optional(Type.Boolean()) }),
  body: JsonObject,
  response: joined,
});
