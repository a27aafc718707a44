// Clients: what they register and which addresses they may be called back at (client-server API, "Client registration").
import { createHash } from "node:crypto";
import { newToken } from "../accounts/access-tokens.js";
import type { AccountContext } from "../accounts/context.js";
import type { Language } from "../accounts/languages.js";
import { isObject, type JsonObject, type JsonValue } from "../protocol/json.js";
import { findClient, putClient } from "../storage/oauth.js";
import { invalidClient, OauthError } from "./oauth-error.js";

export const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";
export const GRANTS: readonly string[] = ["authorization_code", "refresh_token", DEVICE_GRANT];

const MAX_URIS = 20;
const MAX_TEXT = 2000;
const MAX_TRANSLATIONS = 100;
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);
const TRANSLATED = /^(?:client_name|logo_uri|tos_uri|policy_uri)#[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*$/;

export interface Client {
  readonly client_id: string;
  readonly metadata: JsonObject;
  readonly redirect_uris: readonly string[];
  readonly grant_types: readonly string[];
}

const invalidMetadata = (message: string): OauthError => new OauthError("invalid_client_metadata", message);
const invalidRedirect = (message: string): OauthError => new OauthError("invalid_redirect_uri", message);

/** A text that is short enough; undefined if it is absent. Throws invalid_client_metadata. */
function textOf(value: JsonValue | undefined, name: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || value.length > MAX_TEXT) throw invalidMetadata(`"${name}" must be a text of at most ${MAX_TEXT} characters.`);
  return value;
}

function textsOf(value: JsonValue | undefined, name: string): string[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value) || value.length > MAX_URIS) throw invalidMetadata(`"${name}" must be a list of at most ${MAX_URIS} texts.`);
  return value.map((each) => textOf(each ?? "", name) ?? "");
}

/** As RFC 3986 has it: browsers take backslashes for slashes, and what lacks the slashes for a path of the page they are on. */
const WITH_AUTHORITY = /^https?:\/\/[^\s/\\][^\s\\]*$/i;

/** Whether a URL is https, without user, on a host or below it. */
function isBelow(text: string, host: string | undefined): boolean {
  if (!URL.canParse(text) || !WITH_AUTHORITY.test(text)) return false;
  const { protocol, username, password, hostname } = new URL(text);
  if (protocol !== "https:" || username !== "" || password !== "") return false;
  return host === undefined || hostname === host || hostname.endsWith(`.${host}`);
}

/** Whether a client may be called back at an address ("Redirect URI validation"). */
function isRedirect(text: string, host: string, native: boolean): boolean {
  if (!URL.canParse(text) || !/^[!-~]+$/.test(text) || text.includes("#")) return false;
  if (/^https?:/i.test(text) && !WITH_AUTHORITY.test(text)) return false;
  if (isBelow(text, host)) return true;
  if (!native) return false;
  const { protocol, hostname, port, username, password } = new URL(text);
  // A port that is the scheme's own is one all the same.
  if (protocol === "http:") return LOOPBACK.has(hostname) && port === "" && username === "" && password === "" && !/^http:\/\/[^/?]*:\d*(?:[/?]|$)/i.test(text.replace("[::1]", "localhost"));
  const prefix = host.split(".").toReversed().join(".");
  const scheme = protocol.slice(0, -1);
  return (scheme === prefix || scheme.startsWith(`${prefix}.`)) && !text.slice(protocol.length).startsWith("//");
}

