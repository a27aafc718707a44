// Server-server API, "OpenID".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { UserId } from "../types/identifiers.js";

export const exchangeOpenIdToken = operation({
  operationId: "exchangeOpenIdToken",
  method: "GET",
  paths: ["/_matrix/federation/v1/openid/userinfo"],
  auth: "none",
  limit: "lookup",
  summary: "Whose OpenID token this is.",
  query: Type.Object({ access_token: Type.String() }),
  response: Type.Object({ sub: UserId }),
});
