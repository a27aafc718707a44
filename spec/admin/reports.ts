// Synapse's admin API, "Reported Events" and "Reported Users".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { EventId, RoomId, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";
import { paging, sortDirection } from "../types/paging.js";

const EVENTS = "/_synapse/admin/v1/event_reports";
const USERS = "/_synapse/admin/v1/user_reports";
const ofReport = Type.Object({ reportId: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }) });
const NullableString = Type.Unsafe<string | null>({ type: ["string", "null"] });
const dir = Type.Unsafe<"f" | "b">({ ...sortDirection, default: "b" });
const next = { total: Type.Integer(), next_token: Type.Optional(Type.Integer()) };

const eventReport = {
  id: Type.Integer(),
  received_ts: Type.Integer(),
  room_id: RoomId,
  name: NullableString,
  canonical_alias: NullableString,
  event_id: EventId,
  user_id: UserId,
  reason: NullableString,
  score: Type.Unsafe<number | null>({ type: ["integer", "null"] }),
  sender: UserId,
};

export const adminListEventReports = operation({
  operationId: "adminListEventReports",
  method: "GET",
  paths: [EVENTS],
  auth: "admin",
  summary: "The events that users have reported.",
  query: Type.Object({
    ...paging,
    dir,
    user_id: Type.Optional(Type.String()),
    room_id: Type.Optional(Type.String()),
    event_sender_user_id: Type.Optional(Type.String()),
  }),
  response: Type.Object({ event_reports: Type.Array(Type.Object(eventReport)), ...next }),
});

export const adminGetEventReport = operation({
  operationId: "adminGetEventReport",
  method: "GET",
  paths: [`${EVENTS}/{reportId}`],
  auth: "admin",
  summary: "One report of an event, with the event.",
  params: ofReport,
  response: Type.Object({ ...eventReport, event_json: JsonObject }),
});

export const adminDeleteEventReport = operation({
  operationId: "adminDeleteEventReport",
  method: "DELETE",
  paths: [`${EVENTS}/{reportId}`],
  auth: "admin",
  summary: "Deletes a report of an event; the event stays.",
  params: ofReport,
  response: Type.Object({}),
});

const UserReport = Type.Object({
  id: Type.Integer(),
  received_ts: Type.Integer(),
  target_user_id: UserId,
  user_id: UserId,
  reason: NullableString,
});

export const adminListUserReports = operation({
  operationId: "adminListUserReports",
  method: "GET",
  paths: [USERS],
  auth: "admin",
  summary: "The users whom users have reported.",
  query: Type.Object({ ...paging, dir, user_id: Type.Optional(Type.String()), target_user_id: Type.Optional(Type.String()) }),
  response: Type.Object({ user_reports: Type.Array(UserReport), ...next }),
});

export const adminGetUserReport = operation({
  operationId: "adminGetUserReport",
  method: "GET",
  paths: [`${USERS}/{reportId}`],
  auth: "admin",
  summary: "One report of a user.",
  params: ofReport,
  response: UserReport,
});

export const adminDeleteUserReport = operation({
  operationId: "adminDeleteUserReport",
  method: "DELETE",
  paths: [`${USERS}/{reportId}`],
  auth: "admin",
  summary: "Deletes a report of a user.",
  params: ofReport,
  response: Type.Object({}),
});
