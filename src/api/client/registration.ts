// Client-server API, "Account registration and management": making accounts.
import type * as spec from "../../../spec/client/registration.js";
import { registerGuest, registerUser, requireAvailable, requireOpen } from "../../accounts/registration.js";
import { isRegistrationTokenValid } from "../../storage/registration.js";
import type { Handler } from "../handler.js";

export const register: Handler<typeof spec.register> = async (services, { query, body, server }) => {
  const registered = await (query.kind === "guest" ? registerGuest : registerUser)(services, server, body);
  return { home_server: server, ...registered };
};

export const checkUsernameAvailability: Handler<typeof spec.checkUsernameAvailability> = async (
  services,
  { query, server },
) => {
  requireOpen(services, server);
  await requireAvailable(services, query.username, server);
  return { available: true };
};

export const registrationTokenValidity: Handler<typeof spec.registrationTokenValidity> = async (
  services,
  { query, server },
) => {
  requireOpen(services, server);
  return { valid: await isRegistrationTokenValid(services.database, query.token, services.clock.now()) };
};
