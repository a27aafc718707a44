// Client-server API, "Profiles".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const ofUser = Type.Object({ userId: UserId });
const field = Type.Object({ userId: UserId, keyName: Type.String({ minLength: 1 }) });

/** Also the path that clients know from before fields of any name were specified (MSC4133). */
const profilePaths = (rest: string) => [...clientPaths(rest), `/_matrix/client/unstable/uk.tcpip.msc4133${rest}`] as const;

export const getUserProfile = operation({
  operationId: "getUserProfile",
  method: "GET",
  paths: profilePaths("/profile/{userId}"),
  auth: "unchecked",
  guests: true,
  limit: "lookup",
  summary: "A user's whole profile.",
  params: ofUser,
  response: JsonObject,
});

export const getProfileField = operation({
  operationId: "getProfileField",
  method: "GET",
  paths: profilePaths("/profile/{userId}/{keyName}"),
  auth: "unchecked",
  guests: true,
  limit: "lookup",
  summary: "One field of a user's profile.",
  params: field,
  response: JsonObject,
});

export const setProfileField = operation({
  operationId: "setProfileField",
  method: "PUT",
  paths: profilePaths("/profile/{userId}/{keyName}"),
  auth: "user",
  refusedWhileSuspended: true,
  guests: true,
  limit: "account",
  summary: "Sets one field of one's own profile.",
  params: field,
  body: JsonObject,
  response: Type.Object({}),
});

export const deleteProfileField = operation({
  operationId: "deleteProfileField",
  method: "DELETE",
  paths: profilePaths("/profile/{userId}/{keyName}"),
  auth: "user",
  refusedWhileSuspended: true,
  guests: true,
  limit: "account",
  summary: "Deletes one field of one's own profile.",
  params: field,
  response: Type.Object({}),
});
