// Dehydrated devices (MSC3814).
import type * as spec from "../../../spec/client/dehydrated-devices.js";
import * as dehydrated from "../../encryption/dehydrated-devices.js";
import { Reply, type Handler } from "../handler.js";

export const putDehydratedDevice: Handler<typeof spec.putDehydratedDevice> = async (services, { auth, body }) => {
  await dehydrated.putDehydratedDevice(services, auth, body);
  return { device_id: body.device_id };
};

export const getDehydratedDevice: Handler<typeof spec.getDehydratedDevice> = async (services, { auth }) => {
  const { device_id, device_data } = await dehydrated.readDehydratedDevice(services, auth.user_nid);
  return new Reply(200, `{"device_id":${JSON.stringify(device_id)},"device_data":${device_data}}`);
};

export const deleteDehydratedDevice: Handler<typeof spec.deleteDehydratedDevice> = async (services, { auth }) => ({
  device_id: await dehydrated.deleteDehydratedDevice(services, auth.user_nid),
});

export const getDehydratedDeviceEvents: Handler<typeof spec.getDehydratedDeviceEvents> = async (services, { auth, params, body }) => {
  const { events, next_batch } = await dehydrated.dehydratedEvents(services, auth.user_nid, params.deviceId, body.next_batch);
  return new Reply(200, `{"events":[${events.join(",")}],"next_batch":${JSON.stringify(next_batch)}}`);
};
