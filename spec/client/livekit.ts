// What clients ask for before they go into a group call that LiveKit carries (MSC4195), below the address that MSC4143 announces.
import { Type } from "typebox";
import { operation } from "../operation.js";
import { RoomId, ServerName, UserId } from "../types/identifiers.js";

const text = Type.String({ minLength: 1, maxLength: 512 });
const OpenIdToken = Type.Object({ access_token: text, token_type: Type.Optional(Type.String()), matrix_server_name: ServerName, expires_in: Type.Optional(Type.Number()) });
/** Delayed events that another service would have to send: we offer none, and say so. */
const delegation = { delay_id: Type.Optional(Type.String()), delay_timeout: Type.Optional(Type.Integer()) };
const Admission = Type.Object({ url: Type.String(), jwt: Type.String() });

export const getLivekitAdmission = operation({
  operationId: "getLivekitAdmission",
  method: "POST",
  paths: ["/livekit/jwt/get_token"],
  auth: "none",
  limit: "lookup",
  summary: "Lets a user of any server who is in a room into its call (MSC4195).",
  body: Type.Object({
    room_id: RoomId,
    slot_id: text,
    openid_token: OpenIdToken,
    member: Type.Object({ id: text, claimed_user_id: UserId, claimed_device_id: text }),
    ...delegation,
  }),
  response: Admission,
});

export const getSfuAdmission = operation({
  operationId: "getSfuAdmission",
  method: "POST",
  paths: ["/livekit/jwt/sfu/get"],
  auth: "none",
  limit: "lookup",
  summary: "As getLivekitAdmission, for clients of before the Matrix 2.0 calls.",
  body: Type.Object({ room: RoomId, openid_token: OpenIdToken, device_id: text, ...delegation }),
  response: Admission,
});
