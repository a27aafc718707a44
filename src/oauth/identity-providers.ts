// Login through other providers of identities by OpenID Connect: authorisation codes with PKCE, and back-channel logout.
import { buffer } from "node:stream/consumers";
import type { FetchImplementation, JWTVerifyGetKey } from "jose";
import type { Configuration, CustomFetch } from "openid-client";
import { newToken, tokenDigest } from "../accounts/access-tokens.js";
import type { AccountContext } from "../accounts/context.js";
import type { Claims } from "../accounts/claims.js";
import { accountOfSubject } from "../accounts/external-accounts.js";
import { requireUsable } from "../accounts/usable.js";
import type { Config } from "../config.js";
import { forbidden, MatrixError, notFound } from "../errors.js";
import { type Outgoing, OutgoingError } from "../federation/outgoing.js";
import { logger } from "../log.js";
import type { ServerName, UserId } from "../protocol/identifiers.js";
import type { Account } from "../storage/accounts.js";
import {
  beginExternalLogin,
  type ExternalSession,
  type ExternalSubject,
  openExternalSession,
  takeExternalLogin,
} from "../storage/external-identities.js";
import { PATHS } from "./addresses.js";
import type { Visitor } from "./browser-sessions.js";
import { endExternal } from "./external-sessions.js";
import { invalidRequest } from "./oauth-error.js";

const log = logger("oauth");

const LOGIN_MS = 15 * 60_000;
const DISCOVERY_MS = 3_600_000;
const ANSWER_MS = 10_000;
const ANSWER_BYTES = 1_048_576;
const LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout";
const LOGOUT_AGE = "10m";

export type IdentityProvider = Config["identity_providers"][number];

interface Discovered {
  readonly configuration: Configuration;
  readonly keys: JWTVerifyGetKey | undefined;
  readonly until: number;
}

/** Whoever is at the other end does not do as agreed. The user may try again. */
const providerFailed = (provider: IdentityProvider, cause: unknown): MatrixError => {
  log.warn({ err: cause, provider: provider.id }, "a login through an identity provider failed");
  return new MatrixError(403, "M_FORBIDDEN", `${provider.name} did not log you in. Try again.`);
};

/** The identity providers of the configuration. */
export class IdentityProviders {
  readonly all: readonly IdentityProvider[];
  readonly #context: AccountContext;
  readonly #fetch: CustomFetch;
  readonly #requireFree: (user: UserId) => void;
  readonly #discovered = new Map<string, Promise<Discovered>>();

  /** `requireFree` throws for a name that is kept for an application service. */
  constructor(context: AccountContext, outgoing: Pick<Outgoing, "request">, requireFree: (user: UserId) => void) {
    this.#requireFree = requireFree;
    this.all = context.config.identity_providers;
    this.#context = context;
    this.#fetch = fetchThrough(outgoing);
  }

  /** A provider by its id. Throws M_NOT_FOUND. */
  require(id: string): IdentityProvider {
    const provider = this.all.find((each) => each.id === id);
    if (provider === undefined) throw notFound("This server knows no such identity provider.");
    return provider;
  }

  /** Begins a login: where the browser has to go. `next` is the page of ours that is wanted afterwards. */
  async begin(provider: IdentityProvider, base: string, visitor: Visitor, next: string): Promise<string> {
    const { buildAuthorizationUrl, calculatePKCECodeChallenge, randomNonce, randomPKCECodeVerifier } = await import("openid-client");
    const { configuration } = await this.#discover(provider);
    const [verifier, nonce, state] = [randomPKCECodeVerifier(), randomNonce(), newToken("code")];
    const { clock, database } = this.#context;
    await beginExternalLogin(database, tokenDigest(state), tokenDigest(visitor.cookie), { provider: provider.id, verifier, nonce, next }, clock.now() + LOGIN_MS);
    const url = buildAuthorizationUrl(configuration, {
      redirect_uri: callbackOf(provider, base),
      scope: provider.scopes.join(" "),
      state,
      nonce,
      code_challenge: await calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
    });
    return url.href;
  }

  /**
   * Ends a login with what the provider sent the browser back with. Gives the account, the session at the provider and the
   * page that was wanted. Throws M_FORBIDDEN, and what keeps accounts from being used or made.
   */
  async finish(
    provider: IdentityProvider,
    { base, server, visitor }: { readonly base: string; readonly server: ServerName; readonly visitor: Visitor },
    query: Readonly<Record<string, string>>,
  ): Promise<{ readonly account: Account; readonly external: number | undefined; readonly next: string }> {
    const { clock, database } = this.#context;
    const { state = "" } = query;
    const login = await takeExternalLogin(database, tokenDigest(state), provider.id, tokenDigest(visitor.cookie), clock.now());
    if (login === undefined) throw forbidden("This login was begun in another browser, or too long ago. Try again.");
    const claims = await this.#claims(provider, `${callbackOf(provider, base)}?${new URLSearchParams(query).toString()}`, state, login);
    const { sub, sid } = claims;
    if (typeof sub !== "string" || sub === "" || sub.length > 1000) throw providerFailed(provider, new Error("the subject is no name"));
    const id: ExternalSubject = { server, provider: provider.id, subject: sub };
    const account = await accountOfSubject(this.#context, provider, id, claims, this.#requireFree);
    requireUsable(account, clock.now());
    const external = await openExternalSession(database, id, { sid: typeof sid === "string" && sid.length <= 1000 ? sid : undefined }, account.user_nid, clock.now());
    return { account, external, next: login.next };
  }

  /** What the provider says of the user, in the identity token and besides. */
  async #claims(provider: IdentityProvider, url: string, state: string, { verifier, nonce }: { verifier: string; nonce: string }): Promise<Claims> {
    const { authorizationCodeGrant, fetchUserInfo } = await import("openid-client");
    const { configuration } = await this.#discover(provider);
    try {
      const tokens = await authorizationCodeGrant(configuration, new URL(url), { pkceCodeVerifier: verifier, expectedNonce: nonce, expectedState: state, idTokenExpected: true });
      const claims = tokens.claims();
      if (claims === undefined) throw new Error("there is no identity token");
      const more = configuration.serverMetadata().userinfo_endpoint === undefined ? {} : await fetchUserInfo(configuration, tokens.access_token, claims.sub);
      return { ...more, ...claims } as Claims;
    } catch (cause) {
      throw providerFailed(provider, cause);
    }
  }

