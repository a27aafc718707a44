// Locking and suspending accounts (client-server API, "Account locking" and "Account suspension"), and until when they may be used.
import { forbidden, invalidParam, notFound } from "../errors.js";
import { logger } from "../log.js";
import { serverNameOf, type UserId } from "../protocol/identifiers.js";
import { findAccount, setLocked, setSuspended, setValidity, type Account } from "../storage/accounts.js";
import type { AccountContext } from "./context.js";
import type { Restriction } from "./requester.js";
import { tokensChanged } from "./sessions.js";

const log = logger("accounts");

/**
 * The account that an administrator asks about. Throws M_INVALID_PARAM for users of other servers, M_NOT_FOUND if there is
 * none or it has ended.
 */
export async function accountOf({ database, servers }: AccountContext, userId: UserId): Promise<Account> {
  if (!servers.isLocal(serverNameOf(userId))) throw invalidParam("This is not a user of this server.");
  const account = await findAccount(database, userId);
  if (account === undefined || account.deactivated) throw notFound("There is no account of this user.");
  return account;
}

/** As accountOf, for accounts of others who are no administrators. Throws M_FORBIDDEN for those too. */
export async function restrictableAccount(context: AccountContext, admin: UserId, userId: UserId): Promise<Account> {
  const account = await accountOf(context, userId);
  if (account.user_id === admin) throw forbidden("You cannot do this to your own account.");
  if (account.is_admin) throw forbidden("You cannot do this to another administrator.");
  return account;
}

/** Locks or suspends an account, or ends that. Its sessions stay; every process hears of it. */
export async function restrict(context: AccountContext, account: Account, restriction: Exclude<Restriction, "expired">, on: boolean): Promise<void> {
  const set = restriction === "locked" ? setLocked : setSuspended;
  await context.database.transaction(async (tx) => {
    await set(tx, account.user_nid, on);
    tokensChanged(context, tx, account.user_nid);
  });
  log.info({ user: account.user_id, restriction, on }, "an account was restricted, or is no longer");
}

const DAY_MS = 86_400_000;

/** Lets an account be used until a time, or for the usual period from now on; gives that time. */
export async function renew(context: AccountContext, { user_nid }: Account, until: number | null | undefined): Promise<number> {
  const expires = until ?? context.clock.now() + context.config.registration.renewal_days * DAY_MS;
  await context.database.transaction(async (tx) => {
    await setValidity(tx, user_nid, expires);
    tokensChanged(context, tx, user_nid);
  });
  return expires;
}
