// Synapse's admin API, "User Admin API".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { RoomId, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";
import { paging, sortDirection } from "../types/paging.js";

const ofUser = Type.Object({ userId: UserId });
const empty = Type.Object({});
const nullable = { type: ["string", "null"] };
const NullableString = Type.Unsafe<string | null>(nullable);
const NullableInteger = Type.Unsafe<number | null>({ type: ["integer", "null"] });
const since = Type.Object({ from_ts: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }) });

const listed = {
  name: UserId,
  is_guest: Type.Boolean(),
  admin: Type.Boolean(),
  user_type: NullableString,
  deactivated: Type.Boolean(),
  erased: Type.Boolean(),
  shadow_banned: Type.Boolean(),
  displayname: NullableString,
  avatar_url: NullableString,
  creation_ts: Type.Integer(),
  last_seen_ts: NullableInteger,
  locked: Type.Boolean(),
  suspended: Type.Boolean(),
  approved: Type.Boolean(),
};

const listing = Type.Object({
  ...paging,
  user_id: Type.Optional(Type.String()),
  name: Type.Optional(Type.String()),
  guests: Type.Boolean({ default: true }),
  admins: Type.Optional(Type.Boolean()),
  deactivated: Type.Optional(Type.Boolean()),
  locked: Type.Boolean({ default: false }),
  not_user_type: Type.Optional(Type.Array(Type.String(), { maxItems: 20 })),
  order_by: Type.Unsafe<
    | "name"
    | "is_guest"
    | "admin"
    | "user_type"
    | "deactivated"
    | "shadow_banned"
    | "displayname"
    | "avatar_url"
    | "creation_ts"
    | "last_seen_ts"
    | "locked"
    | "suspended"
  >({
    enum: [
      "name", "is_guest", "admin", "user_type", "deactivated", "shadow_banned",
      "displayname", "avatar_url", "creation_ts", "last_seen_ts", "locked", "suspended",
    ],
    default: "name",
  }),
  dir: Type.Unsafe<"f" | "b">({ ...sortDirection, default: "f" }),
});
const users = Type.Object({
  users: Type.Array(Type.Object(listed)),
  total: Type.Integer(),
  next_token: Type.Optional(Type.String()),
});

export const adminListUsersV2 = operation({
  operationId: "adminListUsersV2",
  method: "GET",
  paths: ["/_synapse/admin/v2/users"],
  auth: "admin",
  summary: "The accounts; with deactivated=true also those that have ended.",
  query: listing,
  response: users,
});

export const adminListUsers = operation({
  operationId: "adminListUsers",
  method: "GET",
  paths: ["/_synapse/admin/v3/users"],
  auth: "admin",
  summary: "The accounts; deactivated tells whether only those that have ended or only the others.",
  query: listing,
  response: users,
});

const ThreePid = Type.Object({
  medium: Type.String(),
  address: Type.String(),
  added_at: Type.Integer(),
  validated_at: Type.Integer(),
});
const ExternalId = Type.Object({ auth_provider: Type.String({ maxBytes: 255 }), external_id: Type.String({ maxBytes: 1024 }) });
const User = Type.Object({
  ...listed,
  threepids: Type.Array(ThreePid),
  external_ids: Type.Array(ExternalId),
  appservice_id: Type.Null(),
  consent_server_notice_sent: Type.Null(),
  consent_version: Type.Null(),
  consent_ts: Type.Null(),
});

export const adminGetUser = operation({
  operationId: "adminGetUser",
  method: "GET",
  paths: ["/_synapse/admin/v2/users/{userId}"],
  auth: "admin",
  summary: "One account.",
  params: ofUser,
  response: User,
});

export const adminPutUser = operation({
  operationId: "adminPutUser",
  method: "PUT",
  paths: ["/_synapse/admin/v2/users/{userId}"],
  auth: "admin",
  summary: "Makes an account, or changes one. Status 201 tells that it was made.",
  params: ofUser,
  body: Type.Object({
    password: Type.Optional(Type.Unsafe<string | null>({ type: ["string", "null"], maxLength: 512 })),
    logout_devices: Type.Optional(Type.Boolean()),
    displayname: Type.Optional(Type.Unsafe<string | null>({ ...nullable, maxBytes: 1024 })),
    avatar_url: Type.Optional(Type.Unsafe<string | null>({ ...nullable, maxBytes: 1024 })),
    threepids: Type.Optional(
      Type.Array(Type.Object({ medium: Type.String(), address: Type.String({ maxBytes: 500 }) }), { maxItems: 100 }),
    ),
    external_ids: Type.Optional(Type.Array(ExternalId, { maxItems: 100 })),
    admin: Type.Optional(Type.Boolean()),
    deactivated: Type.Optional(Type.Boolean()),
    locked: Type.Optional(Type.Boolean()),
    suspended: Type.Optional(Type.Boolean()),
    user_type: Type.Optional(Type.Unsafe<string | null>({ ...nullable, maxBytes: 255 })),
  }),
  response: User,
});

