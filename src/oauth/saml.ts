// Login through other providers of identities by SAML 2.0: the Web Browser SSO profile, begun by us, and single logout.
import { createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import { stringify } from "node:querystring";
import { inflateRawSync } from "node:zlib";
import type { Profile, SAML, SamlConfig } from "@node-saml/node-saml";
import { newToken, tokenDigest } from "../accounts/access-tokens.js";
import { type Claims, templateNames } from "../accounts/claims.js";
import type { AccountContext } from "../accounts/context.js";
import { accountOfSubject } from "../accounts/external-accounts.js";
import { requireUsable } from "../accounts/usable.js";
import { type Config, ConfigError } from "../config.js";
import { forbidden, invalidParam, MatrixError } from "../errors.js";
import { logger } from "../log.js";
import type { ServerName, UserId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, ownString, parseJson } from "../protocol/json.js";
import type { Account } from "../storage/accounts.js";
import {
  answerExternalLogin,
  beginExternalLogin,
  type ExternalSession,
  type ExternalSubject,
  openExternalSession,
  takeExternalLogin,
  waitingExternalLogin,
} from "../storage/external-identities.js";
import { PATHS } from "./addresses.js";
import type { Visitor } from "./browser-sessions.js";
import { endExternal } from "./external-sessions.js";

const log = logger("oauth");

const LOGIN_MS = 15 * 60_000;
const LOGOUT_MS = 10 * 60_000;
const MAX_NAME = 1000;
const MAX_LOGOUT_BYTES = 65_536;
const BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";

export type SamlProvider = Config["saml_providers"][number];

/** What a provider said of a user, until their browser comes for it. */
interface Outcome {
  readonly subject: string;
  readonly sid: string | undefined;
  readonly nameId: string;
  readonly nameIdDetails: string;
  readonly claims: Claims;
}

/** A request to log out, as it came. */
export interface LogoutMessage {
  readonly SAMLRequest?: string | undefined;
  readonly RelayState?: string | undefined;
  readonly SigAlg?: string | undefined;
  readonly Signature?: string | undefined;
}

/** Under our public address. */
const addressesOf = ({ id }: SamlProvider, base: string) => {
  const own = `${base}${PATHS.sso}/${id}`;
  return { metadata: `${own}/metadata`, answers: `${own}/acs`, logout: `${own}/slo`, callback: `${own}/callback` };
};

const certificatesIn = (pem: string): string[] => pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];

function requireKeys({ id, certificate, private_key, public_certificate, decryption_key, encryption_certificate }: SamlProvider): void {
  try {
    if (certificatesIn(certificate).length === 0) throw new Error("there is no certificate");
    for (const each of [private_key, decryption_key]) if (each !== undefined) createPrivateKey(each);
    for (const each of [...certificatesIn(certificate), public_certificate ?? "", encryption_certificate ?? ""]) if (each !== "") createPublicKey(each);
  } catch (cause) {
    throw new ConfigError(`saml_providers has a key or certificate for ${id} that is not PEM.`, { cause });
  }
}

/** RSA with OAEP says that it hashes with SHA-1, which is sound there. */
const OAEP = "parent::*[local-name()='DigestMethod']/parent::*[local-name()='EncryptionMethod' and contains(@Algorithm, '#rsa-oaep')]";
/** What says that something is signed with SHA-1. */
const SHA_1 = `//@Algorithm[contains(., 'xmldsig#') and contains(., 'sha1') and not(${OAEP})]`;
/** What tells about the key by refusing it (RSA with PKCS #1 v1.5), or is broken. */
const WEAK_ENCRYPTION = "//@Algorithm[contains(., 'xmlenc#rsa-1_5') or contains(., 'xmlenc#tripledes-cbc')]";

