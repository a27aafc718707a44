// Client-server API, what came before "Syncing" and is deprecated: old clients still call it.
import { Type } from "typebox";
import { ClientEvent } from "../events/client-event.js";
import { clientPaths, operation } from "../operation.js";
import { EventId, RoomId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const simple = Type.Array(Type.Object({ type: Type.String(), content: JsonObject }));
const room = Type.Object({
  room_id: RoomId,
  membership: Type.Optional(Type.Enum(["invite", "join", "leave", "ban"])),
  messages: Type.Optional(
    Type.Object({ start: Type.Optional(Type.String()), end: Type.String(), chunk: Type.Array(ClientEvent) }),
  ),
  state: Type.Optional(Type.Array(ClientEvent)),
  visibility: Type.Optional(Type.Enum(["private", "public"])),
  account_data: Type.Optional(simple),
});

export const getEvents = operation({
  operationId: "getEvents",
  method: "GET",
  paths: clientPaths("/events"),
  auth: "user",
  guests: true,
  summary: "What happened since a token; waits for it. With a room also where the caller only watches (peekEvents).",
  query: Type.Object({
    from: Type.Optional(Type.String()),
    timeout: Type.Optional(Type.Integer({ minimum: 0 })),
    room_id: Type.Optional(RoomId),
  }),
  response: Type.Object({ start: Type.String(), end: Type.String(), chunk: simple }),
});

export const initialSync = operation({
  operationId: "initialSync",
  method: "GET",
  paths: clientPaths("/initialSync"),
  auth: "user",
  guests: true,
  limit: "history",
  summary: "All rooms of the caller with their latest messages.",
  query: Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 0 })), archived: Type.Optional(Type.Boolean()) }),
  response: Type.Object({ end: Type.String(), rooms: Type.Array(room), presence: simple, receipts: Type.Optional(simple), account_data: Type.Optional(simple) }),
});

export const roomInitialSync = operation({
  operationId: "roomInitialSync",
  method: "GET",
  paths: clientPaths("/rooms/{roomId}/initialSync"),
  auth: "user",
  guests: true,
  limit: "history",
  summary: "A room with its latest messages.",
  params: Type.Object({ roomId: RoomId }),
  // Not specified for one room, but sent as for all of them.
  query: Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 0 })) }),
  response: room,
});

export const getOneEvent = operation({
  operationId: "getOneEvent",
  method: "GET",
  paths: clientPaths("/events/{eventId}"),
  auth: "user",
  limit: "history",
  summary: "One event, whatever its room.",
  params: Type.Object({ eventId: EventId }),
  response: ClientEvent,
});