/** What of a client's metadata counts here. Throws invalid_client_metadata, invalid_redirect_uri. */
function checkMetadata(given: JsonObject): JsonObject {
  const client_uri = textOf(given["client_uri"], "client_uri");
  if (client_uri === undefined || !isBelow(client_uri, undefined)) throw invalidMetadata('"client_uri" must be an https address.');
  const host = new URL(client_uri).hostname;
  const application_type = textOf(given["application_type"], "application_type") ?? "web";
  if (application_type !== "web" && application_type !== "native") throw invalidMetadata('"application_type" must be web or native.');
  const method = textOf(given["token_endpoint_auth_method"], "token_endpoint_auth_method") ?? "none";
  if (method !== "none") throw invalidMetadata('"token_endpoint_auth_method" must be none.');
  const grant_types = (textsOf(given["grant_types"], "grant_types") ?? ["authorization_code"]).filter((grant) => GRANTS.includes(grant));
  const redirect_uris = textsOf(given["redirect_uris"], "redirect_uris") ?? [];
  const wrong = redirect_uris.find((uri) => !isRedirect(uri, host, application_type === "native"));
  if (wrong !== undefined) throw invalidRedirect(`This client cannot be called back at ${wrong}`);
  const takesCodes = grant_types.includes("authorization_code");
  if (takesCodes && redirect_uris.length === 0) throw invalidRedirect('"redirect_uris" must name an address.');
  const response_types = (textsOf(given["response_types"], "response_types") ?? ["code"]).filter((type) => type === "code");
  if (takesCodes && response_types.length === 0) throw invalidMetadata('"response_types" must have code.');
  return { client_uri, ...shownTexts(given, host), redirect_uris, response_types, grant_types, token_endpoint_auth_method: "none", application_type };
}

/** What users are shown of a client, with its translations. */
function shownTexts(given: JsonObject, host: string): Record<string, string> {
  const shown: Record<string, string> = {};
  const names = ["client_name", "logo_uri", "tos_uri", "policy_uri", ...Object.keys(given).filter((name) => TRANSLATED.test(name)).slice(0, MAX_TRANSLATIONS)];
  for (const name of names) {
    const value = textOf(given[name], name);
    if (value === undefined || value === "") continue;
    if (!name.startsWith("client_name") && !isBelow(value, host)) throw invalidMetadata(`"${name}" must be an https address below client_uri.`);
    shown[name] = value;
  }
  return shown;
}

/** Registers a client; the same metadata is the same client. Throws invalid_client_metadata, invalid_redirect_uri. */
export async function registerClient({ database, clock }: AccountContext, given: JsonObject): Promise<JsonObject> {
  const metadata = checkMetadata(given);
  const text = JSON.stringify(metadata);
  const digest = createHash("sha256").update(text).digest();
  return { client_id: await putClient(database, newToken("client"), digest, text, clock.now()), ...metadata };
}

/** A registered client. Throws invalid_client. */
export async function requireClient({ database }: Pick<AccountContext, "database">, clientId: string | undefined): Promise<Client> {
  const text = clientId === undefined || clientId.length > 255 || clientId.includes("\0") ? undefined : await findClient(database, clientId);
  if (clientId === undefined || text === undefined) throw invalidClient();
  const metadata = JSON.parse(text) as JsonObject;
  if (!isObject(metadata)) throw invalidClient();
  const list = (name: string): string[] => {
    const value = metadata[name];
    return Array.isArray(value) ? value.map(String) : [];
  };
  return { client_id: clientId, metadata, redirect_uris: list("redirect_uris"), grant_types: list("grant_types") };
}

/** Whether a client may be called back at an address: as registered, but for the port on the loopback interface. */
export function mayRedirect({ redirect_uris }: Client, uri: string): boolean {
  if (redirect_uris.includes(uri)) return true;
  if (!URL.canParse(uri) || !/^[!-~]+$/.test(uri)) return false;
  const { protocol, hostname, username, password } = new URL(uri);
  if (protocol !== "http:" || !LOOPBACK.has(hostname) || username !== "" || password !== "") return false;
  return redirect_uris.includes(uri.replace(/^(http:\/\/(?:\[::1\]|[^/:?#[]+)):\d{1,5}(?=[/?]|$)/, "$1"));
}

/** A text of a client in a language, or in whichever it is. */
export function clientText({ metadata }: Client, name: "client_name" | "tos_uri" | "policy_uri", language: Language): string | undefined {
  const translated = Object.keys(metadata).find((key) => key === `${name}#${language}` || key.startsWith(`${name}#${language}-`));
  const value = metadata[translated ?? name];
  return typeof value === "string" ? value : undefined;
}

/** What users are told a client is called: its name, or its host. */
export function clientName(client: Client, language: Language): string {
  return clientText(client, "client_name", language) ?? clientHost(client);
}

/** The host of a client's own page. */
export function clientHost({ metadata: { client_uri } }: Client): string {
  return typeof client_uri === "string" ? new URL(client_uri).host : "";
}
