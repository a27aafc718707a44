// Client-server API, "Listing notifications".
import { Type } from "typebox";
import { ClientEventWithoutRoomId } from "../events/client-event.js";
import { clientPaths, operation } from "../operation.js";
import { RoomId } from "../types/identifiers.js";

export const getNotifications = operation({
  operationId: "getNotifications",
  method: "GET",
  paths: clientPaths("/notifications"),
  auth: "user",
  limit: "history",
  summary: "What the caller was notified of, the newest first.",
  query: Type.Object({
    from: Type.Optional(Type.String()),
    limit: Type.Optional(Type.Integer({ minimum: 0 })),
    only: Type.Optional(Type.String()),
  }),
  response: Type.Object({
    next_token: Type.Optional(Type.String()),
    notifications: Type.Array(
      Type.Object({
        actions: Type.Array(Type.Union([Type.String(), Type.Object({ set_tweak: Type.String() })])),
        event: ClientEventWithoutRoomId,
        read: Type.Boolean(),
        room_id: RoomId,
        ts: Type.Integer(),
      }),
    ),
  }),
});
