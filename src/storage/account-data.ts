// Data that clients keep with the account, of all of it or of a room. `content` is JSON text, which escapes what text cannot
// hold; an empty object says that the data was deleted, to clients that knew it.
import type { Tx } from "./database.js";
import type { BoundStatement } from "./room-rows.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** Stands for "of the account as a whole" where a room's number could be. */
export const NO_ROOM = 0;

export interface AccountDataEntry {
  readonly room_nid: number;
  readonly type: string;
  readonly content: string;
}

const CHANGED: Statement<AccountDataEntry> = {
  name: "account_data_changed", // account_data_changed
  text: `SELECT room_nid, type, content FROM account_data
    WHERE user_nid = $1 AND last_position > $2 AND last_position <= $3 AND ($2 > 0 OR content <> '{}')
    ORDER BY last_position, type`,
};
const FIND: Statement<{ content: string }> = {
  name: "account_data_find", // account_data_pkey
  text: "SELECT content FROM account_data WHERE user_nid = $1 AND room_nid = $2 AND type = $3 AND content <> '{}'",
};
const OF_TYPES: Statement<{ user_nid: number; type: string; content: string }> = {
  name: "account_data_of_types", // account_data_pkey
  text: `SELECT user_nid, type, content FROM account_data
    WHERE user_nid = ANY($1) AND room_nid = 0 AND type = ANY($2) AND content <> '{}'`,
};
const SET: Statement = {
  name: "account_data_set",
  text: `INSERT INTO account_data (user_nid, room_nid, type, content, last_position)
    VALUES ($1, $2, $3, $4, currval('log_position'))
    ON CONFLICT (user_nid, room_nid, type) DO UPDATE SET content = excluded.content, last_position = excluded.last_position`,
};
const KEPT: Statement<{ user_nid: number; type: string }> = {
  name: "account_data_kept", // account_data_pkey
  text: `SELECT user_nid, type FROM account_data JOIN unnest($1::bigint[], $2::text[]) AS wanted (user_nid, type) USING (user_nid, type)
    WHERE room_nid = 0 AND content <> '{}'`,
};
const LOCK: Statement = {
  name: "account_data_lock",
  // Two changes of what is read first must not meet.
  text: "SELECT FROM accounts WHERE user_nid = $1 FOR NO KEY UPDATE",
};

/** What changed at positions in (after, upTo]. */
export async function accountDataChanged(
  reads: Reads,
  userNid: number,
  range: { readonly after: number; readonly upTo: number },
): Promise<AccountDataEntry[]> {
  const rows = await reads.read(CHANGED, [userNid, range.after, range.upTo]);
  return rows.map((row) => ({ ...row, type: fromText(row.type) }));
}

/** The content of one type; undefined if it was never set, or deleted. */
export async function findAccountData(reads: Reads, userNid: number, roomNid: number, type: string): Promise<string | undefined> {
  const [row] = await reads.read(FIND, [userNid, roomNid, toText(type)]);
  return row?.content;
}

/** What some accounts as a whole have of some types. */
export async function accountDataOfTypes(
  reads: Reads,
  userNids: readonly number[],
  types: readonly string[],
): Promise<{ user_nid: number; type: string; content: string }[]> {
  const rows = userNids.length === 0 ? [] : await reads.read(OF_TYPES, [userNids, types.map(toText)]);
  return rows.map((row) => ({ ...row, type: fromText(row.type) }));
}

/** As findAccountData, in a transaction; nobody else changes the account until it ends. */
export async function lockAccountData(tx: Queryable, userNid: number, roomNid: number, type: string): Promise<string | undefined> {
  const [, rows] = await Promise.all([lockAccount(tx, userNid), tx.query(FIND, [userNid, roomNid, toText(type)])]);
  return rows[0]?.content;
}

/** Keeps others who lock the account waiting until the transaction ends. */
export async function lockAccount(tx: Queryable, userNid: number): Promise<void> {
  await tx.query(LOCK, [userNid]);
}

/** Those of these (user, type) pairs of which the account as a whole has data. */
export async function keptAccountData(
  tx: Queryable,
  pairs: readonly { readonly user_nid: number; readonly type: string }[],
): Promise<{ user_nid: number; type: string }[]> {
  const rows = await tx.query(KEPT, [pairs.map(({ user_nid }) => user_nid), pairs.map(({ type }) => toText(type))]);
  return rows.map(({ user_nid, type }) => ({ user_nid, type: fromText(type) }));
}

/** What sets data, to be given to the committer. */
export function accountDataSet(userNid: number, roomNid: number, type: string, content: string): BoundStatement {
  return { statement: SET, values: [userNid, roomNid, toText(type), content], atPosition: true };
}

/** Sets data at the position that the transaction will take. */
export function setAccountData(tx: Tx, userNid: number, roomNid: number, type: string, content: string): void {
  tx.atPosition(SET, [userNid, roomNid, toText(type), content]);
}
