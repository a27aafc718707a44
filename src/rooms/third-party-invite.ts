// Invitations of people of whom only an address is known (client-server API, "Third-party invites").
import { forbidden, invalidParam, missingParam } from "../errors.js";
import { lookUpThirdPartyId, storeInvitation } from "../federation/identity-server.js";
import type { Outgoing } from "../federation/outgoing.js";
import { parseServerName, parseUserId, type RoomId, serverNameOf } from "../protocol/identifiers.js";
import { isObject, type JsonObject, own, ownString } from "../protocol/json.js";
import { namedLevel, userLevel } from "../protocol/power-levels.js";
import { stateTuple } from "../protocol/state-map.js";
import { canonicalAddress, type ThirdPartyId } from "../protocol/third-party-ids.js";
import { ownerOfThirdPartyId } from "../storage/third-party-ids.js";
import type { RoomContext, RoomUser } from "./context.js";
import { CREATE, JOIN_RULES, membershipAmong, memberTuple, POWER_LEVELS, powerLevelsAmong, requireRoom, stateEventsOf } from "./current-state.js";
import { accepted } from "./draft.js";
import { inviteUser } from "./membership.js";
import { memberProfiles } from "./member-profiles.js";

const NAME = stateTuple("m.room.name", "");
const AVATAR = stateTuple("m.room.avatar", "");
const CANONICAL_ALIAS = stateTuple("m.room.canonical_alias", "");
const INVITE = "m.room.third_party_invite";

export interface ThirdPartyInviteContext extends RoomContext {
  readonly outgoing: Outgoing;
}

/** Whom to invite, and the identity server that may know them, with the inviter's token there. */
export interface ThirdPartyInvitee {
  readonly medium: string;
  readonly address: string;
  readonly id_server?: string | undefined;
  readonly id_access_token?: string | undefined;
}

/**
 * Invites who has an address: as a user where this server or the identity server knows them, else by an event that whoever
 * proves to have the address can turn into an invitation. Throws M_INVALID_PARAM for the address or the server,
 * M_MISSING_PARAM where an identity server would have to be asked and none is named, M_FORBIDDEN, M_NOT_FOUND, M_UNKNOWN 502.
 */
export async function inviteThirdPartyId(
  context: ThirdPartyInviteContext,
  inviter: RoomUser,
  roomId: RoomId,
  { medium, address, id_server, id_access_token }: ThirdPartyInvitee,
  reason?: string,
): Promise<void> {
  const id = requireThirdPartyId(medium, address);
  const known = await ownerOfThirdPartyId(context.database, serverNameOf(inviter.user_id), id);
  if (known !== undefined) return await inviteUser(context, inviter, roomId, known, { reason });
  if (id_server === undefined) throw missingParam('No user here has this address: name an identity server in "id_server".');
  if (id_access_token === undefined) throw missingParam('"id_access_token" is needed to ask the identity server.');
  const name = parseServerName(id_server);
  if (name === undefined) throw invalidParam('"id_server" is no server name.');
  // Before anybody else hears of it.
  const details = await invitationDetails(context, inviter, roomId);
  const server = { name, token: id_access_token };
  const found = await lookUpThirdPartyId(context.outgoing, server, id);
  if (found !== undefined) return await inviteUser(context, inviter, roomId, found, { reason });
  const { token, public_keys, display_name } = await storeInvitation(context.outgoing, server, id, details);
  const [first] = public_keys;
  const [result] = await context.owners.submit(roomId, [
    { type: INVITE, state_key: token, sender: inviter.user_id, content: { display_name, ...first, public_keys } },
  ]);
  accepted(result);
}

/** An address in canonical form. Throws M_INVALID_PARAM. */
export function requireThirdPartyId(medium: string, address: string): ThirdPartyId {
  const id = canonicalAddress(medium, address);
  if (id === undefined) throw invalidParam('"medium" and "address" are no e-mail address and no telephone number.');
  return id;
}

/** What an identity server is told for its message to the invited. Throws M_FORBIDDEN for who may not invite. */
async function invitationDetails(context: RoomContext, { user_id }: RoomUser, roomId: RoomId): Promise<Parameters<typeof storeInvitation>[3]> {
  const room = await requireRoom(context.database, roomId, forbidden("You are not in this room."));
  const tuples = [CREATE, POWER_LEVELS, JOIN_RULES, NAME, AVATAR, CANONICAL_ALIAS, memberTuple(user_id)];
  const [state, profiles] = await Promise.all([
    stateEventsOf(context, context.database, room.nid, tuples),
    memberProfiles(context, [user_id]),
  ]);
  const levels = powerLevelsAmong(room, state);
  if (membershipAmong(state, user_id) !== "join") throw forbidden("You are not in this room.");
  if (userLevel(levels, user_id) < namedLevel(levels, "invite")) throw forbidden("You may not invite anybody to this room.");
  const { displayname, avatar_url } = profiles.get(user_id) ?? {};
  const text = (tuple: typeof NAME, key: string): string | undefined => ownString(state.get(tuple)?.content ?? {}, key);
  return {
    room_id: roomId,
    sender: user_id,
    sender_display_name: displayname,
    sender_avatar_url: avatar_url,
    room_name: text(NAME, "name"),
    room_avatar_url: text(AVATAR, "url"),
    room_alias: text(CANONICAL_ALIAS, "alias"),
    room_join_rules: text(JOIN_RULES, "join_rule"),
    room_type: text(CREATE, "type"),
  };
}

/**
 * Turns an invitation by address into one of the user, for who shows what the identity server has signed for them
 * (`third_party_signed` of a join); nothing happens for who is in the room or invited. Throws M_INVALID_PARAM for what is not
 * signed for this user, M_FORBIDDEN where there is no such invitation or the signature is not that of its keys.
 */
export async function claimThirdPartyInvite(context: RoomContext, user: RoomUser, roomId: RoomId, signed: JsonObject): Promise<void> {
  const { user_id } = user;
  const token = ownString(signed, "token");
  const signatures = own(signed, "signatures");
  if (token === undefined || ownString(signed, "mxid") !== user_id || !isObject(signatures)) {
    throw invalidParam('"third_party_signed" is not signed for you.');
  }
  const refusal = forbidden("There is no such invitation to this room.");
  const room = await requireRoom(context.database, roomId, refusal);
  const tuple = stateTuple(INVITE, token);
  const state = await stateEventsOf(context, context.database, room.nid, [tuple, memberTuple(user_id)]);
  const membership = membershipAmong(state, user_id);
  if (membership === "join" || membership === "invite") return;
  const invite = state.get(tuple);
  const sender = parseUserId(invite?.sender);
  if (invite === undefined || sender === undefined || !context.servers.isLocal(serverNameOf(sender))) throw refusal;
  const profiles = await memberProfiles(context, [user_id]);
  const proof = { mxid: user_id, token, signatures };
  const [result] = await context.owners.submit(roomId, [
    {
      type: "m.room.member",
      state_key: user_id,
      sender,
      content: {
        ...profiles.get(user_id),
        membership: "invite",
        third_party_invite: { display_name: ownString(invite.content, "display_name") ?? "", signed: proof },
      },
    },
  ]);
  accepted(result);
}
