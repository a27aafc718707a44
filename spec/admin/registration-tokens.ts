// Synapse's admin API, "Registration Tokens".
import { Type } from "typebox";
import { operation } from "../operation.js";

const TOKENS = "/_synapse/admin/v1/registration_tokens";
const NullableInteger = Type.Unsafe<number | null>({ type: ["integer", "null"], minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const uses = Type.Unsafe<number | null>({ type: ["integer", "null"], minimum: 0, maximum: 2_147_483_647 });
const ofToken = Type.Object({ token: Type.String() });
const Token = Type.Object({
  token: Type.String(),
  uses_allowed: NullableInteger,
  pending: Type.Integer(),
  completed: Type.Integer(),
  expiry_time: NullableInteger,
});

export const adminListTokens = operation({
  operationId: "adminListTokens",
  method: "GET",
  paths: [TOKENS],
  auth: "admin",
  summary: "The registration tokens: all, or those that can still be used, or those that cannot.",
  query: Type.Object({ valid: Type.Optional(Type.Boolean()) }),
  response: Type.Object({ registration_tokens: Type.Array(Token) }),
});

export const adminCreateToken = operation({
  operationId: "adminCreateToken",
  method: "POST",
  paths: [`${TOKENS}/new`],
  auth: "admin",
  summary: "Makes a registration token.",
  body: Type.Object({
    token: Type.Optional(Type.String({ pattern: "^[A-Za-z0-9._~-]{1,64}$" })),
    uses_allowed: Type.Optional(uses),
    expiry_time: Type.Optional(NullableInteger),
    length: Type.Optional(Type.Integer({ minimum: 1, maximum: 64 })),
  }),
  response: Token,
});

export const adminGetToken = operation({
  operationId: "adminGetToken",
  method: "GET",
  paths: [`${TOKENS}/{token}`],
  auth: "admin",
  summary: "One registration token.",
  params: ofToken,
  response: Token,
});

export const adminUpdateToken = operation({
  operationId: "adminUpdateToken",
  method: "PUT",
  paths: [`${TOKENS}/{token}`],
  auth: "admin",
  summary: "Changes how often and how long a registration token can be used.",
  params: ofToken,
  body: Type.Object({ uses_allowed: Type.Optional(uses), expiry_time: Type.Optional(NullableInteger) }),
  response: Token,
});

export const adminDeleteToken = operation({
  operationId: "adminDeleteToken",
  method: "DELETE",
  paths: [`${TOKENS}/{token}`],
  auth: "admin",
  summary: "Deletes a registration token.",
  params: ofToken,
  response: Type.Object({}),
});
