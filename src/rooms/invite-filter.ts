// Whose invitations a user lets through (client-server API, "Invite permission" and "Ignoring Users"; MSC4155).
import { forbidden, MatrixError } from "../errors.js";
import { compileGlob, matchesWhole } from "../protocol/glob.js";
import { serverNameOf, type UserId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own } from "../protocol/json.js";
import { accountDataOfTypes } from "../storage/account-data.js";
import type { Reads } from "../storage/statement.js";
import type { RoomContext } from "./context.js";
import { IGNORED_USERS, ignoredUsersIn } from "./ignored-users.js";

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

/** What a local user has settled for invitations, by who invites. */
export async function inviteFilter(reads: Reads, userNid: number): Promise<(inviter: UserId) => InviteVerdict> {
  const data = await accountDataOfTypes(reads, userNid, [...PERMISSION, FILTER, IGNORED_USERS]);
  if (data.size === 0) return () => "allow";
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

/** Throws M_FORBIDDEN for users whom no invitation could reach, M_INVITE_BLOCKED for those who want none from this one. */
export async function requireInvitable(
  { database, interning, servers }: Pick<RoomContext, "database" | "interning" | "servers">,
  inviter: UserId,
  users: readonly UserId[],
): Promise<void> {
  for (const user of users) {
    if (!servers.isLocal(serverNameOf(user))) throw forbidden(`${user} cannot be invited: their server cannot be reached.`);
  }
  const nids = await interning.findUsers(users);
  await Promise.all(
    users.map(async (user) => {
      const nid = nids.get(user);
      if (nid !== undefined && (await inviteFilter(database, nid))(inviter) === "block") {
        throw new MatrixError(403, "M_INVITE_BLOCKED", `${user} does not want to be invited.`);
      }
    }),
  );
}
