// Proving who one is by a password (client-server API, "Password-based").
import type { Static } from "typebox";
import type { AuthenticationData, UserIdentifier } from "../../spec/types/authentication.js";
import { forbidden, missingParam, unknownError, userDeactivated, userLocked } from "../errors.js";
import { logger } from "../log.js";
import { parseUserId, serverNameOf, type ServerName, type UserId } from "../protocol/identifiers.js";
import { findAccount, replacePasswordHash, type Account } from "../storage/accounts.js";
import type { AccountContext } from "./context.js";
import { AnotherUserError, type Challenge } from "./interactive-authentication.js";

const log = logger("accounts");

interface Named {
  readonly identifier?: Static<typeof UserIdentifier> | undefined;
  readonly user?: string | undefined;
}

/**
 * The user that a login names: a whole user id, or a localpart on the server that was addressed, in any case: we give out
 * lower-case names only. Throws M_MISSING_PARAM, M_UNKNOWN, M_FORBIDDEN.
 */
export function namedUser({ identifier, user }: Named, server: ServerName): UserId {
  if (identifier !== undefined && identifier.type !== "m.id.user") {
    throw unknownError(400, "Users are identified by m.id.user only: this server knows no addresses of users.");
  }
  const name = identifier === undefined ? user : identifier.user;
  if (name === undefined) throw missingParam('"identifier" must name a user.');
  const id = parseUserId(name.startsWith("@") ? name.toLowerCase() : `@${name.toLowerCase()}:${server}`);
  if (id === undefined) throw wrong();
  return id;
}

/** The same sentence whatever was wrong: it must not tell which accounts exist. */
const wrong = () => forbidden("The user name or the password is wrong.");

/**
 * The account of a user whose password this is. Throws M_FORBIDDEN if it is not, M_USER_DEACTIVATED if it is but the account
 * was ended, M_LIMIT_EXCEEDED after too many failures.
 */
export async function checkPassword(context: AccountContext, userId: UserId, password: string): Promise<Account> {
  const { database, limiter, passwords, servers } = context;
  limiter.require("login_failure", userId);
  const account = servers.isLocal(serverNameOf(userId)) ? await findAccount(database, userId) : undefined;
  const matches = await passwords.verify(password, account?.password_hash ?? null);
  if (!matches || account === undefined) {
    limiter.count("login_failure", userId);
    throw wrong();
  }
  requireUsable(account);
  if (account.password_hash !== null && passwords.isOutdated(account.password_hash)) {
    await rehash(context, account, account.password_hash, password);
  }
  return account;
}

/** For accounts whose owner has proved to be that. Throws M_USER_DEACTIVATED, M_USER_LOCKED. */
export function requireUsable(account: Account): void {
  if (account.deactivated) throw userDeactivated();
  if (account.locked) throw userLocked();
}

async function rehash({ database, passwords }: AccountContext, account: Account, old: string, password: string): Promise<void> {
  const hash = await passwords.hash(password);
  await database.transaction((tx) => replacePasswordHash(tx, account.user_nid, old, hash));
  log.info({ user: account.user_id }, "a password hash was renewed");
}

/** The challenge by which a logged-in user confirms an operation with the password. */
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
    flows: [["m.login.password"]],
    stages: {
      "m.login.password": {
        check: async (submitted) => {
          const named =
            submitted.identifier === undefined && submitted.user === undefined
              ? user
              : namedUser(submitted, serverNameOf(user));
          if (named !== user) throw new AnotherUserError();
          if (submitted.password === undefined) throw missingParam('"password" is missing.');
          await checkPassword(context, user, submitted.password);
          return "";
        },
      },
    },
  };
}
