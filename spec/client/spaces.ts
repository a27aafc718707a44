// Client-server API, "Room Summaries" and "Spaces": what is told of rooms to those who are not in them yet.
import { Type } from "typebox";
import { operation } from "../operation.js";
import { children_state, summary } from "../types/room-summary.js";
import { RoomId, RoomIdOrAlias } from "../types/identifiers.js";

const membership = Type.Enum(["invite", "join", "knock", "leave", "ban"]);

export const getRoomSummary = operation({
  operationId: "getRoomSummary",
  method: "GET",
  paths: [
    "/_matrix/client/v1/room_summary/{roomIdOrAlias}",
    "/_matrix/client/unstable/im.nheko.summary/summary/{roomIdOrAlias}",
    "/_matrix/client/unstable/im.nheko.summary/rooms/{roomIdOrAlias}/summary",
  ],
  auth: "optional",
  guests: true,
  limit: "history",
  summary: "What a room is like, for who may know of it.",
  params: Type.Object({ roomIdOrAlias: RoomIdOrAlias }),
  query: Type.Object({ via: Type.Optional(Type.Array(Type.String())) }),
  response: Type.Object({ ...summary, membership: Type.Optional(membership) }),
});

export const getSpaceHierarchy = operation({
  operationId: "getSpaceHierarchy",
  method: "GET",
  paths: [
    "/_matrix/client/v1/rooms/{roomId}/hierarchy",
    "/_matrix/client/unstable/org.matrix.msc2946/rooms/{roomId}/hierarchy",
  ],
  auth: "user",
  guests: true,
  limit: "history",
  summary: "A page of the tree of rooms below a space, depth first.",
  params: Type.Object({ roomId: RoomId }),
  query: Type.Object({
    suggested_only: Type.Optional(Type.Boolean()),
    limit: Type.Optional(Type.Integer()),
    max_depth: Type.Optional(Type.Integer()),
    from: Type.Optional(Type.String()),
  }),
  response: Type.Object({
    rooms: Type.Array(
      Type.Object({
        ...summary,
        children_state,
      }),
    ),
    next_batch: Type.Optional(Type.String()),
  }),
});
