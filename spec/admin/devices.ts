// Synapse's admin API, "User Admin API": the devices of users.
import { Type } from "typebox";
import { operation } from "../operation.js";
import { DeviceId, UserId } from "../types/identifiers.js";

const ofUser = Type.Object({ userId: UserId });
const ofDevice = Type.Object({ userId: UserId, deviceId: DeviceId });
const empty = Type.Object({});
const NullableString = Type.Unsafe<string | null>({ type: ["string", "null"] });
const Device = Type.Object({
  device_id: DeviceId,
  display_name: NullableString,
  last_seen_ip: NullableString,
  last_seen_user_agent: NullableString,
  last_seen_ts: Type.Unsafe<number | null>({ type: ["integer", "null"] }),
  user_id: UserId,
});

export const adminListDevices = operation({
  operationId: "adminListDevices",
  method: "GET",
  paths: ["/_synapse/admin/v2/users/{userId}/devices"],
  auth: "admin",
  summary: "The devices of a user.",
  params: ofUser,
  response: Type.Object({ devices: Type.Array(Device), total: Type.Integer() }),
});

export const adminCreateDevice = operation({
  operationId: "adminCreateDevice",
  method: "POST",
  paths: ["/_synapse/admin/v2/users/{userId}/devices"],
  auth: "admin",
  summary: "Makes a device of a user, if they have none of this id.",
  params: ofUser,
  body: Type.Object({ device_id: DeviceId, display_name: Type.Optional(Type.String({ maxBytes: 1024 })) }),
  response: empty,
});

export const adminGetDevice = operation({
  operationId: "adminGetDevice",
  method: "GET",
  paths: ["/_synapse/admin/v2/users/{userId}/devices/{deviceId}"],
  auth: "admin",
  summary: "One device of a user.",
  params: ofDevice,
  response: Device,
});

export const adminRenameDevice = operation({
  operationId: "adminRenameDevice",
  method: "PUT",
  paths: ["/_synapse/admin/v2/users/{userId}/devices/{deviceId}"],
  auth: "admin",
  summary: "Names a device of a user.",
  params: ofDevice,
  body: Type.Object({ display_name: Type.Optional(Type.String({ maxBytes: 1024 })) }),
  response: empty,
});

export const adminDeleteDevice = operation({
  operationId: "adminDeleteDevice",
  method: "DELETE",
  paths: ["/_synapse/admin/v2/users/{userId}/devices/{deviceId}"],
  auth: "admin",
  summary: "Deletes a device of a user, and ends its session.",
  params: ofDevice,
  response: empty,
});

export const adminDeleteDevices = operation({
  operationId: "adminDeleteDevices",
  method: "POST",
  paths: ["/_synapse/admin/v2/users/{userId}/delete_devices"],
  auth: "admin",
  summary: "Deletes devices of a user, and ends their sessions.",
  params: ofUser,
  body: Type.Object({ devices: Type.Array(DeviceId, { maxItems: 10_000 }) }),
  response: empty,
});
