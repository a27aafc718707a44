// Whom a user ignores (client-server API, "Ignoring Users").
import { isObject, type JsonValue, own } from "../protocol/json.js";
import { findAccountData, NO_ROOM } from "../storage/account-data.js";
import type { Interning } from "../storage/interning.js";
import type { Reads } from "../storage/statement.js";

/** The type of account data that names them. */
export const IGNORED_USERS = "m.ignored_user_list";

/** The ids that the content of such data names. */
export function ignoredUsersIn(text: string | undefined): Set<string> {
  const content: JsonValue = text === undefined ? null : JSON.parse(text);
  const users = isObject(content) ? own(content, "ignored_users") : undefined;
  return new Set(isObject(users) ? Object.keys(users) : []);
}

/** The ids of the users whom a user ignores. */
export async function ignoredUserIds(reads: Reads, userNid: number): Promise<Set<string>> {
  return ignoredUsersIn(await findAccountData(reads, userNid, NO_ROOM, IGNORED_USERS));
}

/** The numbers of the users whom a user ignores; those who never sent anything here have none. */
export async function ignoredUsers(interning: Interning, reads: Reads, userNid: number): Promise<number[]> {
  const ids = await ignoredUserIds(reads, userNid);
  if (ids.size === 0) return [];
  const nids = await interning.findUsers([...ids]);
  return [...nids.values()].filter((nid) => nid !== userNid);
}
