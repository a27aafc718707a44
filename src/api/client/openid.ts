// Client-server API, "OpenID".
import type * as spec from "../../../spec/client/openid.js";
import { giveOpenIdToken } from "../../accounts/user-tokens.js";
import { forbidden } from "../../errors.js";
import { serverNameOf } from "../../protocol/identifiers.js";
import type { Handler } from "../handler.js";

export const requestOpenIdToken: Handler<typeof spec.requestOpenIdToken> = async (services, { auth, params }) => {
  if (params.userId !== auth.user_id) throw forbidden("You can ask for a token of your own only.");
  const { token, lifetime_ms } = await giveOpenIdToken(services, auth.user_nid);
  return {
    access_token: token,
    token_type: "Bearer",
    matrix_server_name: serverNameOf(auth.user_id),
    expires_in: lifetime_ms / 1000,
  };
};
