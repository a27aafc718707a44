// Proving who one is by a password (client-server API, "Password-based").
import type { Static } from "typebox";
import type { AuthenticationData, UserIdentifier } from "../../spec/types/authentication.js";
import { LDAP_PROVIDER } from "../config.js";
import { forbidden, missingParam, unknownError } from "../errors.js";
import { logger } from "../log.js";
import { localpartOf, parseUserId, serverNameOf, type ServerName, type UserId } from "../protocol/identifiers.js";
import { canonicalAddress, canonicalPhoneNumber } from "../protocol/third-party-ids.js";
import { findAccount, replacePasswordHash, type Account } from "../storage/accounts.js";
import { ownerOfThirdPartyId } from "../storage/third-party-ids.js";
import { nameOfLocalpart } from "./claims.js";
import type { AccountContext } from "./context.js";
import { accountOfSubject } from "./external-accounts.js";
import { AnotherUserError, type Challenge } from "./interactive-authentication.js";
import { requireUsable } from "./usable.js";

const log = logger("accounts");

interface Named {
  readonly identifier?: Static<typeof UserIdentifier> | undefined;
  readonly user?: string | undefined;
  readonly medium?: string | undefined;
  readonly address?: string | undefined;
}

/**
 * The user that a login names: a whole user id, or a localpart on the server that was addressed, in any case (we give out
 * lower-case names only); or the third-party identifier of an account of that server. Undefined if there is no such user.
 * Throws M_MISSING_PARAM, M_UNKNOWN.
 */
export async function namedUser({ database }: AccountContext, named: Named, server: ServerName): Promise<UserId | undefined> {
  const { identifier = deprecatedIdentifier(named) } = named;
  switch (identifier.type) {
    case "m.id.user": {
      const name = identifier.user?.toLowerCase();
      if (name === undefined) throw missingParam('"identifier" must name a user.');
      return parseUserId(name.startsWith("@") ? name : `@${name}:${server}`);
    }
    case "m.id.thirdparty": {
      const { medium, address } = identifier;
      if (medium === undefined || address === undefined) throw missingParam('"identifier" needs "medium" and "address".');
      const id = canonicalAddress(medium, address);
      return id && (await ownerOfThirdPartyId(database, server, id));
    }
    case "m.id.phone": {
      const { country, phone } = identifier;
      if (country === undefined || phone === undefined) throw missingParam('"identifier" needs "country" and "phone".');
      const address = canonicalPhoneNumber(phone, country);
      return address === undefined ? undefined : await ownerOfThirdPartyId(database, server, { medium: "msisdn", address });
    }
    default:
      throw unknownError(400, "Users are identified by m.id.user, m.id.thirdparty or m.id.phone.");
  }
}

/** As clients named users before there were identifiers. */
function deprecatedIdentifier({ user, medium, address }: Named): Static<typeof UserIdentifier> {
  if (user === undefined && medium !== undefined) return { type: "m.id.thirdparty", medium, ...(address !== undefined && { address }) };
  return { type: "m.id.user", ...(user !== undefined && { user }) };
}

/** The same sentence whatever was wrong: it must not tell which accounts exist. */
const wrong = () => forbidden("The user name or the password is wrong.");

/** Whether anybody logs in with a password: one of ours, or of a directory. */
export const passwordsAccepted = ({ config }: Pick<AccountContext, "config">): boolean => config.passwords.enabled || config.ldap !== undefined;

/**
 * The account of a user whose password this is. Throws M_FORBIDDEN if it is not, M_USER_DEACTIVATED if it is but the account
 * was ended, M_LIMIT_EXCEEDED after too many failures, 503 M_UNKNOWN if a directory is needed that cannot be reached.
 */
export async function checkPassword(context: AccountContext, userId: UserId, password: string): Promise<Account> {
  const account = await logInWithPassword(context, userId, password);
  if (account.user_id !== userId) throw wrong();
  return account;
}

/**
 * The account that a user name and a password open: its own password counts first, then that of a directory, which may know
 * the user under another name. Throws as `checkPassword` does, and M_FORBIDDEN if the directory's user can have no account.
 */
export async function logInWithPassword(context: AccountContext, userId: UserId | undefined, password: string): Promise<Account> {
  const { clock, config, database, limiter, passwords, servers } = context;
  const account =
    userId !== undefined && servers.isLocal(serverNameOf(userId)) ? await findAccount(database, userId) : undefined;
  // Counted before the slow hash: of guesses at the same time no more get through than of guesses one after the other.
  if (userId !== undefined) await limiter.take("login_failure", userId);
  const hash = config.passwords.enabled ? (account?.password_hash ?? null) : null;
  // Asked also where there is no such account: it may come about.
  const matches = await passwords.verify(password, hash);
  const owner = matches ? account : await ownerInDirectory(context, userId, password);
  if (owner === undefined || userId === undefined) throw wrong();
  await limiter.giveBack("login_failure", userId);
  requireUsable(owner, clock.now());
  if (matches && hash !== null && passwords.isOutdated(hash)) await rehash(context, owner, hash, password);
  return owner;
}

/** The account of a user of the directory, if that is their password. */
async function ownerInDirectory(context: AccountContext, userId: UserId | undefined, password: string): Promise<Account | undefined> {
  const { directory, limiter, servers } = context;
  if (directory === undefined || userId === undefined) return undefined;
  const server = serverNameOf(userId);
  const login = nameOfLocalpart(localpartOf(userId));
  if (!servers.isLocal(server) || login === undefined) return undefined;
  const found = await directory.prove(login, password).catch(async (error: unknown) => {
    // Nobody has guessed.
    await limiter.giveBack("login_failure", userId);
    throw error;
  });
  if (found === undefined) return undefined;
  return await accountOfSubject(context, directory.settings, { server, provider: LDAP_PROVIDER, subject: found.subject }, found.claims, directory.requireFree);
}

async function rehash({ database, passwords }: AccountContext, account: Account, old: string, password: string): Promise<void> {
  const hash = await passwords.hash(password);
  await database.transaction((tx) => replacePasswordHash(tx, account.user_nid, old, hash));
  log.info({ user: account.user_id }, "a password hash was renewed");
}

/** The challenge by which a logged-in user confirms an operation with the password; one that nobody can meet where there are none. */
export function passwordChallenge(
  context: AccountContext,
  operation: string,
  user: UserId,
  body: { readonly auth?: Static<typeof AuthenticationData> | undefined },
): Challenge {
  return {
    operation,
    user,
    body,
    flows: passwordsAccepted(context) ? [["m.login.password"]] : [],
    stages: {
      "m.login.password": {
        check: async (submitted) => {
          const named =
            submitted.identifier === undefined && submitted.user === undefined && submitted.medium === undefined
              ? user
              : await namedUser(context, submitted, serverNameOf(user));
          if (named !== user) throw new AnotherUserError();
          if (submitted.password === undefined) throw missingParam('"password" is missing.');
          await checkPassword(context, user, submitted.password);
          return "";
        },
      },
    },
  };
}
