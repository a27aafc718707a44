// Delayed events (MSC4140).
import { Type } from "typebox";
import { operation } from "../operation.js";
import { delay, delayed, stickyParameter } from "../types/delayed-events.js";
import { EventId, RoomId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const UNSTABLE = "/_matrix/client/unstable/org.matrix.msc4140";

const DelayedEvent = Type.Object({
  delay_id: Type.String(),
  room_id: RoomId,
  type: Type.String(),
  state_key: Type.Optional(Type.String()),
  delay: Type.Integer(),
  running_since: Type.Integer(),
  content: JsonObject,
  error: Type.Optional(JsonObject),
  event_id: Type.Optional(EventId),
  origin_server_ts: Type.Optional(Type.Integer()),
});

export const scheduleDelayedEvent = operation({
  operationId: "scheduleDelayedEvent",
  method: "PUT",
  paths: [
    "/_matrix/client/v3/rooms/{roomId}/delayed_event/{eventType}/{txnId}",
    `${UNSTABLE}/rooms/{roomId}/delayed_event/{eventType}/{txnId}`,
  ],
  auth: "user",
  guests: true,
  limit: "message",
  refusedWhileSuspended: true,
  summary: "Sends an event later (MSC4140); the same transaction id again gives the same delayed event.",
  params: Type.Object({ roomId: RoomId, eventType: Type.String(), txnId: Type.String({ minLength: 1 }) }),
  query: Type.Object({ ...stickyParameter, ts: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })) }),
  // One of the two delays: the proposal has had both names.
  canonicalNumbers: true,
  body: Type.Object({
    delay: Type.Optional(delay),
    delay_ms: Type.Optional(delay),
    state_key: Type.Optional(Type.String()),
    content: JsonObject,
  }),
  response: delayed,
});

export const updateDelayedEvent = operation({
  operationId: "updateDelayedEvent",
  method: "POST",
  paths: ["/_matrix/client/v1/delayed_events/{delayId}/{action}", `${UNSTABLE}/delayed_events/{delayId}/{action}`],
  auth: "none",
  limit: "delayed_event",
  summary: "Sends, cancels or restarts a delayed event (MSC4140); whoever knows its id may.",
  params: Type.Object({ delayId: Type.String(), action: Type.String() }),
  response: Type.Object({}),
});

export const updateDelayedEventByBody = operation({
  operationId: "updateDelayedEventByBody",
  method: "POST",
  paths: ["/_matrix/client/v1/delayed_events/{delayId}", `${UNSTABLE}/delayed_events/{delayId}`],
  auth: "none",
  limit: "delayed_event",
  summary: "The same with the action in the body, as older clients do it.",
  params: Type.Object({ delayId: Type.String() }),
  body: Type.Object({ action: Type.Union([Type.Literal("send"), Type.Literal("cancel"), Type.Literal("restart")]) }),
  response: Type.Object({}),
});

export const getDelayedEvent = operation({
  operationId: "getDelayedEvent",
  method: "GET",
  paths: ["/_matrix/client/v1/delayed_events/{delayId}", `${UNSTABLE}/delayed_events/{delayId}`],
  auth: "user",
  guests: true,
  limit: "lookup",
  summary: "One of the caller's delayed events (MSC4140).",
  params: Type.Object({ delayId: Type.String() }),
  response: DelayedEvent,
});

export const getDelayedEvents = operation({
  operationId: "getDelayedEvents",
  method: "GET",
  paths: ["/_matrix/client/v1/delayed_events"],
  auth: "user",
  guests: true,
  limit: "lookup",
  summary: "The caller's delayed events, those that are over too, by the time at which they are to be sent (MSC4140).",
  query: Type.Object({
    order_by: Type.Optional(Type.Literal("send_ts")),
    dir: Type.Optional(Type.Union([Type.Literal("f"), Type.Literal("b")])),
    from: Type.Optional(Type.String()),
    room_id: Type.Optional(RoomId),
    type: Type.Optional(Type.String()),
    status: Type.Optional(Type.Union([Type.Literal("scheduled"), Type.Literal("finalised")])),
    outcome: Type.Optional(Type.Union([Type.Literal("send"), Type.Literal("cancel"), Type.Literal("error")])),
  }),
  response: Type.Object({
    delayed_events: Type.Array(DelayedEvent),
    next_batch: Type.Optional(Type.String()),
    prev_batch: Type.Optional(Type.String()),
  }),
});

export const getScheduledEvents = operation({
  operationId: "getScheduledEvents",
  method: "GET",
  paths: [`${UNSTABLE}/delayed_events`],
  auth: "user",
  guests: true,
  limit: "lookup",
  summary: "The caller's delayed events that are still to be sent, as older clients ask for them.",
  query: Type.Object({ from: Type.Optional(Type.String()) }),
  response: Type.Object({ delayed_events: Type.Array(DelayedEvent), next_batch: Type.Optional(Type.String()) }),
});
