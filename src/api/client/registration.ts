// Client-server API, "Account registration and management": making accounts.
import type * as spec from "../../../spec/client/registration.js";
import { ownUserId, registerGuest, registerOwnUser, registerUser, requireAvailableToAll, requireOpen } from "../../accounts/registration.js";
import { requireAppService, requireUserFree } from "../../appservice/acting.js";
import { parseUserId, type ServerName } from "../../protocol/identifiers.js";
import { isRegistrationTokenValid } from "../../storage/registration.js";
import type { Handler } from "../handler.js";
import type { Services } from "../services.js";

/** Throws M_EXCLUSIVE for a name that is kept for an application service. */
function requireNameFree({ appservices }: Services, username: string, server: ServerName): void {
  const user = parseUserId(`@${username.toLowerCase()}:${server}`);
  if (user !== undefined) requireUserFree(appservices, user);
}

export const register: Handler<typeof spec.register> = async (services, { query, body, server, token, address }) => {
  if (body.type === "m.login.application_service") {
    const appservice = requireAppService(services.appservices, token);
    const user = ownUserId(body.username, appservice.server);
    requireUserFree(services.appservices, user, appservice);
    return { home_server: appservice.server, ...(await registerOwnUser(services, user, body, address)) };
  }
  if (body.username !== undefined) requireNameFree(services, body.username, server);
  const registered = await (query.kind === "guest" ? registerGuest : registerUser)(services, server, body, address);
  return { home_server: server, ...registered };
};

export const checkUsernameAvailability: Handler<typeof spec.checkUsernameAvailability> = async (
  services,
  { query, server },
) => {
  requireOpen(services, server);
  requireNameFree(services, query.username, server);
  await requireAvailableToAll(services, query.username, server);
  return { available: true };
};

export const registrationTokenValidity: Handler<typeof spec.registrationTokenValidity> = async (
  services,
  { query, server },
) => {
  requireOpen(services, server);
  return { valid: await isRegistrationTokenValid(services.database, query.token, services.clock.now()) };
};
