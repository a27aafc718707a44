// Server-server API, "Leaving Rooms" and "Knocking upon a room".
import type * as spec from "../../../spec/federation/leaves.js";
import { knockTemplate, leaveTemplate, takeKnock, takeLeave } from "../../rooms/membership/serve-leave.js";
import { Reply, type Handler } from "../handler.js";

export const makeLeave: Handler<typeof spec.makeLeave> = async (services, { auth, params }) =>
  await leaveTemplate(services, auth, params.roomId, params.userId);

export const sendLeaveV1: Handler<typeof spec.sendLeaveV1> = async (services, { auth, params, body }) => {
  await takeLeave(services, auth, params.roomId, params.eventId, body);
  return [200, {}];
};

export const sendLeaveV2: Handler<typeof spec.sendLeaveV2> = async (services, { auth, params, body }) => {
  await takeLeave(services, auth, params.roomId, params.eventId, body);
  return {};
};

export const makeKnock: Handler<typeof spec.makeKnock> = async (services, { auth, params, query }) =>
  await knockTemplate(services, auth, params.roomId, params.userId, query.ver);

export const sendKnock: Handler<typeof spec.sendKnock> = async (services, { auth, params, body }) => {
  const events = await takeKnock(services, auth, params.roomId, params.eventId, body);
  return new Reply(200, `{"knock_room_state":[${events.map(({ json }) => json).join(",")}]}`);
};
