// The accounts of users whom somebody else vouches for: a provider of identities, or a directory.
import { forbidden, MatrixError, notFound } from "../errors.js";
import { logger } from "../log.js";
import { newUserId, type UserId } from "../protocol/identifiers.js";
import { type Account, findAccount } from "../storage/accounts.js";
import { ownerOfExternalId } from "../storage/admin-users.js";
import { type ExternalSubject, linkExternalId } from "../storage/external-identities.js";
import { type Claims, fillIn, localpartOf } from "./claims.js";
import type { AccountContext } from "./context.js";
import { create } from "./registration.js";
import { requireUsable } from "./usable.js";

const log = logger("accounts");

/** How somebody who vouches for users is configured. */
export interface Voucher {
  readonly name: string;
  /** Templates over what is said of a user. */
  readonly localpart: string;
  readonly display_name: string;
  readonly email?: string | undefined;
  readonly create_accounts: boolean;
  readonly allow_existing_users: boolean;
}

async function knownAccount({ database }: Pick<AccountContext, "database">, { server, provider, subject }: ExternalSubject): Promise<Account | undefined> {
  const known = await ownerOfExternalId(database, server, { auth_provider: provider, external_id: subject });
  return known && (await findAccount(database, known));
}

/**
 * The account of a subject: the one it has, one that it may take over, or a new one. `requireFree` throws for a name that is
 * kept for an application service. Throws M_FORBIDDEN, and what keeps an account from being used.
 */
export async function accountOfSubject(
  context: AccountContext,
  voucher: Voucher,
  id: ExternalSubject,
  claims: Claims,
  requireFree: (user: UserId) => void,
): Promise<Account> {
  const { clock, database } = context;
  const known = await knownAccount(context, id);
  if (known !== undefined) return known;
  const userId = newUserId(localpartOf(fillIn(voucher.localpart, claims)), id.server);
  if (userId === undefined) throw forbidden(`${voucher.name} gave no name that a user can have here. Ask the administrator.`);
  requireFree(userId);
  const existing = await findAccount(database, userId);
  if (existing !== undefined) {
    // Another login of the same user may have been first.
    const meanwhile = await knownAccount(context, id);
    if (meanwhile !== undefined) return meanwhile;
    if (!voucher.allow_existing_users) throw forbidden(`The user name ${userId} is taken here. Ask the administrator.`);
    requireUsable(existing, clock.now());
    const linked = await database.transaction(async (tx) => await linkExternalId(tx, id, existing.user_nid));
    if (!linked) {
      const other = await knownAccount(context, id);
      if (other !== undefined) return other;
      throw forbidden("This identity was used by another login meanwhile. Try again.");
    }
    log.info({ user: userId, provider: id.provider }, "an account was linked to an identity provider");
    return existing;
  }
  if (!voucher.create_accounts) throw forbidden("You have no account here. Ask the administrator.");
  const displayname = fillIn(voucher.display_name, claims);
  const email = fillIn(voucher.email ?? "", claims);
  await create(context, { user_id: userId, password: undefined, is_admin: false, external: id, ...(displayname !== "" && { displayname }), ...(email !== "" && { email }) }).catch(
    (error: unknown) => {
      // Here, too.
      if (!(error instanceof MatrixError) || error.errcode !== "M_USER_IN_USE") throw error;
    },
  );
  const made = await knownAccount(context, id);
  if (made === undefined) throw notFound("The account has ended.");
  return made;
}
