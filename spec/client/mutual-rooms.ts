// Client-server API, "Mutual rooms".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { RoomId, UserId } from "../types/identifiers.js";

export const getMutualRooms = operation({
  operationId: "getMutualRooms",
  method: "GET",
  paths: ["/_matrix/client/v1/mutual_rooms", "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms"],
  auth: "user",
  limit: "history",
  summary: "A page of the rooms that the caller shares with another user.",
  query: Type.Object({
    user_id: UserId,
    from: Type.Optional(Type.String()),
    /** As `from`, at the path from before it was specified. */
    batch_token: Type.Optional(Type.String()),
  }),
  response: Type.Object({
    joined: Type.Array(RoomId),
    count: Type.Integer(),
    next_batch: Type.Optional(Type.String()),
    next_batch_token: Type.Optional(Type.String()),
  }),
});
