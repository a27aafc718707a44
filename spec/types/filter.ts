// Filters (client-server API, "Filtering"): which events a client wants to see.
import { Type, type Static } from "typebox";
import { RoomId, UserId } from "./identifiers.js";

/** Longer lists make every sync slower and no client needs them. */
const list = <Item extends Parameters<typeof Type.Array>[0]>(item: Item) => Type.Optional(Type.Array(item, { maxItems: 1000 }));
const flag = Type.Optional(Type.Boolean());

const events = {
  limit: Type.Optional(Type.Integer({ minimum: 0 })),
  not_senders: list(UserId),
  not_types: list(Type.String()),
  senders: list(UserId),
  types: list(Type.String()),
};

const EventFilter = Type.Object(events);

export const RoomEventFilter = Type.Object({
  ...events,
  unread_thread_notifications: flag,
  lazy_load_members: flag,
  include_redundant_members: flag,
  not_rooms: list(RoomId),
  rooms: list(RoomId),
  contains_url: flag,
  related_by_senders: list(UserId),
  related_by_rel_types: list(Type.String()),
  rel_types: list(Type.String()),
  not_rel_types: list(Type.String()),
  "org.matrix.msc3874.rel_types": list(Type.String()),
  "org.matrix.msc3874.not_rel_types": list(Type.String()),
});

export const Filter = Type.Object({
  event_fields: list(Type.String()),
  event_format: Type.Optional(Type.Union([Type.Literal("client"), Type.Literal("federation")])),
  presence: Type.Optional(EventFilter),
  account_data: Type.Optional(EventFilter),
  room: Type.Optional(
    Type.Object({
      not_rooms: list(RoomId),
      rooms: list(RoomId),
      ephemeral: Type.Optional(RoomEventFilter),
      include_leave: flag,
      state: Type.Optional(RoomEventFilter),
      timeline: Type.Optional(RoomEventFilter),
      account_data: Type.Optional(RoomEventFilter),
    }),
  ),
});

export type EventFilter = Static<typeof EventFilter>;
export type RoomEventFilter = Static<typeof RoomEventFilter>;
export type Filter = Static<typeof Filter>;
