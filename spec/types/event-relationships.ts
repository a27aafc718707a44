// What part of a tree of events is asked for (MSC2836).
import { Type } from "typebox";
import { EventId, RoomId } from "./identifiers.js";

const count = Type.Optional(Type.Integer({ minimum: 0 }));
const flag = Type.Optional(Type.Boolean());

export const EventRelationshipsRequest = Type.Object({
  event_id: EventId,
  room_id: Type.Optional(RoomId),
  direction: Type.Optional(Type.Union([Type.Literal("up"), Type.Literal("down")])),
  max_depth: count,
  max_breadth: count,
  limit: Type.Optional(Type.Integer({ minimum: 1 })),
  depth_first: flag,
  recent_first: flag,
  include_parent: flag,
  include_children: flag,
  batch: Type.Optional(Type.String({ maxLength: 16 })),
});