/** Throws for XML, as the library reads it, that is signed with SHA-1 or encrypted weakly. Gives the assertions that are encrypted in it. */
async function requireStrong(xml: string): Promise<string[]> {
  const { parseDomFromString, xpath } = await import("@node-saml/node-saml/lib/xml.js");
  const document = await parseDomFromString(xml);
  if (xpath.selectAttributes(document, SHA_1).length > 0) throw new Error("SHA-1 signs nothing any more");
  if (xpath.selectAttributes(document, WEAK_ENCRYPTION).length > 0) throw new Error("this encryption protects nothing any more");
  return xpath.selectElements(document, "/*[local-name()='Response']/*[local-name()='EncryptedAssertion']").map(String);
}

/** The providers of the configuration that speak SAML. */
export class SamlProviders {
  readonly all: readonly SamlProvider[];
  readonly #context: AccountContext;
  readonly #requireFree: (user: UserId) => void;

  /** `requireFree` throws for a name that is kept for an application service. Throws ConfigError for keys that are none. */
  constructor(context: AccountContext, requireFree: (user: UserId) => void) {
    this.all = context.config.saml_providers;
    this.all.forEach(requireKeys);
    this.#context = context;
    this.#requireFree = requireFree;
  }

  /** A provider by its id. */
  find(id: string): SamlProvider | undefined {
    return this.all.find((each) => each.id === id);
  }

  /** What a provider has to know of us (SAML metadata). */
  async metadata(provider: SamlProvider, base: string): Promise<string> {
    const saml = await samlOf(provider, base);
    return saml.generateServiceProviderMetadata(provider.encryption_certificate ?? null, provider.public_certificate ?? null);
  }

  /** Begins a login: where the browser has to go. `next` is the page of ours that is wanted afterwards. */
  async begin(provider: SamlProvider, base: string, visitor: Visitor, next: string): Promise<string> {
    const state = newToken("code");
    const id = `_${randomBytes(20).toString("hex")}`;
    const { clock, database } = this.#context;
    const login = { provider: provider.id, verifier: "", nonce: id, next };
    await beginExternalLogin(database, tokenDigest(state), tokenDigest(visitor.cookie), login, clock.now() + LOGIN_MS);
    const saml = await samlOf(provider, base, { generateUniqueId: () => id });
    return asSigned(await saml.getAuthorizeUrlAsync(state, undefined, {}));
  }

