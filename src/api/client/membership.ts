// Client-server API, "Room membership".
import type * as spec from "../../../spec/client/membership.js";
import type { BodyOf } from "../../../spec/operation.js";
import { requestAlias, requestUser } from "../../appservice/queries.js";
import { badJson } from "../../errors.js";
import { parseRoomAlias } from "../../protocol/identifiers.js";
import * as membership from "../../rooms/membership/membership.js";
import { claimThirdPartyInvite, inviteThirdPartyId } from "../../rooms/membership/third-party-invite.js";
import type { Handler } from "../handler.js";
import type { Services } from "../services.js";

export const getJoinedRooms: Handler<typeof spec.getJoinedRooms> = async (services, { auth }) => ({
  joined_rooms: await membership.joinedRooms(services, auth),
});

export const inviteUser: Handler<typeof spec.inviteUser> = async (services, { auth, params, body }) => {
  const { user_id, reason, medium, address, id_server, id_access_token } = body;
  if (auth.shadow_banned === true) return {};
  if (user_id !== undefined) {
    await requestUser(services, user_id);
    await membership.inviteUser(services, auth, params.roomId, user_id, { reason });
  } else if (medium !== undefined && address !== undefined) {
    await inviteThirdPartyId(services, auth, params.roomId, { medium, address, id_server, id_access_token }, reason);
  } else throw badJson('An invitation needs "user_id", or "medium" and "address".');
  return {};
};

/** The room of an id or alias; an application service may make it on demand. */
async function roomOf(services: Services, idOrAlias: string): ReturnType<typeof membership.resolveRoom> {
  const alias = parseRoomAlias(idOrAlias);
  if (alias !== undefined) await requestAlias(services, alias);
  return await membership.resolveRoom(services, idOrAlias);
}

/** Whatever else a client sends becomes content of the member event, as clients have come to expect. */
function joinOptions({ reason, third_party_signed: _invite, ...content }: BodyOf<typeof spec.joinRoom>): membership.MembershipOptions {
  return { reason, content };
}

export const joinRoomById: Handler<typeof spec.joinRoomById> = async (services, { auth, params, body }) => {
  if (body.third_party_signed !== undefined) await claimThirdPartyInvite(services, auth, params.roomId, body.third_party_signed);
  await membership.joinRoom(services, auth, params.roomId, joinOptions(body));
  return { room_id: params.roomId };
};

export const joinRoom: Handler<typeof spec.joinRoom> = async (services, { auth, params, query, body }) => {
  const { room_id, via } = await roomOf(services, params.roomIdOrAlias);
  if (body.third_party_signed !== undefined) await claimThirdPartyInvite(services, auth, room_id, body.third_party_signed);
  const named = [...(query.via ?? []), ...(query.server_name ?? [])];
  await membership.joinRoom(services, auth, room_id, { ...joinOptions(body), via: [...named, ...via] });
  return { room_id };
};

export const knockRoom: Handler<typeof spec.knockRoom> = async (services, { auth, params, query, body }) => {
  const { room_id, via } = await roomOf(services, params.roomIdOrAlias);
  const named = [...(query.via ?? []), ...(query.server_name ?? [])];
  await membership.knockRoom(services, auth, room_id, { ...body, via: [...named, ...via] });
  return { room_id };
};

export const leaveRoom: Handler<typeof spec.leaveRoom> = async (services, { auth, params, body }) => {
  await membership.leaveRoom(services, auth, params.roomId, body);
  return {};
};

export const forgetRoom: Handler<typeof spec.forgetRoom> = async (services, { auth, params }) => {
  await membership.forgetRoom(services, auth, params.roomId);
  return {};
};

export const kick: Handler<typeof spec.kick> = async (services, { auth, params, body }) => {
  await membership.kick(services, auth, params.roomId, body.user_id, body);
  return {};
};

export const ban: Handler<typeof spec.ban> = async (services, { auth, params, body }) => {
  await membership.ban(services, auth, params.roomId, body.user_id, body);
  return {};
};

export const unban: Handler<typeof spec.unban> = async (services, { auth, params, body }) => {
  await membership.unban(services, auth, params.roomId, body.user_id, body);
  return {};
};
