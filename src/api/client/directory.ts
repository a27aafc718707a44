// Client-server API, "Room aliases" and "Published room directory".
import type * as spec from "../../../spec/client/directory.js";
import { requireAliasFree } from "../../appservice/acting.js";
import { requestAlias } from "../../appservice/queries.js";
import { missingToken } from "../../errors.js";
import { serverNameOf } from "../../protocol/identifiers.js";
import * as aliases from "../../rooms/aliases.js";
import * as directory from "../../rooms/directory/directory.js";
import { remoteDirectoryPage } from "../../rooms/directory/remote-directory.js";
import type { Handler } from "../handler.js";
import type { Services } from "../services.js";

export const setRoomAlias: Handler<typeof spec.setRoomAlias> = async (services, { auth, params, body }) => {
  requireAliasFree(services.appservices, params.roomAlias, auth);
  await aliases.createAlias(services, auth, params.roomAlias, body.room_id, auth.appservice !== undefined);
  return {};
};

export const getRoomIdByAlias: Handler<typeof spec.getRoomIdByAlias> = async (services, { params }) => {
  await requestAlias(services, params.roomAlias);
  return await aliases.lookUpAlias(services, params.roomAlias);
};

export const deleteRoomAlias: Handler<typeof spec.deleteRoomAlias> = async (services, { auth, params }) => {
  requireAliasFree(services.appservices, params.roomAlias, auth);
  await aliases.removeAlias(services, auth, params.roomAlias);
  return {};
};

export const getLocalAliases: Handler<typeof spec.getLocalAliases> = async (services, { auth, params }) => ({
  aliases: await aliases.aliasesFor(services, auth, params.roomId),
});

export const getRoomVisibilityOnDirectory: Handler<typeof spec.getRoomVisibilityOnDirectory> = async (
  services,
  { params, server },
) => ({ visibility: await directory.visibilityOf(services, server, params.roomId) });

export const setRoomVisibilityOnDirectory: Handler<typeof spec.setRoomVisibilityOnDirectory> = async (
  services,
  { auth, params, body },
) => {
  await directory.setVisibility(services, auth, params.roomId, body.visibility ?? "public");
  return {};
};

export const getPublicRooms: Handler<typeof spec.getPublicRooms> = async (services, { auth, query, server }) => {
  if (isOurs(services, query.server)) return await directory.directoryPage(services, server, query);
  // Only for our users are others asked.
  if (auth === undefined) throw missingToken();
  return await remoteDirectoryPage(services, serverNameOf(auth.user_id), query);
};

export const queryPublicRooms: Handler<typeof spec.queryPublicRooms> = async (services, { auth, query, body }) => {
  const page = isOurs(services, query.server) ? directory.directoryPage : remoteDirectoryPage;
  return await page(services, serverNameOf(auth.user_id), { ...body, since: body.since ?? undefined, server: query.server });
};

const isOurs = ({ servers }: Services, server: string | undefined): boolean => server === undefined || servers.isLocal(server);
