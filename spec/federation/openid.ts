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
  // Without it the answer is 401, as for a token that is not known.
  query: Type.Object({ access_token: Type.Optional(Type.String()) }),
  response: Type.Object({ sub: UserId }),
});
