// Client-server API, "Getting events for a room" and "Event context".
import { Type } from "typebox";
import { ClientEvent } from "../events/client-event.js";
import { clientPaths, operation } from "../operation.js";
import { EventId, RoomId, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const inRoom = Type.Object({ roomId: RoomId });
const direction = Type.Union([Type.Literal("b"), Type.Literal("f")]);
const membership = Type.Union([
  Type.Literal("invite"),
  Type.Literal("join"),
  Type.Literal("knock"),
  Type.Literal("leave"),
  Type.Literal("ban"),
]);

export const getOneRoomEvent = operation({
  operationId: "getOneRoomEvent",
  method: "GET",
  paths: clientPaths("/rooms/{roomId}/event/{eventId}"),
  auth: "user",
  guests: true,
  summary: "One event.",
  params: Type.Object({ roomId: RoomId, eventId: EventId }),
  response: ClientEvent,
});

export const getRoomStateWithKey = operation({
  operationId: "getRoomStateWithKey",
  method: "GET",
  paths: [
    ...clientPaths("/rooms/{roomId}/state/{eventType}/{stateKey}"),
    ...clientPaths("/rooms/{roomId}/state/{eventType}"),
  ],
  auth: "user",
  guests: true,
  summary: "The content of one state event, or with format=event all of it.",
  params: Type.Object({ roomId: RoomId, eventType: Type.String(), stateKey: Type.String({ default: "" }) }),
  query: Type.Object({ format: Type.Optional(Type.Union([Type.Literal("content"), Type.Literal("event")])) }),
  response: JsonObject,
});

export const getRoomState = operation({
  operationId: "getRoomState",
  method: "GET",
  paths: clientPaths("/rooms/{roomId}/state"),
  auth: "user",
  guests: true,
  summary: "All current state events of a room, or those at the time the caller left it.",
  params: inRoom,
  response: Type.Array(ClientEvent),
});

export const getMembersByRoom = operation({
  operationId: "getMembersByRoom",
  method: "GET",
  paths: clientPaths("/rooms/{roomId}/members"),
  auth: "user",
  guests: true,
  summary: "The membership events of a room.",
  params: inRoom,
  query: Type.Object({
    at: Type.Optional(Type.String()),
    membership: Type.Optional(membership),
    not_membership: Type.Optional(membership),
  }),
  response: Type.Object({ chunk: Type.Array(ClientEvent) }),
});

export const getJoinedMembersByRoom = operation({
  operationId: "getJoinedMembersByRoom",
  method: "GET",
  paths: clientPaths("/rooms/{roomId}/joined_members"),
  auth: "user",
  guests: true,
  summary: "The joined members of a room with their names and pictures.",
  params: inRoom,
  response: Type.Object({
    joined: Type.Record(
      UserId,
      Type.Object({
        display_name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
        avatar_url: Type.Optional(Type.Union([Type.String(), Type.Null()])),
      }),
    ),
  }),
});

export const getRoomEvents = operation({
  operationId: "getRoomEvents",
  method: "GET",
  paths: clientPaths("/rooms/{roomId}/messages"),
  auth: "user",
  guests: true,
  limit: "history",
  summary: "A page of a room's history.",
  params: inRoom,
  query: Type.Object({
    // Required by the specification; clients that leave it out are told whether they may read the room at all first.
    dir: Type.Unsafe<"b" | "f">({ ...direction, default: "f" }),
    from: Type.Optional(Type.String()),
    to: Type.Optional(Type.String()),
    limit: Type.Optional(Type.Integer({ minimum: 0 })),
    filter: Type.Optional(Type.String()),
  }),
  response: Type.Object({
    start: Type.String(),
    end: Type.Optional(Type.String()),
    chunk: Type.Array(ClientEvent),
    state: Type.Optional(Type.Array(ClientEvent)),
  }),
});

export const getEventContext = operation({
  operationId: "getEventContext",
  method: "GET",
  paths: clientPaths("/rooms/{roomId}/context/{eventId}"),
  auth: "user",
  guests: true,
  limit: "history",
  summary: "An event with those before and after it.",
  params: Type.Object({ roomId: RoomId, eventId: EventId }),
  query: Type.Object({
    limit: Type.Optional(Type.Integer({ minimum: 0 })),
    filter: Type.Optional(Type.String()),
  }),
  response: Type.Object({
    start: Type.String(),
    end: Type.String(),
    event: ClientEvent,
    events_before: Type.Array(ClientEvent),
    events_after: Type.Array(ClientEvent),
    state: Type.Array(ClientEvent),
  }),
});

export const getEventByTimestamp = operation({
  operationId: "getEventByTimestamp",
  method: "GET",
  paths: ["/_matrix/client/v1/rooms/{roomId}/timestamp_to_event"],
  auth: "user",
  limit: "history",
  summary: "The event closest to a time.",
  params: inRoom,
  query: Type.Object({ ts: Type.Integer({ minimum: 0 }), dir: direction }),
  response: Type.Object({ event_id: EventId, origin_server_ts: Type.Integer() }),
});
