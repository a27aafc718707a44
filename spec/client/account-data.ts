// Client-server API, "Client Config" (account data) and "Room Tagging".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { RoomId, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const global = Type.Object({ userId: UserId, type: Type.String({ minLength: 1 }) });
const inRoom = Type.Object({ userId: UserId, roomId: RoomId, type: Type.String({ minLength: 1 }) });
const tags = Type.Object({ userId: UserId, roomId: RoomId });
const tag = Type.Object({ userId: UserId, roomId: RoomId, tag: Type.String({ minLength: 1 }) });
const nothing = Type.Object({});

export const setAccountData = operation({
  operationId: "setAccountData",
  method: "PUT",
  paths: clientPaths("/user/{userId}/account_data/{type}"),
  auth: "user",
  guests: true,
  summary: "Stores data of the account, for all its clients.",
  params: global,
  body: JsonObject,
  response: nothing,
});

export const getAccountData = operation({
  operationId: "getAccountData",
  method: "GET",
  paths: clientPaths("/user/{userId}/account_data/{type}"),
  auth: "user",
  guests: true,
  summary: "Data of the account.",
  params: global,
  response: JsonObject,
});

export const deleteAccountData = operation({
  operationId: "deleteAccountData",
  method: "DELETE",
  paths: ["/_matrix/client/unstable/org.matrix.msc3391/user/{userId}/account_data/{type}"],
  auth: "user",
  guests: true,
  summary: "Deletes data of the account.",
  params: global,
  response: nothing,
});

export const setAccountDataPerRoom = operation({
  operationId: "setAccountDataPerRoom",
  method: "PUT",
  paths: clientPaths("/user/{userId}/rooms/{roomId}/account_data/{type}"),
  auth: "user",
  guests: true,
  summary: "Stores data of the account for a room.",
  params: inRoom,
  body: JsonObject,
  response: nothing,
});

export const getAccountDataPerRoom = operation({
  operationId: "getAccountDataPerRoom",
  method: "GET",
  paths: clientPaths("/user/{userId}/rooms/{roomId}/account_data/{type}"),
  auth: "user",
  guests: true,
  summary: "Data of the account for a room.",
  params: inRoom,
  response: JsonObject,
});

export const deleteAccountDataPerRoom = operation({
  operationId: "deleteAccountDataPerRoom",
  method: "DELETE",
  paths: ["/_matrix/client/unstable/org.matrix.msc3391/user/{userId}/rooms/{roomId}/account_data/{type}"],
  auth: "user",
  guests: true,
  summary: "Deletes data of the account for a room.",
  params: inRoom,
  response: nothing,
});

export const getRoomTags = operation({
  operationId: "getRoomTags",
  method: "GET",
  paths: clientPaths("/user/{userId}/rooms/{roomId}/tags"),
  auth: "user",
  guests: true,
  summary: "The tags that a user gave a room.",
  params: tags,
  response: Type.Object({ tags: Type.Record(Type.String(), JsonObject) }),
});

export const setRoomTag = operation({
  operationId: "setRoomTag",
  method: "PUT",
  paths: clientPaths("/user/{userId}/rooms/{roomId}/tags/{tag}"),
  auth: "user",
  guests: true,
  summary: "Gives a room a tag.",
  params: tag,
  body: JsonObject,
  response: nothing,
});

export const deleteRoomTag = operation({
  operationId: "deleteRoomTag",
  method: "DELETE",
  paths: clientPaths("/user/{userId}/rooms/{roomId}/tags/{tag}"),
  auth: "user",
  guests: true,
  summary: "Takes a tag from a room.",
  params: tag,
  response: nothing,
});
