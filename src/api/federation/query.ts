// Server-server API, "Querying for information".
import type * as spec from "../../../spec/federation/query.js";
import { getProfile, getProfileField } from "../../accounts/profiles.js";
import { notFound, unrecognized } from "../../errors.js";
import { serverNameOf } from "../../protocol/identifiers.js";
import { lookUpAlias } from "../../rooms/aliases.js";
import { Reply, type Handler } from "../handler.js";

// Each of our servers answers for its own users and aliases only.

export const queryRoomDirectory: Handler<typeof spec.queryRoomDirectory> = async (services, { query, auth }) => {
  if (serverNameOf(query.room_alias) !== auth.destination) throw notFound("This alias is not one of this server.");
  return await lookUpAlias(services, query.room_alias);
};

export const queryProfile: Handler<typeof spec.queryProfile> = async (services, { query, auth }) => {
  if (serverNameOf(query.user_id) !== auth.destination) throw notFound("This user is not one of this server.");
  const { user_id, field } = query;
  return new Reply(200, field === undefined ? await getProfile(services, user_id) : await getProfileField(services, user_id, field));
};

export const queryInfo: Handler<typeof spec.queryInfo> = async () => {
  throw unrecognized(404, "This server does not know this kind of question.");
};
