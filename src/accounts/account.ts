// What users do to their own account: change the password, end it.
import { logger } from "../log.js";
import type { DeviceId } from "../protocol/identifiers.js";
import { deactivateAccount, setPasswordHash } from "../storage/accounts.js";
import { requestMembershipUpkeep } from "../storage/membership-upkeep.js";
import { deleteProfile } from "../storage/profiles.js";
import { appendToLog, type AccountContext } from "./context.js";
import { endAllSessions, tokensChanged } from "./sessions.js";

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

/**
 * Ends an account for good: its sessions, its memberships (in the background), and with `erase` its profile and password hash. The hash is kept otherwise, so
 * that its owner can be told why logging in fails. The id is never given to anybody else.
 */
export async function deactivate(context: AccountContext, userNid: number, erase: boolean): Promise<void> {
  await context.database.transaction(async (tx) => {
    await deactivateAccount(tx, userNid, context.clock.now(), erase);
    await endAllSessions(context, tx, userNid);
    await requestMembershipUpkeep(tx, userNid);
    if (erase) {
      await deleteProfile(tx, userNid);
      appendToLog(context, tx, [{ kind: "profile", user_nid: userNid }]);
    }
    tokensChanged(context, tx, userNid);
  });
  log.info({ user_nid: userNid, erase }, "an account was deactivated");
}
