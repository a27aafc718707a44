// Server-server API, "Server implementation" and "Server discovery".
import type * as spec from "../../../spec/federation/server.js";
import { notFound } from "../../errors.js";
import { VERSION } from "../../version.js";
import type { Handler } from "../handler.js";

export const getVersion: Handler<typeof spec.getVersion> = async () => ({ server: { name: "Hansa", version: VERSION } });

export const getWellKnown: Handler<typeof spec.getWellKnown> = async ({ config }, { server }) => {
  const address = config.servers.find(({ name }) => name === server)?.federation_address;
  if (address === undefined) throw notFound("This server does not publish where other servers reach it.");
  return { "m.server": address };
};
