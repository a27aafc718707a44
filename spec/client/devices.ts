// Client-server API, "Device Management".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { AuthenticationData } from "../types/authentication.js";
import { DeviceId } from "../types/identifiers.js";

const Device = Type.Object({
  device_id: DeviceId,
  display_name: Type.Optional(Type.String()),
  last_seen_ip: Type.Optional(Type.String()),
  last_seen_ts: Type.Optional(Type.Integer()),
});
const named = Type.Object({ deviceId: DeviceId });

export const getDevices = operation({
  operationId: "getDevices",
  method: "GET",
  paths: clientPaths("/devices"),
  auth: "user",
  guests: true,
  summary: "All devices of the user.",
  response: Type.Object({ devices: Type.Array(Device) }),
});

export const getDevice = operation({
  operationId: "getDevice",
  method: "GET",
  paths: clientPaths("/devices/{deviceId}"),
  auth: "user",
  guests: true,
  summary: "One device of the user.",
  params: named,
  response: Device,
});

export const updateDevice = operation({
  operationId: "updateDevice",
  method: "PUT",
  paths: clientPaths("/devices/{deviceId}"),
  auth: "user",
  guests: true,
  limit: "account",
  summary: "Names a device; for application services also makes it.",
  params: named,
  body: Type.Object({ display_name: Type.Optional(Type.String({ maxBytes: 1024 })) }),
  response: Type.Object({}),
});

export const deleteDevice = operation({
  operationId: "deleteDevice",
  method: "DELETE",
  paths: clientPaths("/devices/{deviceId}"),
  auth: "user",
  limit: "account",
  summary: "Deletes a device and ends its sessions, after user-interactive authentication.",
  params: named,
  body: Type.Object({ auth: Type.Optional(AuthenticationData) }),
  response: Type.Object({}),
});

export const deleteDevices = operation({
  operationId: "deleteDevices",
  method: "POST",
  paths: clientPaths("/delete_devices"),
  auth: "user",
  limit: "account",
  summary: "Deletes several devices, after user-interactive authentication.",
  body: Type.Object({
    auth: Type.Optional(AuthenticationData),
    devices: Type.Array(DeviceId, { maxItems: 10_000 }),
  }),
  response: Type.Object({}),
});
