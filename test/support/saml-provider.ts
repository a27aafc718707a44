// A provider of identities that speaks SAML 2.0, as far as it answers a browser: samlify.
import * as samlify from "samlify";
import { OWN_KEY, PROVIDER_CERTIFICATE, PROVIDER_KEY } from "./saml-certificates.js";

const REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
const PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
const XML = {
  assertion: "urn:oasis:names:tc:SAML:2.0:assertion",
  protocol: "urn:oasis:names:tc:SAML:2.0:protocol",
};

samlify.setSchemaValidator({ validate: () => Promise.resolve("not checked") });

/** What an answer says; all can be said wrongly. */
export interface Said {
  readonly nameId: string;
  readonly format?: string;
  readonly session?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly audience?: string;
  readonly recipient?: string;
  readonly inResponseTo?: string;
  readonly issuer?: string;
  /** Seconds from now until it expires. */
  readonly seconds?: number;
}

export interface SamlAnswer {
  readonly SAMLResponse: string;
  readonly RelayState: string;
}

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

export class SamlIdentityProvider {
  readonly entityId = "https://idp.example.org/metadata";
  readonly ssoUrl = "https://idp.example.org/sso";
  readonly logoutUrl = "https://idp.example.org/logout";
  readonly #provider: samlify.Provider;
  readonly #impostor: samlify.Provider;
  readonly #encrypting: samlify.Provider;
  readonly #sealingOld: samlify.Provider;
  readonly #old: samlify.Provider;

  constructor() {
    const settings = {
      entityID: this.entityId,
      signingCert: PROVIDER_CERTIFICATE,
      wantAuthnRequestsSigned: true,
      wantLogoutRequestSigned: true,
      wantLogoutResponseSigned: true,
      requestSignatureAlgorithm: "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
      singleSignOnService: [{ Binding: REDIRECT, Location: this.ssoUrl }],
      singleLogoutService: [{ Binding: REDIRECT, Location: this.logoutUrl }],
      nameIDFormat: [PERSISTENT],
      loginResponseTemplate: { context: "{all}", attributes: [] },
    };
    this.#provider = samlify.IdentityProvider({ ...settings, privateKey: PROVIDER_KEY });
    this.#encrypting = samlify.IdentityProvider({ ...settings, privateKey: PROVIDER_KEY, isAssertionEncrypted: true });
    const sha1 = { ...settings, privateKey: PROVIDER_KEY, requestSignatureAlgorithm: "http://www.w3.org/2000/09/xmldsig#rsa-sha1" };
    this.#old = samlify.IdentityProvider(sha1);
    this.#sealingOld = samlify.IdentityProvider({ ...sha1, isAssertionEncrypted: true });
    this.#impostor = samlify.IdentityProvider({ ...settings, privateKey: OWN_KEY });
  }

