// Synapse's admin API, "Media Admin API".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { RoomId, ServerName, UserId } from "../types/identifiers.js";
import { paging, sortDirection } from "../types/paging.js";

const V1 = "/_synapse/admin/v1";
const empty = Type.Object({});
const ofUser = Type.Object({ userId: UserId });
const ofRoom = Type.Object({ roomId: RoomId });
const ofMedia = Type.Object({ serverName: ServerName, mediaId: Type.String() });
const ofOwnMedia = Type.Object({ mediaId: Type.String() });
const time = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const NullableString = Type.Unsafe<string | null>({ type: ["string", "null"] });
const NullableInteger = Type.Unsafe<number | null>({ type: ["integer", "null"] });
const Deleted = Type.Object({ deleted_media: Type.Array(Type.String()), total: Type.Integer() });
const Quarantined = Type.Object({ num_quarantined: Type.Integer() });

const userMedia = {
  ...paging,
  order_by: Type.Unsafe<"media_id" | "upload_name" | "created_ts" | "last_access_ts" | "media_length" | "media_type" | "quarantined_by" | "safe_from_quarantine">({
    enum: ["media_id", "upload_name", "created_ts", "last_access_ts", "media_length", "media_type", "quarantined_by", "safe_from_quarantine"],
    default: "created_ts",
  }),
  dir: Type.Unsafe<"f" | "b">({ ...sortDirection, default: "b" }),
};

const Media = {
  media_id: Type.String(),
  media_type: NullableString,
  media_length: NullableInteger,
  upload_name: NullableString,
  created_ts: Type.Integer(),
  last_access_ts: NullableInteger,
  quarantined_by: NullableString,
  safe_from_quarantine: Type.Boolean(),
};

export const adminListUserMedia = operation({
  operationId: "adminListUserMedia",
  method: "GET",
  paths: [`${V1}/users/{userId}/media`],
  auth: "admin",
  summary: "What a user has uploaded.",
  params: ofUser,
  query: Type.Object(userMedia),
  response: Type.Object({ media: Type.Array(Type.Object(Media)), total: Type.Integer(), next_token: Type.Optional(Type.Integer()) }),
});

export const adminDeleteUserMedia = operation({
  operationId: "adminDeleteUserMedia",
  method: "DELETE",
  paths: [`${V1}/users/{userId}/media`],
  auth: "admin",
  summary: "Deletes a page of what a user has uploaded.",
  params: ofUser,
  query: Type.Object(userMedia),
  response: Deleted,
});

export const adminRoomMedia = operation({
  operationId: "adminRoomMedia",
  method: "GET",
  paths: [`${V1}/room/{roomId}/media`],
  auth: "admin",
  summary: "The media that a room's events speak of in the clear.",
  params: ofRoom,
  response: Type.Object({ local: Type.Array(Type.String()), remote: Type.Array(Type.String()) }),
});

export const adminQuarantineRoomMedia = operation({
  operationId: "adminQuarantineRoomMedia",
  method: "POST",
  paths: [`${V1}/room/{roomId}/media/quarantine`, `${V1}/quarantine_media/{roomId}`],
  auth: "admin",
  summary: "Takes all media of a room out of circulation.",
  params: ofRoom,
  response: Quarantined,
});

export const adminQuarantineUserMedia = operation({
  operationId: "adminQuarantineUserMedia",
  method: "POST",
  paths: [`${V1}/user/{userId}/media/quarantine`],
  auth: "admin",
  summary: "Takes all that a user has uploaded out of circulation.",
  params: ofUser,
  response: Quarantined,
});

export const adminQuarantineMedia = operation({
  operationId: "adminQuarantineMedia",
  method: "POST",
  paths: [`${V1}/media/quarantine/{serverName}/{mediaId}`],
  auth: "admin",
  summary: "Takes media out of circulation.",
  params: ofMedia,
  response: empty,
});

export const adminUnquarantineMedia = operation({
  operationId: "adminUnquarantineMedia",
  method: "POST",
  paths: [`${V1}/media/unquarantine/{serverName}/{mediaId}`],
  auth: "admin",
  summary: "Puts media back into circulation.",
  params: ofMedia,
  response: empty,
});

export const adminProtectMedia = operation({
  operationId: "adminProtectMedia",
  method: "POST",
  paths: [`${V1}/media/protect/{mediaId}`],
  auth: "admin",
  summary: "Keeps media from being quarantined.",
  params: ofOwnMedia,
  response: empty,
});

export const adminUnprotectMedia = operation({
  operationId: "adminUnprotectMedia",
  method: "POST",
  paths: [`${V1}/media/unprotect/{mediaId}`],
  auth: "admin",
  summary: "Lets media be quarantined again.",
  params: ofOwnMedia,
  response: empty,
});

export const adminGetMedia = operation({
  operationId: "adminGetMedia",
  method: "GET",
  paths: [`${V1}/media/{serverName}/{mediaId}`],
  auth: "admin",
  summary: "What is known of media.",
  params: ofMedia,
  response: Type.Object({
    media_info: Type.Object({
      media_origin: NullableString,
      user_id: NullableString,
      ...Media,
    }),
  }),
});

export const adminDeleteMedia = operation({
  operationId: "adminDeleteMedia",
  method: "DELETE",
  paths: [`${V1}/media/{serverName}/{mediaId}`],
  auth: "admin",
  summary: "Deletes media for good.",
  params: ofMedia,
  response: Deleted,
});

export const adminDeleteOldMedia = operation({
  operationId: "adminDeleteOldMedia",
  method: "POST",
  paths: [`${V1}/media/delete`, `${V1}/media/{serverName}/delete`],
  auth: "admin",
  summary: "Deletes uploads that nobody has asked for since a time.",
  params: Type.Object({ serverName: Type.Optional(ServerName) }),
  query: Type.Object({ before_ts: time, size_gt: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }) }),
  response: Deleted,
});

export const adminPurgeMediaCache = operation({
  operationId: "adminPurgeMediaCache",
  method: "POST",
  paths: [`${V1}/purge_media_cache`],
  auth: "admin",
  summary: "Deletes copies of other servers' media that nobody has asked for since a time.",
  query: Type.Object({ before_ts: time }),
  response: Type.Object({ deleted: Type.Integer() }),
});
