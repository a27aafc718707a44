// Whose invitations a user lets through (client-server API, "Invite permission" and "Ignoring Users"; MSC4155).
import { MatrixError } from "../../errors.js";
import { compileGlob, matchesWhole } from "../../protocol/glob.js";
import { serverNameOf, type UserId } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own } from "../../protocol/json.js";
import { accountDataOfTypes } from "../../storage/account-data.js";
import type { Reads } from "../../storage/statement.js";
import type { RoomContext } from "../context.js";
import { IGNORED_USERS, ignoredUsersIn } from "../ignored-users.js";

/** What becomes of an invitation: it is shown, it is sent and not shown, or it is refused. */
export type InviteVerdict = "allow" | "ignore" | "block";

const PERMISSION = ["m.invite_permission_config", "org.matrix.msc4380.invite_permission_config"];
const FILTER = "org.matrix.msc4155.invite_permission_config";

/** The fields of a filter, those that decide first in front. */
const LISTS: readonly (readonly [field: string, of: "user" | "server", verdict: InviteVerdict])[] = [
  ["allowed_users", "user", "allow"],
  ["ignored_users", "user", "ignore"],
  ["blocked_users", "user", "block"],
  ["allowed_servers", "server", "allow"],
  ["ignored_servers", "server", "ignore"],
  ["blocked_servers", "server", "block"],
];

/** What users have settled for invitations: asked for a user, by who invites. One statement for any number of users. */
export async function inviteFilters(
  reads: Reads,
  userNids: readonly number[],
): Promise<(userNid: number, inviter: UserId) => InviteVerdict> {
  const byUser = new Map<number, Map<string, string>>();
  for (const { user_nid, type, content } of await accountDataOfTypes(reads, userNids, [...PERMISSION, FILTER, IGNORED_USERS])) {
    const data = byUser.get(user_nid);
    if (data === undefined) byUser.set(user_nid, new Map([[type, content]]));
    else data.set(type, content);
  }
  const filters = new Map([...byUser].map(([user, data]) => [user, filterOf(data)]));
  return (userNid, inviter) => filters.get(userNid)?.(inviter) ?? "allow";
}

function filterOf(data: ReadonlyMap<string, string>): (inviter: UserId) => InviteVerdict {
  const ignored = ignoredUsersIn(data.get(IGNORED_USERS));
  const blocksAll = PERMISSION.some((type) => own(contentOf(data.get(type)), "default_action") === "block");
  const filter = contentOf(data.get(FILTER));
  return (inviter) => {
    if (blocksAll) return "block";
    return ignored.has(inviter) ? "ignore" : verdictOf(filter, inviter);
  };
}

function contentOf(text: string | undefined): JsonObject {
  const content: JsonValue = text === undefined ? null : JSON.parse(text);
  return isObject(content) ? content : {};
}

function verdictOf(filter: JsonObject, inviter: UserId): InviteVerdict {
  if (own(filter, "enabled") === false) return "allow";
  const texts = { user: inviter.toLowerCase(), server: serverNameOf(inviter).toLowerCase() };
  for (const [field, of, verdict] of LISTS) {
    const globs = own(filter, field);
    if (!Array.isArray(globs)) continue;
    if (globs.some((glob) => typeof glob === "string" && matchesWhole(compileGlob(glob), texts[of]))) return verdict;
  }
  return "allow";
}

/** Throws M_INVITE_BLOCKED for those who want none from this one. */
export async function requireInvitable(
  { database, interning, servers }: Pick<RoomContext, "database" | "interning" | "servers">,
  inviter: UserId,
  users: readonly UserId[],
): Promise<void> {
  // What users of other servers want, their servers say.
  const nids = await interning.findUsers(users.filter((user) => servers.isLocal(serverNameOf(user))));
  const verdict = await inviteFilters(database, [...nids.values()]);
  for (const [user, nid] of nids) {
    if (verdict(nid, inviter) === "block") throw new MatrixError(403, "M_INVITE_BLOCKED", `${user} does not want to be invited.`);
  }
}
