// Synapse's admin API, "User Admin API".
import type * as spec from "../../../spec/admin/users.js";
import { changePassword, deactivate } from "../../accounts/account.js";
import {
  anyAccountOf,
  loginAsUser,
  makeAdmin,
  overrideRateLimit,
  shadowBan,
  putUser,
  userDetails,
  type UserDetails,
} from "../../accounts/administration.js";
import { renew, restrict, restrictableAccount } from "../../accounts/moderation.js";
import { requireAvailable } from "../../accounts/registration.js";
import { forbidden, notFound } from "../../errors.js";
import { parseRoomId, type UserId } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import { canonicalAddress } from "../../protocol/third-party-ids.js";
import { joinedRooms } from "../../rooms/membership/membership.js";
import {
  allAccountData,
  countRoomsJoinedSince,
  countSentInvites,
  listUsers,
  ownerOfExternalId,
  rateLimitOf,
  type AdminUser,
  type UserFilter,
} from "../../storage/admin-users.js";
import { membershipsOfUser } from "../../storage/memberships.js";
import { pushersOfUser } from "../../storage/pushers.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import { ownerOfThirdPartyId } from "../../storage/third-party-ids.js";
import { Reply, type Handler, type Request } from "../handler.js";
import type { Services } from "../services.js";

type Listing = typeof spec.adminListUsers;

function shown(user: AdminUser) {
  return {
    name: user.user_id,
    is_guest: user.is_guest,
    admin: user.is_admin,
    user_type: user.user_type,
    deactivated: user.deactivated,
    erased: user.erased,
    shadow_banned: user.shadow_banned,
    displayname: user.displayname,
    avatar_url: user.avatar_url,
    creation_ts: user.created_ts,
    last_seen_ts: user.last_seen_ts,
    locked: user.locked,
    suspended: user.suspended,
    approved: true,
  };
}

async function list({ database }: Services, query: Request<Listing>["query"], deactivated: boolean | undefined) {
  const { from, limit, order_by, dir } = query;
  const filter: UserFilter = { ...query, deactivated };
  const { users, total } = await database.snapshot((reads) =>
    listUsers(reads, filter, order_by, dir === "b" ? "DESC" : "ASC", { from, limit }),
  );
  const next = from + users.length;
  return { users: users.map(shown), total, ...(next < total && users.length > 0 && { next_token: String(next) }) };
}

export const adminListUsers: Handler<typeof spec.adminListUsers> = (services, { query }) => list(services, query, query.deactivated);

export const adminListUsersV2: Handler<typeof spec.adminListUsersV2> = (services, { query }) =>
  list(services, query, query.deactivated === true ? undefined : false);

function shownInFull(user: UserDetails) {
  return {
    ...shown(user),
    // Here, unlike in the list, it is seconds.
    creation_ts: Math.floor(user.created_ts / 1000),
    threepids: user.threepids.map(({ medium, address, added_at, validated_at }) => ({ medium, address, added_at, validated_at })),
    external_ids: [...user.external_ids],
    appservice_id: null,
    consent_server_notice_sent: null,
    consent_version: null,
    consent_ts: null,
  };
}

export const adminGetUser: Handler<typeof spec.adminGetUser> = async (services, { params }) =>
  shownInFull(await userDetails(services, params.userId));

export const adminPutUser: Handler<typeof spec.adminPutUser> = async (services, { auth, params, body }) => {
  const made = await putUser(services, auth.user_id, params.userId, body);
  return new Reply(made ? 201 : 200, JSON.stringify(shownInFull(await userDetails(services, params.userId))));
};

export const adminDeactivateUser: Handler<typeof spec.adminDeactivateUser> = async (services, { auth, params, body }) => {
  const account = await anyAccountOf(services, params.userId);
  if (account.user_id === auth.user_id) throw forbidden("You cannot do this to your own account.");
  await deactivate(services, account.user_nid, body.erase === true);
  return { id_server_unbind_result: "success" };
};

export const adminSuspendUser: Handler<typeof spec.adminSuspendUser> = async (services, { auth, params, body }) => {
  const account = await restrictableAccount(services, auth.user_id, params.userId);
  await restrict(services, account, "suspended", body.suspend);
  return { [`user_${params.userId}_suspended`]: body.suspend };
};

export const adminSetValidity: Handler<typeof spec.adminSetValidity> = async (services, { auth, body }) => {
  const account = await restrictableAccount(services, auth.user_id, body.user_id);
  return { expiration_ts: await renew(services, account, body.expiration_ts) };
};

export const adminResetPassword: Handler<typeof spec.adminResetPassword> = async (services, { params, body }) => {
  const { user_nid } = await anyAccountOf(services, params.userId);
  services.passwords.requireAcceptable(body.new_password);
  await changePassword(services, user_nid, body.new_password, { logout_devices: body.logout_devices !== false });
  return {};
};

export const adminGetIsAdmin: Handler<typeof spec.adminGetIsAdmin> = async (services, { params }) => ({
  admin: (await anyAccountOf(services, params.userId)).is_admin,
});

export const adminSetIsAdmin: Handler<typeof spec.adminSetIsAdmin> = async (services, { auth, params, body }) => {
  const account = await anyAccountOf(services, params.userId);
  if (account.user_id === auth.user_id && !body.admin) throw forbidden("You cannot end your own administration: ask another administrator.");
  await makeAdmin(services, account, body.admin);
  return {};
};

/** The number of a user, whom for these questions this server need only have heard of. Throws M_NOT_FOUND. */
async function knownUser({ interning }: Services, userId: UserId): Promise<number> {
  const nid = (await interning.findUsers([userId])).get(userId);
  if (nid === undefined) throw notFound("This user is not known here.");
  return nid;
}

