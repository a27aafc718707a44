// Client-server API, "Device Management".
import type * as spec from "../../../spec/client/devices.js";
import type { BodyOf } from "../../../spec/operation.js";
import { devicesChanged } from "../../accounts/device-lists.js";
import { requireAuthentication } from "../../accounts/interactive-authentication.js";
import { makeDevice } from "../../accounts/new-device.js";
import type { Requester } from "../../accounts/requester.js";
import { endSessions } from "../../accounts/sessions.js";
import { notFound } from "../../errors.js";
import { findDevice, listDevices, renameDevice, type Device } from "../../storage/devices.js";
import { type Handler, Reply } from "../handler.js";
import type { Services } from "../services.js";
import { confirmation } from "./confirmation.js";

function shown({ device_id, display_name, last_seen_ip, last_seen_ts }: Device) {
  return {
    device_id,
    ...(display_name !== undefined && { display_name }),
    ...(last_seen_ip !== undefined && { last_seen_ip }),
    ...(last_seen_ts !== undefined && { last_seen_ts }),
  };
}

export const getDevices: Handler<typeof spec.getDevices> = async ({ database }, { auth }) => ({
  devices: (await listDevices(database, auth.user_nid)).map(shown),
});

export const getDevice: Handler<typeof spec.getDevice> = async ({ database }, { auth, params }) => {
  const device = await findDevice(database, auth.user_nid, params.deviceId);
  if (device === undefined) throw notFound("You have no device of this id.");
  return shown(device);
};

export const updateDevice: Handler<typeof spec.updateDevice> = async (services, { auth, params, body }) => {
  const { database } = services;
  const { display_name } = body;
  const found = await database.transaction(async (tx) => {
    if (auth.appservice !== undefined) {
      const created_ts = services.clock.now();
      const device = { user_nid: auth.user_nid, device_id: params.deviceId, display_name, created_ts, ip: undefined };
      if (await makeDevice(tx, device)) {
        devicesChanged(services, tx, [device]);
        return "made" as const;
      }
    }
    if (display_name === undefined) return (await findDevice(database, auth.user_nid, params.deviceId)) !== undefined;
    const renamed = await renameDevice(tx, auth.user_nid, params.deviceId, display_name);
    // Others see the names of devices.
    if (renamed) devicesChanged(services, tx, [{ user_nid: auth.user_nid, device_id: params.deviceId }]);
    return renamed;
  });
  if (found === false) throw notFound("You have no device of this id.");
  return found === "made" ? new Reply(201, "{}") : {};
};

/** Users confirm with their password; those of application services have none. */
async function confirm(services: Services, auth: Requester, operation: string, body: BodyOf<typeof spec.deleteDevice>): Promise<void> {
  if (auth.appservice !== undefined) return;
  await requireAuthentication(services, confirmation(services, operation, auth, body));
}

export const deleteDevice: Handler<typeof spec.deleteDevice> = async (services, { auth, params, body }) => {
  const operation = `deleteDevice ${params.deviceId}`;
  await confirm(services, auth, operation, body);
  await endSessions(services, auth.user_nid, [params.deviceId]);
  return {};
};

export const deleteDevices: Handler<typeof spec.deleteDevices> = async (services, { auth, body }) => {
  await confirm(services, auth, "deleteDevices", body);
  await endSessions(services, auth.user_nid, body.devices);
  return {};
};
