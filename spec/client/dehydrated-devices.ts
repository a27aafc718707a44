// Dehydrated devices (MSC3814).
import { Type } from "typebox";
import { operation } from "../operation.js";
import { DeviceId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const PATH = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";
const named = Type.Object({ device_id: DeviceId });

export const putDehydratedDevice = operation({
  operationId: "putDehydratedDevice",
  method: "PUT",
  paths: [PATH],
  auth: "user",
  limit: "account",
  summary: "Keeps a device that takes messages while the caller has no other, in the place of the one before.",
  body: Type.Object({
    device_id: DeviceId,
    device_data: JsonObject,
    device_keys: JsonObject,
    one_time_keys: Type.Optional(JsonObject),
    fallback_keys: Type.Optional(JsonObject),
    initial_device_display_name: Type.Optional(Type.String({ maxLength: 255 })),
  }),
  response: named,
});

export const getDehydratedDevice = operation({
  operationId: "getDehydratedDevice",
  method: "GET",
  paths: [PATH],
  auth: "user",
  limit: "lookup",
  summary: "The caller's dehydrated device.",
  response: Type.Object({ device_id: DeviceId, device_data: JsonObject }),
});

export const deleteDehydratedDevice = operation({
  operationId: "deleteDehydratedDevice",
  method: "DELETE",
  paths: [PATH],
  auth: "user",
  limit: "account",
  summary: "Deletes the caller's dehydrated device.",
  response: named,
});

export const getDehydratedDeviceEvents = operation({
  operationId: "getDehydratedDeviceEvents",
  method: "POST",
  paths: [`${PATH}/{deviceId}/events`],
  auth: "user",
  limit: "lookup",
  summary: "Messages to the caller's dehydrated device; they stay.",
  params: Type.Object({ deviceId: DeviceId }),
  body: Type.Object({ next_batch: Type.Optional(Type.String()) }),
  response: Type.Object({ events: Type.Array(JsonObject), next_batch: Type.String() }),
});
