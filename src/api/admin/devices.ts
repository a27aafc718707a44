// Synapse's admin API, "User Admin API": the devices of users.
import type * as spec from "../../../spec/admin/devices.js";
import { anyAccountOf } from "../../accounts/administration.js";
import { devicesChanged } from "../../accounts/device-lists.js";
import { makeDevice } from "../../accounts/new-device.js";
import { endSessions } from "../../accounts/sessions.js";
import { notFound } from "../../errors.js";
import type { UserId } from "../../protocol/identifiers.js";
import { findDevice, listDevices, renameDevice, type Device } from "../../storage/devices.js";
import { Reply, type Handler } from "../handler.js";

const shown = (user_id: UserId, device: Device) => ({
  user_id,
  device_id: device.device_id,
  display_name: device.display_name ?? null,
  last_seen_ip: device.last_seen_ip ?? null,
  last_seen_user_agent: device.last_seen_user_agent ?? null,
  last_seen_ts: device.last_seen_ts ?? null,
});

export const adminListDevices: Handler<typeof spec.adminListDevices> = async (services, { params }) => {
  const { user_id, user_nid } = await anyAccountOf(services, params.userId);
  const devices = (await listDevices(services.database, user_nid)).map((device) => shown(user_id, device));
  return { devices, total: devices.length };
};

export const adminCreateDevice: Handler<typeof spec.adminCreateDevice> = async (services, { params, body }) => {
  const { user_nid } = await anyAccountOf(services, params.userId);
  const { device_id, display_name } = body;
  await services.database.transaction(async (tx) => {
    const made = await makeDevice(tx, { user_nid, device_id, display_name, created_ts: services.clock.now(), ip: undefined });
    if (made) devicesChanged(services, tx, [{ user_nid, device_id }]);
  });
  return new Reply(201, "{}");
};

export const adminGetDevice: Handler<typeof spec.adminGetDevice> = async (services, { params }) => {
  const { user_id, user_nid } = await anyAccountOf(services, params.userId);
  const device = await findDevice(services.database, user_nid, params.deviceId);
  if (device === undefined) throw notFound("The user has no such device.");
  return shown(user_id, device);
};

export const adminRenameDevice: Handler<typeof spec.adminRenameDevice> = async (services, { params, body }) => {
  const { user_nid } = await anyAccountOf(services, params.userId);
  const name = body.display_name;
  if (name === undefined) return {};
  await services.database.transaction(async (tx) => {
    if (!(await renameDevice(tx, user_nid, params.deviceId, name))) throw notFound("The user has no such device.");
    devicesChanged(services, tx, [{ user_nid, device_id: params.deviceId }]);
  });
  return {};
};

export const adminDeleteDevice: Handler<typeof spec.adminDeleteDevice> = async (services, { params }) => {
  const { user_nid } = await anyAccountOf(services, params.userId);
  await endSessions(services, user_nid, [params.deviceId]);
  return {};
};

export const adminDeleteDevices: Handler<typeof spec.adminDeleteDevices> = async (services, { params, body }) => {
  const { user_nid } = await anyAccountOf(services, params.userId);
  await endSessions(services, user_nid, body.devices);
  return {};
};
