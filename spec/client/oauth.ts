// Client-server API, "OAuth 2.0 API": what clients call.
import { Type } from "typebox";
import { operation } from "../operation.js";

/** As the RFCs have it: parameters that are missing are refused in their words, not in those of Matrix. */
const Parameter = Type.Optional(Type.String({ maxLength: 4096 }));
const Texts = Type.Array(Type.String());

const Metadata = Type.Object({
  issuer: Type.String(),
  authorization_endpoint: Type.String(),
  token_endpoint: Type.String(),
  revocation_endpoint: Type.String(),
  registration_endpoint: Type.String(),
  device_authorization_endpoint: Type.String(),
  jwks_uri: Type.String(),
  response_types_supported: Texts,
  grant_types_supported: Texts,
  response_modes_supported: Texts,
  code_challenge_methods_supported: Texts,
  prompt_values_supported: Type.Optional(Texts),
  account_management_uri: Type.String(),
  account_management_actions_supported: Texts,
  token_endpoint_auth_methods_supported: Texts,
  revocation_endpoint_auth_methods_supported: Texts,
  subject_types_supported: Texts,
  id_token_signing_alg_values_supported: Texts,
  scopes_supported: Texts,
});

export const getAuthMetadata = operation({
  operationId: "getAuthMetadata",
  method: "GET",
  paths: [
    "/_matrix/client/v1/auth_metadata",
    "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
  ],
  auth: "none",
  summary: "Where and how clients log in through OAuth 2.0.",
  response: Metadata,
});

export const getAuthIssuer = operation({
  operationId: "getAuthIssuer",
  method: "GET",
  paths: ["/_matrix/client/unstable/org.matrix.msc2965/auth_issuer"],
  auth: "none",
  summary: "What clients of before the metadata had a path of their own look for.",
  response: Type.Object({ issuer: Type.String() }),
});

export const getOauthKeys = operation({
  operationId: "getOauthKeys",
  method: "GET",
  paths: ["/_hansa/oauth/keys"],
  auth: "none",
  limit: "lookup",
  summary: "The public keys of identity tokens.",
  response: Type.Object({ keys: Type.Array(Type.Record(Type.String(), Type.Unknown())) }),
});

export const registerOauthClient = operation({
  operationId: "registerOauthClient",
  method: "POST",
  paths: ["/_hansa/oauth/register"],
  auth: "none",
  limit: "login",
  summary: "Registers a client (RFC 7591).",
  oauthError: "invalid_client_metadata",
  body: Type.Record(Type.String(), Type.Unknown()),
  response: Type.Record(Type.String(), Type.Unknown()),
});

export const giveOauthTokens = operation({
  operationId: "giveOauthTokens",
  method: "POST",
  paths: ["/_hansa/oauth/token"],
  auth: "none",
  limit: "login",
  summary: "Gives tokens for an authorisation code, a refresh token or a device code.",
  body: Type.Object({
    grant_type: Parameter,
    client_id: Parameter,
    code: Parameter,
    redirect_uri: Parameter,
    code_verifier: Parameter,
    refresh_token: Parameter,
    device_code: Parameter,
  }),
  form: true,
  oauthError: "invalid_request",
  response: Type.Object({
    access_token: Type.String(),
    token_type: Type.Literal("Bearer"),
    expires_in: Type.Integer(),
    refresh_token: Type.Optional(Type.String()),
    scope: Type.String(),
    id_token: Type.Optional(Type.String()),
  }),
});

export const revokeOauthToken = operation({
  operationId: "revokeOauthToken",
  method: "POST",
  paths: ["/_hansa/oauth/revoke"],
  auth: "none",
  limit: "login",
  summary: "Ends the session of a token (RFC 7009).",
  body: Type.Object({ token: Parameter, token_type_hint: Parameter, client_id: Parameter }),
  form: true,
  oauthError: "invalid_request",
  response: Type.Object({}),
});

export const authorizeOauthDevice = operation({
  operationId: "authorizeOauthDevice",
  method: "POST",
  paths: ["/_hansa/oauth/device"],
  auth: "none",
  limit: "login",
  summary: "Begins to log a client in that has no browser (RFC 8628).",
  body: Type.Object({ client_id: Parameter, scope: Parameter }),
  form: true,
  oauthError: "invalid_request",
  response: Type.Object({
    device_code: Type.String(),
    user_code: Type.String(),
    verification_uri: Type.String(),
    verification_uri_complete: Type.String(),
    expires_in: Type.Integer(),
    interval: Type.Integer(),
  }),
});
