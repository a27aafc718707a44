// Joining, leaving, inviting, removing (client-server API, "Room membership").
import { badState, forbidden, invalidParam, MatrixError, unknownError } from "../errors.js";
import type { RoomEvent } from "../protocol/event.js";
import {
  type EventId,
  parseRoomAlias,
  parseRoomId,
  parseUserId,
  type RoomId,
  serverNameOf,
  type UserId,
} from "../protocol/identifiers.js";
import { isObject, type JsonObject, own, ownString } from "../protocol/json.js";
import { joinRuleOf, type Membership } from "../protocol/membership.js";
import { namedLevel, userLevel } from "../protocol/power-levels.js";
import { stateTuple, type StateTuple } from "../protocol/state-map.js";
import { forgetRoom as forgetStatement, membershipInRoom, membershipsOfUser } from "../storage/memberships.js";
import { MEMBERSHIPS } from "../storage/room-rows.js";
import { roomMembers } from "../storage/state.js";
import { roomOfAlias } from "./aliases.js";
import type { RoomContext, RoomUser } from "./context.js";
import {
  CREATE,
  findRoom,
  JOIN_RULES,
  membershipAmong,
  memberTuple,
  POWER_LEVELS,
  powerLevelsAmong,
  type Room,
  requireRoom,
  stateEventsOf,
} from "./current-state.js";
import { accepted, type DraftTransaction } from "./draft.js";
import { memberProfiles } from "./member-profiles.js";

const GUEST_ACCESS = stateTuple("m.room.guest_access", "");

/** Who can be removed from a room. */
const REMOVABLE: readonly Membership[] = ["join", "invite", "knock"];

/** What a client may add to a change of membership. */
export interface MembershipOptions {
  readonly reason?: string | undefined;
  /** Further content of the member event, from clients that send it as state. */
  readonly content?: JsonObject;
  readonly transaction?: DraftTransaction;
  /** When it happened; now, if absent. */
  readonly origin_server_ts?: number | undefined;
}

/** The room that an id or alias names. Throws M_INVALID_PARAM for what is neither, M_NOT_FOUND for an unknown alias. */
export async function resolveRoom(context: RoomContext, text: string): Promise<RoomId> {
  const roomId = parseRoomId(text);
  if (roomId !== undefined) return roomId;
  const alias = parseRoomAlias(text);
  if (alias === undefined) throw invalidParam("This is neither a room id nor a room alias.");
  return (await roomOfAlias(context, alias)).room_id;
}

/** Throws M_FORBIDDEN for users whom no invitation could reach. */
export function requireInvitable({ servers }: RoomContext, user: UserId): void {
  if (!servers.isLocal(serverNameOf(user))) throw forbidden(`${user} cannot be invited: their server cannot be reached.`);
}

/** The rooms that a user has joined. */
export async function joinedRooms({ database }: RoomContext, user: RoomUser): Promise<RoomId[]> {
  const rooms = await membershipsOfUser(database, user.user_nid);
  return rooms.filter(({ membership }) => membership === MEMBERSHIPS.join).map(({ room_id }) => room_id);
}

/**
 * Joins a room; gives the event that did, or that did before. Throws M_FORBIDDEN where the room's rules refuse it,
 * M_GUEST_ACCESS_FORBIDDEN, M_NOT_FOUND for a room that this server does not know.
 */
export async function joinRoom(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  { reason, content = {}, transaction, origin_server_ts }: MembershipOptions = {},
): Promise<EventId> {
  const { database } = context;
  const { user_id } = user;
  const room = await requireRoom(database, roomId);
  const tuples = [CREATE, POWER_LEVELS, JOIN_RULES, GUEST_ACCESS, memberTuple(user_id)];
  const [state, profiles] = await Promise.all([
    stateEventsOf(context, database, room.nid, tuples),
    memberProfiles(context, [user_id]),
  ]);
  const before = state.get(memberTuple(user_id));
  const joined = membershipAmong(state, user_id) === "join";
  // Joining twice changes nothing, unless the client has something new to say.
  if (joined && before !== undefined && Object.keys(content).length === 0) return before.event_id;
  if (user.is_guest) requireGuestsWelcome(state);
  const { join_authorised_via_users_server: _ours, ...given } = content;
  return await submitMember(context, roomId, {
    sender: user_id,
    target: user_id,
    membership: "join",
    reason,
    content: { ...profiles.get(user_id), ...given },
    authorisedBy: joined ? {} : await authorisedJoin(context, room, user, state),
    transaction,
    origin_server_ts,
  });
}

