// Client-server API, "Relationships API" and "Querying threads in a room".
import { Type } from "typebox";
import { ClientEvent } from "../events/client-event.js";
import { operation } from "../operation.js";
import { EventRelationshipsRequest } from "../types/event-relationships.js";
import { EventId, RoomId } from "../types/identifiers.js";

/** Clients from before these paths were specified ask for them below `unstable`. */
function relationPaths(rest: string): readonly [string, string] {
  const path = `/rooms/{roomId}/relations/{eventId}${rest}`;
  return [`/_matrix/client/v1${path}`, `/_matrix/client/unstable${path}`];
}

const direction = Type.Union([Type.Literal("b"), Type.Literal("f")]);
const query = Type.Object({
  dir: Type.Optional(direction),
  from: Type.Optional(Type.String()),
  to: Type.Optional(Type.String()),
  limit: Type.Optional(Type.Integer({ minimum: 1 })),
  recurse: Type.Optional(Type.Boolean()),
  // What they were called before they were specified (MSC3715, MSC3981).
  "org.matrix.msc3715.dir": Type.Optional(direction),
  "org.matrix.msc3981.recurse": Type.Optional(Type.Boolean()),
});
const response = Type.Object({
  chunk: Type.Array(ClientEvent),
  next_batch: Type.Optional(Type.String()),
  prev_batch: Type.Optional(Type.String()),
  recursion_depth: Type.Optional(Type.Integer()),
});

export const getRelatingEvents = operation({
  operationId: "getRelatingEvents",
  method: "GET",
  paths: relationPaths(""),
  auth: "user",
  guests: true,
  summary: "The events that relate to an event.",
  params: Type.Object({ roomId: RoomId, eventId: EventId }),
  query,
  response,
});

export const getRelatingEventsWithRelType = operation({
  operationId: "getRelatingEventsWithRelType",
  method: "GET",
  paths: relationPaths("/{relType}"),
  auth: "user",
  guests: true,
  summary: "The events that relate to an event in one way.",
  params: Type.Object({ roomId: RoomId, eventId: EventId, relType: Type.String() }),
  query,
  response,
});

export const getRelatingEventsWithRelTypeAndEventType = operation({
  operationId: "getRelatingEventsWithRelTypeAndEventType",
  method: "GET",
  paths: relationPaths("/{relType}/{eventType}"),
  auth: "user",
  guests: true,
  summary: "The events of one type that relate to an event in one way.",
  params: Type.Object({ roomId: RoomId, eventId: EventId, relType: Type.String(), eventType: Type.String() }),
  query,
  response,
});

export const getThreadRoots = operation({
  operationId: "getThreadRoots",
  method: "GET",
  paths: ["/_matrix/client/v1/rooms/{roomId}/threads", "/_matrix/client/unstable/org.matrix.msc3856/rooms/{roomId}/threads"],
  auth: "user",
  guests: true,
  limit: "history",
  summary: "The threads of a room, that with the latest event first.",
  params: Type.Object({ roomId: RoomId }),
  query: Type.Object({
    include: Type.Optional(Type.Union([Type.Literal("all"), Type.Literal("participated")])),
    from: Type.Optional(Type.String()),
    limit: Type.Optional(Type.Integer({ minimum: 1 })),
  }),
  response: Type.Object({ chunk: Type.Array(ClientEvent), next_batch: Type.Optional(Type.String()) }),
});

export const getEventRelationships = operation({
  operationId: "getEventRelationships",
  method: "POST",
  paths: ["/_matrix/client/unstable/event_relationships"],
  auth: "user",
  limit: "history",
  summary: "The events around an event that relate to each other, also those that only other servers have (MSC2836).",
  body: EventRelationshipsRequest,
  response: Type.Object({ events: Type.Array(ClientEvent), limited: Type.Boolean(), next_batch: Type.Optional(Type.String()) }),
});
