// Client-server API, "API Versions".
import { Type } from "typebox";
import { operation } from "../operation.js";

export const getVersions = operation({
  operationId: "getVersions",
  method: "GET",
  paths: ["/_matrix/client/versions"],
  auth: "optional",
  summary: "The versions of the specification that this server supports, and its unstable features.",
  response: Type.Object({
    versions: Type.Array(Type.String()),
    unstable_features: Type.Optional(Type.Record(Type.String(), Type.Boolean())),
  }),
});
