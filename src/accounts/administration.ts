// What administrators do with the accounts of others (Synapse's admin API, "User Admin API").
import { forbidden, invalidParam, invalidUsername, notFound, threepidInUse, unknownError, type MatrixError } from "../errors.js";
import { isCompliantUserId, serverNameOf, type DeviceId, type UserId } from "../protocol/identifiers.js";
import { canonicalAddress } from "../protocol/third-party-ids.js";
import { insertToken } from "../storage/access-tokens.js";
import { findAccount, setAdmin, type Account } from "../storage/accounts.js";
import {
  externalIdsOf,
  listUsers,
  ownerOfExternalId,
  setExternalIds,
  setRateLimit,
  setShadowBanned,
  setUserType,
  type AdminUser,
  type ExternalId,
  type RateLimitOverride,
} from "../storage/admin-users.js";
import { ensureDevice } from "../storage/devices.js";
import { addThirdPartyId, deleteThirdPartyId, listThirdPartyIds, ownerOfThirdPartyId, type AddedId } from "../storage/third-party-ids.js";
import { newToken, tokenDigest } from "./access-tokens.js";
import { changePassword, deactivate, reactivate } from "./account.js";
import type { AccountContext } from "./context.js";
import { devicesChanged } from "./device-lists.js";
import { restrict } from "./moderation.js";
import { changeProfileField } from "./profiles.js";
import { create } from "./registration.js";
import { tokensChanged } from "./sessions.js";

/** An account with all that an administrator is shown of it. */
export interface UserDetails extends AdminUser {
  readonly threepids: readonly AddedId[];
  readonly external_ids: readonly ExternalId[];
}

const taken = (): MatrixError => unknownError(409, "Another user has one of these external ids.");

/** What an administrator wants of an account; what is absent stays as it is. */
export interface UserChange {
  readonly password?: string | null;
  readonly logout_devices?: boolean;
  readonly displayname?: string | null;
  readonly avatar_url?: string | null;
  readonly threepids?: readonly { readonly medium: string; readonly address: string }[];
  readonly external_ids?: readonly ExternalId[];
  readonly admin?: boolean;
  readonly deactivated?: boolean;
  readonly locked?: boolean;
  readonly suspended?: boolean;
  readonly user_type?: string | null;
}

/** An account of ours, ended ones too. Throws M_INVALID_PARAM for users of other servers, M_NOT_FOUND. */
export async function anyAccountOf({ database, servers }: AccountContext, userId: UserId): Promise<Account> {
  if (!servers.isLocal(serverNameOf(userId))) throw invalidParam("This is not a user of this server.");
  const account = await findAccount(database, userId);
  if (account === undefined) throw notFound("There is no account of this user.");
  return account;
}

/** All that an administrator is shown of an account. Throws as `anyAccountOf`. */
export async function userDetails(context: AccountContext, userId: UserId): Promise<UserDetails> {
  const { user_nid } = await anyAccountOf(context, userId);
  return await context.database.snapshot(async (reads) => {
    const filter = { user_nid, guests: true, locked: true };
    const [{ users }, threepids, external_ids] = await Promise.all([
      listUsers(reads, filter, "name", "ASC", { from: 0, limit: 1 }),
      listThirdPartyIds(context.database, user_nid),
      externalIdsOf(reads, user_nid),
    ]);
    const [user] = users;
    if (user === undefined) throw notFound("There is no account of this user.");
    return { ...user, threepids, external_ids };
  });
}

/**
 * Makes an account or changes one; true if it was made. Throws M_INVALID_PARAM, M_WEAK_PASSWORD, M_THREEPID_IN_USE, M_FORBIDDEN
 * for administrators who would lock themselves out.
 */
