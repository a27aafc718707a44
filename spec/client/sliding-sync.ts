// Simplified sliding sync (MSC4186) and its extensions.
import { Type, type Static, type TObject } from "typebox";
import { ClientEventWithoutRoomId } from "../events/client-event.js";
import { operation } from "../operation.js";
import { EventId, RoomId, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";
import { PresenceState } from "../types/presence.js";

const count = Type.Integer({ minimum: 0 });
/** Longer types and state keys no event has. */
const name = Type.String({ maxLength: 255 });
const names = Type.Array(Type.String(), { maxItems: 100 });
const roomTypes = Type.Array(Type.Union([Type.String(), Type.Null()]), { maxItems: 100 });

const filters = Type.Object({
  is_dm: Type.Optional(Type.Boolean()),
  spaces: Type.Optional(names),
  is_encrypted: Type.Optional(Type.Boolean()),
  is_invite: Type.Optional(Type.Boolean()),
  room_types: Type.Optional(roomTypes),
  not_room_types: Type.Optional(roomTypes),
  room_name_like: Type.Optional(Type.String()),
  tags: Type.Optional(names),
  not_tags: Type.Optional(names),
});
export type SlidingFilters = Static<typeof filters>;

const roomConfig = {
  timeline_limit: count,
  required_state: Type.Optional(Type.Array(Type.Tuple([name, name]), { maxItems: 500 })),
};

/** The rooms of some lists and subscriptions: all of them if absent. */
const scope = {
  enabled: Type.Optional(Type.Boolean()),
  lists: Type.Optional(names),
  rooms: Type.Optional(Type.Array(Type.String(), { maxItems: 1_000 })),
};
const inRooms = Type.Object(scope);
export type SlidingScope = Static<typeof inRooms>;

const extensions = Type.Object({
  to_device: Type.Optional(
    Type.Object({ enabled: Type.Optional(Type.Boolean()), since: Type.Optional(Type.String()), limit: Type.Optional(count) }),
  ),
  e2ee: Type.Optional(Type.Object({ enabled: Type.Optional(Type.Boolean()) })),
  account_data: Type.Optional(inRooms),
  receipts: Type.Optional(inRooms),
  typing: Type.Optional(inRooms),
  "io.element.msc4308.thread_subscriptions": Type.Optional(
    Type.Object({ enabled: Type.Optional(Type.Boolean()), limit: Type.Optional(count) }),
  ),
  // Sticky events (MSC4480).
  "org.matrix.msc4354.sticky_events": Type.Optional(
    Type.Object({ enabled: Type.Optional(Type.Boolean()), limit: Type.Optional(count), since: Type.Optional(Type.String()) }),
  ),
});
export type SlidingExtensions = Static<typeof extensions>;

const body = Type.Object({
  conn_id: Type.Optional(Type.String({ maxLength: 255 })),
  txn_id: Type.Optional(Type.String({ maxLength: 255 })),
  pos: Type.Optional(Type.String()),
  lists: Type.Optional(
    Type.Record(
      Type.String(),
      Type.Object({
        ...roomConfig,
        ranges: Type.Optional(Type.Array(Type.Tuple([count, count]), { maxItems: 20 })),
        filters: Type.Optional(filters),
      }),
      { maxProperties: 100 },
    ),
  ),
  room_subscriptions: Type.Optional(Type.Record(Type.String(), Type.Object(roomConfig), { maxProperties: 1_000 })),
  extensions: Type.Optional(extensions),
});
export type SlidingBody = Static<typeof body>;

const simple = Type.Object({ type: Type.String(), content: JsonObject });
const stripped = Type.Optional(Type.Array(JsonObject));
const bump_stamp = Type.Integer();

const room = Type.Object({
  initial: Type.Optional(Type.Literal(true)),
  membership: Type.Optional(Type.String()),
  name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  avatar: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  heroes: Type.Optional(
    Type.Array(Type.Object({ user_id: UserId, displayname: Type.Optional(Type.String()), avatar_url: Type.Optional(Type.String()) })),
  ),
  is_dm: Type.Optional(Type.Boolean()),
  invite_state: stripped,
  stripped_state: stripped,
  required_state: Type.Optional(Type.Array(ClientEventWithoutRoomId)),
  timeline: Type.Optional(Type.Array(ClientEventWithoutRoomId)),
  unstable_expanded_timeline: Type.Optional(Type.Literal(true)),
  prev_batch: Type.Optional(Type.String()),
  limited: Type.Optional(Type.Boolean()),
  num_live: Type.Optional(count),
  joined_count: Type.Optional(count),
  invited_count: Type.Optional(count),
  notification_count: Type.Optional(count),
  highlight_count: Type.Optional(count),
  bump_stamp: Type.Optional(bump_stamp),
});

const byThread = (shown: TObject) => Type.Optional(Type.Record(RoomId, Type.Record(EventId, shown)));

export const slidingSync = operation({
  operationId: "slidingSync",
  method: "POST",
  paths: ["/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"],
  auth: "user",
  guests: true,
  summary: "What has changed in the rooms that the caller looks at; waits for a change when there is none.",
  query: Type.Object({
    pos: Type.Optional(Type.String()),
    timeout: Type.Optional(count),
    set_presence: Type.Optional(PresenceState),
  }),
  body,
  response: Type.Object({
    pos: Type.String(),
    txn_id: Type.Optional(Type.String()),
    lists: Type.Record(Type.String(), Type.Object({ count })),
    rooms: Type.Record(RoomId, room),
    extensions: Type.Object({
      to_device: Type.Optional(Type.Object({ next_batch: Type.String(), events: Type.Array(simple) })),
      e2ee: Type.Optional(
        Type.Object({
          device_lists: Type.Object({ changed: Type.Array(UserId), left: Type.Array(UserId) }),
          device_one_time_keys_count: Type.Record(Type.String(), count),
          device_unused_fallback_key_types: Type.Array(Type.String()),
        }),
      ),
      account_data: Type.Optional(
        Type.Object({ global: Type.Array(simple), rooms: Type.Record(RoomId, Type.Array(simple)) }),
      ),
      receipts: Type.Optional(Type.Object({ rooms: Type.Record(RoomId, simple) })),
      typing: Type.Optional(Type.Object({ rooms: Type.Record(RoomId, simple) })),
      "io.element.msc4308.thread_subscriptions": Type.Optional(
        Type.Object({
          subscribed: byThread(Type.Object({ automatic: Type.Boolean(), bump_stamp })),
          unsubscribed: byThread(Type.Object({ bump_stamp })),
          prev_batch: Type.Optional(Type.String()),
        }),
      ),
      "org.matrix.msc4354.sticky_events": Type.Optional(
        Type.Object({ next_batch: Type.String(), rooms: Type.Record(RoomId, Type.Object({ events: Type.Array(ClientEventWithoutRoomId) })) }),
      ),
    }),
  }),
});
