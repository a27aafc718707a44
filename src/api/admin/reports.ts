// Synapse's admin API, "Reported Events" and "Reported Users".
import type * as spec from "../../../spec/admin/reports.js";
import { notFound } from "../../errors.js";
import type { JsonObject } from "../../protocol/json.js";
import { directoryRooms } from "../../rooms/directory/summary.js";
import { deleteReport, listEventReports, listUserReports, type EventReport, type UserReport } from "../../storage/admin-reports.js";
import { eventsByNid } from "../../storage/events.js";
import type { Handler } from "../handler.js";
import type { Services } from "../services.js";

const ONE = { from: 0, limit: 1, oldestFirst: true };

const noReport = () => notFound("There is no such report.");

const nextToken = (from: number, found: number, total: number) => (from + found < total && found > 0 ? { next_token: from + found } : {});

/** Reports with the names of their rooms. */
async function named(services: Services, reports: readonly EventReport[]) {
  const asked = new Map(reports.map(({ room_nid, room_id }) => [room_nid, { room_nid, room_id, joined: 0 }]));
  const rooms = new Map((await directoryRooms(services, services.database, [...asked.values()])).map((room) => [room.room_id, room]));
  return reports.map(({ id, received_ts, reporter, reason, score, room_id, event_id, sender }) => ({
    id,
    received_ts,
    room_id,
    name: rooms.get(room_id)?.name ?? null,
    canonical_alias: rooms.get(room_id)?.canonical_alias ?? null,
    event_id,
    user_id: reporter,
    reason,
    score,
    sender,
  }));
}

export const adminListEventReports: Handler<typeof spec.adminListEventReports> = async (services, { query }) => {
  const { from, limit, dir, user_id, room_id, event_sender_user_id } = query;
  const filter = { reporter: user_id, reported: event_sender_user_id, room_id };
  const { reports, total } = await listEventReports(services.database, filter, { from, limit, oldestFirst: dir === "f" });
  return { event_reports: await named(services, reports), total, ...nextToken(from, reports.length, total) };
};

export const adminGetEventReport: Handler<typeof spec.adminGetEventReport> = async (services, { params }) => {
  const { reports } = await listEventReports(services.database, { id: params.reportId }, ONE);
  const [shown] = await named(services, reports);
  const event_nid = reports[0]?.event_nid ?? 0;
  const event = (await eventsByNid(services.database, [event_nid])).get(event_nid);
  if (shown === undefined || event === undefined) throw noReport();
  return { ...shown, event_json: { ...(JSON.parse(event.json) as JsonObject), event_id: event.event_id } };
};

export const adminDeleteEventReport: Handler<typeof spec.adminDeleteEventReport> = async ({ database }, { params }) => {
  if (!(await database.transaction((tx) => deleteReport(tx, params.reportId, "event")))) throw noReport();
  return {};
};

const shownUser = ({ id, received_ts, target, reporter, reason }: UserReport) => ({
  id,
  received_ts,
  target_user_id: target,
  user_id: reporter,
  reason,
});

export const adminListUserReports: Handler<typeof spec.adminListUserReports> = async ({ database }, { query }) => {
  const { from, limit, dir, user_id, target_user_id } = query;
  const filter = { reporter: user_id, reported: target_user_id };
  const { reports, total } = await listUserReports(database, filter, { from, limit, oldestFirst: dir === "f" });
  return { user_reports: reports.map(shownUser), total, ...nextToken(from, reports.length, total) };
};

export const adminGetUserReport: Handler<typeof spec.adminGetUserReport> = async ({ database }, { params }) => {
  const [report] = (await listUserReports(database, { id: params.reportId }, ONE)).reports;
  if (report === undefined) throw noReport();
  return shownUser(report);
};

export const adminDeleteUserReport: Handler<typeof spec.adminDeleteUserReport> = async ({ database }, { params }) => {
  if (!(await database.transaction((tx) => deleteReport(tx, params.reportId, "user")))) throw noReport();
  return {};
};
