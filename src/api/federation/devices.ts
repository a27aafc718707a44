// Server-server API, "Device Management" and "End-to-End Encryption". Each of our servers answers for its own users only.
import type * as spec from "../../../spec/federation/devices.js";
import { devicesForServer, queryKeysForServer } from "../../encryption/key-query.js";
import { claimKeysForServer } from "../../encryption/one-time-keys.js";
import { notFound } from "../../errors.js";
import { serverNameOf } from "../../protocol/identifiers.js";
import type { Handler } from "../handler.js";

export const getUserDevices: Handler<typeof spec.getUserDevices> = async (services, { params, auth }) => {
  const devices = serverNameOf(params.userId) === auth.destination ? await devicesForServer(services, params.userId) : undefined;
  if (devices === undefined) throw notFound("This user is not one of this server.");
  return devices;
};

export const claimUserEncryptionKeys: Handler<typeof spec.claimUserEncryptionKeys> = async (services, { body, auth }) => ({
  one_time_keys: await claimKeysForServer(services, auth.destination, body.one_time_keys),
});

export const queryUserEncryptionKeys: Handler<typeof spec.queryUserEncryptionKeys> = async (services, { body, auth }) =>
  await queryKeysForServer(services, auth.destination, body.device_keys);
