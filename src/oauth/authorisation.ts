// Authorisation requests: what a client asks a user for, and the codes by which it is told (client-server API,
// "Authorisation code flow").
import { newToken, tokenDigest } from "../accounts/access-tokens.js";
import type { AccountContext } from "../accounts/context.js";
import { putCode } from "../storage/oauth.js";
import type { BrowserUser } from "./browser-sessions.js";
import { type Client, mayRedirect, requireClient } from "./clients.js";
import { invalidRequest } from "./oauth-error.js";
import { parseScope, type Scope } from "./scope.js";

const CODE_MS = 60_000;

/** The parameters of the request as they came. */
export interface AuthorisationParameters {
  readonly response_type?: string | undefined;
  readonly response_mode?: string | undefined;
  readonly client_id?: string | undefined;
  readonly redirect_uri?: string | undefined;
  readonly scope?: string | undefined;
  readonly state?: string | undefined;
  readonly code_challenge?: string | undefined;
  readonly code_challenge_method?: string | undefined;
  readonly nonce?: string | undefined;
  readonly prompt?: string | undefined;
}

export interface AuthorisationRequest extends Scope {
  readonly client: Client;
  readonly redirect_uri: string;
  readonly response_mode: "query" | "fragment";
  readonly state: string | undefined;
  readonly code_challenge: string;
  readonly nonce: string | undefined;
}

/** Parameters without those that are empty, which count as left out (RFC 6749, 3.1 and 3.2). */
export function withoutEmpty<Parameters extends object>(given: Parameters): Partial<Parameters> {
  const kept: Partial<Parameters> = { ...given };
  for (const name in kept) if (kept[name] === "") delete kept[name];
  return kept;
}

/** Where the browser goes back to the client, with an answer. */
export function callback({ redirect_uri, response_mode, state }: Pick<AuthorisationRequest, "redirect_uri" | "response_mode" | "state">, answer: Readonly<Record<string, string>>): string {
  const parameters = new URLSearchParams({ ...(state !== undefined && { state }), ...answer }).toString();
  if (response_mode === "fragment") return `${redirect_uri}#${parameters}`;
  return `${redirect_uri}${redirect_uri.includes("?") ? "&" : "?"}${parameters}`;
}

/**
 * Checks a request. What is wrong with it is told to the client, as the address to go back to, once it is certain that this
 * is the client's; before that it throws invalid_client or invalid_request.
 */
export async function checkAuthorisation(context: AccountContext, sent: AuthorisationParameters): Promise<AuthorisationRequest | { readonly refused: string }> {
  const given = withoutEmpty(sent);
  const client = await requireClient(context, given.client_id);
  const { redirect_uri, state, code_challenge, nonce } = given;
  if (redirect_uri === undefined || !mayRedirect(client, redirect_uri)) throw invalidRequest("The client has not registered this redirect_uri.");
  const response_mode = given.response_mode === "fragment" ? "fragment" : "query";
  const refused = (error: string, error_description: string) => ({ refused: callback({ redirect_uri, response_mode, state }, { error, error_description }) });
  if (given.response_mode !== undefined && given.response_mode !== response_mode) return refused("invalid_request", "The response mode must be query or fragment.");
  if (given.response_type !== "code") return refused("unsupported_response_type", "The response type must be code.");
  if (!client.grant_types.includes("authorization_code")) return refused("unauthorized_client", "The client has not registered for this grant.");
  if (code_challenge === undefined || !/^[A-Za-z0-9_-]{43}$/.test(code_challenge) || given.code_challenge_method !== "S256") {
    return refused("invalid_request", "A code challenge of method S256 is needed (RFC 7636).");
  }
  const scope = parseScope(given.scope ?? "");
  if (scope === undefined) return refused("invalid_scope", "The scope must be access to the client-server API for one device.");
  if (given.prompt === "none") return refused("interaction_required", "The user has to be asked.");
  if ((nonce?.length ?? 0) > 255) return refused("invalid_request", "The nonce is too long.");
  return { ...scope, client, redirect_uri, response_mode, state, code_challenge, nonce: nonce?.replaceAll("\0", "") };
}

/** Lets a client in: where the browser goes with the code. */
export async function grantAuthorisation(context: AccountContext, request: AuthorisationRequest, { user_nid, external }: BrowserUser): Promise<string> {
  const code = newToken("code");
  const { client, device_id, scope, redirect_uri, code_challenge, nonce } = request;
  const stored = { client_id: client.client_id, user_nid, device_id, scope, redirect_uri, code_challenge, nonce, external };
  await putCode(context.database, tokenDigest(code), stored, context.clock.now() + CODE_MS);
  return callback(request, { code });
}
