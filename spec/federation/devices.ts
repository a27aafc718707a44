// Server-server API, "Device Management" and "End-to-End Encryption".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const byUser = Type.Record(Type.String(), JsonObject);

export const getUserDevices = operation({
  operationId: "getUserDevices",
  method: "GET",
  paths: ["/_matrix/federation/v1/user/devices/{userId}"],
  auth: "server",
  summary: "All devices of a user of this server that have keys, and where the list stands.",
  params: Type.Object({ userId: UserId }),
  response: JsonObject,
});

export const claimUserEncryptionKeys = operation({
  operationId: "claimUserEncryptionKeys",
  method: "POST",
  paths: ["/_matrix/federation/v1/user/keys/claim"],
  auth: "server",
  // Whoever claims in a loop leaves the users without.
  limit: "federation_keys",
  summary: "Takes one-time keys of devices of users of this server, each of which nobody else gets.",
  body: Type.Object({ one_time_keys: Type.Record(Type.String(), Type.Record(Type.String(), Type.String())) }),
  response: Type.Object({ one_time_keys: Type.Record(Type.String(), byUser) }),
});

export const queryUserEncryptionKeys = operation({
  operationId: "queryUserEncryptionKeys",
  method: "POST",
  paths: ["/_matrix/federation/v1/user/keys/query"],
  auth: "server",
  summary: "The devices of users of this server with their keys, and the users' own keys.",
  body: Type.Object({ device_keys: Type.Record(Type.String(), Type.Array(Type.String())) }),
  response: Type.Object({ device_keys: Type.Record(Type.String(), byUser), master_keys: byUser, self_signing_keys: byUser }),
});