export const adminJoinedRooms: Handler<typeof spec.adminJoinedRooms> = async (services, { params }) => {
  const { user_id, user_nid } = await anyAccountOf(services, params.userId);
  const rooms = await joinedRooms(services, { user_id, user_nid, device_id: undefined, is_guest: false, is_admin: false });
  return { joined_rooms: rooms, total: rooms.length };
};

const MEMBERSHIP_NAMES = new Map<number, string>(Object.entries(MEMBERSHIPS).map(([name, number]) => [number, name]));

export const adminMemberships: Handler<typeof spec.adminMemberships> = async (services, { params }) => {
  const entries = await membershipsOfUser(services.database, await knownUser(services, params.userId));
  return { memberships: Object.fromEntries(entries.map(({ room_id, membership }) => [room_id, MEMBERSHIP_NAMES.get(membership) ?? "leave"])) };
};

export const adminAccountData: Handler<typeof spec.adminAccountData> = async (services, { params }) => {
  const { user_nid } = await anyAccountOf(services, params.userId);
  const global: [type: string, content: JsonObject][] = [];
  const rooms = new Map<string, [type: string, content: JsonObject][]>();
  for (const { room_id, type, content } of await allAccountData(services.database, user_nid)) {
    const parsed = JSON.parse(content) as JsonObject;
    const found = room_id === undefined ? global : (rooms.get(room_id) ?? []);
    if (room_id !== undefined && parseRoomId(room_id) !== undefined) rooms.set(room_id, found);
    found.push([type, parsed]);
  }
  const ofRooms = [...rooms].map(([room, data]) => [room, Object.fromEntries(data)] as const);
  return { account_data: { global: Object.fromEntries(global), rooms: Object.fromEntries(ofRooms) } };
};

export const adminPushers: Handler<typeof spec.adminPushers> = async (services, { params }) => {
  const { user_nid } = await anyAccountOf(services, params.userId);
  const pushers = (await pushersOfUser(services.database, user_nid)).map((pusher) => ({
    app_id: pusher.app_id,
    pushkey: pusher.pushkey,
    kind: pusher.kind,
    app_display_name: pusher.app_display_name,
    device_display_name: pusher.device_display_name,
    profile_tag: pusher.profile_tag ?? "",
    lang: pusher.lang,
    data: pusher.data,
  }));
  return { pushers, total: pushers.length };
};

export const adminSentInviteCount: Handler<typeof spec.adminSentInviteCount> = async (services, { params, query }) => ({
  invite_count: await countSentInvites(services.database, await knownUser(services, params.userId), query.from_ts),
});

export const adminCumulativeJoinedRoomCount: Handler<typeof spec.adminCumulativeJoinedRoomCount> = async (services, { params, query }) => ({
  cumulative_joined_room_count: await countRoomsJoinedSince(services.database, await knownUser(services, params.userId), query.from_ts),
});

export const adminGetRateLimit: Handler<typeof spec.adminGetRateLimit> = async (services, { params }) => {
  const { user_nid } = await anyAccountOf(services, params.userId);
  return (await rateLimitOf(services.database, user_nid)) ?? {};
};

export const adminSetRateLimit: Handler<typeof spec.adminSetRateLimit> = async (services, { params, body }) => {
  const limit = { messages_per_second: body.messages_per_second ?? 0, burst_count: body.burst_count ?? 0 };
  await overrideRateLimit(services, await anyAccountOf(services, params.userId), limit);
  return limit;
};

export const adminDeleteRateLimit: Handler<typeof spec.adminDeleteRateLimit> = async (services, { params }) => {
  await overrideRateLimit(services, await anyAccountOf(services, params.userId), undefined);
  return {};
};

export const adminShadowBan: Handler<typeof spec.adminShadowBan> = async (services, { params }) => {
  await shadowBan(services, await anyAccountOf(services, params.userId), true);
  return {};
};

export const adminLiftShadowBan: Handler<typeof spec.adminLiftShadowBan> = async (services, { params }) => {
  await shadowBan(services, await anyAccountOf(services, params.userId), false);
  return {};
};

export const adminLoginAsUser: Handler<typeof spec.adminLoginAsUser> = async (services, { auth, params, body }) => {
  const account = await anyAccountOf(services, params.userId);
  if (account.deactivated) throw notFound("This account has ended.");
  return { access_token: await loginAsUser(services, auth.user_id, account, body.valid_until_ms) };
};

export const adminAllowCrossSigningReplacement: Handler<typeof spec.adminAllowCrossSigningReplacement> = async (services, { params }) => {
  await anyAccountOf(services, params.userId);
  throw notFound("This user has no cross-signing key.");
};

export const adminUserByExternalId: Handler<typeof spec.adminUserByExternalId> = async (services, { params, server }) => {
  const id = { auth_provider: params.provider, external_id: params.externalId };
  const user_id = await ownerOfExternalId(services.database, server, id);
  if (user_id === undefined) throw notFound("Nobody is known under this id.");
  return { user_id };
};

export const adminUserByThreePid: Handler<typeof spec.adminUserByThreePid> = async (services, { params, server }) => {
  const id = canonicalAddress(params.medium, params.address);
  const user_id = id && (await ownerOfThirdPartyId(services.database, server, id));
  if (user_id === undefined) throw notFound("Nobody has this address.");
  return { user_id };
};

export const adminUsernameAvailable: Handler<typeof spec.adminUsernameAvailable> = async (services, { query, server }) => {
  await requireAvailable(services, query.username, server);
  return { available: true };
};
