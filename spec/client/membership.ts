// Client-server API, "Room membership".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { RoomId, RoomIdOrAlias, ServerName, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const inRoom = Type.Object({ roomId: RoomId });
const roomIdOrAlias = Type.Object({ roomIdOrAlias: RoomIdOrAlias });
const reason = Type.Optional(Type.String());
const nothing = Type.Object({});
const servers = Type.Optional(Type.Array(ServerName, { maxItems: 50 }));
const via = Type.Object({ server_name: servers, via: servers });
const target = Type.Object({ user_id: UserId, reason });
const room = Type.Object({ room_id: RoomId });

export const getJoinedRooms = operation({
  operationId: "getJoinedRooms",
  method: "GET",
  paths: clientPaths("/joined_rooms"),
  auth: "user",
  guests: true,
  summary: "The rooms that the caller has joined.",
  response: Type.Object({ joined_rooms: Type.Array(RoomId) }),
});

export const inviteUser = operation({
  operationId: "inviteUser",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/invite"),
  auth: "user",
  refusedWhileSuspended: true,
  limit: "invite",
  summary: "Invites a user to a room, or whoever has an address (inviteBy3PID).",
  params: inRoom,
  body: Type.Object({
    user_id: Type.Optional(UserId),
    reason,
    medium: Type.Optional(Type.String()),
    address: Type.Optional(Type.String()),
    id_server: Type.Optional(Type.String()),
    id_access_token: Type.Optional(Type.String()),
  }),
  response: nothing,
});

export const joinRoomById = operation({
  operationId: "joinRoomById",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/join"),
  auth: "user",
  refusedWhileSuspended: true,
  guests: true,
  limit: "join",
  summary: "Joins a room by its id.",
  params: inRoom,
  canonicalNumbers: true,
  body: Type.Object({ reason, third_party_signed: Type.Optional(JsonObject) }),
  response: room,
});

export const joinRoom = operation({
  operationId: "joinRoom",
  method: "POST",
  paths: clientPaths("/join/{roomIdOrAlias}"),
  auth: "user",
  refusedWhileSuspended: true,
  guests: true,
  limit: "join",
  summary: "Joins a room by its id or alias.",
  params: roomIdOrAlias,
  query: via,
  canonicalNumbers: true,
  body: Type.Object({ reason, third_party_signed: Type.Optional(JsonObject) }),
  response: room,
});

export const knockRoom = operation({
  operationId: "knockRoom",
  method: "POST",
  paths: clientPaths("/knock/{roomIdOrAlias}"),
  auth: "user",
  refusedWhileSuspended: true,
  limit: "join",
  summary: "Asks to be let into a room.",
  params: roomIdOrAlias,
  query: via,
  body: Type.Object({ reason }),
  response: room,
});

export const leaveRoom = operation({
  operationId: "leaveRoom",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/leave"),
  auth: "user",
  guests: true,
  limit: "message",
  summary: "Leaves a room, or declines an invitation, or takes a knock back.",
  params: inRoom,
  body: Type.Object({ reason }),
  response: nothing,
});

export const forgetRoom = operation({
  operationId: "forgetRoom",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/forget"),
  auth: "user",
  guests: true,
  limit: "account",
  summary: "Takes a room that was left out of the caller's lists and history.",
  params: inRoom,
  response: nothing,
});

export const kick = operation({
  operationId: "kick",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/kick"),
  auth: "user",
  refusedWhileSuspended: true,
  summary: "Removes a user from a room, or withdraws their invitation.",
  params: inRoom,
  body: target,
  response: nothing,
});

export const ban = operation({
  operationId: "ban",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/ban"),
  auth: "user",
  refusedWhileSuspended: true,
  summary: "Bans a user from a room.",
  params: inRoom,
  body: target,
  response: nothing,
});

export const unban = operation({
  operationId: "unban",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/unban"),
  auth: "user",
  refusedWhileSuspended: true,
  summary: "Lifts a user's ban.",
  params: inRoom,
  body: target,
  response: nothing,
});