export async function putUser(context: AccountContext, admin: UserId, userId: UserId, change: UserChange): Promise<boolean> {
  const server = serverNameOf(userId);
  if (!context.servers.isLocal(server)) throw invalidParam("This is not a user of this server.");
  const before = await findAccount(context.database, userId);
  if (typeof change.password === "string") context.passwords.requireAcceptable(change.password);
  if (userId === admin) requireNotOneself(change);
  if (before?.deactivated === true && change.deactivated === false && typeof change.password !== "string") {
    throw invalidParam("An account that has ended needs a new password.");
  }
  const threepids = change.threepids?.map(({ medium, address }) => {
    const id = canonicalAddress(medium, address);
    if (id === undefined) throw invalidParam(`${address} is no ${medium}.`);
    return id;
  });
  for (const id of threepids ?? []) {
    const owner = await ownerOfThirdPartyId(context.database, server, id);
    if (owner !== undefined && owner !== userId) throw threepidInUse();
  }
  for (const id of change.external_ids ?? []) {
    const owner = await ownerOfExternalId(context.database, server, id);
    if (owner !== undefined && owner !== userId) throw taken();
  }
  if (before === undefined) {
    if (!isCompliantUserId(userId)) throw invalidUsername("A user name has letters a to z, digits and . _ = - / +.");
    await create(context, { user_id: userId, password: change.password ?? undefined, is_admin: change.admin === true });
  }
  const account = await anyAccountOf(context, userId);
  const { user_nid } = account;
  if (before !== undefined) await changeAccess(context, account, change);
  await context.database.transaction(async (tx) => {
    if (change.user_type !== undefined) await setUserType(tx, user_nid, change.user_type);
    const ids = change.external_ids;
    if (ids !== undefined && !(await setExternalIds(tx, { user_nid, server }, ids))) {
      throw taken();
    }
    if (threepids === undefined) return;
    const now = context.clock.now();
    const kept = await listThirdPartyIds(context.database, user_nid);
    for (const old of kept) {
      if (!threepids.some(({ medium, address }) => medium === old.medium && address === old.address)) await deleteThirdPartyId(tx, user_nid, old);
    }
    for (const id of threepids) {
      if (!(await addThirdPartyId(tx, { user_nid, server }, { ...id, validated_at: now, added_at: now }))) throw threepidInUse();
    }
  });
  for (const name of ["displayname", "avatar_url"] as const) {
    const value = change[name];
    if (value !== undefined) await changeProfileField(context, account, name, { [name]: value });
  }
  for (const restriction of ["locked", "suspended"] as const) {
    const on = change[restriction];
    if (on !== undefined && on !== account[restriction]) await restrict(context, account, restriction, on);
  }
  if (change.deactivated === true && !account.deactivated) await deactivate(context, user_nid, false);
  return before === undefined;
}

function requireNotOneself(change: UserChange): void {
  if (change.admin === false) throw forbidden("You cannot end your own administration: ask another administrator.");
  if (change.deactivated === true || change.locked === true || change.suspended === true) {
    throw forbidden("You cannot do this to your own account.");
  }
}

/** Password, administration, and the return of an account that has ended. */
async function changeAccess(context: AccountContext, account: Account, change: UserChange): Promise<void> {
  const { user_nid } = account;
  const { password, admin, deactivated, logout_devices = true } = change;
  if (typeof password === "string") {
    if (account.deactivated && deactivated === false) await reactivate(context, user_nid, password);
    else await changePassword(context, user_nid, password, { logout_devices });
  }
  if (admin !== undefined && admin !== account.is_admin) await makeAdmin(context, account, admin);
}

/** Makes a user an administrator, or ends that. */
export async function makeAdmin(context: AccountContext, { user_nid }: Account, admin: boolean): Promise<void> {
  await context.database.transaction(async (tx) => {
    await setAdmin(tx, user_nid, admin);
    tokensChanged(context, tx, user_nid);
  });
}

/** Gives a user a rate limit of their own, or with `undefined` that of everybody. Every process hears of it. */
export async function overrideRateLimit(context: AccountContext, { user_nid }: Account, limit: RateLimitOverride | undefined): Promise<void> {
  await context.database.transaction(async (tx) => {
    await setRateLimit(tx, user_nid, limit);
    tokensChanged(context, tx, user_nid);
  });
}

/** Lets nobody hear what a user sends, or again everybody. Every process hears of it. */
export async function shadowBan(context: AccountContext, { user_nid }: Account, banned: boolean): Promise<void> {
  await context.database.transaction(async (tx) => {
    await setShadowBanned(tx, user_nid, banned);
    tokensChanged(context, tx, user_nid);
  });
}

/** The device that administrators' tokens for a user belong to: the user sees it, and can end it. */
const ADMINISTRATOR_DEVICE = "ADMINISTRATOR" as DeviceId;

/** An access token of a user for an administrator. Throws M_FORBIDDEN for oneself, M_INVALID_PARAM for a time that has passed. */
export async function loginAsUser(
  context: AccountContext,
  admin: UserId,
  { user_id, user_nid }: Account,
  validUntil: number | undefined,
): Promise<string> {
  const { clock, database } = context;
  if (user_id === admin) throw forbidden("You are logged in as this user.");
  const now = clock.now();
  if (validUntil !== undefined && validUntil <= now) throw invalidParam('"valid_until_ms" must be in the future.');
  const access_token = newToken("access");
  await database.transaction(async (tx) => {
    const device_id = ADMINISTRATOR_DEVICE;
    const made = await ensureDevice(tx, { user_nid, device_id, display_name: "An administrator of the server", created_ts: now, ip: undefined });
    if (made) devicesChanged(context, tx, [{ user_nid, device_id }]);
    await insertToken(tx, {
      access_digest: tokenDigest(access_token),
      refresh_digest: undefined,
      user_nid,
      device_id,
      expires_ts: validUntil,
      refresh_expires_ts: undefined,
    });
  });
  return access_token;
}
