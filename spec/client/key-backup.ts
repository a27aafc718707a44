// Client-server API, "Server-side key backups".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { RoomId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const KeyBackupData = Type.Object({
  first_message_index: count,
  forwarded_count: count,
  is_verified: Type.Boolean(),
  session_data: JsonObject,
});
const RoomKeyBackup = Type.Object({ sessions: Type.Record(Type.String(), KeyBackupData) });
const Rooms = Type.Object({ rooms: Type.Record(Type.String(), RoomKeyBackup) });
const version = Type.Object({ version: Type.String() });
const changed = Type.Object({ etag: Type.String(), count: Type.Integer() });
const Backup = Type.Object({
  algorithm: Type.String(),
  auth_data: JsonObject,
  count: Type.Integer(),
  etag: Type.String(),
  version: Type.String(),
});
const room = Type.Object({ roomId: RoomId });
const session = Type.Object({ roomId: RoomId, sessionId: Type.String({ minLength: 1 }) });
const common = { auth: "user", limit: "key_backup" } as const;

export const postRoomKeysVersion = operation({
  ...common,
  operationId: "postRoomKeysVersion",
  method: "POST",
  paths: clientPaths("/room_keys/version"),
  summary: "Begins a new version of the caller's key backup.",
  body: Type.Object({ algorithm: Type.String(), auth_data: JsonObject }),
  response: version,
});

export const getRoomKeysVersionCurrent = operation({
  ...common,
  operationId: "getRoomKeysVersionCurrent",
  method: "GET",
  paths: clientPaths("/room_keys/version"),
  summary: "The current version of the caller's key backup.",
  response: Backup,
});

export const getRoomKeysVersion = operation({
  ...common,
  operationId: "getRoomKeysVersion",
  method: "GET",
  paths: clientPaths("/room_keys/version/{version}"),
  summary: "A version of the caller's key backup.",
  params: version,
  response: Backup,
});

export const putRoomKeysVersion = operation({
  ...common,
  operationId: "putRoomKeysVersion",
  method: "PUT",
  paths: clientPaths("/room_keys/version/{version}"),
  summary: "Sets what a version of the key backup says of itself.",
  params: version,
  body: Type.Object({ algorithm: Type.String(), auth_data: JsonObject, version: Type.Optional(Type.String()) }),
  response: Type.Object({}),
});

export const deleteRoomKeysVersion = operation({
  ...common,
  operationId: "deleteRoomKeysVersion",
  method: "DELETE",
  paths: clientPaths("/room_keys/version/{version}"),
  summary: "Deletes a version of the key backup with its keys.",
  params: version,
  response: Type.Object({}),
});

export const putRoomKeyBySessionId = operation({
  ...common,
  operationId: "putRoomKeyBySessionId",
  method: "PUT",
  paths: clientPaths("/room_keys/keys/{roomId}/{sessionId}"),
  summary: "Stores a key.",
  params: session,
  query: version,
  body: KeyBackupData,
  response: changed,
});

export const putRoomKeysByRoomId = operation({
  ...common,
  operationId: "putRoomKeysByRoomId",
  method: "PUT",
  paths: clientPaths("/room_keys/keys/{roomId}"),
  summary: "Stores keys of a room.",
  params: room,
  query: version,
  body: RoomKeyBackup,
  response: changed,
});

export const putRoomKeys = operation({
  ...common,
  operationId: "putRoomKeys",
  method: "PUT",
  paths: clientPaths("/room_keys/keys"),
  summary: "Stores keys of several rooms.",
  query: version,
  body: Rooms,
  response: changed,
});

export const getRoomKeyBySessionId = operation({
  ...common,
  operationId: "getRoomKeyBySessionId",
  method: "GET",
  paths: clientPaths("/room_keys/keys/{roomId}/{sessionId}"),
  summary: "A key.",
  params: session,
  query: version,
  response: KeyBackupData,
});

export const getRoomKeysByRoomId = operation({
  ...common,
  operationId: "getRoomKeysByRoomId",
  method: "GET",
  paths: clientPaths("/room_keys/keys/{roomId}"),
  summary: "The keys of a room.",
  params: room,
  query: version,
  response: RoomKeyBackup,
});

export const getRoomKeys = operation({
  ...common,
  operationId: "getRoomKeys",
  method: "GET",
  paths: clientPaths("/room_keys/keys"),
  summary: "All keys of a version.",
  query: version,
  response: Rooms,
});

export const deleteRoomKeyBySessionId = operation({
  ...common,
  operationId: "deleteRoomKeyBySessionId",
  method: "DELETE",
  paths: clientPaths("/room_keys/keys/{roomId}/{sessionId}"),
  summary: "Removes a key.",
  params: session,
  query: version,
  response: changed,
});

export const deleteRoomKeysByRoomId = operation({
  ...common,
  operationId: "deleteRoomKeysByRoomId",
  method: "DELETE",
  paths: clientPaths("/room_keys/keys/{roomId}"),
  summary: "Removes the keys of a room.",
  params: room,
  query: version,
  response: changed,
});

export const deleteRoomKeys = operation({
  ...common,
  operationId: "deleteRoomKeys",
  method: "DELETE",
  paths: clientPaths("/room_keys/keys"),
  summary: "Removes all keys of a version.",
  query: version,
  response: changed,
});
