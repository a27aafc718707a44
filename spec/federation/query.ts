// Server-server API, "Querying for information".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { RoomAlias, RoomId, ServerName, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

export const queryRoomDirectory = operation({
  operationId: "queryRoomDirectory",
  method: "GET",
  paths: ["/_matrix/federation/v1/query/directory"],
  auth: "server",
  summary: "The room of an alias of this server, and servers that are in it.",
  query: Type.Object({ room_alias: RoomAlias }),
  response: Type.Object({ room_id: RoomId, servers: Type.Array(ServerName) }),
});

export const queryProfile = operation({
  operationId: "queryProfile",
  method: "GET",
  paths: ["/_matrix/federation/v1/query/profile"],
  auth: "server",
  summary: "The profile of a user of this server, or one field of it.",
  query: Type.Object({ user_id: UserId, field: Type.Optional(Type.String()) }),
  response: JsonObject,
});

export const queryInfo = operation({
  operationId: "queryInfo",
  method: "GET",
  paths: ["/_matrix/federation/v1/query/{queryType}"],
  auth: "server",
  summary: "A question of a kind that this server does not know.",
  params: Type.Object({ queryType: Type.String() }),
  response: JsonObject,
});
