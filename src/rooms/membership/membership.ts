// Joining, leaving, inviting, removing (client-server API, "Room membership").
import { setTimeout as sleep } from "node:timers/promises";
import { badState, forbidden, guestsForbidden, invalidParam, MatrixError, unknownError } from "../../errors.js";
import type { RoomEvent } from "../../protocol/event.js";
import {
  type EventId,
  parseRoomAlias,
  parseRoomId,
  type RoomId,
  type ServerName,
  serverNameOf,
  type UserId,
} from "../../protocol/identifiers.js";
import { type JsonObject, ownString } from "../../protocol/json.js";
import type { Membership } from "../../protocol/membership.js";
import { stateTuple, type StateTuple } from "../../protocol/state-map.js";
import { forgetRoom as forgetStatement, isKnownWell, membershipInRoom, membershipsOfUser } from "../../storage/memberships.js";
import { serversOfRoom } from "../../storage/room-directory.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import { lookUpAlias } from "../aliases.js";
import { requireOpenRoom } from "../administration/blocked-rooms.js";
import type { RoomContext, RoomUser } from "../context.js";
import {
  CREATE,
  findRoom,
  JOIN_RULES,
  membershipAmong,
  memberTuple,
  POWER_LEVELS,
  requireRoom,
  stateEventsOf,
} from "../current-state.js";
import { accepted, type DraftTransaction } from "../owner/draft.js";
import { requireInvitable } from "./invite-filter.js";
import { memberProfiles } from "./member-profiles.js";
import { outsideEvent } from "./outside.js";
import { inviteElsewhere } from "./remote-invite.js";
import { remoteTree } from "../directory/remote-hierarchy.js";
import { joinElsewhere, knockElsewhere, leaveElsewhere, serversToAsk } from "./remote-membership.js";
import { authorisedJoin } from "./restricted-join.js";
import { requireDeclinable } from "../administration/server-notices.js";
import { followPredecessor } from "../upgrade-settings.js";

const GUEST_ACCESS = stateTuple("m.room.guest_access", "");

/** Who can be removed from a room. */
const REMOVABLE: readonly Membership[] = ["join", "invite", "knock"];
/** Servers of a room that are asked to let a user in where we may not. */
const MAX_SERVERS = 10;
/** After this they are asked once more, if they refuse. */
const AGAIN_MS = 500;

/** What a client may add to a change of membership. */
export interface MembershipOptions {
  readonly reason?: string | undefined;
  /** Servers that may be in the room, where ours is not. */
  readonly via?: readonly ServerName[];
  /** Further content of the member event, from clients that send it as state. */
  readonly content?: JsonObject;
  readonly transaction?: DraftTransaction;
  /** When it happened; now, if absent. */
  readonly origin_server_ts?: number | undefined;
}

/**
 * The room that an id or alias names, and servers that the alias's server knows in it. Throws M_INVALID_PARAM for what is
 * neither, M_NOT_FOUND for an unknown alias.
 */
export async function resolveRoom(context: RoomContext, text: string): Promise<{ room_id: RoomId; via: readonly ServerName[] }> {
  const roomId = parseRoomId(text);
  if (roomId !== undefined) return { room_id: roomId, via: [] };
  const alias = parseRoomAlias(text);
  if (alias === undefined) throw invalidParam("This is neither a room id nor a room alias.");
  const { room_id, servers } = await lookUpAlias(context, alias);
  return { room_id, via: servers };
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
  options: MembershipOptions = {},
  again = false,
): Promise<EventId> {
  const { reason, content = {}, via = [], transaction, origin_server_ts } = options;
  const { database } = context;
  const { user_id } = user;
  const { join_authorised_via_users_server: _ours, ...given } = content;
  const elsewhere = async (others: readonly ServerName[] = []): Promise<EventId> => {
    const profile = (await memberProfiles(context, [user_id])).get(user_id);
    const invite = await outsideEvent(context, user.user_nid, roomId);
    const inviters = invite?.membership === MEMBERSHIPS.invite ? [serverNameOf(invite.event.sender)] : [];
    const servers = [...inviters, ...via, ...others];
    if (user.is_guest) await requireGuestsWelcomeElsewhere(context, user_id, roomId, servers);
    const eventId = await joinElsewhere(context, user, roomId, servers, { ...profile, ...given, ...(reason !== undefined && { reason }) });
    const joinedRoom = await requireRoom(database, roomId);
    const create = (await stateEventsOf(context, database, joinedRoom.nid, [CREATE])).get(CREATE);
    await followPredecessor(context, user, { room_id: roomId, room_nid: joinedRoom.nid }, create?.content ?? {}, true);
    return eventId;
  };
  await requireOpenRoom(context, roomId);
  const room = await findRoom(database, roomId);
  if (room === undefined || !(await isKnownWell(database, room.nid))) return await elsewhere();
  const tuples = [CREATE, POWER_LEVELS, JOIN_RULES, GUEST_ACCESS, memberTuple(user_id)];
  const [state, profiles] = await Promise.all([
    stateEventsOf(context, database, room.nid, tuples),
    memberProfiles(context, [user_id]),
  ]);
  const before = state.get(memberTuple(user_id));
  // Of whom nothing is known, other servers may know something.
  if (before === undefined && room.whole_since === null) {
    return await elsewhere((await serversOfRoom(database, room.nid, MAX_SERVERS)).filter((server) => !context.servers.isLocal(server)));
  }
  const joined = membershipAmong(state, user_id) === "join";
  const follow = (): Promise<void> =>
    followPredecessor(context, user, { room_id: roomId, room_nid: room.nid }, state.get(CREATE)?.content ?? {}, true);
  // Joining twice changes nothing, unless the client has something new to say, or heard nothing of the first time.
  if (joined && before !== undefined && Object.keys(content).length === 0) {
    await follow();
    return before.event_id;
  }
  if (user.is_guest) requireGuestsWelcome(state);
  let authorisedBy: JsonObject;
  try {
    authorisedBy = await authorisedJoin(context, room, user_id, state);
  } catch (error) {
    if (!(error instanceof MatrixError) || !error.errcode.startsWith("M_UNABLE")) throw error;
    // Another server in the room may know more rooms, or have somebody who may invite.
    const others = (await serversOfRoom(database, room.nid, MAX_SERVERS)).filter((server) => !context.servers.isLocal(server));
    if (others.length > 0) {
      try {
        return await elsewhere(others);
      } catch (refusal) {
        if (again || !(refusal instanceof MatrixError) || refusal.status !== 403) throw refusal;
        // They may not have heard yet of the room that the user joined here a moment ago, nor we of who may invite.
        await sleep(AGAIN_MS);
        return await joinRoom(context, user, roomId, options, true);
      }
    }
    throw forbidden(error.message);
  }
  const eventId = await submitMember(context, roomId, {
    sender: user_id,
    target: user_id,
    membership: "join",
    reason,
    content: { ...profiles.get(user_id), ...given },
    authorisedBy,
    transaction,
    origin_server_ts,
  });
  if (!joined) await follow();
  return eventId;
}

