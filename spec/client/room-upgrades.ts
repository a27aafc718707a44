// Client-server API, "Room Upgrades".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { RoomId } from "../types/identifiers.js";

export const upgradeRoom = operation({
  operationId: "upgradeRoom",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/upgrade"),
  auth: "user",
  refusedWhileSuspended: true,
  limit: "room_creation",
  summary: "Replaces a room by one of another version.",
  params: Type.Object({ roomId: RoomId }),
  body: Type.Object({
    new_version: Type.String(),
    additional_creators: Type.Optional(Type.Array(Type.String(), { maxItems: 500 })),
  }),
  response: Type.Object({ replacement_room: RoomId }),
});