export const adminDeactivateUser = operation({
  operationId: "adminDeactivateUser",
  method: "POST",
  paths: ["/_synapse/admin/v1/deactivate/{userId}"],
  auth: "admin",
  summary: "Ends an account; with erase also what it said is hidden.",
  params: ofUser,
  body: Type.Object({ erase: Type.Optional(Type.Boolean()) }),
  response: Type.Object({ id_server_unbind_result: Type.String() }),
});

export const adminSuspendUser = operation({
  operationId: "adminSuspendUser",
  method: "PUT",
  paths: ["/_synapse/admin/v1/suspend/{userId}"],
  auth: "admin",
  summary: "Suspends an account, or ends that.",
  params: ofUser,
  body: Type.Object({ suspend: Type.Boolean() }),
  response: JsonObject,
});

export const adminSetValidity = operation({
  operationId: "adminSetValidity",
  method: "POST",
  paths: ["/_synapse/admin/v1/account_validity/validity"],
  auth: "admin",
  summary: "Says until when an account may be used; without a time, for the usual period from now on. No mails are sent about it.",
  body: Type.Object({
    user_id: UserId,
    expiration_ts: Type.Optional(Type.Union([Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), Type.Null()])),
    enable_renewal_emails: Type.Optional(Type.Boolean()),
  }),
  response: Type.Object({ expiration_ts: Type.Integer() }),
});

export const adminResetPassword = operation({
  operationId: "adminResetPassword",
  method: "POST",
  paths: ["/_synapse/admin/v1/reset_password/{userId}"],
  auth: "admin",
  summary: "Gives a user another password.",
  params: ofUser,
  body: Type.Object({ new_password: Type.String({ maxLength: 512 }), logout_devices: Type.Optional(Type.Boolean()) }),
  response: empty,
});

export const adminGetIsAdmin = operation({
  operationId: "adminGetIsAdmin",
  method: "GET",
  paths: ["/_synapse/admin/v1/users/{userId}/admin"],
  auth: "admin",
  summary: "Whether a user is an administrator.",
  params: ofUser,
  response: Type.Object({ admin: Type.Boolean() }),
});

export const adminSetIsAdmin = operation({
  operationId: "adminSetIsAdmin",
  method: "PUT",
  paths: ["/_synapse/admin/v1/users/{userId}/admin"],
  auth: "admin",
  summary: "Makes a user an administrator, or ends that.",
  params: ofUser,
  body: Type.Object({ admin: Type.Boolean() }),
  response: empty,
});

export const adminJoinedRooms = operation({
  operationId: "adminJoinedRooms",
  method: "GET",
  paths: ["/_synapse/admin/v1/users/{userId}/joined_rooms"],
  auth: "admin",
  summary: "The rooms that a user is in.",
  params: ofUser,
  response: Type.Object({ joined_rooms: Type.Array(RoomId), total: Type.Integer() }),
});

export const adminMemberships = operation({
  operationId: "adminMemberships",
  method: "GET",
  paths: ["/_synapse/admin/v1/users/{userId}/memberships"],
  auth: "admin",
  summary: "What a user is in each room.",
  params: ofUser,
  response: Type.Object({ memberships: Type.Record(RoomId, Type.String()) }),
});

export const adminAccountData = operation({
  operationId: "adminAccountData",
  method: "GET",
  paths: ["/_synapse/admin/v1/users/{userId}/accountdata"],
  auth: "admin",
  summary: "What clients keep with an account.",
  params: ofUser,
  response: Type.Object({
    account_data: Type.Object({
      global: Type.Record(Type.String(), JsonObject),
      rooms: Type.Record(RoomId, Type.Record(Type.String(), JsonObject)),
    }),
  }),
});

export const adminPushers = operation({
  operationId: "adminPushers",
  method: "GET",
  paths: ["/_synapse/admin/v1/users/{userId}/pushers"],
  auth: "admin",
  summary: "Where a user is notified.",
  params: ofUser,
  response: Type.Object({ pushers: Type.Array(JsonObject), total: Type.Integer() }),
});

