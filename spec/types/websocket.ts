// The frames of the WebSocket transport: JSON texts, told apart by `type`. What they mean is in spec/client/websocket.ts.
import { Type, type Static } from "typebox";
import { JsonObject } from "./json.js";
import { PresenceState } from "./presence.js";

/** The operations that a client may call over its socket, by their operationId. */
export const SOCKET_OPERATIONS = [
  "sendMessage",
  "setRoomStateWithKey",
  "redactEvent",
  "setTyping",
  "postReceipt",
  "setReadMarker",
] as const;

const AuthenticateFrame = Type.Object({ type: Type.Literal("authenticate"), token: Type.String({ minLength: 1, maxLength: 4096 }) });

const RequestFrame = Type.Object({
  type: Type.Literal("request"),
  /** Of the client's choosing; comes back with the answer. */
  id: Type.String({ minLength: 1, maxLength: 255 }),
  operation: Type.Enum([...SOCKET_OPERATIONS]),
  /** What HTTP has in the path, not percent-encoded. */
  params: JsonObject,
  query: Type.Optional(JsonObject),
  body: Type.Optional(JsonObject),
});
export type RequestFrame = Static<typeof RequestFrame>;

const AckFrame = Type.Object({
  type: Type.Literal("ack"),
  position: Type.String(),
  set_presence: Type.Optional(PresenceState),
});

/** What a client sends, by `type`. */
export const CLIENT_FRAMES = { authenticate: AuthenticateFrame, request: RequestFrame, ack: AckFrame } as const;
export type ClientFrame = Static<typeof AuthenticateFrame> | RequestFrame | Static<typeof AckFrame>;

/** What the server sends. */
export const ServerFrame = Type.Union([
  Type.Object({
    type: Type.Literal("authenticated"),
    user_id: Type.String(),
    device_id: Type.Optional(Type.String()),
  }),
  /** `response` is the body that /sync gives; `position` is its next_batch. */
  Type.Object({ type: Type.Literal("sync"), position: Type.String(), response: JsonObject }),
  /** `status` and `body` are those that HTTP would have had. */
  Type.Object({ type: Type.Literal("response"), id: Type.String(), status: Type.Integer(), body: JsonObject }),
  /** The Matrix error for which the socket is about to be closed. */
  Type.Object({ type: Type.Literal("error"), body: JsonObject }),
]);

/** Why the server closes a socket. The reason in the close frame is the errcode. */
export const CLOSE_CODES = {
  /** The server stops: connect again, perhaps elsewhere (RFC 6455). */
  goingAway: 1001,
  /** Binary frames are not understood (RFC 6455). */
  unsupported: 1003,
  /** The server could not do its work: try again in a while. */
  tryAgain: 1013,
  /** A frame, filter or position was not valid. */
  badFrame: 4400,
  /** The access token is missing or not known: the device is logged out. */
  unknownToken: 4401,
  /** The access token has expired or the account is locked (`soft_logout`): keep the device's data; refresh the token or log in again. */
  softLogout: 4402,
  /** The caller may not use this. */
  forbidden: 4403,
  /** No `authenticate` came in time. */
  timeout: 4408,
  /** Too many sockets of one user. */
  limitExceeded: 4429,
} as const;
