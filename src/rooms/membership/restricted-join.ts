// Rooms that admit members of other rooms: whether a user may join, and who of ours vouches for it (client-server API,
// "Restricted rooms"; server-server API, "Restricted rooms").
import { forbidden, MatrixError } from "../../errors.js";
import type { RoomEvent } from "../../protocol/event.js";
import { parseRoomId, parseUserId, serverNameOf, type UserId } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import { joinRuleOf } from "../../protocol/membership.js";
import { namedLevel, userLevel } from "../../protocol/power-levels.js";
import type { StateTuple } from "../../protocol/state-map.js";
import { joinedAmong } from "../../storage/memberships.js";
import { roomMembers } from "../../storage/state.js";
import type { RoomContext } from "../context.js";
import { JOIN_RULES, membershipAmong, memberTuple, powerLevelsAmong, type Room } from "../current-state.js";
import { allowedRooms } from "../directory/join-rules.js";

/**
 * What a user's join into a room has to say of who vouches for it, by the room's state: nothing where the room's other rules
 * decide. Throws M_FORBIDDEN where the user fulfils no condition, M_UNABLE_TO_AUTHORISE_JOIN where we can see none of the rooms
 * that count, M_UNABLE_TO_GRANT_JOIN where nobody of ours may invite: then another server may be able to.
 */
export async function authorisedJoin(
  context: RoomContext,
  room: Room,
  user: UserId,
  state: ReadonlyMap<StateTuple, RoomEvent>,
): Promise<JsonObject> {
  const { database, interning, servers } = context;
  const rule = joinRuleOf(state);
  const restricted =
    (rule === "restricted" && room.rules.restrictedJoins) || (rule === "knock_restricted" && room.rules.knockRestrictedJoins);
  const membership = membershipAmong(state, user);
  if (!restricted || membership === "invite" || membership === "join") return {};
  const allowed = [...allowedRooms(state.get(JOIN_RULES)?.content ?? {})].flatMap((id) => parseRoomId(id) ?? []);
  const tuple = memberTuple(user);
  const { visible, joined } = await joinedAmong(database, allowed, (await interning.findTuples([tuple])).get(tuple));
  if (joined === 0 && visible === 0 && allowed.length > 0) {
    throw new MatrixError(400, "M_UNABLE_TO_AUTHORISE_JOIN", "This server is in none of the rooms whose members may join this one.");
  }
  if (joined === 0) throw forbidden("You are in none of the rooms whose members may join this one.");
  const levels = powerLevelsAmong(room, state);
  const members = await roomMembers(database, room.nid, ["join"]);
  const names = await interning.userIds(members.map(({ user_nid }) => user_nid));
  const needed = namedLevel(levels, "invite");
  for (const name of names.values()) {
    const member = parseUserId(name);
    if (member === undefined || !servers.isLocal(serverNameOf(member))) continue;
    if (userLevel(levels, member) >= needed) return { join_authorised_via_users_server: member };
  }
  throw new MatrixError(400, "M_UNABLE_TO_GRANT_JOIN", "Nobody on this server may let you into this room.");
}