  /**
   * Takes what a provider says to a login, once; gives where the browser has to come for it. Another site sent the browser
   * here, so that its cookie is missing yet. Throws M_FORBIDDEN.
   */
  async answer(provider: SamlProvider, base: string, response: string, state: string): Promise<string> {
    const { clock, database } = this.#context;
    const digest = tokenDigest(state);
    const request = await waitingExternalLogin(database, digest, provider.id, clock.now());
    if (request === undefined) throw unasked();
    const outcome = await this.#outcome(provider, base, response, request).catch((cause: unknown) => {
      log.warn({ err: cause, provider: provider.id }, "a login through an identity provider failed");
      throw new MatrixError(403, "M_FORBIDDEN", `${provider.name} did not log you in. Try again.`);
    });
    if (!(await answerExternalLogin(database, digest, provider.id, JSON.stringify(outcome), clock.now()))) throw unasked();
    return `${addressesOf(provider, base).callback}?${new URLSearchParams({ state }).toString()}`;
  }

  /** What an answer says, if the provider signed it for this request of ours (SAML profiles, section 4.1.4.3). */
  async #outcome(provider: SamlProvider, base: string, response: string, request: string): Promise<Outcome> {
    const xml = Buffer.from(response, "base64").toString();
    const sealed = await requireStrong(xml);
    if (provider.decryption_key !== undefined && sealed.length === 0) throw new Error("the assertion is not encrypted");
    const { ValidateInResponseTo } = await import("@node-saml/node-saml");
    const issued = new Date(this.#context.clock.now()).toISOString();
    const saml = await samlOf(provider, base, {
      validateInResponseTo: ValidateInResponseTo.always,
      // The one request that may be answered here. That it is so only once is seen to by the database.
      cacheProvider: {
        saveAsync: () => Promise.resolve(null),
        getAsync: (id) => Promise.resolve(id === request ? issued : null),
        removeAsync: () => Promise.resolve(null),
      },
    });
    const { profile } = await saml.validatePostResponseAsync({ SAMLResponse: response });
    if (profile === null) throw new Error("the answer has no assertion");
    const { decryptXml } = await import("@node-saml/node-saml/lib/xml.js");
    // The signature of an encrypted assertion is inside.
    for (const each of sealed) await requireStrong(await decryptXml(each, provider.decryption_key ?? ""));
    if (profile.issuer !== provider.entity_id) throw new Error(`${profile.issuer} is another provider`);
    this.#requireConfirmed(provider, base, profile, request);
    return outcomeOf(provider, profile);
  }

  /** Throws unless the signed assertion itself is for this request and address of ours. */
  #requireConfirmed(provider: SamlProvider, base: string, profile: Profile, request: string): void {
    const { answers } = addressesOf(provider, base);
    const now = this.#context.clock.now() - provider.clock_skew_seconds * 1000;
    const confirmed = below(below(profile.getAssertion?.()["Assertion"], "Subject")[0], "SubjectConfirmation").some((confirmation) => {
      const [data] = below(confirmation, "SubjectConfirmationData");
      const until = Date.parse(attributeOf(data, "NotOnOrAfter") ?? "");
      return attributeOf(confirmation, "Method") === BEARER && attributeOf(data, "Recipient") === answers && attributeOf(data, "InResponseTo") === request && until > now;
    });
    if (!confirmed) throw new Error("the assertion is not for this request");
  }

  /**
   * Ends a login with what the provider said. Gives the account, the session at the provider and the page that was wanted.
   * Throws M_FORBIDDEN, and what keeps accounts from being used or made.
   */
  async finish(
    provider: SamlProvider,
    { server, visitor }: { readonly server: ServerName; readonly visitor: Visitor },
    state: string,
  ): Promise<{ readonly account: Account; readonly external: number | undefined; readonly next: string }> {
    const { clock, database } = this.#context;
    const login = await takeExternalLogin(database, tokenDigest(state), provider.id, tokenDigest(visitor.cookie), clock.now());
    const outcome = typeof login?.outcome === "string" ? readOutcome(parseJson(login.outcome)) : undefined;
    if (login === undefined || outcome === undefined) throw unasked();
    const id: ExternalSubject = { server, provider: provider.id, subject: outcome.subject };
    const account = await accountOfSubject(this.#context, provider, id, outcome.claims, this.#requireFree);
    requireUsable(account, clock.now());
    const external = await openExternalSession(database, id, outcome, account.user_nid, clock.now());
    return { account, external, next: login.next };
  }

  /**
   * Ends what came about through a session at the provider, as it asks (single logout); gives where the browser takes our
   * answer to. Throws M_FORBIDDEN, M_INVALID_PARAM.
   */
  async logOut(provider: SamlProvider, base: string, message: LogoutMessage, binding: "redirect" | "post"): Promise<string> {
    const { SAMLRequest, RelayState = "" } = message;
    // What the provider says to a request of ours changes nothing: we had logged the user out before.
    if (SAMLRequest === undefined) return `${base}${PATHS.login}`;
    const saml = await samlOf(provider, base);
    const profile = await this.#logoutRequest(saml, provider, base, message, SAMLRequest, binding).catch((cause: unknown) => {
      if (cause instanceof MatrixError) throw cause;
      log.warn({ err: cause, provider: provider.id }, "a request to log out was refused");
      throw forbidden("This request to log out is not valid.");
    });
    const devices = await endExternal(this.#context, { provider: provider.id, sid: profile.sessionIndex, subject: undefined, nameId: profile.nameID });
    log.info({ provider: provider.id, devices }, "an identity provider ended a session");
    return provider.logout_url === undefined ? `${base}${PATHS.login}` : asSigned(await saml.getLogoutResponseUrlAsync(profile, RelayState, {}, true));
  }

  async #logoutRequest(saml: SAML, provider: SamlProvider, base: string, message: LogoutMessage, request: string, binding: "redirect" | "post"): Promise<Profile> {
    const bytes = Buffer.from(request, "base64");
    if (bytes.length > MAX_LOGOUT_BYTES) throw invalidParam("This is too long for a request to log out.");
    const xml = (binding === "post" ? bytes : inflateRawSync(bytes, { maxOutputLength: MAX_LOGOUT_BYTES })).toString();
    const root = /^\s*(?:<\?xml[^>]*\?>\s*)?<(?:[\w.-]+:)?LogoutRequest\b([^>]*)>/.exec(xml)?.[1];
    if (root === undefined) throw invalidParam("This is no request to log out.");
    const attribute = (name: string): string | undefined => new RegExp(`\\s${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)')`).exec(root)?.slice(1).find((value) => value !== undefined);
    if (attribute("Destination") !== addressesOf(provider, base).logout) throw new Error("the request is for somebody else");
    const age = Math.abs(this.#context.clock.now() - Date.parse(attribute("IssueInstant") ?? ""));
    if (!(age <= LOGOUT_MS)) throw new Error("the request is too old");
    if (binding === "post") await requireStrong(xml);
    const { profile } = binding === "post" ? await saml.validatePostRequestAsync({ SAMLRequest: request }) : await signedByRedirect(saml, message, request);
    if (profile === null) throw new Error("the request names nobody");
    return profile;
  }

  /** Where a browser goes to end its session at the provider too. */
  async logoutAddress(provider: SamlProvider, base: string, session: ExternalSession): Promise<string | undefined> {
    if (provider.logout_url === undefined || session.name_id === null) return undefined;
    const details: JsonValue = session.name_id_details === null ? {} : parseJson(session.name_id_details);
    const known = isObject(details) ? details : {};
    const { nameQualifier, spNameQualifier } = { nameQualifier: ownString(known, "nameQualifier"), spNameQualifier: ownString(known, "spNameQualifier") };
    const saml = await samlOf(provider, base);
    const user: Profile = {
      issuer: provider.entity_id,
      nameID: session.name_id,
      nameIDFormat: ownString(known, "nameIDFormat") ?? "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
      ...(nameQualifier !== undefined && { nameQualifier }),
      ...(spNameQualifier !== undefined && { spNameQualifier }),
      ...(session.sid !== null && { sessionIndex: session.sid }),
    };
    return asSigned(await saml.getLogoutUrlAsync(user, "", {}));
  }
}

