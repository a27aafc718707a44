// Client-server API, "Room aliases" and "Published room directory".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { RoomAlias, RoomId } from "../types/identifiers.js";
import { publicRooms, publicRoomsRequest } from "../types/public-rooms.js";

const alias = Type.Object({ roomAlias: RoomAlias });
const inRoom = Type.Object({ roomId: RoomId });
const nothing = Type.Object({});
const visibility = Type.Union([Type.Literal("public"), Type.Literal("private")]);

export const setRoomAlias = operation({
  operationId: "setRoomAlias",
  method: "PUT",
  paths: clientPaths("/directory/room/{roomAlias}"),
  auth: "user",
  refusedWhileSuspended: true,
  summary: "Lets an alias of this server point to a room.",
  params: alias,
  body: Type.Object({ room_id: RoomId }),
  response: nothing,
});

export const getRoomIdByAlias = operation({
  operationId: "getRoomIdByAlias",
  method: "GET",
  paths: clientPaths("/directory/room/{roomAlias}"),
  auth: "none",
  summary: "The room of an alias, and servers that know it.",
  params: alias,
  response: Type.Object({ room_id: RoomId, servers: Type.Array(Type.String()) }),
});

export const deleteRoomAlias = operation({
  operationId: "deleteRoomAlias",
  method: "DELETE",
  paths: clientPaths("/directory/room/{roomAlias}"),
  auth: "user",
  refusedWhileSuspended: true,
  summary: "Removes an alias of this server.",
  params: alias,
  response: nothing,
});

export const getLocalAliases = operation({
  operationId: "getLocalAliases",
  method: "GET",
  paths: clientPaths("/rooms/{roomId}/aliases"),
  auth: "user",
  limit: "history",
  summary: "The aliases that this server has for a room.",
  params: inRoom,
  response: Type.Object({ aliases: Type.Array(RoomAlias) }),
});

export const getRoomVisibilityOnDirectory = operation({
  operationId: "getRoomVisibilityOnDirectory",
  method: "GET",
  paths: clientPaths("/directory/list/room/{roomId}"),
  auth: "none",
  summary: "Whether the room is published in this server's directory.",
  params: inRoom,
  response: Type.Object({ visibility }),
});

export const setRoomVisibilityOnDirectory = operation({
  operationId: "setRoomVisibilityOnDirectory",
  method: "PUT",
  paths: clientPaths("/directory/list/room/{roomId}"),
  auth: "user",
  refusedWhileSuspended: true,
  summary: "Publishes the room in this server's directory, or takes it out.",
  params: inRoom,
  body: Type.Object({ visibility: Type.Optional(visibility) }),
  response: nothing,
});

export const getPublicRooms = operation({
  operationId: "getPublicRooms",
  method: "GET",
  paths: clientPaths("/publicRooms"),
  auth: "unchecked",
  guests: true,
  summary: "A page of the published rooms.",
  query: Type.Object({
    limit: Type.Optional(Type.Integer()),
    since: Type.Optional(Type.String()),
    server: Type.Optional(Type.String()),
  }),
  response: publicRooms,
});

export const queryPublicRooms = operation({
  operationId: "queryPublicRooms",
  method: "POST",
  paths: clientPaths("/publicRooms"),
  auth: "user",
  guests: true,
  summary: "A page of the published rooms that fit a filter.",
  query: Type.Object({ server: Type.Optional(Type.String()) }),
  body: publicRoomsRequest,
  response: publicRooms,
});
