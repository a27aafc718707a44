// Signatures of requests between servers (server-server API, "Request Authentication").
import { parseServerName, type ServerName } from "./identifiers.js";
import type { JsonValue } from "./json.js";
import { signedText, signText, type SigningKey, verifyText } from "./signing.js";

/** A request as its signature covers it. `uri` is the target as sent: path and query, before anything is decoded. */
export interface SignedRequest {
  readonly method: string;
  readonly uri: string;
  readonly origin: ServerName;
  readonly destination: ServerName;
  /** The parsed body; absent where the request has none. */
  readonly content?: JsonValue;
}

/** What an Authorization header of the X-Matrix scheme says. */
export interface RequestCredentials {
  readonly origin: ServerName;
  /** Which of our names the request was meant for; old servers leave it out. */
  readonly destination: ServerName | undefined;
  readonly key: string;
  readonly signature: string;
}

/** The Authorization header for a request. Throws as canonicalJson for a body that has no canonical form. */
export function requestAuthorization(request: SignedRequest, key: SigningKey): string {
  const signature = signText(key, textOf(request));
  return `X-Matrix origin="${request.origin}",destination="${request.destination}",key="${key.id}",sig="${signature}"`;
}

/** True if the request was signed with the key whose public half is given. Throws as canonicalJson. */
export function verifyRequest(request: SignedRequest, publicKey: string, signature: string): boolean {
  return verifyText(publicKey, signature, textOf(request));
}

function textOf({ method, uri, origin, destination, content }: SignedRequest): string {
  // Events of old room versions have numbers that are written as they came; what they may be is judged event by event.
  return signedText({ method, uri, origin, destination, ...(content !== undefined && { content }) }, { lexemes: true });
}

// RFC 9110, sections 5.6.3 and 11.4: `name=token` or `name="quoted"`, with whitespace that is to be left out but read. Colons are allowed without quotes, as older servers send them.
const PARAMETER = /[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~0-9A-Za-z:-]*))[ \t]*(?:,|$)/y;
const SCHEME = /^X-Matrix +/i;

/** Reads an Authorization header; undefined if it is of another scheme, malformed, or lacks what it must say. */
export function parseAuthorization(header: string): RequestCredentials | undefined {
  const scheme = SCHEME.exec(header);
  if (scheme === null) return undefined;
  const found = new Map<string, string>();
  PARAMETER.lastIndex = scheme[0].length;
  while (PARAMETER.lastIndex < header.length) {
    const match = PARAMETER.exec(header);
    const name = match?.[1]?.toLowerCase();
    // A name that is said twice could be read as either.
    if (match === null || name === undefined || found.has(name)) return undefined;
    found.set(name, match[2]?.replaceAll(/\\(.)/g, "$1") ?? match[3] ?? "");
  }
  const origin = parseServerName(found.get("origin"));
  const destination = parseServerName(found.get("destination"));
  const [key, signature] = [found.get("key"), found.get("sig")];
  if (origin === undefined || key === undefined || signature === undefined) return undefined;
  if (found.has("destination") && destination === undefined) return undefined;
  return { origin, destination, key, signature };
}
