// Server-server API, "Server implementation" and "Server discovery".
import { Type } from "typebox";
import { operation } from "../operation.js";

export const getVersion = operation({
  operationId: "getVersion",
  method: "GET",
  paths: ["/_matrix/federation/v1/version"],
  auth: "none",
  summary: "What this server is.",
  response: Type.Object({ server: Type.Object({ name: Type.String(), version: Type.String() }) }),
});

export const getWellKnown = operation({
  operationId: "getWellKnown",
  method: "GET",
  paths: ["/.well-known/matrix/server"],
  auth: "none",
  summary: "Where other servers reach the server of this name.",
  response: Type.Object({ "m.server": Type.String() }),
});
