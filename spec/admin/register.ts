// Synapse's admin API, "Shared-Secret Registration": how tools that know the secret make users.
import { Type } from "typebox";
import { operation } from "../operation.js";
import { DeviceId, ServerName, UserId } from "../types/identifiers.js";

export const getRegistrationNonce = operation({
  operationId: "getRegistrationNonce",
  method: "GET",
  paths: ["/_synapse/admin/v1/register"],
  auth: "none",
  limit: "registration",
  summary: "A number to be used once in a registration.",
  response: Type.Object({ nonce: Type.String() }),
});

export const registerBySharedSecret = operation({
  operationId: "registerBySharedSecret",
  method: "POST",
  paths: ["/_synapse/admin/v1/register"],
  auth: "none",
  limit: "registration",
  summary: "Makes an account for whoever knows the shared secret.",
  body: Type.Object({
    nonce: Type.String(),
    username: Type.String(),
    displayname: Type.Optional(Type.String({ maxBytes: 1024 })),
    password: Type.String(),
    admin: Type.Optional(Type.Boolean()),
    user_type: Type.Optional(Type.String()),
    mac: Type.String(),
    inhibit_login: Type.Optional(Type.Boolean()),
  }),
  response: Type.Object({
    user_id: UserId,
    home_server: ServerName,
    access_token: Type.Optional(Type.String()),
    device_id: Type.Optional(DeviceId),
  }),
});