  /** Checks the request that a browser was sent here with, and answers it; an impostor signs with another key, old ones with SHA-1. */
  async answer(metadata: string, sentTo: string, said: Said, how: "impostor" | "encrypted" | "plain" | "old" | "encrypted old" = "plain"): Promise<SamlAnswer> {
    const service = samlify.ServiceProvider({ metadata });
    const { searchParams, search } = new URL(sentTo);
    const octetString = search.slice(1).split("&").filter((part) => !part.startsWith("Signature=")).join("&");
    const query = Object.fromEntries(searchParams);
    const { extract } = await this.#provider.parseLoginRequest(service, "redirect", { query, octetString });
    const request = extract.request?.["id"];
    if (typeof request !== "string") throw new Error("the request has no ID");
    const provider = { impostor: this.#impostor, encrypted: this.#encrypting, plain: this.#provider, old: this.#old, "encrypted old": this.#sealingOld }[how];
    const id = `_${Math.random().toString(16).slice(2)}`;
    const made = await provider.createLoginResponse(service, { extract }, "post", {}, () => ({ id, context: this.#document(service.entityMeta.getEntityID(), String(service.entityMeta.getAssertionConsumerService("post")), request, id, said) }));
    return { SAMLResponse: made.context, RelayState: searchParams.get("RelayState") ?? "" };
  }

  #document(audience: string, consumer: string, request: string, id: string, said: Said): string {
    const [now, until] = [new Date().toISOString(), new Date(Date.now() + (said.seconds ?? 300) * 1000).toISOString()];
    const { nameId, format = PERSISTENT, session = "session-1", attributes = {}, inResponseTo = request, issuer = this.entityId, recipient = consumer } = said;
    const values = Object.entries(attributes).map(([name, value]) => `<saml:Attribute Name="${escaped(name)}"><saml:AttributeValue>${escaped(value)}</saml:AttributeValue></saml:Attribute>`);
    return (
      `<samlp:Response xmlns:samlp="${XML.protocol}" xmlns:saml="${XML.assertion}" ID="${id}" Version="2.0" IssueInstant="${now}" Destination="${consumer}" InResponseTo="${request}">` +
      `<saml:Issuer>${issuer}</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>` +
      `<saml:Assertion xmlns:saml="${XML.assertion}" ID="a${id}" Version="2.0" IssueInstant="${now}"><saml:Issuer>${issuer}</saml:Issuer>` +
      `<saml:Subject><saml:NameID Format="${format}">${escaped(nameId)}</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">` +
      `<saml:SubjectConfirmationData NotOnOrAfter="${until}" Recipient="${recipient}" InResponseTo="${inResponseTo}"/></saml:SubjectConfirmation></saml:Subject>` +
      `<saml:Conditions NotBefore="${new Date(Date.now() - 600_000).toISOString()}" NotOnOrAfter="${until}"><saml:AudienceRestriction><saml:Audience>${said.audience ?? audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
      `<saml:AuthnStatement AuthnInstant="${now}" SessionIndex="${session}"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
      `<saml:AttributeStatement>${values.join("")}</saml:AttributeStatement></saml:Assertion></samlp:Response>`
    );
  }

  /** Where a browser is sent to so that a session ends at the service too (HTTP-Redirect); or what it posts there. */
  logoutRequest(metadata: string, address: string, user: { readonly nameId: string; readonly session: string }, options: { byImpostor?: boolean; old?: boolean; issued?: Date; destination?: string } = {}): { readonly url: string; readonly SAMLRequest: string } {
    const service = samlify.ServiceProvider({ metadata: metadata.replaceAll(/(<SingleLogoutService[^>]*Binding=")[^"]*"/g, `$1${REDIRECT}"`), wantLogoutRequestSigned: true });
    const posted = samlify.ServiceProvider({ metadata, wantLogoutRequestSigned: true });
    const signing = options.old === true ? this.#old : this.#provider;
    const provider = options.byImpostor === true ? this.#impostor : signing;
    const id = `_${Math.random().toString(16).slice(2)}`;
    const context =
      `<samlp:LogoutRequest xmlns:samlp="${XML.protocol}" xmlns:saml="${XML.assertion}" ID="${id}" Version="2.0" IssueInstant="${(options.issued ?? new Date()).toISOString()}" Destination="${options.destination ?? address}">` +
      `<saml:Issuer>${this.entityId}</saml:Issuer><saml:NameID Format="${PERSISTENT}">${escaped(user.nameId)}</saml:NameID><samlp:SessionIndex>${user.session}</samlp:SessionIndex></samlp:LogoutRequest>`;
    const replace = () => ({ id, context });
    const redirected = provider.createLogoutRequest(service, "redirect", {}, { relayState: "state of theirs", customTagReplacement: replace });
    const form = provider.createLogoutRequest(posted, "post", {}, { customTagReplacement: replace });
    return { url: redirected.context, SAMLRequest: form.context };
  }

  /** Checks what a browser was sent here with to log out, a request of the service or its answer; who and what it names. */
  async loggedOut(metadata: string, sentTo: string): Promise<{ readonly nameId: string | undefined; readonly relayState: string | null }> {
    const service = samlify.ServiceProvider({ metadata });
    const { searchParams, search } = new URL(sentTo);
    const octetString = search.slice(1).split("&").filter((part) => !part.startsWith("Signature=")).join("&");
    const message = { query: Object.fromEntries(searchParams), octetString };
    const parsed = searchParams.has("SAMLRequest") ? await this.#provider.parseLogoutRequest(service, "redirect", message) : await this.#provider.parseLogoutResponse(service, "redirect", message);
    return { nameId: parsed.extract.nameID, relayState: searchParams.get("RelayState") };
  }
}
