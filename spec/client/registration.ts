// Client-server API, "Account registration and management": making accounts.
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { AuthenticationData } from "../types/authentication.js";
import { DeviceId, ServerName, UserId } from "../types/identifiers.js";

export const register = operation({
  operationId: "register",
  method: "POST",
  paths: clientPaths("/register"),
  auth: "none",
  limit: "registration",
  summary: "Makes an account, after user-interactive authentication; or one for a guest.",
  query: Type.Object({ kind: Type.Union([Type.Literal("user"), Type.Literal("guest")], { default: "user" }) }),
  body: Type.Object({
    type: Type.Optional(Type.String()),
    auth: Type.Optional(AuthenticationData),
    username: Type.Optional(Type.String()),
    password: Type.Optional(Type.String()),
    device_id: Type.Optional(DeviceId),
    guest_access_token: Type.Optional(Type.String({ maxLength: 255 })),
    initial_device_display_name: Type.Optional(Type.String({ maxBytes: 1024 })),
    inhibit_login: Type.Optional(Type.Boolean()),
    refresh_token: Type.Optional(Type.Boolean()),
  }),
  response: Type.Object({
    user_id: UserId,
    home_server: ServerName,
    access_token: Type.Optional(Type.String()),
    refresh_token: Type.Optional(Type.String()),
    expires_in_ms: Type.Optional(Type.Integer()),
    device_id: Type.Optional(DeviceId),
  }),
});

export const checkUsernameAvailability = operation({
  operationId: "checkUsernameAvailability",
  method: "GET",
  paths: clientPaths("/register/available"),
  auth: "none",
  limit: "lookup",
  summary: "Whether a user name can be registered.",
  query: Type.Object({ username: Type.String() }),
  response: Type.Object({ available: Type.Boolean() }),
});

export const registrationTokenValidity = operation({
  operationId: "registrationTokenValidity",
  method: "GET",
  paths: ["/_matrix/client/v1/register/m.login.registration_token/validity"],
  auth: "none",
  limit: "registration",
  summary: "Whether a registration token can be used.",
  query: Type.Object({ token: Type.String() }),
  response: Type.Object({ valid: Type.Boolean() }),
});
