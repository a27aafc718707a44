// Client-server API, "Send-to-Device messaging".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { JsonObject } from "../types/json.js";

export const sendToDevice = operation({
  operationId: "sendToDevice",
  method: "PUT",
  paths: clientPaths("/sendToDevice/{eventType}/{txnId}"),
  auth: "user",
  guests: true,
  limit: "to_device",
  summary: "Sends messages to devices; the same transaction id again does nothing.",
  params: Type.Object({ eventType: Type.String(), txnId: Type.String({ minLength: 1 }) }),
  body: Type.Object({ messages: Type.Record(Type.String(), Type.Record(Type.String(), JsonObject)) }),
  response: Type.Object({}),
});
