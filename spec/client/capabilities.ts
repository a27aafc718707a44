// Client-server API, "Capabilities negotiation".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { JsonObject } from "../types/json.js";

export const getCapabilities = operation({
  operationId: "getCapabilities",
  method: "GET",
  paths: clientPaths("/capabilities"),
  auth: "user",
  limit: "lookup",
  summary: "What this server lets its users do.",
  response: Type.Object({ capabilities: JsonObject }),
});
