// Synapse's admin API, "Media Admin API".
import type * as spec from "../../../spec/admin/media.js";
import { anyAccountOf } from "../../accounts/administration.js";
import { invalidParam, notFound } from "../../errors.js";
import * as administration from "../../media/administration.js";
import type { RoomId } from "../../protocol/identifiers.js";
import { requireRoom } from "../../rooms/current-state.js";
import { listMediaOfUser, peopleOfMedia, type AdminMedia } from "../../storage/admin-media.js";
import { findMedia, type MediaName } from "../../storage/media.js";
import type { Handler, Request } from "../handler.js";
import type { Services } from "../services.js";

const deleted = (media: readonly MediaName[]) => ({ deleted_media: media.map(({ media_id }) => media_id), total: media.length });

const shown = ({ media_id, media_type, media_length, upload_name, created_ts, last_access_ts, quarantined_by, safe_from_quarantine }: AdminMedia) => ({
  media_id,
  media_type,
  media_length,
  upload_name,
  created_ts,
  last_access_ts,
  quarantined_by,
  safe_from_quarantine,
});

async function page(services: Services, { params, query }: Pick<Request<typeof spec.adminListUserMedia>, "params" | "query">) {
  const { user_nid } = await anyAccountOf(services, params.userId);
  const { from, limit, order_by, dir } = query;
  return await listMediaOfUser(services.database, user_nid, order_by, { from, limit, direction: dir === "f" ? "ASC" : "DESC" });
}

export const adminListUserMedia: Handler<typeof spec.adminListUserMedia> = async (services, request) => {
  const { media, total } = await page(services, request);
  const next = request.query.from + media.length;
  return { media: media.map(shown), total, ...(next < total && media.length > 0 && { next_token: next }) };
};

export const adminDeleteUserMedia: Handler<typeof spec.adminDeleteUserMedia> = async (services, request) => {
  const { media } = await page(services, request);
  for (const { server_name, media_id } of media) await administration.deleteMedia(services, server_name, media_id);
  return deleted(media);
};

async function mediaOfRoom(services: Services, roomId: RoomId): Promise<MediaName[]> {
  return await administration.mediaOfRoom(services, (await requireRoom(services.database, roomId)).nid);
}

export const adminRoomMedia: Handler<typeof spec.adminRoomMedia> = async (services, { params }) => {
  const media = await mediaOfRoom(services, params.roomId);
  const uri = ({ server_name, media_id }: MediaName) => `mxc://${server_name}/${media_id}`;
  return {
    local: media.filter(({ server_name }) => services.servers.isLocal(server_name)).map(uri),
    remote: media.filter(({ server_name }) => !services.servers.isLocal(server_name)).map(uri),
  };
};

export const adminQuarantineRoomMedia: Handler<typeof spec.adminQuarantineRoomMedia> = async (services, { auth, params }) => ({
  num_quarantined: (await administration.quarantine(services, await mediaOfRoom(services, params.roomId), auth.user_nid)).length,
});

export const adminQuarantineUserMedia: Handler<typeof spec.adminQuarantineUserMedia> = async (services, { auth, params }) => {
  const { user_nid } = await anyAccountOf(services, params.userId);
  return { num_quarantined: (await administration.quarantineMediaOfUser(services, user_nid, auth.user_nid)).length };
};

export const adminQuarantineMedia: Handler<typeof spec.adminQuarantineMedia> = async (services, { auth, params }) => {
  const { serverName: server_name, mediaId: media_id } = params;
  if ((await findMedia(services.database, server_name, media_id)) === undefined) throw notFound("There are no such media.");
  await administration.quarantine(services, [{ server_name, media_id }], auth.user_nid);
  return {};
};

export const adminUnquarantineMedia: Handler<typeof spec.adminUnquarantineMedia> = async (services, { params }) => {
  if ((await findMedia(services.database, params.serverName, params.mediaId)) === undefined) throw notFound("There are no such media.");
  await administration.unquarantine(services, params.serverName, params.mediaId);
  return {};
};

export const adminProtectMedia: Handler<typeof spec.adminProtectMedia> = async (services, { params, server }) => {
  await administration.protect(services, server, params.mediaId, true);
  return {};
};

export const adminUnprotectMedia: Handler<typeof spec.adminUnprotectMedia> = async (services, { params, server }) => {
  await administration.protect(services, server, params.mediaId, false);
  return {};
};

export const adminGetMedia: Handler<typeof spec.adminGetMedia> = async ({ database, servers }, { params }) => {
  const found = await findMedia(database, params.serverName, params.mediaId);
  if (found === undefined) throw notFound("There are no such media.");
  const { uploader, quarantined_by } = await peopleOfMedia(database, found.nid);
  return {
    media_info: {
      media_origin: servers.isLocal(params.serverName) ? null : params.serverName,
      user_id: uploader,
      media_id: found.media_id,
      media_type: found.content_type,
      media_length: found.size,
      upload_name: found.file_name,
      created_ts: found.created_ts,
      last_access_ts: found.last_access_ts,
      quarantined_by,
      safe_from_quarantine: found.protected,
    },
  };
};

export const adminDeleteMedia: Handler<typeof spec.adminDeleteMedia> = async (services, { params }) => {
  const { serverName: server_name, mediaId: media_id } = params;
  await administration.deleteMedia(services, server_name, media_id);
  return deleted([{ server_name, media_id }]);
};

export const adminDeleteOldMedia: Handler<typeof spec.adminDeleteOldMedia> = async (services, { params, query, server }) => {
  const serverName = params.serverName ?? server;
  if (!services.servers.isLocal(serverName)) throw invalidParam("This is not the name of this server.");
  return deleted(await administration.deleteByDate(services, serverName, { before: query.before_ts, largerThan: query.size_gt }));
};

export const adminPurgeMediaCache: Handler<typeof spec.adminPurgeMediaCache> = async (services, { query }) => ({
  deleted: (await administration.purgeRemoteMedia(services, query.before_ts)).length,
});
