// Invitations of people of whom only an address is known (client-server API, "Third-party invites").
import { forbidden, invalidParam, MatrixError, missingParam } from "../../errors.js";
import { FederationError } from "../../federation/client.js";
import { lookUpThirdPartyId, storeInvitation } from "../../federation/identity-server.js";
import type { Outgoing } from "../../federation/outgoing.js";
import { logger } from "../../log.js";
import { isSignedForInvite } from "../../protocol/authorisation.js";
import { parseServerName, parseUserId, type RoomId, serverNameOf, type UserId } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../../protocol/json.js";
import { namedLevel, userLevel } from "../../protocol/power-levels.js";
import { stateTuple } from "../../protocol/state-map.js";
import { canonicalAddress, type ThirdPartyId } from "../../protocol/third-party-ids.js";
import { hasLocalMember } from "../../storage/memberships.js";
import { ownerOfThirdPartyId } from "../../storage/third-party-ids.js";
import type { RoomContext, RoomUser } from "../context.js";
import {
  CREATE,
  findRoom,
  JOIN_RULES,
  membershipAmong,
  memberTuple,
  POWER_LEVELS,
  powerLevelsAmong,
  requireRoom,
  type Room,
  stateEventsOf,
} from "../current-state.js";
import { accepted } from "../owner/draft.js";
import { nextMemberEvent, signDraft } from "./event-template.js";
import { inviteUser } from "./membership.js";
import { memberProfiles } from "./member-profiles.js";
import type { Sender } from "../remote/receive.js";
import { inviteElsewhere } from "./remote-invite.js";
import { requireServedRoom } from "./serve-join.js";

const log = logger("rooms");

const NAME = stateTuple("m.room.name", "");
const AVATAR = stateTuple("m.room.avatar", "");
const CANONICAL_ALIAS = stateTuple("m.room.canonical_alias", "");
const INVITE = "m.room.third_party_invite";
/** The inviter's server asks ours for its part before it answers. */
const EXCHANGE_MS = 20_000;

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
  const proof = proofFor(user.user_id, signed);
  const room = await requireRoom(context.database, roomId, noInvitation());
  await inviteByProof(context, room, user.user_id, proof);
}

/** What an identity server has signed: that the invitation under a token is a user's. */
interface Proof {
  readonly token: string;
  /** As it came; and without what it may have got besides. Some sign more than the user and the token, others no more. */
  readonly forms: readonly [whole: JsonObject, bare: JsonObject];
}

const noInvitation = (): MatrixError => forbidden("There is no such invitation to this room.");

/** What an identity server signed. Throws M_INVALID_PARAM where it is not for this user. */
function proofFor(userId: UserId, signed: JsonValue | undefined): Proof {
  const [token, signatures] = isObject(signed) ? [ownString(signed, "token"), own(signed, "signatures")] : [];
  if (!isObject(signed) || token === undefined || ownString(signed, "mxid") !== userId || !isObject(signatures)) {
    throw invalidParam("This is not signed for the invited user.");
  }
  const { unsigned: _unsigned, ...whole } = signed;
  return { token, forms: [whole, { mxid: userId, token, signatures }] };
}

/**
 * Makes an invitation by address one of a user, in a room that we are in. `by` is who is said to have invited. Throws M_FORBIDDEN, and
 * for users of other servers what `inviteElsewhere` throws.
 */
