// Client-server API, "Presence".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { UserId } from "../types/identifiers.js";
import { PresenceState } from "../types/presence.js";

const user = Type.Object({ userId: UserId });

export const getPresence = operation({
  operationId: "getPresence",
  method: "GET",
  paths: clientPaths("/presence/{userId}/status"),
  auth: "user",
  guests: true,
  summary: "A user's presence.",
  params: user,
  response: Type.Object({
    presence: PresenceState,
    last_active_ago: Type.Optional(Type.Integer()),
    status_msg: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    currently_active: Type.Optional(Type.Boolean()),
  }),
});

export const setPresence = operation({
  operationId: "setPresence",
  method: "PUT",
  paths: clientPaths("/presence/{userId}/status"),
  auth: "user",
  guests: true,
  limit: "presence",
  summary: "Sets the caller's presence.",
  params: user,
  body: Type.Object({
    presence: PresenceState,
    status_msg: Type.Optional(Type.Union([Type.String({ maxBytes: 1024 }), Type.Null()])),
  }),
  response: Type.Object({}),
});
