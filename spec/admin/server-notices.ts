// Synapse's admin API, "Server Notices".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { EventId, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const body = Type.Object({
  user_id: UserId,
  content: JsonObject,
  type: Type.Optional(Type.String()),
  state_key: Type.Optional(Type.String()),
});
const response = Type.Object({ event_id: EventId });

export const sendServerNotice = operation({
  operationId: "sendServerNotice",
  method: "POST",
  paths: ["/_synapse/admin/v1/send_server_notice"],
  auth: "admin",
  summary: "Tells a user something in the name of the server.",
  canonicalNumbers: true,
  body,
  response,
});

export const sendServerNoticeOnce = operation({
  operationId: "sendServerNoticeOnce",
  method: "PUT",
  paths: ["/_synapse/admin/v1/send_server_notice/{txnId}"],
  auth: "admin",
  summary: "Tells a user something in the name of the server, once however often it is asked for.",
  params: Type.Object({ txnId: Type.String() }),
  canonicalNumbers: true,
  body,
  response,
});