function requireGuestsWelcome(state: ReadonlyMap<StateTuple, RoomEvent>): void {
  const access = state.get(GUEST_ACCESS);
  if (access === undefined || ownString(access.content, "guest_access") !== "can_join") {
    throw new MatrixError(403, "M_GUEST_ACCESS_FORBIDDEN", "Guests may not join this room.");
  }
}

/**
 * For a room that admits members of other rooms: who of ours authorises the join ("Restricted rooms"). Nothing where the
 * room's other rules decide. Throws M_FORBIDDEN where the user fulfils no condition, or nobody here may invite.
 */
async function authorisedJoin(
  context: RoomContext,
  room: Room,
  user: RoomUser,
  state: ReadonlyMap<StateTuple, RoomEvent>,
): Promise<JsonObject> {
  const { database, interning, servers } = context;
  const rule = joinRuleOf(state);
  const restricted =
    (rule === "restricted" && room.rules.restrictedJoins) || (rule === "knock_restricted" && room.rules.knockRestrictedJoins);
  if (!restricted || membershipAmong(state, user.user_id) === "invite") return {};
  const allowed = allowedRooms(state.get(JOIN_RULES)?.content ?? {});
  const rooms = await joinedRooms(context, user);
  if (!rooms.some((id) => allowed.has(id))) throw forbidden("You are in none of the rooms whose members may join this one.");
  const levels = powerLevelsAmong(room, state);
  const members = await roomMembers(database, room.nid, ["join"]);
  const names = await interning.userIds(members.map(({ user_nid }) => user_nid));
  const needed = namedLevel(levels, "invite");
  for (const name of names.values()) {
    const member = parseUserId(name);
    if (member === undefined || !servers.isLocal(serverNameOf(member))) continue;
    if (userLevel(levels, member) >= needed) return { join_authorised_via_users_server: member };
  }
  throw forbidden("Nobody on this server may let you into this room.");
}

/** The rooms whose members a join rule admits ("m.room.join_rules", `allow`). */
function allowedRooms(rules: JsonObject): Set<string> {
  const allow = own(rules, "allow");
  const rooms = new Set<string>();
  for (const condition of Array.isArray(allow) ? allow : []) {
    if (!isObject(condition) || ownString(condition, "type") !== "m.room_membership") continue;
    const room = ownString(condition, "room_id");
    if (room !== undefined) rooms.add(room);
  }
  return rooms;
}

/** Asks to be let into a room. Throws M_FORBIDDEN where its rules refuse it, M_NOT_FOUND for an unknown room. */
export async function knockRoom(
  context: RoomContext,
  { user_id }: RoomUser,
  roomId: RoomId,
  { reason }: MembershipOptions,
): Promise<void> {
  await requireRoom(context.database, roomId);
  const profiles = await memberProfiles(context, [user_id]);
  const content = { ...profiles.get(user_id) };
  await submitMember(context, roomId, { sender: user_id, target: user_id, membership: "knock", reason, content });
}

/** Invites a user. Throws M_FORBIDDEN where the room's rules refuse it or nobody could tell the user. */
export async function inviteUser(
  context: RoomContext,
  sender: RoomUser,
  roomId: RoomId,
  target: UserId,
  { reason }: MembershipOptions,
): Promise<void> {
  requireInvitable(context, target);
  const profiles = await memberProfiles(context, [target]);
  const content = { ...profiles.get(target) };
  await submitMember(context, roomId, { sender: sender.user_id, target, membership: "invite", reason, content });
}

/**
 * Leaves a room, declines an invitation or takes a knock back; nothing happens in a room that was left already. Throws
 * M_FORBIDDEN for who was never there or is banned.
 */
