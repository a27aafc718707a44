// Server-server API, "Retrieving server keys".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { ServerName } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const signatures = Type.Record(Type.String(), Type.Record(Type.String(), Type.String()));

const ServerKeys = Type.Object({
  server_name: ServerName,
  verify_keys: Type.Record(Type.String(), Type.Object({ key: Type.String() })),
  old_verify_keys: Type.Optional(
    Type.Record(Type.String(), Type.Object({ key: Type.String(), expired_ts: Type.Integer() })),
  ),
  valid_until_ts: Type.Integer(),
  signatures,
});

const answer = Type.Object({ server_keys: Type.Array(JsonObject) });

export const getServerKey = operation({
  operationId: "getServerKey",
  method: "GET",
  // The key id is no longer part of the path; older servers add it.
  paths: ["/_matrix/key/v2/server", "/_matrix/key/v2/server/{keyId}"],
  auth: "none",
  summary: "The signing keys of the server that is asked.",
  response: ServerKeys,
});

export const perspectivesKeyQuery = operation({
  operationId: "perspectivesKeyQuery",
  method: "GET",
  paths: ["/_matrix/key/v2/query/{serverName}", "/_matrix/key/v2/query/{serverName}/{keyId}"],
  auth: "none",
  limit: "federation_query",
  summary: "The signing keys of another server, vouched for by this one.",
  params: Type.Object({ serverName: ServerName, keyId: Type.Optional(Type.String()) }),
  query: Type.Object({ minimum_valid_until_ts: Type.Optional(Type.Integer()) }),
  response: answer,
});

export const bulkPerspectivesKeyQuery = operation({
  operationId: "bulkPerspectivesKeyQuery",
  method: "POST",
  paths: ["/_matrix/key/v2/query"],
  auth: "none",
  limit: "federation_query",
  summary: "The signing keys of other servers, vouched for by this one.",
  body: Type.Object({
    server_keys: Type.Record(
      Type.String(),
      Type.Record(Type.String(), Type.Object({ minimum_valid_until_ts: Type.Optional(Type.Integer()) })),
      { maxProperties: 100 },
    ),
  }),
  response: answer,
});
