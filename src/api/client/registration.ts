// Client-server API, "Account registration and management": making accounts.
import type * as spec from "../../../spec/client/registration.js";
import { registerUser, requireAvailable, requireOpen } from "../../accounts/registration.js";
import { MatrixError } from "../../errors.js";
import { isRegistrationTokenValid } from "../../storage/registration.js";
import type { Handler } from "../handler.js";

export const register: Handler<typeof spec.register> = async (services, { query, body, server }) => {
  if (query.kind === "guest") throw new MatrixError(403, "M_GUEST_ACCESS_FORBIDDEN", "This server has no guest accounts.");
  return { home_server: server, ...(await registerUser(services, server, body)) };
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
