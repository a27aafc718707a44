// Client-server API, "Login", "Refreshing access tokens", "Logout".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { AuthenticationData, UserIdentifier } from "../types/authentication.js";
import { DeviceId, ServerName, UserId } from "../types/identifiers.js";
import { WellKnown } from "../types/well-known.js";

/** A provider of identities ("Client login via SSO"). */
const IdentityProvider = Type.Object({ id: Type.String(), name: Type.String(), icon: Type.Optional(Type.String()), brand: Type.Optional(Type.String()) });

export const getLoginFlows = operation({
  operationId: "getLoginFlows",
  method: "GET",
  paths: clientPaths("/login"),
  auth: "none",
  limit: "login",
  summary: "The ways to log in.",
  response: Type.Object({ flows: Type.Array(Type.Object({ type: Type.String(), get_login_token: Type.Optional(Type.Boolean()), oauth_aware_preferred: Type.Optional(Type.Boolean()), identity_providers: Type.Optional(Type.Array(IdentityProvider)) })) }),
});

export const login = operation({
  operationId: "login",
  method: "POST",
  paths: clientPaths("/login"),
  auth: "none",
  limit: "login",
  summary: "Logs a user in and gives an access token for a device.",
  body: Type.Object({
    type: Type.String(),
    identifier: Type.Optional(UserIdentifier),
    user: Type.Optional(Type.String()),
    medium: Type.Optional(Type.String()),
    address: Type.Optional(Type.String()),
    password: Type.Optional(Type.String()),
    token: Type.Optional(Type.String()),
    // Clients that have none send null.
    device_id: Type.Optional(Type.Union([DeviceId, Type.Null()])),
    initial_device_display_name: Type.Optional(Type.Union([Type.String({ maxBytes: 1024 }), Type.Null()])),
    refresh_token: Type.Optional(Type.Boolean()),
  }),
  response: Type.Object({
    user_id: UserId,
    access_token: Type.String(),
    refresh_token: Type.Optional(Type.String()),
    expires_in_ms: Type.Optional(Type.Integer()),
    home_server: ServerName,
    device_id: DeviceId,
    well_known: Type.Optional(WellKnown),
  }),
});

export const generateLoginToken = operation({
  operationId: "generateLoginToken",
  method: "POST",
  paths: ["/_matrix/client/v1/login/get_token"],
  auth: "user",
  limit: "login_token",
  summary: "A token with which a further client can log in once, after user-interactive authentication.",
  body: Type.Object({ auth: Type.Optional(AuthenticationData) }),
  response: Type.Object({ login_token: Type.String(), expires_in_ms: Type.Integer() }),
});

export const refresh = operation({
  operationId: "refresh",
  method: "POST",
  paths: ["/_matrix/client/v3/refresh", "/_matrix/client/v1/refresh"],
  auth: "none",
  limit: "login",
  summary: "Gives a new access token, and a new refresh token, for a refresh token.",
  body: Type.Object({ refresh_token: Type.String() }),
  response: Type.Object({
    access_token: Type.String(),
    refresh_token: Type.Optional(Type.String()),
    expires_in_ms: Type.Optional(Type.Integer()),
  }),
});

export const logout = operation({
  operationId: "logout",
  method: "POST",
  paths: clientPaths("/logout"),
  auth: "user",
  guests: true,
  whileLocked: true,
  summary: "Ends the session of the access token and deletes its device.",
  response: Type.Object({}),
});

export const logout_all = operation({
  operationId: "logout_all",
  method: "POST",
  paths: clientPaths("/logout/all"),
  auth: "user",
  guests: true,
  whileLocked: true,
  summary: "Ends all sessions of the user and deletes their devices.",
  response: Type.Object({}),
});
