// Client-server API, "Reporting Content".
import type * as spec from "../../../spec/client/report-content.js";
import * as reports from "../../rooms/administration/reports.js";
import type { Handler } from "../handler.js";

export const reportRoom: Handler<typeof spec.reportRoom> = async (services, { auth, params, body }) => {
  await reports.reportRoom(services, auth, params.roomId, body.reason);
  return {};
};

export const reportEvent: Handler<typeof spec.reportEvent> = async (services, { auth, params, body }) => {
  await reports.reportEvent(services, auth, params.roomId, params.eventId, body);
  return {};
};

export const reportUser: Handler<typeof spec.reportUser> = async (services, { auth, params, body }) => {
  await reports.reportUser(services, auth, params.userId, body.reason);
  return {};
};
