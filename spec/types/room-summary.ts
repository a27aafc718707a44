// What is told of a room to who is not in it ("RoomSummary"), and of the rooms that a space names.
import { Type } from "typebox";
import { RoomAlias, RoomId, UserId } from "./identifiers.js";
import { JsonObject } from "./json.js";

export const summary = {
  room_id: RoomId,
  num_joined_members: Type.Integer(),
  world_readable: Type.Boolean(),
  guest_can_join: Type.Boolean(),
  join_rule: Type.String(),
  room_version: Type.Optional(Type.String()),
  name: Type.Optional(Type.String()),
  topic: Type.Optional(Type.String()),
  avatar_url: Type.Optional(Type.String()),
  canonical_alias: Type.Optional(RoomAlias),
  room_type: Type.Optional(Type.String()),
  encryption: Type.Optional(Type.String()),
  allowed_room_ids: Type.Optional(Type.Array(Type.String())),
};
export const children_state = Type.Array(
  Type.Object({
    type: Type.Literal("m.space.child"),
    state_key: Type.String(),
    sender: UserId,
    content: JsonObject,
    origin_server_ts: Type.Integer(),
  }),
);
