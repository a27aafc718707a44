// Server-server API, "OpenID".
import type * as spec from "../../../spec/federation/openid.js";
import { missingToken } from "../../errors.js";
import { openIdOwner } from "../../accounts/user-tokens.js";
import type { Handler } from "../handler.js";

export const exchangeOpenIdToken: Handler<typeof spec.exchangeOpenIdToken> = async (services, { query }) => {
  if (query.access_token === undefined) throw missingToken();
  return { sub: await openIdOwner(services, query.access_token) };
};
