// What application services do with their `as_token`: act as their users, and keep names from others (application service
// API, "Identity assertion" and "Server admin style permissions").
import { requireUsable } from "../accounts/usable.js";
import type { Requester } from "../accounts/requester.js";
import type { Clock } from "../clock.js";
import { exclusive, forbidden, invalidParam, MatrixError, missingToken, unknownToken, userDeactivated } from "../errors.js";
import { parseDeviceId, parseUserId, type RoomAlias, serverNameOf, type UserId } from "../protocol/identifiers.js";
import { type Account, createAccount, findAccount } from "../storage/accounts.js";
import type { Database } from "../storage/database.js";
import { findDevice } from "../storage/devices.js";
import { type AppService, type AppServices, coversAlias, coversUser, keepsAlias, keepsUser } from "./registration.js";

/** As whom an application service says it acts: query parameters as they came. */
export interface Asserted {
  readonly user_id: unknown;
  readonly device_id: unknown;
}

/**
 * Who calls with the token of an application service: one of its users, itself if it names none. Throws M_FORBIDDEN for
 * users that are not its own or not registered, M_INVALID_PARAM, M_UNKNOWN_DEVICE, M_USER_DEACTIVATED.
 */
export async function actingUser(database: Database, appservice: AppService, asserted: Asserted): Promise<Requester> {
  const user_id = asserted.user_id === undefined ? appservice.sender : parseUserId(asserted.user_id);
  if (user_id === undefined) throw invalidParam('"user_id" is no user id.');
  if (!coversUser(appservice, user_id)) throw forbidden(`${user_id} is not in the namespaces of this application service.`);
  const account = await findAccount(database, user_id);
  if (account === undefined) throw forbidden(`${user_id} is not registered: register the user first.`);
  if (account.deactivated) throw userDeactivated();
  const { user_nid, is_admin, locked, suspended } = account;
  const device_id = asserted.device_id === undefined ? undefined : parseDeviceId(asserted.device_id);
  if (asserted.device_id !== undefined && (device_id === undefined || (await findDevice(database, user_nid, device_id)) === undefined)) {
    throw new MatrixError(400, "M_UNKNOWN_DEVICE", `${user_id} has no device of this id.`);
  }
  return {
    user_id,
    user_nid,
    device_id,
    is_admin,
    is_guest: false,
    restriction: locked ? "locked" : suspended ? "suspended" : undefined,
    appservice: { id: appservice.id, rate_limited: appservice.rate_limited && user_id !== appservice.sender },
  };
}

/** The application service whose token came with a login or registration. Throws M_MISSING_TOKEN, M_UNKNOWN_TOKEN. */
export function requireAppService(appservices: AppServices, token: string | undefined): AppService {
  if (token === undefined) throw missingToken();
  const appservice = appservices.ofToken(token);
  if (appservice === undefined) throw unknownToken("This is not the token of an application service.");
  return appservice;
}

/** The account as which an application service logs in. Throws M_EXCLUSIVE, M_FORBIDDEN, M_USER_DEACTIVATED, M_USER_LOCKED. */
export async function requireOwnAccount({ clock, database }: { readonly clock: Clock; readonly database: Database }, appservice: AppService, user: UserId | undefined): Promise<Account> {
  if (user !== undefined && !coversUser(appservice, user)) throw exclusive(`${user} is not in the namespaces of this application service.`);
  const account = user === undefined ? undefined : await findAccount(database, user);
  if (account === undefined) throw forbidden("There is no such user.");
  requireUsable(account, clock.now());
  return account;
}

/** Throws M_EXCLUSIVE for a user id that is kept for an application service, or that is not the caller's own to register. */
export function requireUserFree({ all }: AppServices, user: UserId, by?: AppService): void {
  if (by !== undefined && !coversUser(by, user)) throw exclusive(`${user} is not in the namespaces of this application service.`);
  if (all.some((other) => other !== by && keepsUser(other, user))) throw exclusive("This user name is kept for an application service.");
}

/**
 * Throws M_EXCLUSIVE for an alias that is kept for an application service, or one that the application service that asks
 * for it has no claim to.
 */
export function requireAliasFree({ all }: AppServices, alias: RoomAlias, by: Pick<Requester, "appservice">): void {
  const own = all.find(({ id }) => id === by.appservice?.id);
  if (own !== undefined && !coversAlias(own, alias)) throw exclusive(`${alias} is not in the namespaces of this application service.`);
  const kept = all.some((other) => other !== own && serverNameOf(alias) === other.server && keepsAlias(other, alias));
  if (kept) throw exclusive("This alias is kept for an application service.");
}

/** Makes the accounts of the application services' own users where they are missing. */
export async function registerSenders(database: Database, clock: Clock, { all }: AppServices): Promise<void> {
  for (const { sender } of all) {
    if ((await findAccount(database, sender)) !== undefined) continue;
    const account = { user_id: sender, password_hash: null, is_admin: false, created_ts: clock.now() };
    await database.transaction((tx) => createAccount(tx, account));
  }
}
