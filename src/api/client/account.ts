// Client-server API, "Account registration and management": one's own account.
import type * as spec from "../../../spec/client/account.js";
import * as account from "../../accounts/account.js";
import { requireAuthentication } from "../../accounts/interactive-authentication.js";
import { validationsIn } from "../../accounts/third-party-ids.js";
import { missingToken } from "../../errors.js";
import { findAccount } from "../../storage/accounts.js";
import type { Handler } from "../handler.js";
import { confirmation } from "./confirmation.js";

export const getTokenOwner: Handler<typeof spec.getTokenOwner> = async (_services, { auth }) => ({
  user_id: auth.user_id,
  is_guest: auth.is_guest,
  ...(auth.device_id !== undefined && { device_id: auth.device_id }),
});

export const changePassword: Handler<typeof spec.changePassword> = async (services, { auth, body, server }) => {
  const { new_password, logout_devices = true } = body;
  account.requirePasswords(services);
  if (auth === undefined) {
    const challenge = account.resetChallenge(services, server, body);
    if (challenge.flows.length === 0) throw missingToken();
    services.passwords.requireAcceptable(new_password);
    const [sid = ""] = validationsIn(await requireAuthentication(services, challenge));
    await account.resetPassword(services, server, sid, new_password, logout_devices);
    return {};
  }
  services.passwords.requireAcceptable(new_password);
  if (services.directory !== undefined) account.requireOwnPassword(services, await findAccount(services.database, auth.user_id));
  await requireAuthentication(services, confirmation(services, "changePassword", auth, body));
  await account.changePassword(services, auth.user_nid, new_password, { logout_devices, keep: auth.device_id });
  return {};
};

export const deactivateAccount: Handler<typeof spec.deactivateAccount> = async (services, { auth, body }) => {
  // Users of application services have no password.
  if (auth.appservice === undefined) await requireAuthentication(services, confirmation(services, "deactivateAccount", auth, body));
  await account.deactivate(services, auth.user_nid, body.erase ?? false);
  // Nothing was ever bound to an identity server that would have to be told.
  return { id_server_unbind_result: "success" };
};
