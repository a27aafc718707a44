// Client-server API, "Server Discovery".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { WellKnown } from "../types/well-known.js";
import { UserId } from "../types/identifiers.js";

export const getWellknown = operation({
  operationId: "getWellknown",
  method: "GET",
  paths: ["/.well-known/matrix/client"],
  auth: "none",
  summary: "Where clients reach the server of this name.",
  response: WellKnown,
});

export const getWellknownPolicy = operation({
  operationId: "getWellknownPolicy",
  method: "GET",
  paths: ["/.well-known/matrix/policy_server"],
  auth: "none",
  summary: "The key of the policy server of this name.",
  response: Type.Object({ public_keys: Type.Object({ ed25519: Type.String() }) }),
});

export const getWellknownSupport = operation({
  operationId: "getWellknownSupport",
  method: "GET",
  paths: ["/.well-known/matrix/support"],
  auth: "none",
  summary: "Whom to contact about the server.",
  response: Type.Object({
    contacts: Type.Optional(
      Type.Array(
        Type.Object({
          role: Type.String(),
          matrix_id: Type.Optional(UserId),
          email_address: Type.Optional(Type.String()),
        }),
      ),
    ),
    support_page: Type.Optional(Type.String()),
  }),
});
