// Server-server API, "Policy Servers".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { JsonObject } from "../types/json.js";

export const askPolicyServerToSign = operation({
  operationId: "askPolicyServerToSign",
  method: "POST",
  paths: ["/_matrix/policy/v1/sign"],
  auth: "server",
  summary: "Signs an event as the policy server of its room.",
  body: JsonObject,
  response: Type.Record(Type.String(), Type.Record(Type.String(), Type.String())),
});
