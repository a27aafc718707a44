// Client-server API, "Sending events to a room" and "Redactions".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { delayed, delayParameter, stickyParameter } from "../types/delayed-events.js";
import { EventId, RoomId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const sent = Type.Object({ event_id: EventId });
// Application services give events the time at which they happened.
const timestamp = Type.Object({
  ...delayParameter,
  ...stickyParameter,
  ts: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
});
const sentOrDelayed = Type.Union([sent, delayed]);

export const setRoomStateWithKey = operation({
  operationId: "setRoomStateWithKey",
  method: "PUT",
  paths: [
    ...clientPaths("/rooms/{roomId}/state/{eventType}/{stateKey}"),
    // The state key may be left out together with its slash.
    ...clientPaths("/rooms/{roomId}/state/{eventType}"),
  ],
  auth: "user",
  guests: true,
  limit: "message",
  summary: "Sends a state event.",
  params: Type.Object({ roomId: RoomId, eventType: Type.String(), stateKey: Type.String({ default: "" }) }),
  query: timestamp,
  canonicalNumbers: true,
  body: JsonObject,
  response: sentOrDelayed,
});

export const sendMessage = operation({
  operationId: "sendMessage",
  method: "PUT",
  paths: clientPaths("/rooms/{roomId}/send/{eventType}/{txnId}"),
  auth: "user",
  guests: true,
  limit: "message",
  summary: "Sends a message event; the same transaction id again gives the same event.",
  params: Type.Object({ roomId: RoomId, eventType: Type.String(), txnId: Type.String({ minLength: 1 }) }),
  query: timestamp,
  canonicalNumbers: true,
  body: JsonObject,
  response: sentOrDelayed,
});

// Not specified: old clients and bots, which do not try again, send without a transaction id.
export const sendMessageOnce = operation({
  operationId: "sendMessageOnce",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/send/{eventType}"),
  auth: "user",
  guests: true,
  limit: "message",
  summary: "Sends a message event; each call gives another.",
  params: Type.Object({ roomId: RoomId, eventType: Type.String() }),
  query: timestamp,
  canonicalNumbers: true,
  body: JsonObject,
  response: sentOrDelayed,
});

export const redactEvent = operation({
  operationId: "redactEvent",
  method: "PUT",
  paths: clientPaths("/rooms/{roomId}/redact/{eventId}/{txnId}"),
  auth: "user",
  limit: "message",
  summary: "Takes the content of an event away.",
  params: Type.Object({ roomId: RoomId, eventId: EventId, txnId: Type.String({ minLength: 1 }) }),
  canonicalNumbers: true,
  body: Type.Object({ reason: Type.Optional(Type.String()) }),
  response: sent,
});

// Not specified, as `sendMessageOnce`.
export const redactEventOnce = operation({
  operationId: "redactEventOnce",
  method: "POST",
  paths: clientPaths("/rooms/{roomId}/redact/{eventId}"),
  auth: "user",
  limit: "message",
  summary: "Takes the content of an event away, without a transaction id.",
  params: Type.Object({ roomId: RoomId, eventId: EventId }),
  canonicalNumbers: true,
  body: redactEvent.body,
  response: sent,
});
