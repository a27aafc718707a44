// Server-server API, "Inviting to a room".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { EventId, RoomId, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const event = Type.Object({ roomId: RoomId, eventId: EventId });
const signed = Type.Object({ event: JsonObject });

export const sendInviteV1 = operation({
  operationId: "sendInviteV1",
  method: "PUT",
  paths: ["/_matrix/federation/v1/invite/{roomId}/{eventId}"],
  auth: "server",
  summary: "Signs an invitation of one of our users; as older servers ask, for rooms of versions 1 and 2.",
  params: event,
  body: JsonObject,
  response: Type.Tuple([Type.Literal(200), signed]),
});

export const sendInviteV2 = operation({
  operationId: "sendInviteV2",
  method: "PUT",
  paths: ["/_matrix/federation/v2/invite/{roomId}/{eventId}"],
  auth: "server",
  summary: "Signs an invitation of one of our users.",
  params: event,
  body: Type.Object({
    event: JsonObject,
    room_version: Type.String(),
    invite_room_state: Type.Optional(Type.Array(JsonObject, { maxItems: 100 })),
  }),
  response: signed,
});

export const exchangeThirdPartyInvite = operation({
  operationId: "exchangeThirdPartyInvite",
  method: "PUT",
  paths: ["/_matrix/federation/v1/exchange_third_party_invite/{roomId}"],
  auth: "server",
  summary: "Issues the invitation of who has bound an address that one of our users had invited.",
  params: Type.Object({ roomId: RoomId }),
  body: Type.Object({
    type: Type.String(),
    room_id: RoomId,
    sender: UserId,
    state_key: UserId,
    content: Type.Object({ membership: Type.String(), third_party_invite: Type.Object({ signed: JsonObject }) }),
  }),
  response: Type.Object({}),
});

export const onBindThirdPartyIdentifier = operation({
  operationId: "onBindThirdPartyIdentifier",
  method: "PUT",
  paths: ["/_matrix/federation/v1/3pid/onbind"],
  auth: "none",
  limit: "federation_query",
  summary: "An identity server tells that one of our users has bound an address, and of the invitations that wait for it.",
  body: Type.Object({
    medium: Type.String(),
    address: Type.String(),
    mxid: UserId,
    invites: Type.Array(
      Type.Object({ medium: Type.String(), address: Type.String(), mxid: UserId, room_id: RoomId, sender: UserId, signed: JsonObject }),
      { maxItems: 50 },
    ),
  }),
  response: Type.Object({}),
});

// Not specified: what identity servers do, and other servers answer.
export const onBindThirdPartyIdentifierByPost = operation({
  ...onBindThirdPartyIdentifier,
  operationId: "onBindThirdPartyIdentifierByPost",
  method: "POST",
});
