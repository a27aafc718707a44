// Profiles of our users: one row per field, its value as JSON text.
import type { UserId } from "../protocol/identifiers.js";
import { foldLetters } from "../protocol/search-text.js";
import type { Database, Tx } from "./database.js";
import type { Queryable, Row, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** Fields of a profile; each value is JSON text. */
export type ProfileFields = ReadonlyMap<string, string>;

const OF_USER: Statement = {
  name: "profiles_of_user",
  // users_user_id_key, accounts_pkey, profile_fields_pkey
  text: `SELECT accounts.user_nid, name, value FROM users JOIN accounts ON accounts.user_nid = users.nid
      LEFT JOIN profile_fields ON profile_fields.user_nid = users.nid
    WHERE users.user_id = $1 AND deactivated_ts IS NULL`,
};
const LOCK: Statement = {
  name: "profiles_lock",
  // Two changes of one profile must not pass the limit on its size together.
  text: "SELECT FROM accounts WHERE user_nid = $1 FOR NO KEY UPDATE",
};
const FIELDS: Statement = { name: "profiles_fields", text: "SELECT name, value FROM profile_fields WHERE user_nid = $1" };
const SET: Statement = {
  name: "profiles_set",
  text: `INSERT INTO profile_fields (user_nid, name, value, folded) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_nid, name) DO UPDATE SET value = excluded.value, folded = excluded.folded`,
};
const DELETE: Statement = {
  name: "profiles_delete",
  text: "DELETE FROM profile_fields WHERE user_nid = $1 AND name = $2 RETURNING name",
};
const DELETE_ALL: Statement = { name: "profiles_delete_all", text: "DELETE FROM profile_fields WHERE user_nid = $1" };

function toFields(rows: readonly Row[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const { name, value } of rows) {
    if (typeof name === "string" && typeof value === "string") fields.set(fromText(name), value);
  }
  return fields;
}

/** The profile of one of our users; undefined if there is no such user. */
export async function findProfile(database: Database, userId: UserId): Promise<ProfileFields | undefined> {
  const rows = await database.read(OF_USER, [toText(userId)]);
  return rows.length === 0 ? undefined : toFields(rows);
}

/** All fields of a profile, which nobody else can change until the transaction ends. */
export async function lockProfile(tx: Queryable, userNid: number): Promise<ProfileFields> {
  const [, rows] = await Promise.all([tx.query(LOCK, [userNid]), tx.query(FIELDS, [userNid])]);
  return toFields(rows);
}

export async function setProfileField(tx: Tx, userNid: number, name: string, json: string): Promise<void> {
  await tx.query(SET, [userNid, toText(name), json, name === "displayname" ? folded(json) : null]);
}

/** So much of a name is searched: an index takes no text of any length. */
const SEARCHED_LENGTH = 200;

/** A name as the user directory looks for it. */
function folded(json: string): string | null {
  const name: unknown = JSON.parse(json);
  return typeof name === "string" ? toText(foldLetters(name).trim().slice(0, SEARCHED_LENGTH)) : null;
}

/** Deletes a field; false if there was none. */
export async function deleteProfileField(tx: Tx, userNid: number, name: string): Promise<boolean> {
  return (await tx.query(DELETE, [userNid, toText(name)])).length > 0;
}

export async function deleteProfile(tx: Tx, userNid: number): Promise<void> {
  await tx.query(DELETE_ALL, [userNid]);
}
