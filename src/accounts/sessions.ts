// Sessions: a device with its access token, opened by logging in and ended by logging out (client-server API, "Login",
// "Refreshing access tokens", "Logout").
import { randomInt } from "node:crypto";
import { unknownToken, userLocked } from "../errors.js";
import type { DeviceId } from "../protocol/identifiers.js";
import {
  deleteTokensOfDevice,
  deleteUnusedReplacements,
  insertToken,
  lockRefreshToken,
  noteFirstUse,
  type OauthGrant,
} from "../storage/access-tokens.js";
import { keptAccountData, NO_ROOM, setAccountData } from "../storage/account-data.js";
import type { Tx } from "../storage/database.js";
import { forgetDeviceSignatures } from "../storage/cross-signing.js";
import { deleteMessagesOfDevices } from "../storage/to-device.js";
import { deleteAllDevices, deleteDevices, deleteUnusedDevices, type DeviceKey } from "../storage/devices.js";
import { newToken, tokenDigest } from "./access-tokens.js";
import { appendToLog, type AccountContext } from "./context.js";
import { devicesChanged } from "./device-lists.js";
import { makeDevice } from "./new-device.js";

/** The tokens as the client gets them. */
export interface Tokens {
  readonly access_token: string;
  readonly refresh_token?: string;
  readonly expires_in_ms?: number;
}

export interface SessionRequest {
  readonly user_nid: number;
  readonly device_id: DeviceId | undefined;
  readonly display_name: string | undefined;
  /** Network address of the client, unless it is opened for somebody else. */
  readonly address: string | undefined;
  /** The client can refresh its token: it gets one that expires. */
  readonly refresh: boolean;
  /** The account was made just now: nobody follows its devices yet. */
  readonly first?: boolean;
  /** It is opened for a client of the OAuth 2.0 API. */
  readonly oauth?: OauthGrant;
}

/** Account data that belongs to one device and goes with it (MSC3890). */
const LOCAL_NOTIFICATION_SETTINGS = "org.matrix.msc3890.local_notification_settings";

const DEVICE_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

function newDeviceId(): DeviceId {
  const letters = Array.from({ length: 10 }, () => DEVICE_ID_LETTERS[randomInt(DEVICE_ID_LETTERS.length)]);
  return letters.join("") as DeviceId;
}

/** Opens a session. A session that the device had ends. Throws M_FORBIDDEN for a device named after one of the user's own keys. */
export async function openSession(
  context: AccountContext,
  tx: Tx,
  request: SessionRequest,
): Promise<Tokens & { readonly device_id: DeviceId }> {
  const { user_nid, display_name, address: ip } = request;
  const device_id = request.device_id ?? newDeviceId();
  const [isNew, hadTokens] = await Promise.all([
    makeDevice(tx, { user_nid, device_id, display_name, created_ts: context.clock.now(), ip }),
    request.device_id !== undefined && deleteTokensOfDevice(tx, user_nid, device_id),
  ]);
  if (hadTokens) tokensChanged(context, tx, user_nid, device_id);
  // Other servers are told of new devices, also of those that have no keys yet ("Device Management").
  if (isNew && request.first !== true) devicesChanged(context, tx, [{ user_nid, device_id }]);
  return { device_id, ...(await giveTokens(context, tx, { ...request, device_id })) };
}

async function giveTokens(
  { clock, config }: AccountContext,
  tx: Tx,
  { user_nid, device_id, refresh, oauth }: Pick<SessionRequest, "user_nid" | "refresh"> & { readonly device_id: DeviceId; readonly oauth?: OauthGrant | undefined },
  replaces?: number,
): Promise<Tokens> {
  const access_token = newToken("access");
  const refresh_token = refresh ? newToken("refresh") : undefined;
  const expires_in_ms = refresh ? config.tokens.access_lifetime * 1000 : undefined;
  await insertToken(tx, {
    access_digest: tokenDigest(access_token),
    refresh_digest: refresh_token === undefined ? undefined : tokenDigest(refresh_token),
    user_nid,
    device_id,
    expires_ts: expires_in_ms === undefined ? undefined : clock.now() + expires_in_ms,
    refresh_expires_ts: refresh ? clock.now() + config.tokens.refresh_lifetime * 1000 : undefined,
    ...(replaces !== undefined && { replaces }),
    oauth,
  });
  return {
    access_token,
    ...(refresh_token !== undefined && { refresh_token }),
    ...(expires_in_ms !== undefined && { expires_in_ms }),
  };
}

