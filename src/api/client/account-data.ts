// Client-server API, "Client Config" (account data) and "Room Tagging".
import type * as spec from "../../../spec/client/account-data.js";
import { deleteAccountData as deleteData, PUSH_RULES, putAccountData, putTag, readAccountData, readTags, removeTag } from "../../accounts/account-data.js";
import type { Requester } from "../../accounts/requester.js";
import { forbidden } from "../../errors.js";
import type { UserId } from "../../protocol/identifiers.js";
import { readRules } from "../../push/rules.js";
import { Reply, type Handler } from "../handler.js";

function requireOwn(auth: Requester, userId: UserId): void {
  if (userId !== auth.user_id) throw forbidden("Data of an account is for its owner only.");
}

export const setAccountData: Handler<typeof spec.setAccountData> = async (services, { auth, params, body }) => {
  requireOwn(auth, params.userId);
  await putAccountData(services, auth.user_nid, undefined, params.type, body);
  return {};
};

export const getAccountData: Handler<typeof spec.getAccountData> = async (services, { auth, params }) => {
  requireOwn(auth, params.userId);
  if (params.type === PUSH_RULES) return new Reply(200, { global: await readRules(services.database, auth) });
  return new Reply(200, await readAccountData(services, auth.user_nid, undefined, params.type));
};

export const deleteAccountData: Handler<typeof spec.deleteAccountData> = async (services, { auth, params }) => {
  requireOwn(auth, params.userId);
  await deleteData(services, auth.user_nid, undefined, params.type);
  return {};
};

export const setAccountDataPerRoom: Handler<typeof spec.setAccountDataPerRoom> = async (services, { auth, params, body }) => {
  requireOwn(auth, params.userId);
  await putAccountData(services, auth.user_nid, params.roomId, params.type, body);
  return {};
};

export const getAccountDataPerRoom: Handler<typeof spec.getAccountDataPerRoom> = async (services, { auth, params }) => {
  requireOwn(auth, params.userId);
  return new Reply(200, await readAccountData(services, auth.user_nid, params.roomId, params.type));
};

export const deleteAccountDataPerRoom: Handler<typeof spec.deleteAccountDataPerRoom> = async (services, { auth, params }) => {
  requireOwn(auth, params.userId);
  await deleteData(services, auth.user_nid, params.roomId, params.type);
  return {};
};

export const getRoomTags: Handler<typeof spec.getRoomTags> = async (services, { auth, params }) => {
  requireOwn(auth, params.userId);
  return { tags: await readTags(services, auth.user_nid, params.roomId) };
};

export const setRoomTag: Handler<typeof spec.setRoomTag> = async (services, { auth, params, body }) => {
  requireOwn(auth, params.userId);
  await putTag(services, auth.user_nid, params.roomId, params.tag, body);
  return {};
};

export const deleteRoomTag: Handler<typeof spec.deleteRoomTag> = async (services, { auth, params }) => {
  requireOwn(auth, params.userId);
  await removeTag(services, auth.user_nid, params.roomId, params.tag);
  return {};
};
