// Whether an account may be used.
import { accountExpired, userDeactivated, userLocked } from "../errors.js";
import type { Account } from "../storage/accounts.js";

/** For accounts whose owner has proved to be that. Throws M_USER_DEACTIVATED, M_USER_LOCKED, ORG_MATRIX_EXPIRED_ACCOUNT. */
export function requireUsable({ deactivated, locked, valid_until_ts }: Account, now: number): void {
  if (deactivated) throw userDeactivated();
  if (locked) throw userLocked();
  if (valid_until_ts !== null && valid_until_ts <= now) throw accountExpired();
}
