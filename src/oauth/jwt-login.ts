// Login with a JSON Web Token that somebody else has signed (org.matrix.login.jwt).
import type { KeyObject } from "node:crypto";
import { createPublicKey, createSecretKey } from "node:crypto";
import type { AccountContext } from "../accounts/context.js";
import { requireUsable } from "../accounts/usable.js";
import { create } from "../accounts/registration.js";
import { ConfigError, type Config } from "../config.js";
import { forbidden, MatrixError } from "../errors.js";
import { logger } from "../log.js";
import { newUserId, type ServerName, type UserId } from "../protocol/identifiers.js";
import { type Account, findAccount } from "../storage/accounts.js";

const log = logger("oauth");

export const JWT_LOGIN = "org.matrix.login.jwt";

const MAX_TOKEN = 16_384;

type Settings = NonNullable<Config["jwt_login"]>;

/** The key that tokens are checked with. Throws ConfigError. */
export function jwtKey({ key, algorithm }: Settings): KeyObject {
  if (algorithm.startsWith("HS")) return createSecretKey(Buffer.from(key));
  try {
    return createPublicKey(key);
  } catch (cause) {
    throw new ConfigError(`jwt_login.key must be a public key in PEM for the algorithm ${algorithm}.`, { cause });
  }
}

const refused = (): MatrixError => forbidden("This token lets nobody in: it is not valid, or has expired.");

/**
 * The account that a token is for; one that is missing is made where that is configured. `requireFree` throws for a name that
 * is kept for an application service. Throws M_FORBIDDEN, M_USER_DEACTIVATED, M_USER_LOCKED.
 */
export async function jwtOwner(context: AccountContext, token: string, server: ServerName, requireFree: (user: UserId) => void): Promise<Account> {
  const { config, clock, database } = context;
  const settings = config.jwt_login;
  if (settings === undefined || token.length > MAX_TOKEN) throw refused();
  const { algorithm, issuer, audiences, subject, display_name, create_accounts } = settings;
  const { jwtVerify, errors } = await import("jose");
  const options = { algorithms: [algorithm], currentDate: new Date(clock.now()), ...(issuer !== undefined && { issuer }), ...(audiences.length > 0 && { audience: audiences }) };
  const { payload } = await jwtVerify(token, jwtKey(settings), options).catch((cause: unknown) => {
    if (!(cause instanceof errors.JOSEError)) throw cause;
    log.info({ err: cause }, "a token for a login was refused");
    throw refused();
  });
  const name = payload[subject];
  const userId = typeof name === "string" && !name.startsWith("_") ? newUserId(name.toLowerCase(), server) : undefined;
  if (userId === undefined) throw refused();
  requireFree(userId);
  let account = await findAccount(database, userId);
  if (account === undefined && create_accounts) {
    const given = display_name === undefined ? undefined : payload[display_name];
    const displayname = typeof given === "string" && given !== "" ? given.replaceAll("\0", "").slice(0, 256) : undefined;
    await create(context, { user_id: userId, password: undefined, is_admin: false, displayname }).catch((error: unknown) => {
      // Another login with the same token may have been first.
      if (!(error instanceof MatrixError) || error.errcode !== "M_USER_IN_USE") throw error;
    });
    account = await findAccount(database, userId);
  }
  if (account === undefined) throw forbidden("You have no account here. Ask the administrator.");
  requireUsable(account, clock.now());
  return account;
}