/**
 * New tokens for a refresh token. The old ones stay valid until one of the new is used, so that a lost answer costs
 * nothing; asking again meanwhile voids what was given before. Clients of the OAuth 2.0 API have to be those the token was
 * given to. Throws M_UNKNOWN_TOKEN, M_USER_LOCKED.
 */
export function refreshSession(context: AccountContext, refreshToken: string, clientId?: string): Promise<Tokens & { readonly scope?: string }> {
  return context.database.transaction(async (tx) => {
    const pair = await lockRefreshToken(tx, tokenDigest(refreshToken));
    if (pair === undefined || pair.expires_ts <= context.clock.now() || pair.oauth?.client_id !== clientId) {
      throw unknownToken("This refresh token is not known or has been used: log in again.");
    }
    if (pair.locked) throw userLocked();
    const { nid, user_nid, device_id, replaces, oauth } = pair;
    if (replaces !== undefined) await noteFirstUse(tx, nid, replaces);
    await deleteUnusedReplacements(tx, nid);
    tokensChanged(context, tx, user_nid, device_id);
    const tokens = await giveTokens(context, tx, { user_nid, device_id, refresh: true, oauth }, nid);
    return { ...tokens, ...(oauth !== undefined && { scope: oauth.scope }) };
  });
}

/** Deletes devices and with them their sessions. */
export function endSessions(context: AccountContext, userNid: number, devices: readonly DeviceId[]): Promise<void> {
  return context.database.transaction(async (tx) => {
    await devicesDeleted(context, tx, await deleteDevices(tx, userNid, devices));
  });
}

/** Deletes all devices of a user, but one if given, and with them their sessions; gives how many those were. */
export async function endAllSessions(
  context: AccountContext,
  tx: Tx,
  userNid: number,
  except?: DeviceId,
): Promise<number> {
  const devices = await deleteAllDevices(tx, userNid, except);
  await devicesDeleted(context, tx, devices);
  return devices.length;
}

/** Deletes the devices that have not been used since a time, at most so many; gives how many those were. */
export async function endUnusedSessions(context: AccountContext, since: number, most: number): Promise<number> {
  return await context.database.transaction(async (tx) => {
    const devices = await deleteUnusedDevices(tx, since, most);
    await devicesDeleted(context, tx, devices);
    return devices.length;
  });
}

async function devicesDeleted(context: AccountContext, tx: Tx, devices: readonly DeviceKey[]): Promise<void> {
  if (devices.length === 0) return;
  deleteMessagesOfDevices(tx, devices);
  const settings = await keptAccountData(
    tx,
    devices.map(({ user_nid, device_id }) => ({ user_nid, type: `${LOCAL_NOTIFICATION_SETTINGS}.${device_id}` })),
  );
  for (const { user_nid, type } of settings) setAccountData(tx, user_nid, NO_ROOM, type, "{}");
  appendToLog(context, tx, settings.map(({ user_nid }) => ({ kind: "account_data", user_nid }) as const));
  await forgetDeviceSignatures(tx, devices);
  devicesChanged(context, tx, devices);
  for (const { user_nid, device_id } of devices) tokensChanged(context, tx, user_nid, device_id);
}

/** Tells every process, this one at once, that tokens of a device are no longer what they were. */
export function tokensChanged(context: AccountContext, tx: Tx, user_nid: number, device?: DeviceId): void {
  appendToLog(context, tx, [{ kind: "invalidation", user_nid, ...(device !== undefined && { device }) }]);
  tx.afterCommit(() => context.tokens.forget(user_nid, device));
}
