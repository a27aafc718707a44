// Client-server API, "Server Discovery".
import type { Static } from "typebox";
import type * as spec from "../../../spec/client/wellknown.js";
import type { WellKnown } from "../../../spec/types/well-known.js";
import type { Config } from "../../config.js";
import { notFound } from "../../errors.js";
import { parseUserId } from "../../protocol/identifiers.js";
import type { Handler } from "../handler.js";
import { rtcTransports } from "./voip.js";

/** The discovery document of a server, if its public address is configured. */
export function wellKnownOf(config: Config, server: string): Static<typeof WellKnown> | undefined {
  const url = config.servers.find(({ name }) => name === server)?.public_base_url;
  if (url === undefined) return undefined;
  const foci = rtcTransports(config, server);
  return { "m.homeserver": { base_url: url }, ...(foci.length > 0 && { "org.matrix.msc4143.rtc_foci": foci }) };
}

export const getWellknown: Handler<typeof spec.getWellknown> = async ({ config }, { server }) => {
  const document = wellKnownOf(config, server);
  if (document === undefined) throw notFound("This server does not publish where it is.");
  return document;
};

export const getWellknownPolicy: Handler<typeof spec.getWellknownPolicy> = async ({ config, federation }, { server }) => {
  const key = config.servers.find(({ name }) => name === server)?.policy_server_key ?? federation.policyKey(server)?.publicKey;
  if (key === undefined) throw notFound("This server names no policy server.");
  return { public_keys: { ed25519: key } };
};

export const getWellknownSupport: Handler<typeof spec.getWellknownSupport> = async ({ config }, { server }) => {
  const settings = config.servers.find(({ name }) => name === server);
  const { contacts, support_page } = settings ?? {};
  if (contacts === undefined && support_page === undefined) throw notFound("This server names nobody to contact.");
  return {
    ...(support_page !== undefined && { support_page }),
    ...(contacts !== undefined && {
      contacts: contacts.map(({ role, matrix_id, email_address }) => {
        const id = parseUserId(matrix_id);
        return { role, ...(id !== undefined && { matrix_id: id }), ...(email_address !== undefined && { email_address }) };
      }),
    }),
  };
};
