// Server-server API, "Spaces".
import type * as spec from "../../../spec/federation/hierarchy.js";
import { hierarchyForServer } from "../../rooms/directory/hierarchy-for-server.js";
import { Reply, type Handler } from "../handler.js";

export const getSpaceHierarchy: Handler<typeof spec.getSpaceHierarchy> = async (services, { auth, params, query }) =>
  new Reply(200, JSON.stringify(await hierarchyForServer(services, auth.origin, params.roomId, query.suggested_only ?? false)));
