// Tokens that say who a user is, for a short time: to log in once ("Token-based" login), to other services ("OpenID").
import { forbidden, unknownToken } from "../errors.js";
import type { UserId } from "../protocol/identifiers.js";
import { findAccount, type Account } from "../storage/accounts.js";
import { findUserToken, putUserToken, takeUserToken, type UserTokenKind } from "../storage/user-tokens.js";
import { newToken, tokenDigest } from "./access-tokens.js";
import type { AccountContext } from "./context.js";
import { requireUsable } from "./usable.js";

const OPENID_MS = 3_600_000;

interface UserToken {
  readonly token: string;
  readonly lifetime_ms: number;
}

async function give({ clock, database }: AccountContext, userNid: number, kind: UserTokenKind, lifetime_ms: number, external?: number): Promise<UserToken> {
  const token = newToken(kind);
  const now = clock.now();
  const stored = { kind, digest: tokenDigest(token), user_nid: userNid, expires_ts: now + lifetime_ms, external };
  await database.transaction((tx) => putUserToken(tx, stored, now));
  return { token, lifetime_ms };
}

/** A token with which another client of the user can log in, once; `external` is the session at another provider it comes from. */
export function giveLoginToken(context: AccountContext, userNid: number, external?: number): Promise<UserToken> {
  return give(context, userNid, "login", context.config.tokens.login_token_lifetime * 1000, external);
}

/** The account whose login token this is; it cannot be used again. Throws M_FORBIDDEN, M_USER_LOCKED, M_USER_DEACTIVATED. */
export async function useLoginToken({ clock, database }: AccountContext, token: string): Promise<Account & { readonly external: number | undefined }> {
  const taken = await database.transaction((tx) => takeUserToken(tx, "login", tokenDigest(token), clock.now()));
  const account = taken && (await findAccount(database, taken.user_id));
  if (account === undefined) throw forbidden("This login token is not known, was used, or has expired: ask for a new one.");
  requireUsable(account, clock.now());
  return { ...account, external: taken?.external };
}

/** A token by which another service can ask this server who the user is. */
export function giveOpenIdToken(context: AccountContext, userNid: number): Promise<UserToken> {
  return give(context, userNid, "openid", OPENID_MS);
}

/** Whose OpenID token this is. Throws M_UNKNOWN_TOKEN. */
export async function openIdOwner({ clock, database }: AccountContext, token: string): Promise<UserId> {
  const userId = await findUserToken(database, "openid", tokenDigest(token), clock.now());
  if (userId === undefined) throw unknownToken("This token is not known or has expired.");
  return userId;
}
