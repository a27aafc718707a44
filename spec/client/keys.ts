// Client-server API, "End-to-End Encryption": keys of devices and of users.
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { AuthenticationData } from "../types/authentication.js";
import { JsonObject } from "../types/json.js";

const byUser = Type.Record(Type.String(), JsonObject);
const failures = Type.Record(Type.String(), JsonObject);
const timeout = Type.Optional(Type.Integer({ minimum: 0 }));
const counts = Type.Record(Type.String(), Type.Integer());

export const uploadKeys = operation({
  operationId: "uploadKeys",
  method: "POST",
  paths: clientPaths("/keys/upload"),
  auth: "user",
  guests: true,
  limit: "keys",
  summary: "Publishes keys of the device.",
  body: Type.Object({
    device_keys: Type.Optional(JsonObject),
    one_time_keys: Type.Optional(JsonObject),
    fallback_keys: Type.Optional(JsonObject),
    "org.matrix.msc2732.fallback_keys": Type.Optional(JsonObject),
  }),
  response: Type.Object({ one_time_key_counts: counts }),
});

export const queryKeys = operation({
  operationId: "queryKeys",
  method: "POST",
  paths: clientPaths("/keys/query"),
  auth: "user",
  guests: true,
  limit: "keys",
  summary: "The devices of users with their keys, and the users' own keys.",
  body: Type.Object({ timeout, device_keys: Type.Record(Type.String(), Type.Array(Type.String())) }),
  response: Type.Object({
    failures,
    device_keys: Type.Record(Type.String(), byUser),
    master_keys: byUser,
    self_signing_keys: byUser,
    user_signing_keys: byUser,
  }),
});

export const claimKeys = operation({
  operationId: "claimKeys",
  method: "POST",
  paths: clientPaths("/keys/claim"),
  auth: "user",
  guests: true,
  limit: "keys",
  summary: "Takes one-time keys of devices, each of which nobody else gets.",
  body: Type.Object({ timeout, one_time_keys: Type.Record(Type.String(), Type.Record(Type.String(), Type.String())) }),
  response: Type.Object({ failures, one_time_keys: Type.Record(Type.String(), byUser) }),
});

export const getKeysChanges = operation({
  operationId: "getKeysChanges",
  method: "GET",
  paths: clientPaths("/keys/changes"),
  auth: "user",
  guests: true,
  limit: "keys",
  summary: "Whose keys have changed between two tokens of /sync.",
  query: Type.Object({ from: Type.String(), to: Type.String() }),
  response: Type.Object({ changed: Type.Array(Type.String()), left: Type.Array(Type.String()) }),
});

export const uploadCrossSigningKeys = operation({
  operationId: "uploadCrossSigningKeys",
  method: "POST",
  paths: [...clientPaths("/keys/device_signing/upload"), "/_matrix/client/unstable/keys/device_signing/upload"],
  auth: "user",
  limit: "keys",
  summary: "Publishes the user's own keys; to change them takes user-interactive authentication.",
  body: Type.Object({
    auth: Type.Optional(AuthenticationData),
    master_key: Type.Optional(JsonObject),
    self_signing_key: Type.Optional(JsonObject),
    user_signing_key: Type.Optional(JsonObject),
  }),
  response: Type.Object({}),
});

export const uploadCrossSigningSignatures = operation({
  operationId: "uploadCrossSigningSignatures",
  method: "POST",
  paths: [...clientPaths("/keys/signatures/upload"), "/_matrix/client/unstable/keys/signatures/upload"],
  auth: "user",
  limit: "keys",
  summary: "Publishes signatures of the user on keys of their devices and of users.",
  body: Type.Record(Type.String(), Type.Record(Type.String(), JsonObject)),
  response: Type.Object({ failures: Type.Record(Type.String(), byUser) }),
});