const unasked = (): MatrixError => forbidden("This login was begun in another browser, or too long ago. Try again.");

/** The library as one provider has it. It remembers nothing. */
async function samlOf(provider: SamlProvider, base: string, more: Partial<SamlConfig> = {}): Promise<SAML> {
  const { SAML } = await import("@node-saml/node-saml");
  const { metadata, answers, logout } = addressesOf(provider, base);
  const { entity_id, sso_url, logout_url, certificate, private_key, decryption_key, signed_response, clock_skew_seconds } = provider;
  return new SAML({
    issuer: metadata,
    callbackUrl: answers,
    logoutCallbackUrl: logout,
    entryPoint: sso_url,
    ...(logout_url !== undefined && { logoutUrl: logout_url }),
    idpCert: certificatesIn(certificate),
    idpIssuer: entity_id,
    ...(private_key !== undefined && { privateKey: private_key }),
    ...(decryption_key !== undefined && { decryptionPvk: decryption_key }),
    signatureAlgorithm: "sha256",
    digestAlgorithm: "sha256",
    identifierFormat: null,
    disableRequestedAuthnContext: true,
    wantAssertionsSigned: true,
    wantAuthnResponseSigned: signed_response,
    acceptedClockSkewMs: clock_skew_seconds * 1000,
    cacheProvider: { saveAsync: () => Promise.resolve(null), getAsync: () => Promise.resolve(null), removeAsync: () => Promise.resolve(null) },
    ...more,
  });
}

/** An address whose query is escaped as the library has signed it, which is not how it writes it. */
function asSigned(address: string): string {
  const url = new URL(address);
  return `${url.origin}${url.pathname}?${stringify(Object.fromEntries(url.searchParams))}`;
}

