// Synapse's admin API, "Shared-Secret Registration".
import type * as spec from "../../../spec/admin/register.js";
import * as registration from "../../accounts/registration.js";
import type { Handler } from "../handler.js";

export const getRegistrationNonce: Handler<typeof spec.getRegistrationNonce> = async (services) => ({
  nonce: await registration.newNonce(services),
});

export const registerBySharedSecret: Handler<typeof spec.registerBySharedSecret> = async (services, { body, server }) => ({
  home_server: server,
  ...(await registration.registerBySharedSecret(services, server, body)),
});
