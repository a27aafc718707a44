// Client-server API, "Push Notifications: API".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { JsonObject } from "../types/json.js";

const shown = {
  pushkey: Type.String({ maxBytes: 512, minLength: 1 }),
  app_id: Type.String({ maxLength: 64, minLength: 1 }),
};
const text = Type.String({ maxBytes: 1024 });

const Pusher = Type.Object({
  ...shown,
  kind: Type.Union([Type.Literal("http"), Type.Literal("email")]),
  app_display_name: text,
  device_display_name: text,
  profile_tag: Type.Optional(text),
  lang: text,
  data: JsonObject,
  // Switching off pushers of one's other devices (MSC3881).
  "org.matrix.msc3881.enabled": Type.Boolean(),
  "org.matrix.msc3881.device_id": Type.Optional(Type.String()),
});

export const getPushers = operation({
  operationId: "getPushers",
  method: "GET",
  paths: clientPaths("/pushers"),
  auth: "user",
  summary: "All pushers of the caller.",
  response: Type.Object({ pushers: Type.Array(Pusher) }),
});

export const postPusher = operation({
  operationId: "postPusher",
  method: "POST",
  paths: clientPaths("/pushers/set"),
  auth: "user",
  limit: "account",
  summary: "Adds a pusher, changes it, or with kind null deletes it.",
  body: Type.Object({
    ...shown,
    kind: Type.Union([Type.String(), Type.Null()]),
    app_display_name: Type.Optional(text),
    device_display_name: Type.Optional(text),
    profile_tag: Type.Optional(text),
    lang: Type.Optional(text),
    data: Type.Optional(JsonObject),
    append: Type.Optional(Type.Boolean()),
    "org.matrix.msc3881.enabled": Type.Optional(Type.Boolean()),
  }),
  response: Type.Object({}),
});
