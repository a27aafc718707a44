// Client-server API, "Third-party Lookups".
import type * as spec from "../../../spec/client/third-party.js";
import * as thirdParty from "../../appservice/third-party.js";
import type { Handler } from "../handler.js";

/** The fields of a query, without what is for this server alone. */
function fieldsOf(query: object): URLSearchParams {
  const fields = new URLSearchParams();
  const entries: [string, unknown][] = Object.entries(query);
  for (const [name, value] of entries) {
    if (typeof value === "string" && name !== "access_token" && name !== "user_id") fields.append(name, value);
  }
  return fields;
}

export const getProtocols: Handler<typeof spec.getProtocols> = async (services) => await thirdParty.allProtocols(services);

export const getProtocolMetadata: Handler<typeof spec.getProtocolMetadata> = async (services, { params }) =>
  await thirdParty.requireProtocol(services, params.protocol);

export const queryLocationByProtocol: Handler<typeof spec.queryLocationByProtocol> = async (services, { params, query }) =>
  await thirdParty.locationsIn(services, params.protocol, fieldsOf(query));

export const queryUserByProtocol: Handler<typeof spec.queryUserByProtocol> = async (services, { params, query }) =>
  await thirdParty.usersIn(services, params.protocol, fieldsOf(query));

export const queryLocationByAlias: Handler<typeof spec.queryLocationByAlias> = async (services, { query }) =>
  await thirdParty.locationsOf(services, query.alias);

export const queryUserByID: Handler<typeof spec.queryUserByID> = async (services, { query }) =>
  await thirdParty.usersOf(services, query.userid);