  /**
   * Ends all sessions that came about through a session at the provider, as its logout token says (OpenID Connect
   * Back-Channel Logout 1.0). Throws invalid_request.
   */
  async logOut(provider: IdentityProvider, token: string): Promise<void> {
    const { jwtVerify } = await import("jose");
    const { configuration, keys } = await this.#discover(provider);
    const refused = (cause: unknown): Error => {
      log.warn({ err: cause, provider: provider.id }, "a logout token was refused");
      return invalidRequest("The logout token is not valid.");
    };
    if (keys === undefined) throw refused(new Error("the provider names no keys"));
    const { payload } = await jwtVerify(token, keys, { issuer: configuration.serverMetadata().issuer, audience: provider.client_id, maxTokenAge: LOGOUT_AGE }).catch((cause: unknown) => {
      throw refused(cause);
    });
    const { sub, sid, events, nonce } = payload;
    const subject = typeof sub === "string" ? sub : undefined;
    const session = typeof sid === "string" ? sid : undefined;
    const isLogout = typeof events === "object" && events !== null && Object.hasOwn(events, LOGOUT_EVENT);
    if (!isLogout || nonce !== undefined || (subject ?? session) === undefined) throw refused(new Error("it is none"));
    const ended = { provider: provider.id, sid: session, subject };
    const count = await endExternal(this.#context, ended);
    log.info({ provider: provider.id, devices: count }, "an identity provider ended a session");
  }

  /** Where a browser goes to end its session at the provider too; undefined where the provider has no such page (OpenID Connect RP-Initiated Logout 1.0). */
  async logoutAddress(provider: IdentityProvider, base: string, { subject }: ExternalSession): Promise<string | undefined> {
    const { buildEndSessionUrl } = await import("openid-client");
    const { configuration } = await this.#discover(provider);
    if (configuration.serverMetadata().end_session_endpoint === undefined) return undefined;
    return buildEndSessionUrl(configuration, { client_id: provider.client_id, logout_hint: subject, post_logout_redirect_uri: `${base}${PATHS.login}` }).href;
  }

  /** What the provider publishes of itself, remembered for a while. Throws 502 M_UNKNOWN. */
  async #discover(provider: IdentityProvider): Promise<Discovered> {
    const known = this.#discovered.get(provider.id);
    const remembered = await known?.catch(() => undefined);
    if (known !== undefined && remembered !== undefined && remembered.until > this.#context.clock.now()) return remembered;
    const asking = this.#ask(provider);
    this.#discovered.set(provider.id, asking);
    try {
      return await asking;
    } catch (cause) {
      this.#discovered.delete(provider.id);
      // An old answer is better than none.
      if (remembered !== undefined) return remembered;
      log.warn({ err: cause, provider: provider.id }, "an identity provider cannot be reached");
      throw new MatrixError(502, "M_UNKNOWN", `${provider.name} cannot be reached at the moment. Try again later.`);
    }
  }

  async #ask({ issuer, client_id, client_secret }: IdentityProvider): Promise<Discovered> {
    const openid = await import("openid-client");
    const { createRemoteJWKSet, customFetch } = await import("jose");
    const authentication = client_secret === undefined ? openid.None() : undefined;
    const configuration = await openid.discovery(new URL(issuer), client_id, client_secret, authentication, {
      [openid.customFetch]: this.#fetch,
      timeout: ANSWER_MS / 1000,
      // Whoever writes http:// means it.
      execute: issuer.startsWith("http:") ? [openid.allowInsecureRequests] : [],
    });
    const { jwks_uri } = configuration.serverMetadata();
    const fetchKeys: FetchImplementation = (url, { headers, method, redirect }) =>
      this.#fetch(url, { body: undefined, headers: Object.fromEntries(new Headers(headers)), method, redirect });
    const keys = jwks_uri === undefined ? undefined : createRemoteJWKSet(new URL(jwks_uri), { [customFetch]: fetchKeys });
    return { configuration, keys, until: this.#context.clock.now() + DISCOVERY_MS };
  }
}

/** Where a provider sends browsers back to. */
const callbackOf = ({ id }: IdentityProvider, base: string): string => `${base}${PATHS.sso}/${id}/callback`;

/** Fetch by the one client for all that leaves the house. */
function fetchThrough(outgoing: Pick<Outgoing, "request">): CustomFetch {
  return async (url, { method, headers, body }) => {
    try {
      const answer = await outgoing.request(new URL(url), {
        method: method === "POST" ? "POST" : "GET",
        headers,
        ...((typeof body === "string" || body instanceof URLSearchParams) && { body: body.toString() }),
        maxBytes: ANSWER_BYTES,
        milliseconds: ANSWER_MS,
        redirects: 0,
      });
      const bytes = await buffer(answer.body);
      return new Response(bytes.length === 0 ? null : new Uint8Array(bytes), { status: answer.status, headers: { ...answer.headers } });
    } catch (cause) {
      if (cause instanceof OutgoingError) throw new TypeError(cause.message, { cause });
      throw cause;
    }
  };
}
