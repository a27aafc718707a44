// Client-server API, "Login", "Refreshing access tokens", "Logout".
import type * as spec from "../../../spec/client/login.js";
import { checkPassword, namedUser } from "../../accounts/password-login.js";
import { endAllSessions, endSessions, openSession, refreshSession } from "../../accounts/sessions.js";
import { missingParam, unknownError } from "../../errors.js";
import { serverNameOf } from "../../protocol/identifiers.js";
import type { Handler } from "../handler.js";
import { wellKnownOf } from "./wellknown.js";

export const getLoginFlows: Handler<typeof spec.getLoginFlows> = async () => ({ flows: [{ type: "m.login.password" }] });

export const login: Handler<typeof spec.login> = async (services, { body, server }) => {
  if (body.type !== "m.login.password") throw unknownError(400, "This server has no such way to log in.");
  if (body.password === undefined) throw missingParam('"password" is missing.');
  const userId = namedUser(body, server);
  const account = await checkPassword(services, userId, body.password);
  const session = await services.database.transaction((tx) =>
    openSession(services, tx, {
      user_nid: account.user_nid,
      device_id: body.device_id,
      display_name: body.initial_device_display_name,
      refresh: body.refresh_token === true,
    }),
  );
  const home_server = serverNameOf(userId);
  const well_known = wellKnownOf(services.config, home_server);
  return { user_id: userId, home_server, ...session, ...(well_known !== undefined && { well_known }) };
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
