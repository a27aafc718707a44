// Whom a user ignores (client-server API, "Ignoring Users").
import { isObject, type JsonValue, own } from "../protocol/json.js";
import { findAccountData, NO_ROOM } from "../storage/account-data.js";
import type { Interning } from "../storage/interning.js";
import type { Reads } from "../storage/statement.js";

/** The numbers of the users whom a user ignores; those who never sent anything here have none. */
export async function ignoredUsers(interning: Interning, reads: Reads, userNid: number): Promise<number[]> {
  const text = await findAccountData(reads, userNid, NO_ROOM, "m.ignored_user_list");
  const content: JsonValue = text === undefined ? null : JSON.parse(text);
  const users = isObject(content) ? own(content, "ignored_users") : undefined;
  if (!isObject(users)) return [];
  const nids = await interning.findUsers(Object.keys(users));
  return [...nids.values()].filter((nid) => nid !== userNid);
}
