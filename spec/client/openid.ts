// Client-server API, "OpenID".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { ServerName, UserId } from "../types/identifiers.js";

export const requestOpenIdToken = operation({
  operationId: "requestOpenIdToken",
  method: "POST",
  paths: clientPaths("/user/{userId}/openid/request_token"),
  auth: "user",
  limit: "account",
  summary: "A token by which another service can ask this server who the user is.",
  params: Type.Object({ userId: UserId }),
  body: Type.Object({}),
  response: Type.Object({
    access_token: Type.String(),
    token_type: Type.Literal("Bearer"),
    matrix_server_name: ServerName,
    expires_in: Type.Integer(),
  }),
});
