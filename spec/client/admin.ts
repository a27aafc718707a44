// Client-server API, "Server Administration".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { DeviceId, UserId } from "../types/identifiers.js";

const ofUser = Type.Object({ userId: UserId });
const Suspended = Type.Object({ suspended: Type.Boolean() });
const Locked = Type.Object({ locked: Type.Boolean() });

const Connection = Type.Object({
  ip: Type.Optional(Type.String()),
  last_seen: Type.Optional(Type.Integer()),
  user_agent: Type.Optional(Type.String()),
});

export const getWhoIs = operation({
  operationId: "getWhoIs",
  method: "GET",
  paths: [...clientPaths("/admin/whois/{userId}"), "/_synapse/admin/v1/whois/{userId}"],
  auth: "user",
  limit: "lookup",
  summary: "From where a user's devices were last used: for the user and for administrators.",
  params: ofUser,
  response: Type.Object({
    user_id: UserId,
    devices: Type.Record(
      DeviceId,
      Type.Object({ sessions: Type.Array(Type.Object({ connections: Type.Array(Connection) })) }),
    ),
  }),
});

export const getAdminSuspendUser = operation({
  operationId: "getAdminSuspendUser",
  method: "GET",
  paths: ["/_matrix/client/v1/admin/suspend/{userId}"],
  auth: "admin",
  summary: "Whether an account is suspended.",
  params: ofUser,
  response: Suspended,
});

export const setAdminSuspendUser = operation({
  operationId: "setAdminSuspendUser",
  method: "PUT",
  paths: ["/_matrix/client/v1/admin/suspend/{userId}"],
  auth: "admin",
  summary: "Suspends an account, or ends that.",
  params: ofUser,
  body: Suspended,
  response: Suspended,
});

export const getAdminLockUser = operation({
  operationId: "getAdminLockUser",
  method: "GET",
  paths: ["/_matrix/client/v1/admin/lock/{userId}"],
  auth: "admin",
  summary: "Whether an account is locked.",
  params: ofUser,
  response: Locked,
});

export const setAdminLockUser = operation({
  operationId: "setAdminLockUser",
  method: "PUT",
  paths: ["/_matrix/client/v1/admin/lock/{userId}"],
  auth: "admin",
  summary: "Locks an account, or ends that.",
  params: ofUser,
  body: Locked,
  response: Locked,
});
