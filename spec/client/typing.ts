// Client-server API, "Typing Notifications".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { RoomId, UserId } from "../types/identifiers.js";

export const setTyping = operation({
  operationId: "setTyping",
  method: "PUT",
  paths: clientPaths("/rooms/{roomId}/typing/{userId}"),
  auth: "user",
  refusedWhileSuspended: true,
  guests: true,
  limit: "typing",
  summary: "Says that the caller types, for so many milliseconds, or no longer does.",
  params: Type.Object({ roomId: RoomId, userId: UserId }),
  body: Type.Object({ typing: Type.Boolean(), timeout: Type.Optional(Type.Integer({ minimum: 0 })) }),
  response: Type.Object({}),
});
