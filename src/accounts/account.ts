// What users do to their own account: change the password, end it.
import { forbidden, MatrixError } from "../errors.js";
import { logger } from "../log.js";
import type { DeviceId, ServerName } from "../protocol/identifiers.js";
import { type Account, deactivateAccount, findAccount, reactivateAccount, setPasswordHash } from "../storage/accounts.js";
import type { Tx } from "../storage/database.js";
import { deleteBelongings } from "../storage/ended-accounts.js";
import { requestMembershipUpkeep } from "../storage/membership-upkeep.js";
import { deleteProfile } from "../storage/profiles.js";
import { ownerOfThirdPartyId } from "../storage/third-party-ids.js";
import { appendToLog, type AccountContext } from "./context.js";
import type { Challenge } from "./interactive-authentication.js";
import { requireUsable } from "./usable.js";
import { endAllSessions, tokensChanged } from "./sessions.js";
import { thirdPartyChecks, thirdPartyStages } from "./third-party-ids.js";
import { useValidation } from "./validation.js";

const log = logger("accounts");

/** Gives a user another password. All sessions end but that of `keep`; with `logout_devices` false all stay. */
export async function changePassword(
  context: AccountContext,
  userNid: number,
  password: string,
  options: { logout_devices: boolean; keep?: DeviceId | undefined },
): Promise<void> {
  const hash = await context.passwords.hash(password);
  await context.database.transaction(async (tx) => {
    await setPasswordHash(tx, userNid, hash);
    if (options.logout_devices) await endAllSessions(context, tx, userNid, options.keep);
  });
}

/** Throws M_FORBIDDEN where nobody has a password. */
export function requirePasswords({ config }: Pick<AccountContext, "config">): void {
  if (!config.passwords.enabled) throw forbidden("There are no passwords here.");
}

/** Throws M_FORBIDDEN for a user whose password is kept by a directory. */
export function requireOwnPassword({ directory }: Pick<AccountContext, "directory">, account: Account | undefined): void {
  if (directory !== undefined && account?.password_hash === null) throw forbidden(`${directory.settings.name} keeps your password: change it there.`);
}

/** The challenge by which somebody who has forgotten the password proves an address of the account. */
export function resetChallenge(
  context: AccountContext,
  server: ServerName,
  body: Challenge["body"],
): Challenge {
  const flows = thirdPartyStages(context).map((stage) => [stage]);
  return { operation: "resetPassword", user: server, body, flows, stages: thirdPartyChecks(context, server, "password") };
}

/** Gives the account that has the proved address another password. Throws M_THREEPID_NOT_FOUND, M_USER_LOCKED, M_FORBIDDEN. */
export async function resetPassword(
  context: AccountContext,
  server: ServerName,
  sid: string,
  password: string,
  logoutDevices: boolean,
): Promise<void> {
  const hash = await context.passwords.hash(password);
  const account = await context.database.transaction(async (tx) => {
    const proved = await useValidation(context, tx, sid);
    const userId = await ownerOfThirdPartyId(context.database, server, proved);
    const found = userId && (await findAccount(context.database, userId));
    if (found === undefined) throw new MatrixError(400, "M_THREEPID_NOT_FOUND", "No account has this address.");
    requireUsable(found, context.clock.now());
    requireOwnPassword(context, found);
    await setPasswordHash(tx, found.user_nid, hash);
    if (logoutDevices) await endAllSessions(context, tx, found.user_nid);
    return found;
  });
  log.info({ user: account.user_id }, "a password was reset");
}

/**
 * Ends an account for good: its sessions, what it had set and was known by, its memberships (in the background). With `erase`
 * also its profile and password hash go, and what the user said is hidden from those who were not there. The hash is kept
 * otherwise, so that its owner can be told why logging in fails. The id is never given to anybody else.
 */
export async function deactivate(context: AccountContext, userNid: number, erase: boolean): Promise<void> {
  await context.database.transaction(async (tx) => {
    await deactivateAccount(tx, userNid, context.clock.now(), erase);
    await deleteBelongings(tx, userNid);
    await endAllSessions(context, tx, userNid);
    await requestMembershipUpkeep(tx, userNid);
    if (erase) await deleteProfile(tx, userNid);
    accountChanged(context, tx, userNid);
  });
  log.info({ user_nid: userNid, erase }, "an account was deactivated");
}

/** Gives an account that has ended back to its user, with another password and nothing else. Its messages are seen again. */
export async function reactivate(context: AccountContext, userNid: number, password: string): Promise<void> {
  const hash = await context.passwords.hash(password);
  await context.database.transaction(async (tx) => {
    await reactivateAccount(tx, userNid, hash);
    accountChanged(context, tx, userNid);
  });
  log.info({ user_nid: userNid }, "an account was reactivated");
}

/** Tells everybody who remembers something of an account. */
function accountChanged(context: AccountContext, tx: Tx, user_nid: number): void {
  appendToLog(context, tx, [
    { kind: "profile", user_nid },
    { kind: "push_rule", user_nid },
  ]);
  tokensChanged(context, tx, user_nid);
}
