// Client-server API, "Syncing".
import { Type } from "typebox";
import { ClientEventWithoutRoomId, StrippedStateEvent } from "../events/client-event.js";
import { clientPaths, operation } from "../operation.js";
import { RoomId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";
import { PresenceState } from "../types/presence.js";

const events = Type.Object({ events: Type.Array(ClientEventWithoutRoomId) });
const simple = Type.Object({ events: Type.Array(Type.Object({ type: Type.String(), content: JsonObject })) });
const timeline = Type.Object({
  events: Type.Array(ClientEventWithoutRoomId),
  limited: Type.Optional(Type.Boolean()),
  prev_batch: Type.Optional(Type.String()),
});
const unread = Type.Object({ notification_count: Type.Integer(), highlight_count: Type.Integer() });

export const sync = operation({
  operationId: "sync",
  method: "GET",
  paths: clientPaths("/sync"),
  auth: "user",
  guests: true,
  summary: "What has changed for the caller since a token; waits for a change when there is none.",
  query: Type.Object({
    filter: Type.Optional(Type.String()),
    since: Type.Optional(Type.String()),
    full_state: Type.Optional(Type.Boolean()),
    set_presence: Type.Optional(PresenceState),
    timeout: Type.Optional(Type.Integer({ minimum: 0 })),
    use_state_after: Type.Optional(Type.Boolean()),
    "org.matrix.msc4222.use_state_after": Type.Optional(Type.Boolean()),
  }),
  response: Type.Object({
    next_batch: Type.String(),
    rooms: Type.Optional(
      Type.Object({
        join: Type.Optional(
          Type.Record(
            RoomId,
            Type.Object({
              summary: Type.Optional(JsonObject),
              state: Type.Optional(events),
              state_after: Type.Optional(events),
              "org.matrix.msc4222.state_after": Type.Optional(events),
              timeline: Type.Optional(timeline),
              ephemeral: Type.Optional(simple),
              // Events that are sticky and not in the timeline (MSC4354).
              msc4354_sticky: Type.Optional(events),
              account_data: Type.Optional(simple),
              unread_notifications: Type.Optional(unread),
              unread_thread_notifications: Type.Optional(Type.Record(Type.String(), unread)),
            }),
          ),
        ),
        invite: Type.Optional(
          Type.Record(RoomId, Type.Object({ invite_state: Type.Object({ events: Type.Array(StrippedStateEvent) }) })),
        ),
        knock: Type.Optional(
          Type.Record(RoomId, Type.Object({ knock_state: Type.Object({ events: Type.Array(StrippedStateEvent) }) })),
        ),
        leave: Type.Optional(
          Type.Record(
            RoomId,
            Type.Object({
              state: Type.Optional(events),
              state_after: Type.Optional(events),
              "org.matrix.msc4222.state_after": Type.Optional(events),
              timeline: Type.Optional(timeline),
              account_data: Type.Optional(simple),
            }),
          ),
        ),
      }),
    ),
    presence: Type.Optional(simple),
    account_data: Type.Optional(simple),
    to_device: Type.Optional(simple),
    device_lists: Type.Optional(
      Type.Object({ changed: Type.Optional(Type.Array(Type.String())), left: Type.Optional(Type.Array(Type.String())) }),
    ),
    device_one_time_keys_count: Type.Optional(Type.Record(Type.String(), Type.Integer())),
    device_unused_fallback_key_types: Type.Optional(Type.Array(Type.String())),
  }),
});
