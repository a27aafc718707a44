// Client-server API, "Reporting Content".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { EventId, RoomId, UserId } from "../types/identifiers.js";

const reason = Type.String({ maxBytes: 4096 });
const nothing = Type.Object({});

export const reportRoom = operation({
  operationId: "reportRoom",
  method: "POST",
  paths: [...clientPaths("/rooms/{roomId}/report"), "/_matrix/client/unstable/org.matrix.msc4151/rooms/{roomId}/report"],
  auth: "user",
  limit: "report",
  summary: "Reports a room to the administrators.",
  params: Type.Object({ roomId: RoomId }),
  body: Type.Object({ reason }),
  response: nothing,
});

export const reportEvent = operation({
  operationId: "reportEvent",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/report/{eventId}"),
  auth: "user",
  limit: "report",
  summary: "Reports an event to the administrators.",
  params: Type.Object({ roomId: RoomId, eventId: EventId }),
  body: Type.Object({
    reason: Type.Optional(reason),
    score: Type.Optional(Type.Integer({ minimum: -2_147_483_648, maximum: 2_147_483_647 })),
  }),
  response: nothing,
});

export const reportUser = operation({
  operationId: "reportUser",
  method: "POST",
  paths: [...clientPaths("/users/{userId}/report"), "/_matrix/client/unstable/org.matrix.msc4260/users/{userId}/report"],
  auth: "user",
  limit: "report",
  summary: "Reports a user to the administrators.",
  params: Type.Object({ userId: UserId }),
  body: Type.Object({ reason }),
  response: nothing,
});