export async function leaveRoom(
  context: RoomContext,
  { user_id }: RoomUser,
  roomId: RoomId,
  { reason }: MembershipOptions,
): Promise<void> {
  const membership = await membershipNow(context, roomId, user_id);
  if (membership === "leave") return;
  if (membership === undefined || membership === "ban") throw forbidden("You are not in this room.");
  await submitMember(context, roomId, { sender: user_id, target: user_id, membership: "leave", reason });
}

/** Removes a user, or withdraws an invitation. Throws M_FORBIDDEN where that is not the sender's right, or nobody's. */
export async function kick(
  context: RoomContext,
  sender: RoomUser,
  roomId: RoomId,
  target: UserId,
  { reason }: MembershipOptions,
): Promise<void> {
  const membership = await membershipNow(context, roomId, target);
  if (membership === undefined || !REMOVABLE.includes(membership)) throw forbidden(`${target} is not in this room.`);
  await submitMember(context, roomId, { sender: sender.user_id, target, membership: "leave", reason, whileIn: REMOVABLE });
}

/** Bans a user. Throws M_FORBIDDEN. */
export async function ban(
  context: RoomContext,
  sender: RoomUser,
  roomId: RoomId,
  target: UserId,
  { reason }: MembershipOptions,
): Promise<void> {
  await submitMember(context, roomId, { sender: sender.user_id, target, membership: "ban", reason });
}

/** Lifts a ban. Throws M_BAD_STATE for who is not banned, M_FORBIDDEN. */
export async function unban(
  context: RoomContext,
  sender: RoomUser,
  roomId: RoomId,
  target: UserId,
  { reason }: MembershipOptions,
): Promise<void> {
  if ((await membershipNow(context, roomId, target)) !== "ban") throw badState(`${target} is not banned from this room.`);
  await submitMember(context, roomId, { sender: sender.user_id, target, membership: "leave", reason, whileIn: ["ban"] });
}

/** Takes a room that was left out of a user's lists and history. Throws M_UNKNOWN 400 for who is still there. */
export async function forgetRoom({ database, committer }: RoomContext, user: RoomUser, roomId: RoomId): Promise<void> {
  const entry = await membershipInRoom(database, user.user_nid, roomId);
  if (entry === undefined) throw unknownError(400, "You were never in this room.");
  if (entry.membership !== MEMBERSHIPS.leave && entry.membership !== MEMBERSHIPS.ban) {
    throw unknownError(400, "Leave the room before you forget it.");
  }
  await committer.submit({ statements: [forgetStatement(user.user_nid, entry.room_nid)], entries: [] });
}

/** A user's membership. Throws M_FORBIDDEN for an unknown room: who is not in it need not know whether it exists. */
async function membershipNow(context: RoomContext, roomId: RoomId, user: UserId): Promise<Membership | undefined> {
  const room = await findRoom(context.database, roomId);
  if (room === undefined) throw forbidden("You are not in this room.");
  return membershipAmong(await stateEventsOf(context, context.database, room.nid, [memberTuple(user)]), user);
}

interface MemberChange {
  readonly sender: UserId;
  readonly target: UserId;
  readonly membership: Membership;
  readonly reason: string | undefined;
  readonly content?: JsonObject;
  readonly authorisedBy?: JsonObject;
  /** The memberships that the target may have when it happens: a ban that came meanwhile must not be lifted by the way. */
  readonly whileIn?: readonly Membership[];
  readonly transaction?: DraftTransaction | undefined;
  readonly origin_server_ts?: number | undefined;
}

async function submitMember({ owners }: RoomContext, roomId: RoomId, change: MemberChange): Promise<EventId> {
  const { sender, target, membership, reason, content, authorisedBy, whileIn, transaction, origin_server_ts } = change;
  const [result] = await owners.submit(roomId, [
    {
      type: "m.room.member",
      state_key: target,
      sender,
      content: { ...content, ...(reason !== undefined && { reason }), ...authorisedBy, membership },
      ...(whileIn !== undefined && { while_membership: whileIn }),
      ...(transaction !== undefined && { transaction }),
      ...(origin_server_ts !== undefined && { origin_server_ts }),
    },
  ]);
  return accepted(result).event_id;
}
