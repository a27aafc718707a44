// Client-server API, "Send-to-Device messaging".
import type * as spec from "../../../spec/client/to-device.js";
import * as toDevice from "../../encryption/to-device.js";
import type { Handler } from "../handler.js";

export const sendToDevice: Handler<typeof spec.sendToDevice> = async (services, { auth, params, body }) => {
  await toDevice.sendToDevice(services, auth, params.eventType, params.txnId, body.messages);
  return {};
};
