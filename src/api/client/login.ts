// Client-server API, "Login", "Refreshing access tokens", "Logout".
import type * as spec from "../../../spec/client/login.js";
import type { BodyOf } from "../../../spec/operation.js";
import { requireAuthentication } from "../../accounts/interactive-authentication.js";
import { logInWithPassword, namedUser, passwordChallenge, passwordsAccepted } from "../../accounts/password-login.js";
import { endAllSessions, endSessions, openSession, refreshSession } from "../../accounts/sessions.js";
import { giveLoginToken, useLoginToken } from "../../accounts/user-tokens.js";
import { requireAppService, requireOwnAccount, requireUserFree } from "../../appservice/acting.js";
import { publicAddress } from "../../oauth/addresses.js";
import { JWT_LOGIN, jwtOwner } from "../../oauth/jwt-login.js";
import { forbidden, missingParam, unknownError, unrecognized } from "../../errors.js";
import { serverNameOf, type ServerName } from "../../protocol/identifiers.js";
import { noteExternalDevice } from "../../storage/external-identities.js";
import type { Account } from "../../storage/accounts.js";
import type { Handler } from "../handler.js";
import type { Services } from "../services.js";
import { accountPageOf } from "./confirmation.js";
import { wellKnownOf } from "./wellknown.js";

export const getLoginFlows: Handler<typeof spec.getLoginFlows> = async (services, { server }) => {
  const { appservices, config } = services;
  const pages = publicAddress(config, server) !== undefined;
  const identity_providers = [...config.identity_providers, ...config.saml_providers].map(({ id, name, icon, brand }) => ({ id, name, ...(icon !== undefined && { icon }), ...(brand !== undefined && { brand }) }));
  return {
    flows: [
      // "OAuth 2.0 aware clients": these offer nothing else.
      ...(pages ? [{ type: "m.login.sso", oauth_aware_preferred: true, ...(identity_providers.length > 0 && { identity_providers }) }] : []),
      ...(passwordsAccepted(services) ? [{ type: "m.login.password" }] : []),
      ...(config.jwt_login === undefined ? [] : [{ type: JWT_LOGIN }]),
      ...(appservices.all.length > 0 ? [{ type: "m.login.application_service" }] : []),
      ...(config.tokens.login_tokens && passwordsAccepted(services) ? [{ type: "m.login.token", get_login_token: true }] : pages ? [{ type: "m.login.token" }] : []),
    ],
  };
};

/** The account that a login proves to own. */
async function accountOf(
  services: Services,
  body: BodyOf<typeof spec.login>,
  server: ServerName,
  token: string | undefined,
): Promise<Account & { readonly external?: number | undefined }> {
  switch (body.type) {
    case "m.login.application_service": {
      const appservice = requireAppService(services.appservices, token);
      return await requireOwnAccount(services, appservice, await namedUser(services, body, appservice.server));
    }
    case "m.login.password":
      if (!passwordsAccepted(services)) throw forbidden("Nobody logs in with a password here.");
      if (body.password === undefined) throw missingParam('"password" is missing.');
      return await logInWithPassword(services, await namedUser(services, body, server), body.password);
    case "m.login.token":
      if (body.token === undefined) throw missingParam('"token" is missing.');
      return await useLoginToken(services, body.token);
    case JWT_LOGIN:
      if (services.config.jwt_login === undefined) throw unknownError(400, "This server has no such way to log in.");
      if (body.token === undefined) throw missingParam('"token" is missing.');
      return await jwtOwner(services, body.token, server, (user) => requireUserFree(services.appservices, user));
    default:
      throw unknownError(400, "This server has no such way to log in.");
  }
}

export const login: Handler<typeof spec.login> = async (services, { body, server, token, address }) => {
  const { user_id, user_nid, external } = await accountOf(services, body, server, token);
  const session = await services.database.transaction(async (tx) => {
    const opened = await openSession(services, tx, {
      user_nid,
      device_id: body.device_id ?? undefined,
      display_name: body.initial_device_display_name ?? undefined,
      address,
      refresh: body.refresh_token === true,
    });
    if (external !== undefined) await noteExternalDevice(tx, user_nid, opened.device_id, external);
    return opened;
  });
  const home_server = serverNameOf(user_id);
  const well_known = wellKnownOf(services.config, home_server);
  return { user_id, home_server, ...session, ...(well_known !== undefined && { well_known }) };
};

export const generateLoginToken: Handler<typeof spec.generateLoginToken> = async (services, { auth, body }) => {
  if (!services.config.tokens.login_tokens) throw unrecognized(404, "This server gives no login tokens.");
  if (!passwordsAccepted(services) || accountPageOf(services, auth) !== undefined) throw unknownError(400, "You cannot confirm that another client logs in as you.");
  await requireAuthentication(services, passwordChallenge(services, "generateLoginToken", auth.user_id, body));
  const { token, lifetime_ms } = await giveLoginToken(services, auth.user_nid);
  return { login_token: token, expires_in_ms: lifetime_ms };
};

export const refresh: Handler<typeof spec.refresh> = (services, { body }) => refreshSession(services, body.refresh_token);

export const logout: Handler<typeof spec.logout> = async (services, { auth }) => {
  if (auth.device_id !== undefined) await endSessions(services, auth.user_nid, [auth.device_id]);
  return {};
};

export const logout_all: Handler<typeof spec.logout_all> = async (services, { auth }) => {
  await services.database.transaction((tx) => endAllSessions(services, tx, auth.user_nid));
  return {};
};
