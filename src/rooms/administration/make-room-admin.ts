// Gives a user power in a room, for administrators of the server.
import { invalidParam } from "../../errors.js";
import { serverNameOf, type RoomId, type UserId } from "../../protocol/identifiers.js";
import { isObject, own } from "../../protocol/json.js";
import { requiredLevel, userLevel } from "../../protocol/power-levels.js";
import { localMembers } from "../../storage/admin-rooms.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import type { RoomContext } from "../context.js";
import { CREATE, JOIN_RULES, membershipAmong, memberTuple, POWER_LEVELS, powerLevelsAmong, requireRoom, stateEventsOf } from "../current-state.js";
import { accepted } from "../owner/draft.js";
import { memberProfiles } from "../membership/member-profiles.js";

/** What is given where the strongest have more power than can be written down: creators in rooms where they are privileged. */
const HIGHEST = 100;

/**
 * Gives a user as much power as that of our users has who has most, and invites them if they are not there. Throws M_NOT_FOUND for
 * an unknown room, M_INVALID_PARAM where none of our users can do it, M_FORBIDDEN where the room's rules refuse it.
 */
export async function makeRoomAdmin(context: RoomContext, roomId: RoomId, userId: UserId): Promise<void> {
  const { database, owners, servers } = context;
  if (!servers.isLocal(serverNameOf(userId))) throw invalidParam("This is not a user of this server.");
  const room = await requireRoom(database, roomId);
  const state = await stateEventsOf(context, database, room.nid, [CREATE, POWER_LEVELS, JOIN_RULES, memberTuple(userId)]);
  const levels = powerLevelsAmong(room, state);
  const joined = (await localMembers(database, room.nid)).filter(({ membership }) => membership === MEMBERSHIPS.join);
  const [strongest] = joined
    .map(({ user_id }) => ({ user_id, level: userLevel(levels, user_id) }))
    .filter(({ level }) => level >= requiredLevel(levels, "m.room.power_levels", true))
    .sort((one, other) => other.level - one.level);
  if (strongest === undefined) throw invalidParam("None of our users in this room may give power.");
  const sender = strongest.user_id;
  if (userLevel(levels, userId) < strongest.level) {
    const content = state.get(POWER_LEVELS)?.content ?? {};
    const users = own(content, "users");
    const level = Math.min(strongest.level, HIGHEST);
    const given = { ...content, users: { ...(isObject(users) && users), [userId]: level } };
    const [result] = await owners.submit(roomId, [{ type: "m.room.power_levels", state_key: "", sender, content: given }]);
    accepted(result);
  }
  const membership = membershipAmong(state, userId);
  if (membership === "join" || membership === "invite") return;
  const profile = (await memberProfiles(context, [userId])).get(userId);
  const content = { ...profile, membership: "invite" };
  const [result] = await owners.submit(roomId, [{ type: "m.room.member", state_key: userId, sender, content }]);
  accepted(result);
}
