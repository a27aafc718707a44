// Client-server API, "OAuth 2.0 API": what clients call. Refusals are those of the RFCs.
import type * as spec from "../../../spec/client/oauth.js";
import { PATHS, publicAddress } from "../../oauth/addresses.js";
import { GRANTS, registerClient } from "../../oauth/clients.js";
import { withoutEmpty } from "../../oauth/authorisation.js";
import { beginDeviceAuthorisation } from "../../oauth/device-authorisation.js";
import { publicKeys } from "../../oauth/identity-token.js";
import { invalidRequest, OauthError } from "../../oauth/oauth-error.js";
import { giveTokens, revokeToken } from "../../oauth/tokens.js";
import { unrecognized } from "../../errors.js";
import type { JsonObject } from "../../protocol/json.js";
import type { ServerName } from "../../protocol/identifiers.js";
import { Reply, type Handler } from "../handler.js";
import type { Services } from "../services.js";
import { ACTIONS } from "./account-pages.js";
import { canRegister } from "./browser-page.js";

/** Throws M_UNRECOGNIZED where the server offers no OAuth. */
export function requireOauth({ config }: Pick<Services, "config">, server: ServerName): string {
  const base = publicAddress(config, server);
  if (base === undefined) throw unrecognized(404, "This server offers no login through OAuth 2.0.");
  return base;
}

const NO_STORE = { "Cache-Control": "no-store", Pragma: "no-cache" };

function json(status: number, body: object): Reply {
  return new Reply(status, JSON.stringify(body), NO_STORE);
}

/** Answers as the RFCs say, refusals too. */
async function answered(status: number, work: Promise<object>): Promise<Reply> {
  try {
    return json(status, await work);
  } catch (error) {
    if (!(error instanceof OauthError)) throw error;
    return json(error.status, { error: error.error, error_description: error.message });
  }
}

export const getAuthMetadata: Handler<typeof spec.getAuthMetadata> = async ({ config }, { server }) => {
  const base = requireOauth({ config }, server);
  return {
    issuer: `${base}/`,
    authorization_endpoint: base + PATHS.authorize,
    token_endpoint: base + PATHS.token,
    revocation_endpoint: base + PATHS.revoke,
    registration_endpoint: base + PATHS.register,
    device_authorization_endpoint: base + PATHS.device,
    jwks_uri: base + PATHS.keys,
    response_types_supported: ["code"],
    grant_types_supported: [...GRANTS],
    response_modes_supported: ["query", "fragment"],
    code_challenge_methods_supported: ["S256"],
    ...(canRegister(config, server) && { prompt_values_supported: ["create"] }),
    account_management_uri: base + PATHS.account,
    account_management_actions_supported: [...ACTIONS],
    token_endpoint_auth_methods_supported: ["none"],
    revocation_endpoint_auth_methods_supported: ["none"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["RS256"],
    scopes_supported: ["urn:matrix:client:api:*", "openid"],
  };
};

export const getAuthIssuer: Handler<typeof spec.getAuthIssuer> = async (services, { server }) => ({ issuer: `${requireOauth(services, server)}/` });

export const getOauthKeys: Handler<typeof spec.getOauthKeys> = async (services, { server }) => {
  requireOauth(services, server);
  return await publicKeys(services);
};

export const registerOauthClient: Handler<typeof spec.registerOauthClient> = async (services, { server, body }) => {
  requireOauth(services, server);
  return await answered(201, registerClient(services, body as JsonObject));
};

export const giveOauthTokens: Handler<typeof spec.giveOauthTokens> = async (services, { server, body, address }) => {
  const issuer = `${requireOauth(services, server)}/`;
  return await answered(200, giveTokens(services, withoutEmpty(body), { address, issuer }));
};

export const revokeOauthToken: Handler<typeof spec.revokeOauthToken> = async (services, { server, body }) => {
  requireOauth(services, server);
  const revoked = async (): Promise<object> => {
    const { token } = withoutEmpty(body);
    if (token === undefined) throw invalidRequest('"token" is missing.');
    await revokeToken(services, token);
    return {};
  };
  return await answered(200, revoked());
};

export const authorizeOauthDevice: Handler<typeof spec.authorizeOauthDevice> = async (services, { server, body }) => {
  const uri = requireOauth(services, server) + PATHS.link;
  const begun = async (): Promise<object> => {
    const authorisation = await beginDeviceAuthorisation(services, body.client_id, body.scope);
    return { ...authorisation, verification_uri: uri, verification_uri_complete: `${uri}?user_code=${authorisation.user_code}` };
  };
  return await answered(200, begun());
};
