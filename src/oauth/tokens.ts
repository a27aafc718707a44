// The token endpoint (client-server API, "Grant types") and the revocation of tokens. Tokens are those of ordinary sessions.
import { createHash, timingSafeEqual } from "node:crypto";
import { tokenDigest } from "../accounts/access-tokens.js";
import type { AccountContext } from "../accounts/context.js";
import { endSessions, openSession, refreshSession, type Tokens } from "../accounts/sessions.js";
import { MatrixError } from "../errors.js";
import { logger } from "../log.js";
import type { DeviceId, UserId } from "../protocol/identifiers.js";
import type { Tx } from "../storage/database.js";
import { noteExternalDevice } from "../storage/external-identities.js";
import { lockCode, lockDeviceCode, notePoll, spentTokenOwner, takeDeviceCode, tokenOwner, useClient, useCode } from "../storage/oauth.js";
import { type Client, clientName, DEVICE_GRANT, requireClient } from "./clients.js";
import { identityToken } from "./identity-token.js";
import { invalidClient, invalidGrant, invalidRequest, OauthError } from "./oauth-error.js";

const log = logger("oauth");

const MORE_SECONDS = 5;

/** The parameters of a request for tokens as they came. */
export interface TokenParameters {
  readonly grant_type?: string | undefined;
  readonly client_id?: string | undefined;
  readonly code?: string | undefined;
  readonly redirect_uri?: string | undefined;
  readonly code_verifier?: string | undefined;
  readonly refresh_token?: string | undefined;
  readonly device_code?: string | undefined;
}

/** Who asks and from where. */
interface Asker {
  readonly address: string;
  /** The issuer of identity tokens. */
  readonly issuer: string;
}

export interface TokenAnswer {
  readonly access_token: string;
  readonly token_type: "Bearer";
  readonly expires_in: number;
  readonly refresh_token?: string;
  readonly scope: string;
  readonly id_token?: string;
}

/** Gives tokens. Throws the errors of RFC 6749, 7636 and 8628. */
export async function giveTokens(context: AccountContext, given: TokenParameters, asker: Asker): Promise<TokenAnswer> {
  const client = await requireClient(context, given.client_id);
  switch (given.grant_type) {
    case "authorization_code":
      return await forCode(context, client, given, asker);
    case "refresh_token":
      return await forRefreshToken(context, client, given.refresh_token);
    case DEVICE_GRANT:
      return await forDeviceCode(context, client, given.device_code, asker);
    case undefined:
      throw invalidRequest('"grant_type" is missing.');
    default:
      throw new OauthError("unsupported_grant_type", "This server has no such grant.");
  }
}

const answerOf = ({ access_token, refresh_token, expires_in_ms = 0 }: Tokens, scope: string): TokenAnswer => ({
  access_token,
  token_type: "Bearer",
  expires_in: Math.floor(expires_in_ms / 1000),
  ...(refresh_token !== undefined && { refresh_token }),
  scope,
});

interface Granted {
  readonly user_nid: number;
  readonly user_id: UserId;
  readonly device_id: DeviceId;
  readonly scope: string;
  readonly nonce?: string | undefined;
  readonly external: number | undefined;
}

async function open(context: AccountContext, tx: Tx, client: Client, { user_nid, device_id, scope, external }: Granted, address: string): Promise<TokenAnswer> {
  const { client_id } = client;
  if (!(await useClient(tx, client_id, context.clock.now()))) throw invalidClient();
  const display_name = clientName(client, "en");
  const tokens = await openSession(context, tx, { user_nid, device_id, display_name, address, refresh: true, oauth: { client_id, scope } });
  await noteExternalDevice(tx, user_nid, device_id, external);
  return answerOf(tokens, scope);
}

async function withIdentity(context: AccountContext, client: Client, answer: TokenAnswer, { user_id: subject, nonce }: Granted, { issuer }: Asker): Promise<TokenAnswer> {
  if (!answer.scope.split(" ").includes("openid")) return answer;
  return { ...answer, id_token: await identityToken(context, { issuer, subject, client_id: client.client_id, nonce }) };
}