async function inviteByProof(context: RoomContext, room: Room, userId: UserId, proof: Proof, by?: UserId): Promise<void> {
  const tuple = stateTuple(INVITE, proof.token);
  const state = await stateEventsOf(context, context.database, room.nid, [tuple, memberTuple(userId)]);
  const membership = membershipAmong(state, userId);
  if (membership === "join" || membership === "invite") return;
  const invite = state.get(tuple);
  const sender = parseUserId(invite?.sender);
  if (invite === undefined || sender === undefined || (by !== undefined && by !== sender)) throw noInvitation();
  const [whole, bare] = proof.forms;
  const signed = isSignedForInvite(room.rules, whole, invite.content) ? whole : bare;
  const third_party_invite = { display_name: ownString(invite.content, "display_name") ?? "", signed };
  const server = serverNameOf(userId);
  if (!context.servers.isLocal(server)) {
    if (!context.servers.isLocal(serverNameOf(sender))) throw noInvitation();
    await inviteElsewhere(context, sender, room.room_id, userId, { third_party_invite });
    return;
  }
  const profiles = await memberProfiles(context, [userId]);
  const content = { ...profiles.get(userId), membership: "invite", third_party_invite };
  if (context.servers.isLocal(serverNameOf(sender))) {
    const [result] = await context.owners.submit(room.room_id, [{ type: "m.room.member", state_key: userId, sender, content }]);
    accepted(result);
    return;
  }
  // Its sender's server need not sign it: the invited user's does ("Validating hashes and signatures on received events").
  const draft = await nextMemberEvent(context, context.database, room, { sender, target: userId, content });
  const event = signDraft(context, room.rules, draft, server);
  const { outcomes } = await context.owners.receive(room.rules, room.room_id, [{ event, as: "live", passOn: true }]);
  if (outcomes.get(event.event_id) !== "live") throw forbidden("The room does not allow this invitation.");
}

/**
 * Issues the invitation of another server's user who has bound the address that a user of ours had invited
 * ("PUT /exchange_third_party_invite"). Throws M_INVALID_PARAM for what is no such invitation, M_NOT_FOUND, M_FORBIDDEN, and what
 * `inviteElsewhere` throws.
 */
export async function exchangeThirdPartyInvite(context: RoomContext, asker: Sender, roomId: RoomId, event: ExchangedInvite): Promise<void> {
  const { type, room_id, sender, state_key, content } = event;
  if (type !== "m.room.member" || room_id !== roomId || content.membership !== "invite") throw invalidParam("This is no invitation to this room.");
  if (serverNameOf(state_key) !== asker.origin) throw forbidden("A server speaks for its own users only.");
  if (!context.servers.isLocal(serverNameOf(sender))) throw forbidden("The inviter is not a user of this server.");
  const proof = proofFor(state_key, content.third_party_invite.signed);
  await inviteByProof(context, await requireServedRoom(context, asker, roomId), state_key, proof, sender);
}

/** The invitation that another server asks for: as much of a member event as counts. */
export interface ExchangedInvite {
  readonly type: string;
  readonly room_id: RoomId;
  readonly sender: UserId;
  readonly state_key: UserId;
  readonly content: { readonly membership: string; readonly third_party_invite: { readonly signed: JsonObject } };
}

/** An invitation that an identity server has kept for an address. */
export interface PendingInvite {
  readonly mxid: UserId;
  readonly room_id: RoomId;
  readonly sender: UserId;
  readonly signed: JsonObject;
}

/**
 * A user of ours has bound an address: invites them to the rooms to which the address was invited, where we are in the room, and else
 * by asking the inviter's server ("PUT /3pid/onbind"). What is signed decides, not who says so; invitations that come to nothing are
 * left out. Throws M_INVALID_PARAM for who is no user of ours.
 */
export async function inviteBoundUser(context: RoomContext, userId: UserId, invites: readonly PendingInvite[]): Promise<void> {
  const { database, federation, interning, servers } = context;
  const origin = serverNameOf(userId);
  if (!servers.isLocal(origin) || !(await interning.findUsers([userId])).has(userId)) throw invalidParam("This is no user of this server.");
  for (const { mxid, room_id, sender, signed } of invites) {
    if (mxid !== userId) continue;
    try {
      const proof = proofFor(userId, signed);
      const room = await findRoom(database, room_id);
      if (room !== undefined && (await hasLocalMember(database, room.nid))) {
        await inviteByProof(context, room, userId, proof, sender);
        continue;
      }
      const destination = serverNameOf(sender);
      if (servers.isLocal(destination)) continue;
      const third_party_invite = { display_name: userId, signed: proof.forms[0] };
      const body = { type: "m.room.member", room_id, sender, state_key: userId, content: { membership: "invite", third_party_invite } };
      const uri = `/_matrix/federation/v1/exchange_third_party_invite/${encodeURIComponent(room_id)}`;
      await federation.client.request({ origin, destination, method: "PUT", uri, body, timeoutMs: EXCHANGE_MS });
    } catch (error) {
      if (!(error instanceof MatrixError) && !(error instanceof FederationError)) throw error;
      log.info({ room: room_id, sender, err: error }, "an invitation by address came to nothing");
    }
  }
}
