// Client-server API, "Voice over IP", and what group calls go through (MSC4143).
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { JsonObject } from "../types/json.js";

export const getTurnServer = operation({
  operationId: "getTurnServer",
  method: "GET",
  paths: clientPaths("/voip/turnServer"),
  auth: "user",
  guests: true,
  limit: "lookup",
  summary: "TURN servers for calls and the caller's password for them; an empty object where there are none.",
  // All of them, or none where no TURN server is configured: so clients know it from other servers.
  response: Type.Object({
    username: Type.Optional(Type.String()),
    password: Type.Optional(Type.String()),
    uris: Type.Optional(Type.Array(Type.String())),
    ttl: Type.Optional(Type.Integer()),
  }),
});

export const getRtcTransports = operation({
  operationId: "getRtcTransports",
  method: "GET",
  paths: ["/_matrix/client/v1/rtc/transports", "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"],
  auth: "user",
  guests: true,
  limit: "lookup",
  summary: "What group calls go through (MSC4143).",
  response: Type.Object({ rtc_transports: Type.Array(JsonObject) }),
});
