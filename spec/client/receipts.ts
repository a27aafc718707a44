// Client-server API, "Receipts" and "Fully read markers".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { EventId, RoomId } from "../types/identifiers.js";

const nothing = Type.Object({});

export const postReceipt = operation({
  operationId: "postReceipt",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/receipt/{receiptType}/{eventId}"),
  auth: "user",
  guests: true,
  limit: "receipt",
  summary: "Says that the caller has read the room, or a thread of it, up to an event.",
  params: Type.Object({
    roomId: RoomId,
    receiptType: Type.Union([
      Type.Literal("m.read"),
      Type.Literal("m.read.private"),
      Type.Literal("m.fully_read"),
    ]),
    eventId: EventId,
  }),
  // A thread_id that is no string has an error code of its own.
  body: Type.Object({ thread_id: Type.Optional(Type.Unknown()) }),
  response: nothing,
});

export const setReadMarker = operation({
  operationId: "setReadMarker",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/read_markers"),
  auth: "user",
  limit: "receipt",
  summary: "Sets the fully-read marker, and receipts with it.",
  params: Type.Object({ roomId: RoomId }),
  body: Type.Object({
    "m.fully_read": Type.Optional(EventId),
    "m.read": Type.Optional(EventId),
    "m.read.private": Type.Optional(EventId),
  }),
  response: nothing,
});