export const adminSentInviteCount = operation({
  operationId: "adminSentInviteCount",
  method: "GET",
  paths: ["/_synapse/admin/v1/users/{userId}/sent_invite_count"],
  auth: "admin",
  summary: "How many invitations a user has sent since a time.",
  params: ofUser,
  query: since,
  response: Type.Object({ invite_count: Type.Integer() }),
});

export const adminCumulativeJoinedRoomCount = operation({
  operationId: "adminCumulativeJoinedRoomCount",
  method: "GET",
  paths: ["/_synapse/admin/v1/users/{userId}/cumulative_joined_room_count"],
  auth: "admin",
  summary: "How many rooms a user has joined since a time, whether they are still there or not.",
  params: ofUser,
  query: since,
  response: Type.Object({ cumulative_joined_room_count: Type.Integer() }),
});

const RateLimitOverride = Type.Object({
  messages_per_second: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
  burst_count: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
});

export const adminGetRateLimit = operation({
  operationId: "adminGetRateLimit",
  method: "GET",
  paths: ["/_synapse/admin/v1/users/{userId}/override_ratelimit"],
  auth: "admin",
  summary: "The rate limit that a user has of their own, if any.",
  params: ofUser,
  response: RateLimitOverride,
});

export const adminSetRateLimit = operation({
  operationId: "adminSetRateLimit",
  method: "POST",
  paths: ["/_synapse/admin/v1/users/{userId}/override_ratelimit"],
  auth: "admin",
  summary: "Gives a user a rate limit of their own; 0 a second is none.",
  params: ofUser,
  body: RateLimitOverride,
  response: RateLimitOverride,
});

export const adminDeleteRateLimit = operation({
  operationId: "adminDeleteRateLimit",
  method: "DELETE",
  paths: ["/_synapse/admin/v1/users/{userId}/override_ratelimit"],
  auth: "admin",
  summary: "Gives a user the rate limit of everybody.",
  params: ofUser,
  response: empty,
});

export const adminShadowBan = operation({
  operationId: "adminShadowBan",
  method: "POST",
  paths: ["/_synapse/admin/v1/users/{userId}/shadow_ban"],
  auth: "admin",
  summary: "Lets nobody hear any more what a user sends, without telling them.",
  params: ofUser,
  response: empty,
});

export const adminLiftShadowBan = operation({
  operationId: "adminLiftShadowBan",
  method: "DELETE",
  paths: ["/_synapse/admin/v1/users/{userId}/shadow_ban"],
  auth: "admin",
  summary: "Lets others hear again what a user sends.",
  params: ofUser,
  response: empty,
});

export const adminLoginAsUser = operation({
  operationId: "adminLoginAsUser",
  method: "POST",
  paths: ["/_synapse/admin/v1/users/{userId}/login"],
  auth: "admin",
  summary: "An access token of a user, for an administrator.",
  params: ofUser,
  body: Type.Object({ valid_until_ms: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })) }),
  response: Type.Object({ access_token: Type.String() }),
});

export const adminAllowCrossSigningReplacement = operation({
  operationId: "adminAllowCrossSigningReplacement",
  method: "POST",
  paths: ["/_synapse/admin/v1/users/{userId}/_allow_cross_signing_replacement_without_uia"],
  auth: "admin",
  summary: "Lets a user replace the cross-signing key for some minutes without authenticating again.",
  params: ofUser,
  response: Type.Object({ updatable_without_uia_before_ms: Type.Integer() }),
});

export const adminUserByExternalId = operation({
  operationId: "adminUserByExternalId",
  method: "GET",
  paths: ["/_synapse/admin/v1/auth_providers/{provider}/users/{externalId}"],
  auth: "admin",
  summary: "The user whom an identity provider knows under an id.",
  params: Type.Object({ provider: Type.String(), externalId: Type.String() }),
  response: Type.Object({ user_id: UserId }),
});

export const adminUserByThreePid = operation({
  operationId: "adminUserByThreePid",
  method: "GET",
  paths: ["/_synapse/admin/v1/threepid/{medium}/users/{address}"],
  auth: "admin",
  summary: "The user who has an address.",
  params: Type.Object({ medium: Type.String(), address: Type.String() }),
  response: Type.Object({ user_id: UserId }),
});

export const adminUsernameAvailable = operation({
  operationId: "adminUsernameAvailable",
  method: "GET",
  paths: ["/_synapse/admin/v1/username_available"],
  auth: "admin",
  summary: "Whether a user name is free, also where nobody may register.",
  query: Type.Object({ username: Type.String() }),
  response: Type.Object({ available: Type.Boolean() }),
});