/**
 * A request that came in a query, if its signature is right. What was signed is the query as it was written: as most write it,
 * or with small letters in its escapes, or with a plus sign for a space. The library is shown nothing but the values that count.
 */
async function signedByRedirect(saml: SAML, { RelayState, SigAlg = "", Signature }: LogoutMessage, SAMLRequest: string): Promise<{ profile: Profile | null }> {
  // Without a signature the library takes a request for signed.
  if (Signature === undefined || Signature === "" || !/#(?:rsa|ecdsa)-sha(?:256|384|512)$/.test(SigAlg)) throw new Error("the request is not signed");
  const values = { SAMLRequest, ...(RelayState !== undefined && { RelayState }), SigAlg };
  const query = Object.entries(values).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  const small = query.replaceAll(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase());
  const container = { ...values, Signature };
  let failure: unknown;
  for (const written of new Set([query, small, query.replaceAll("%20", "+")])) {
    try {
      return await saml.validateRedirectAsync(container, written);
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

/** Elements of a name in another one, as the library reads XML. */
function below(element: unknown, name: string): unknown[] {
  const value = typeof element === "object" && element !== null ? Object.entries(element).find(([key]) => key === name)?.[1] : undefined;
  return Array.isArray(value) ? (value as unknown[]) : [];
}

function attributeOf(element: unknown, name: string): string | undefined {
  const attributes: unknown = typeof element === "object" && element !== null ? Object.entries(element).find(([key]) => key === "$")?.[1] : undefined;
  const value: unknown = typeof attributes === "object" && attributes !== null ? Object.entries(attributes).find(([key]) => key === name)?.[1] : undefined;
  return typeof value === "string" ? value : undefined;
}

/** What is kept of what a provider says: the names, and the attributes that templates ask for. */
function outcomeOf(provider: SamlProvider, profile: Profile): Outcome {
  const { nameID, nameIDFormat, nameQualifier, spNameQualifier, sessionIndex } = profile;
  const { localpart, display_name, email, subject_attribute } = provider;
  const attributes: unknown = profile["attributes"];
  const given = new Map<string, unknown>(typeof attributes === "object" && attributes !== null ? Object.entries(attributes) : []);
  given.set("NameID", nameID);
  const valueOf = (name: string): string | undefined => {
    const value = given.get(name);
    const first: unknown = Array.isArray(value) ? value[0] : value;
    return typeof first === "string" ? first.slice(0, MAX_NAME + 1) : undefined;
  };
  const claims = Object.fromEntries([localpart, display_name, email].flatMap(templateNames).flatMap((name): [string, string][] => {
    const value = valueOf(name);
    return value === undefined ? [] : [[name, value]];
  }));
  if (subject_attribute === undefined && nameIDFormat === TRANSIENT) throw new Error("the NameID is transient: subject_attribute has to name what is lasting");
  const subject = subject_attribute === undefined ? nameID : valueOf(subject_attribute);
  for (const name of [subject, nameID]) if (typeof name !== "string" || name === "" || name.length > MAX_NAME) throw new Error("the subject is no name");
  const sid = sessionIndex !== undefined && sessionIndex.length <= MAX_NAME ? sessionIndex : undefined;
  return { subject: subject ?? "", sid, nameId: nameID, nameIdDetails: JSON.stringify({ nameIDFormat, nameQualifier, spNameQualifier }), claims };
}

function readOutcome(value: JsonValue): Outcome | undefined {
  if (!isObject(value)) return undefined;
  const [subject, nameId, nameIdDetails] = [ownString(value, "subject"), ownString(value, "nameId"), ownString(value, "nameIdDetails")];
  const claims: JsonValue | JsonObject | undefined = value["claims"];
  if (subject === undefined || nameId === undefined || nameIdDetails === undefined || !isObject(claims)) return undefined;
  return { subject, sid: ownString(value, "sid"), nameId, nameIdDetails, claims };
}
