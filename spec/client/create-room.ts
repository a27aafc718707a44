// Client-server API, "Room Creation".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { RoomId, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

export const createRoom = operation({
  operationId: "createRoom",
  method: "POST",
  paths: clientPaths("/createRoom"),
  auth: "user",
  refusedWhileSuspended: true,
  limit: "room_creation",
  summary: "Creates a room and puts it into the state that was asked for.",
  canonicalNumbers: true,
  body: Type.Object({
    visibility: Type.Optional(Type.Union([Type.Literal("public"), Type.Literal("private")])),
    room_alias_name: Type.Optional(Type.String({ minLength: 1 })),
    name: Type.Optional(Type.String()),
    topic: Type.Optional(Type.String()),
    invite: Type.Optional(Type.Array(UserId)),
    invite_3pid: Type.Optional(
      Type.Array(
        Type.Object({
          id_server: Type.String(),
          id_access_token: Type.String(),
          medium: Type.String(),
          address: Type.String(),
        }),
        { maxItems: 20 },
      ),
    ),
    room_version: Type.Optional(Type.String({ minLength: 1 })),
    creation_content: Type.Optional(JsonObject),
    initial_state: Type.Optional(
      Type.Array(
        Type.Object({ type: Type.String(), state_key: Type.Optional(Type.String()), content: JsonObject }),
      ),
    ),
    preset: Type.Optional(
      Type.Union([
        Type.Literal("private_chat"),
        Type.Literal("public_chat"),
        Type.Literal("trusted_private_chat"),
      ]),
    ),
    is_direct: Type.Optional(Type.Boolean()),
    power_level_content_override: Type.Optional(JsonObject),
  }),
  response: Type.Object({ room_id: RoomId }),
});
