// Client-server API, "Room Summaries" and "Spaces".
import type * as spec from "../../../spec/client/spaces.js";
import { spaceHierarchy } from "../../rooms/hierarchy.js";
import { resolveRoom } from "../../rooms/membership.js";
import { roomSummary } from "../../rooms/summary.js";
import { Reply, type Handler } from "../handler.js";

export const getRoomSummary: Handler<typeof spec.getRoomSummary> = async (services, { auth, params }) =>
  await roomSummary(services, auth, (await resolveRoom(services, params.roomIdOrAlias)).room_id);

export const getSpaceHierarchy: Handler<typeof spec.getSpaceHierarchy> = async (services, { auth, params, query }) =>
  new Reply(200, await spaceHierarchy(services, auth, params.roomId, query));
