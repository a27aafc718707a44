// Server-server API, "Retrieving events", "Backfilling and retrieving missing events", "Retrieving event authorization information".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { EventId, RoomId, ServerName } from "../types/identifiers.js";
import { EventRelationshipsRequest } from "../types/event-relationships.js";
import { JsonObject } from "../types/json.js";

const inRoom = Type.Object({ roomId: RoomId });
const pdus = Type.Array(JsonObject);
const transaction = Type.Object({ origin: ServerName, origin_server_ts: Type.Integer(), pdus });
const atEvent = Type.Object({ event_id: EventId });

export const getEvent = operation({
  operationId: "getEvent",
  method: "GET",
  paths: ["/_matrix/federation/v1/event/{eventId}"],
  auth: "server",
  summary: "One event.",
  params: Type.Object({ eventId: EventId }),
  response: transaction,
});

export const getRoomState = operation({
  operationId: "getRoomState",
  method: "GET",
  paths: ["/_matrix/federation/v1/state/{roomId}"],
  auth: "server",
  summary: "The state of a room before an event, with all that authorises it.",
  params: inRoom,
  query: atEvent,
  response: Type.Object({ pdus, auth_chain: pdus }),
});

export const getRoomStateIds = operation({
  operationId: "getRoomStateIds",
  method: "GET",
  paths: ["/_matrix/federation/v1/state_ids/{roomId}"],
  auth: "server",
  summary: "The ids of the state of a room before an event, and of all that authorises it.",
  params: inRoom,
  query: atEvent,
  response: Type.Object({ pdu_ids: Type.Array(EventId), auth_chain_ids: Type.Array(EventId) }),
});

export const getEventAuth = operation({
  operationId: "getEventAuth",
  method: "GET",
  paths: ["/_matrix/federation/v1/event_auth/{roomId}/{eventId}"],
  auth: "server",
  summary: "All that authorises an event.",
  params: Type.Object({ roomId: RoomId, eventId: EventId }),
  response: Type.Object({ auth_chain: pdus }),
});

export const backfillRoom = operation({
  operationId: "backfillRoom",
  method: "GET",
  paths: ["/_matrix/federation/v1/backfill/{roomId}"],
  auth: "server",
  summary: "Events and what came before them.",
  params: inRoom,
  query: Type.Object({ v: Type.Array(EventId, { minItems: 1, maxItems: 100 }), limit: Type.Integer({ minimum: 0 }) }),
  response: transaction,
});

export const getMissingPreviousEvents = operation({
  operationId: "getMissingPreviousEvents",
  method: "POST",
  paths: ["/_matrix/federation/v1/get_missing_events/{roomId}"],
  auth: "server",
  summary: "Events between those that the asking server has and later ones.",
  params: inRoom,
  body: Type.Object({
    limit: Type.Optional(Type.Integer({ minimum: 0 })),
    min_depth: Type.Optional(Type.Integer()),
    earliest_events: Type.Array(EventId, { maxItems: 1000 }),
    latest_events: Type.Array(EventId, { maxItems: 1000 }),
  }),
  response: Type.Object({ events: pdus }),
});

export const getEventByTimestamp = operation({
  operationId: "getEventByTimestamp",
  method: "GET",
  paths: ["/_matrix/federation/v1/timestamp_to_event/{roomId}"],
  auth: "server",
  summary: "The event closest to a time.",
  params: inRoom,
  query: Type.Object({ ts: Type.Integer({ minimum: 0 }), dir: Type.Union([Type.Literal("f"), Type.Literal("b")]) }),
  response: Type.Object({ event_id: EventId, origin_server_ts: Type.Integer() }),
});

export const getEventRelationshipsForServer = operation({
  operationId: "getEventRelationshipsForServer",
  method: "POST",
  paths: ["/_matrix/federation/unstable/event_relationships"],
  auth: "server",
  summary: "The events around an event that relate to each other, with all that authorises them (MSC2836).",
  body: EventRelationshipsRequest,
  response: Type.Object({ events: pdus, limited: Type.Boolean(), auth_chain: pdus }),
});
