// Push Gateway API, "Homeserver behaviour": what this server sends to gateways. Others serve it.
import { type Static, Type } from "typebox";
import { asked } from "../operation.js";
import { JsonObject } from "../types/json.js";

const Device = Type.Object(
  {
    app_id: Type.String(),
    pushkey: Type.String(),
    /** In seconds. */
    pushkey_ts: Type.Integer(),
    data: JsonObject,
    tweaks: Type.Optional(JsonObject),
  },
  { additionalProperties: false },
);

const Notification = Type.Object(
  {
    event_id: Type.Optional(Type.String()),
    room_id: Type.Optional(Type.String()),
    type: Type.Optional(Type.String()),
    sender: Type.Optional(Type.String()),
    sender_display_name: Type.Optional(Type.String()),
    room_name: Type.Optional(Type.String()),
    room_alias: Type.Optional(Type.String()),
    user_is_target: Type.Optional(Type.Boolean()),
    prio: Type.Union([Type.Literal("high"), Type.Literal("low")]),
    content: Type.Optional(JsonObject),
    counts: Type.Optional(
      Type.Object({ unread: Type.Integer({ minimum: 0 }), missed_calls: Type.Optional(Type.Integer({ minimum: 0 })) }, { additionalProperties: false }),
    ),
    devices: Type.Array(Device, { minItems: 1, maxItems: 1 }),
  },
  { additionalProperties: false },
);

export const notify = asked({
  operationId: "notify",
  method: "POST",
  paths: ["/_matrix/push/v1/notify"],
  summary: "Tells a push gateway of an event, or of the unread count.",
  body: Type.Object({ notification: Notification }, { additionalProperties: false }),
  response: Type.Object({ rejected: Type.Array(Type.String()) }),
});

export type PushNotification = Static<typeof Notification>;
