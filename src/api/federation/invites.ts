// Server-server API, "Inviting to a room".
import type * as spec from "../../../spec/federation/invites.js";
import { isObject, own } from "../../protocol/json.js";
import { takeInvitation } from "../../rooms/membership/remote-invite.js";
import { exchangeThirdPartyInvite as exchange, inviteBoundUser } from "../../rooms/membership/third-party-invite.js";
import { Reply, type Handler } from "../handler.js";

export const sendInviteV1: Handler<typeof spec.sendInviteV1> = async (services, { auth, params, body }) => {
  const unsigned = own(body, "unsigned");
  const state = isObject(unsigned) ? own(unsigned, "invite_room_state") : undefined;
  const invitation = { event: body, room_version: "1", invite_room_state: Array.isArray(state) ? state : [] };
  return new Reply(200, `[200,{"event":${await takeInvitation(services, auth, params.roomId, params.eventId, invitation)}}]`);
};

export const sendInviteV2: Handler<typeof spec.sendInviteV2> = async (services, { auth, params, body }) => {
  const { event, room_version, invite_room_state = [] } = body;
  const signed = await takeInvitation(services, auth, params.roomId, params.eventId, { event, room_version, invite_room_state });
  return new Reply(200, `{"event":${signed}}`);
};

export const exchangeThirdPartyInvite: Handler<typeof spec.exchangeThirdPartyInvite> = async (services, { auth, params, body }) => {
  await exchange(services, auth, params.roomId, body);
  return {};
};

export const onBindThirdPartyIdentifier: Handler<typeof spec.onBindThirdPartyIdentifier> = async (services, { body }) => {
  await inviteBoundUser(services, body.mxid, body.invites);
  return {};
};

export const onBindThirdPartyIdentifierByPost: Handler<typeof spec.onBindThirdPartyIdentifierByPost> = onBindThirdPartyIdentifier;
