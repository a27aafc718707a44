// Server-server API, "Transactions".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { JsonObject } from "../types/json.js";

export const sendTransaction = operation({
  operationId: "sendTransaction",
  method: "PUT",
  paths: ["/_matrix/federation/v1/send/{txnId}"],
  auth: "server",
  summary: "Takes events and ephemeral messages of another server.",
  params: Type.Object({ txnId: Type.String({ minLength: 1, maxLength: 255 }) }),
  body: Type.Object({
    pdus: Type.Optional(Type.Array(Type.Unknown(), { maxItems: 50 })),
    edus: Type.Optional(Type.Array(Type.Unknown(), { maxItems: 100 })),
  }),
  response: Type.Object({ pdus: Type.Record(Type.String(), JsonObject) }),
});
