// Client-server API, "Room Summaries" and "Spaces".
import type * as spec from "../../../spec/client/spaces.js";
import { spaceHierarchy } from "../../rooms/directory/hierarchy.js";
import { resolveRoom } from "../../rooms/membership/membership.js";
import { roomSummary } from "../../rooms/directory/room-summary.js";
import { parseServerName } from "../../protocol/identifiers.js";
import { Reply, type Handler } from "../handler.js";

/** Servers that a client may name. */
const MAX_VIA = 10;

export const getRoomSummary: Handler<typeof spec.getRoomSummary> = async (services, { auth, params, query }) => {
  const { room_id, via } = await resolveRoom(services, params.roomIdOrAlias);
  const named = (query.via ?? []).slice(0, MAX_VIA).flatMap((server) => parseServerName(server) ?? []);
  return await roomSummary(services, auth, room_id, [...named, ...via]);
};

export const getSpaceHierarchy: Handler<typeof spec.getSpaceHierarchy> = async (services, { auth, params, query }) =>
  new Reply(200, await spaceHierarchy(services, auth, params.roomId, query));
