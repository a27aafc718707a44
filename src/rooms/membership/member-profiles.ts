// What the profile of a local user adds to their membership.
import { serverNameOf, type UserId } from "../../protocol/identifiers.js";
import { nameFields } from "../../storage/member-profiles.js";
import type { RoomContext } from "../context.js";
import type { MemberProfile } from "../initial-state.js";

/** Names and pictures of those users that are ours, for the content of their member events ("m.room.member"). */
export async function memberProfiles(
  { database, servers }: Pick<RoomContext, "database" | "servers">,
  users: Iterable<UserId>,
): Promise<Map<UserId, MemberProfile>> {
  const local = [...new Set(users)].filter((user) => servers.isLocal(serverNameOf(user)));
  const profiles = new Map<UserId, { displayname?: string; avatar_url?: string }>(local.map((user) => [user, {}]));
  const byId = new Map<string, { displayname?: string; avatar_url?: string }>(profiles);
  for (const { user_id, name, value } of await nameFields(database, local)) {
    const text: unknown = JSON.parse(value);
    const profile = byId.get(user_id);
    if (profile !== undefined && typeof text === "string") profile[name] = text;
  }
  return profiles;
}