/** Whether a verifier is that of a challenge (RFC 7636, method S256). */
function isVerifier(verifier: string | undefined, challenge: string): boolean {
  if (verifier === undefined || !/^[A-Za-z0-9._~-]{43,128}$/.test(verifier)) return false;
  const expected = Buffer.from(challenge);
  const given = Buffer.from(createHash("sha256").update(verifier).digest("base64url"));
  return given.length === expected.length && timingSafeEqual(given, expected);
}

async function forCode(context: AccountContext, client: Client, { code, redirect_uri, code_verifier }: TokenParameters, asker: Asker): Promise<TokenAnswer> {
  if (code === undefined) throw invalidRequest('"code" is missing.');
  const digest = tokenDigest(code);
  const result = await context.database.transaction(async (tx) => {
    const granted = await lockCode(tx, digest, context.clock.now());
    if (granted === undefined) throw invalidGrant("This code is not known or has expired.");
    // Who does not know the verifier can use nothing up and end nothing.
    if (granted.client_id !== client.client_id || granted.redirect_uri !== redirect_uri || !isVerifier(code_verifier, granted.code_challenge)) {
      throw invalidGrant("This code was given to another client, or for another redirect_uri or challenge.");
    }
    if (granted.used) return { granted, answer: undefined };
    await useCode(tx, digest);
    return { granted, answer: await open(context, tx, client, granted, asker.address) };
  });
  const { granted, answer } = result;
  if (answer === undefined) {
    // RFC 6749, 4.1.2: somebody else may have the tokens that were given for it.
    log.warn({ user: granted.user_id }, "an authorisation code was used twice: its session is ended");
    await endSessions(context, granted.user_nid, [granted.device_id]);
    throw invalidGrant("This code was used before: the session is ended.");
  }
  return await withIdentity(context, client, answer, granted, asker);
}

async function forRefreshToken(context: AccountContext, { client_id }: Client, token: string | undefined): Promise<TokenAnswer> {
  if (token === undefined) throw invalidRequest('"refresh_token" is missing.');
  try {
    const { scope = "", ...tokens } = await refreshSession(context, token, client_id);
    return answerOf(tokens, scope);
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    const owner = await spentTokenOwner(context.database, tokenDigest(token));
    if (owner !== undefined) {
      log.warn({ user_nid: owner.user_nid }, "a refresh token was shown again after it was used up: its session is ended");
      await endSessions(context, owner.user_nid, [owner.device_id]);
    }
    throw invalidGrant(error.message);
  }
}

async function forDeviceCode(context: AccountContext, client: Client, code: string | undefined, asker: Asker): Promise<TokenAnswer> {
  if (code === undefined) throw invalidRequest('"device_code" is missing.');
  const digest = tokenDigest(code);
  const now = context.clock.now();
  // What is refused is noted all the same: it is given back, not thrown.
  const result = await context.database.transaction(async (tx): Promise<OauthError | { readonly granted: Granted; readonly answer: TokenAnswer }> => {
    const found = await lockDeviceCode(tx, digest);
    if (found === undefined || found.client_id !== client.client_id) return invalidGrant("This code is not known.");
    if (found.expires_ts <= now) return new OauthError("expired_token", "The user has not decided in time: begin again.");
    const { allowed, user_nid, user_id, interval_seconds, asked_ts, device_id, scope, external } = found;
    if (allowed === null) {
      const hasty = now - asked_ts < interval_seconds * 1000;
      await notePoll(tx, digest, now, hasty ? interval_seconds + MORE_SECONDS : interval_seconds);
      return hasty ? new OauthError("slow_down", "Wait longer between two questions.") : new OauthError("authorization_pending", "The user has not decided yet.");
    }
    await takeDeviceCode(tx, digest);
    if (!allowed || user_nid === null || user_id === null) return new OauthError("access_denied", "The user has refused.");
    const granted = { user_nid, user_id, device_id, scope, external: external ?? undefined };
    return { granted, answer: await open(context, tx, client, granted, asker.address) };
  });
  if (result instanceof OauthError) throw result;
  return await withIdentity(context, client, result.answer, result.granted, asker);
}

/** Ends the session of an access or refresh token, whoever shows it ("Token revocation"); what is unknown has ended. */
export async function revokeToken(context: AccountContext, token: string): Promise<void> {
  const owner = await tokenOwner(context.database, tokenDigest(token));
  if (owner !== undefined) await endSessions(context, owner.user_nid, [owner.device_id]);
}
