// Server-server API, "Spaces": what is told of a space and its rooms to a server that is in none of them yet.
import { Type } from "typebox";
import { children_state, summary } from "../types/room-summary.js";
import { operation } from "../operation.js";
import { RoomId } from "../types/identifiers.js";

const room = Type.Object({ ...summary, children_state });

export const getSpaceHierarchy = operation({
  operationId: "getSpaceHierarchy",
  method: "GET",
  paths: ["/_matrix/federation/v1/hierarchy/{roomId}"],
  auth: "server",
  summary: "A room and those right below it, as far as somebody of the asking server may look at or join them.",
  params: Type.Object({ roomId: RoomId }),
  query: Type.Object({ suggested_only: Type.Optional(Type.Boolean()) }),
  response: Type.Object({ room, children: Type.Array(room), inaccessible_children: Type.Array(RoomId) }),
});
