// Admission to group calls (MSC4195).
import type * as spec from "../../../spec/client/livekit.js";
import { admitDevice, admitMember, requireNoDelegation } from "../../accounts/livekit.js";
import type { Handler } from "../handler.js";

export const getLivekitAdmission: Handler<typeof spec.getLivekitAdmission> = async (services, { body }) => {
  requireNoDelegation(body);
  return await admitMember(services, body.openid_token, body.room_id, body.slot_id, body.member);
};

export const getSfuAdmission: Handler<typeof spec.getSfuAdmission> = async (services, { body }) => {
  requireNoDelegation(body);
  return await admitDevice(services, body.openid_token, body.room, body.device_id);
};
