// Client-server API, "Account registration and management": one's own account.
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { AuthenticationData } from "../types/authentication.js";
import { DeviceId, UserId } from "../types/identifiers.js";

export const getTokenOwner = operation({
  operationId: "getTokenOwner",
  method: "GET",
  paths: clientPaths("/account/whoami"),
  auth: "user",
  guests: true,
  limit: "lookup",
  summary: "Whose access token this is.",
  response: Type.Object({
    user_id: UserId,
    device_id: Type.Optional(DeviceId),
    is_guest: Type.Optional(Type.Boolean()),
  }),
});

export const changePassword = operation({
  operationId: "changePassword",
  method: "POST",
  paths: clientPaths("/account/password"),
  auth: "optional",
  limit: "account",
  summary: "Changes the password, after user-interactive authentication; without a token for who proves an address.",
  body: Type.Object({
    auth: Type.Optional(AuthenticationData),
    new_password: Type.String(),
    logout_devices: Type.Optional(Type.Boolean()),
  }),
  response: Type.Object({}),
});

export const deactivateAccount = operation({
  operationId: "deactivateAccount",
  method: "POST",
  paths: clientPaths("/account/deactivate"),
  auth: "user",
  limit: "account",
  summary: "Ends the account for good, after user-interactive authentication.",
  body: Type.Object({
    auth: Type.Optional(AuthenticationData),
    id_server: Type.Optional(Type.String()),
    erase: Type.Optional(Type.Boolean()),
  }),
  response: Type.Object({ id_server_unbind_result: Type.Union([Type.Literal("success"), Type.Literal("no-support")]) }),
});
