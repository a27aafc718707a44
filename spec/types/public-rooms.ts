// Pages of published rooms, and what is asked of them, by clients and by other servers.
import { Type } from "typebox";
import { RoomAlias, RoomId } from "./identifiers.js";

export const publicRooms = Type.Object({
  chunk: Type.Array(
    Type.Object({
      room_id: RoomId,
      num_joined_members: Type.Integer(),
      world_readable: Type.Boolean(),
      guest_can_join: Type.Boolean(),
      name: Type.Optional(Type.String()),
      topic: Type.Optional(Type.String()),
      avatar_url: Type.Optional(Type.String()),
      canonical_alias: Type.Optional(RoomAlias),
      join_rule: Type.Optional(Type.String()),
      room_type: Type.Optional(Type.String()),
    }),
  ),
  next_batch: Type.Optional(Type.String()),
  prev_batch: Type.Optional(Type.String()),
  total_room_count_estimate: Type.Optional(Type.Integer()),
});

export const publicRoomsRequest = Type.Object({
  limit: Type.Optional(Type.Integer()),
  // Some clients write null for the first page.
  since: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  filter: Type.Optional(
    Type.Object({
      generic_search_term: Type.Optional(Type.String()),
      room_types: Type.Optional(Type.Array(Type.Union([Type.String(), Type.Null()]))),
    }),
  ),
  include_all_networks: Type.Optional(Type.Boolean()),
  third_party_instance_id: Type.Optional(Type.String()),
});