/** As its servers say: if they do not tell the truth, guests are taken out again once we know the room. */
async function requireGuestsWelcomeElsewhere(context: RoomContext, guest: UserId, roomId: RoomId, via: readonly ServerName[]): Promise<void> {
  const tree = await remoteTree(context, serverNameOf(guest), roomId, serversToAsk(context, roomId, via), false);
  if (tree?.summary.guest_can_join !== true) throw guestsForbidden("Guests may not join this room.");
}

function requireGuestsWelcome(state: ReadonlyMap<StateTuple, RoomEvent>): void {
  const access = state.get(GUEST_ACCESS);
  if (access === undefined || ownString(access.content, "guest_access") !== "can_join") {
    throw guestsForbidden("Guests may not join this room.");
  }
}

/** Asks to be let into a room. Throws M_FORBIDDEN where its rules refuse it, M_NOT_FOUND for an unknown room. */
export async function knockRoom(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  { reason, via = [] }: MembershipOptions,
): Promise<void> {
  const { user_id } = user;
  const profiles = await memberProfiles(context, [user_id]);
  const content = { ...profiles.get(user_id) };
  const room = await findRoom(context.database, roomId);
  if (room === undefined || !(await isKnownWell(context.database, room.nid))) {
    await knockElsewhere(context, user, roomId, via, { ...content, ...(reason !== undefined && { reason }) });
    return;
  }
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
  await requireInvitable(context, sender.user_id, [target]);
  if (!context.servers.isLocal(serverNameOf(target))) {
    await inviteElsewhere(context, sender.user_id, roomId, target, reason === undefined ? {} : { reason });
    return;
  }
  const profiles = await memberProfiles(context, [target]);
  const content = { ...profiles.get(target) };
  await submitMember(context, roomId, { sender: sender.user_id, target, membership: "invite", reason, content });
}

/**
 * Leaves a room, declines an invitation or takes a knock back; nothing happens in a room that was left already. Throws
 * M_FORBIDDEN for who was never there or is banned, M_CANNOT_LEAVE_SERVER_NOTICE_ROOM for an invitation of the server.
 */
export async function leaveRoom(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  { reason }: MembershipOptions,
): Promise<void> {
  const outside = await outsideMembership(context, user, roomId);
  if (outside !== undefined) {
    if (outside.membership === MEMBERSHIPS.leave) return;
    if (outside.membership === MEMBERSHIPS.ban) throw forbidden("You are not in this room.");
    await leaveElsewhere(context, user, roomId, outside, reason === undefined ? {} : { reason });
    return;
  }
  const { user_id, user_nid } = user;
  const membership = await membershipNow(context, roomId, user_id);
  if (membership === "leave") return;
  if (membership === "invite") await requireDeclinable(context, user_nid, roomId);
  if (membership === undefined || membership === "ban") throw forbidden("You are not in this room.");
  await submitMember(context, roomId, { sender: user_id, target: user_id, membership: "leave", reason });
  await forgetIfSettled(context, user_id, roomId);
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
  await forgetIfSettled(context, target, roomId);
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
  await forgetIfSettled(context, target, roomId);
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
  await committer.submit({ statements: [forgetStatement(user.user_nid, entry.room_nid)], entries: [{ kind: "invalidation", user_nid: user.user_nid }] });
}

/** Takes a room that a user has left or was removed from out of their lists, where all users shall forget such rooms. */
async function forgetIfSettled({ config, database, committer, interning }: RoomContext, user: UserId, roomId: RoomId): Promise<void> {
  if (!config.rooms.forget_on_leave) return;
  const user_nid = (await interning.findUsers([user])).get(user);
  const entry = user_nid === undefined ? undefined : await membershipInRoom(database, user_nid, roomId);
  if (user_nid === undefined || entry === undefined) return;
  await committer.submit({ statements: [forgetStatement(user_nid, entry.room_nid)], entries: [{ kind: "invalidation", user_nid }] });
}

/** What a user is in a room that none of ours is in; undefined where the room's own state says it. */
async function outsideMembership(context: RoomContext, user: RoomUser, roomId: RoomId): ReturnType<typeof outsideEvent> {
  const room = await findRoom(context.database, roomId);
  if (room === undefined || (await isKnownWell(context.database, room.nid))) return undefined;
  return await outsideEvent(context, user.user_nid, roomId);
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
