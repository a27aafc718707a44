// Accounts of our users.
import type { UserId } from "../protocol/identifiers.js";
import type { Database, Tx } from "./database.js";
import type { Row, Statement } from "./statement.js";
import { toText } from "./text.js";

export interface Account {
  readonly user_nid: number;
  readonly user_id: UserId;
  readonly password_hash: string | null;
  readonly is_admin: boolean;
  readonly is_guest: boolean;
  readonly locked: boolean;
  readonly suspended: boolean;
  readonly deactivated: boolean;
  /** Until when it may be used; null for good. */
  readonly valid_until_ts: number | null;
}

const FIND: Statement = {
  name: "accounts_find",
  // users_user_id_key, then accounts_pkey
  text: `SELECT user_nid, password_hash, is_admin, is_guest, locked, suspended, deactivated_ts IS NOT NULL AS deactivated, valid_until_ts
    FROM accounts JOIN users ON users.nid = accounts.user_nid WHERE users.user_id = $1`,
};

const INTERN_USER: Statement = {
  name: "accounts_intern_user",
  text: "INSERT INTO users (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING",
};

const CREATE: Statement = {
  name: "accounts_create",
  text: `INSERT INTO accounts (user_nid, password_hash, is_admin, is_guest, created_ts)
    SELECT nid, $2, $3, $4, $5 FROM users WHERE user_id = $1
    ON CONFLICT (user_nid) DO NOTHING RETURNING user_nid`,
};

const UPGRADE_GUEST: Statement = {
  name: "accounts_upgrade_guest",
  text: `UPDATE accounts SET is_guest = false, password_hash = $2
    WHERE user_nid = $1 AND is_guest AND deactivated_ts IS NULL RETURNING user_nid`,
};

const SET_PASSWORD: Statement = {
  name: "accounts_set_password",
  text: "UPDATE accounts SET password_hash = $2 WHERE user_nid = $1",
};

const REHASH: Statement = {
  name: "accounts_rehash",
  text: "UPDATE accounts SET password_hash = $3 WHERE user_nid = $1 AND password_hash = $2",
};

const SET_ADMIN: Statement = {
  name: "accounts_set_admin",
  text: "UPDATE accounts SET is_admin = $2 WHERE user_nid = $1",
};

const SET_LOCKED: Statement = {
  name: "accounts_set_locked",
  text: "UPDATE accounts SET locked = $2 WHERE user_nid = $1",
};

const SET_SUSPENDED: Statement = {
  name: "accounts_set_suspended",
  text: "UPDATE accounts SET suspended = $2 WHERE user_nid = $1",
};

const SET_VALIDITY: Statement = {
  name: "accounts_set_validity",
  text: "UPDATE accounts SET valid_until_ts = $2 WHERE user_nid = $1",
};

const DEACTIVATE: Statement = {
  name: "accounts_deactivate",
  text: `UPDATE accounts SET deactivated_ts = coalesce(deactivated_ts, $2), erased = erased OR $3,
      password_hash = CASE WHEN $3 THEN NULL ELSE password_hash END
    WHERE user_nid = $1`,
};

const REACTIVATE: Statement = {
  name: "accounts_reactivate",
  text: "UPDATE accounts SET deactivated_ts = NULL, erased = false, password_hash = $2 WHERE user_nid = $1",
};

function toAccount(userId: UserId, row: Row): Account {
  return {
    user_nid: Number(row["user_nid"]),
    user_id: userId,
    password_hash: typeof row["password_hash"] === "string" ? row["password_hash"] : null,
    is_admin: row["is_admin"] === true,
    is_guest: row["is_guest"] === true,
    locked: row["locked"] === true,
    suspended: row["suspended"] === true,
    deactivated: row["deactivated"] === true,
    valid_until_ts: typeof row["valid_until_ts"] === "number" ? row["valid_until_ts"] : null,
  };
}

/** The account of a user, deactivated ones too; undefined if there is none. */
export async function findAccount(database: Database, userId: UserId): Promise<Account | undefined> {
  const [row] = await database.read(FIND, [toText(userId)]);
  return row && toAccount(userId, row);
}

/** Makes an account and gives its user's nid; undefined if the user has one, deactivated or not. */
export async function createAccount(
  tx: Tx,
  account: { user_id: UserId; password_hash: string | null; is_admin: boolean; is_guest?: boolean; created_ts: number },
): Promise<number | undefined> {
  const userId = toText(account.user_id);
  const [, created] = await Promise.all([
    tx.query(INTERN_USER, [userId]),
    tx.query(CREATE, [userId, account.password_hash, account.is_admin, account.is_guest ?? false, account.created_ts]),
  ]);
  return created[0] && Number(created[0]["user_nid"]);
}

/** Makes a guest's account that of a user; false if it is none. */
export async function upgradeGuest(tx: Tx, userNid: number, hash: string | null): Promise<boolean> {
  return (await tx.query(UPGRADE_GUEST, [userNid, hash])).length > 0;
}

export async function setPasswordHash(tx: Tx, userNid: number, hash: string): Promise<void> {
  await tx.query(SET_PASSWORD, [userNid, hash]);
}

/** Says until when an account may be used, in milliseconds. */
export async function setValidity(tx: Tx, userNid: number, validUntilTs: number): Promise<void> {
  await tx.query(SET_VALIDITY, [userNid, validUntilTs]);
}

/** Replaces a hash by another of the same password, unless the password was changed meanwhile. */
export async function replacePasswordHash(tx: Tx, userNid: number, old: string, hash: string): Promise<void> {
  await tx.query(REHASH, [userNid, old, hash]);
}

export async function setAdmin(tx: Tx, userNid: number, isAdmin: boolean): Promise<void> {
  await tx.query(SET_ADMIN, [userNid, isAdmin]);
}

export async function setLocked(tx: Tx, userNid: number, locked: boolean): Promise<void> {
  await tx.query(SET_LOCKED, [userNid, locked]);
}

export async function setSuspended(tx: Tx, userNid: number, suspended: boolean): Promise<void> {
  await tx.query(SET_SUSPENDED, [userNid, suspended]);
}

/** Ends an account. With `erase` the password goes too. */
export async function deactivateAccount(tx: Tx, userNid: number, at: number, erase: boolean): Promise<void> {
  await tx.query(DEACTIVATE, [userNid, at, erase]);
}

/** Begins an account anew that had ended. */
export async function reactivateAccount(tx: Tx, userNid: number, hash: string): Promise<void> {
  await tx.query(REACTIVATE, [userNid, hash]);
}
