// From the wire to an event and from a draft to a signed event (server-server API, "PDUs" and "Signing Events").
import { badJson, MatrixError, tooLarge } from "../errors.js";
import { decodeBase64, encodeBase64 } from "./base64.js";
import { canonicalJson } from "./canonical-json.js";
import { hasShortFields, type Malformed, readEvent, type RoomEvent, STICKY } from "./event.js";
import { contentHash, derivedEventId, essentialText, sha256 } from "./event-hash.js";
import { type EventId, parseUserId, type RoomId, type ServerName, serverNameOf, type UserId } from "./identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString, parseJson } from "./json.js";
import { redact } from "./redaction.js";
import type { RoomVersion } from "./room-version.js";
import { signaturesBy, type SigningKey, signText, verifyText, verifyTextAsync, withSignature } from "./signing.js";

const MAX_EVENT_BYTES = 65_536;

/** The canonical text of an event in wire form. Throws M_BAD_JSON where the version's JSON rules are broken. */
function eventText(version: RoomVersion, json: JsonObject): string {
  return canonicalJson(json, { lexemes: !version.strictNumbers });
}

/** The wire form of an event: its stored text parsed so that hashing it again gives the same. */
export function wireForm(version: RoomVersion, event: RoomEvent): JsonObject {
  const json: JsonValue = version.strictNumbers ? JSON.parse(event.json) : parseJson(event.json, { numbers: "lexemes" });
  if (!isObject(json)) throw new Error(`event ${event.event_id} is not an object`);
  return json;
}

/** An event from outside; `redacted` if its content hash did not match, so that only its redacted form may be used. */
export interface ParsedEvent {
  readonly event: RoomEvent;
  readonly redacted: boolean;
  /** What its signatures cover, and itself as far as it has them. */
  readonly essential: string;
  readonly signed: JsonObject;
}

/**
 * An event from the wire form in which another server sent it, parsed with `numbers: "lexemes"`: checks its format and
 * sizes, drops `unsigned`, computes its id, and redacts it if its content hash does not match (server-server API, "Checks
 * performed on receipt of a PDU", 1 and 3). Signatures are a matter of `isSignedBy`. Gives `{ malformed }` for what must
 * be dropped; never throws.
 */
export function parseEvent(version: RoomVersion, json: JsonValue): ParsedEvent | Malformed {
  if (!isObject(json)) return { malformed: "an event is an object" };
  try {
    const { unsigned: _unsigned, ...signed } = json;
    const text = eventText(version, signed);
    if (Buffer.byteLength(text) > MAX_EVENT_BYTES) return { malformed: "the event is larger than 65536 bytes" };
    const essential = essentialText(version, signed);
    const id = derivedEventId(version, essential);
    const event = read(version, id, signed, text);
    if ("malformed" in event) return event;
    const checked = { essential, signed: { signatures: own(signed, "signatures") ?? {} } };
    if (hasContentHash(signed, contentHash(version, signed))) return { event, redacted: false, ...checked };
    const redacted = readText(version, id, eventText(version, redact(version, signed)));
    return "malformed" in redacted ? redacted : { event: redacted, redacted: true, ...checked };
  } catch (error) {
    if (error instanceof MatrixError) return { malformed: error.message, badJson: error.errcode === "M_BAD_JSON" };
    throw error;
  }
}

/** True if an event claims this content hash, in any form of base64. */
function hasContentHash(json: JsonObject, expected: string): boolean {
  const hashes = own(json, "hashes");
  const claimed = isObject(hashes) ? ownString(hashes, "sha256") : undefined;
  if (claimed === expected) return true;
  const bytes = claimed === undefined ? undefined : decodeBase64(claimed);
  return bytes !== undefined && encodeBase64(bytes) === expected;
}

function read(version: RoomVersion, id: EventId | undefined, json: JsonObject, text: string): RoomEvent | Malformed {
  // Where lexemes are kept the fields are read from the text, as plain numbers.
  return version.strictNumbers ? readEvent(version, json, id, text) : readText(version, id, text);
}

function readText(version: RoomVersion, id: EventId | undefined, text: string): RoomEvent | Malformed {
  const json: JsonValue = JSON.parse(text);
  return isObject(json) ? readEvent(version, json, id, text) : { malformed: "an event is an object" };
}

/** What makes an event, before it is hashed and signed. */
export interface EventDraft {
  /** Absent in the create event of room versions that hash it. */
  readonly room_id?: RoomId;
  readonly type: string;
  readonly state_key?: string;
  readonly sender: UserId;
  readonly content: JsonObject;
  readonly origin_server_ts: number;
  readonly depth: number;
  readonly prev_events: readonly EventId[];
  readonly auth_events: readonly EventId[];
  readonly redacts?: EventId;
  /** For how many milliseconds it is sticky (MSC4354). */
  readonly sticky_duration_ms?: number;
  /** The chosen id, in room versions 1 and 2 only. */
  readonly event_id?: EventId;
  /** Reference hashes of prev_events and auth_events, which room versions 1 and 2 carry. */
  readonly referenceHashes?: ReadonlyMap<EventId, string>;
}

/** A draft in wire form, before it is hashed and signed: also what another server is given to complete. */
export function draftJson(version: RoomVersion, draft: EventDraft): JsonObject {
  const references = (ids: readonly EventId[]): JsonValue =>
    version.referencePairs
      ? ids.map((id) => {
          const hash = draft.referenceHashes?.get(id);
          return [id, hash === undefined ? {} : { sha256: hash }];
        })
      : ids;
  const { redacts, sticky_duration_ms } = draft;
  return {
    ...(draft.event_id !== undefined && version.eventIds === "chosen" && { event_id: draft.event_id }),
    ...(draft.room_id !== undefined && { room_id: draft.room_id }),
    type: draft.type,
    ...(draft.state_key !== undefined && { state_key: draft.state_key }),
    sender: draft.sender,
    content:
      redacts !== undefined && version.redactsInContent ? { ...draft.content, redacts } : draft.content,
    ...(redacts !== undefined && !version.redactsInContent && { redacts }),
    origin_server_ts: draft.origin_server_ts,
    depth: Math.min(draft.depth, Number.MAX_SAFE_INTEGER),
    prev_events: references(draft.prev_events),
    auth_events: references(draft.auth_events),
    ...(sticky_duration_ms !== undefined && { [STICKY]: { duration_ms: sticky_duration_ms } }),
  };
}

/**
 * Hashes and signs a draft in the name of `server` (server-server API, "Adding hashes and signatures to outgoing events").
 * Throws M_BAD_JSON if the content breaks Canonical JSON or a field the event format, M_TOO_LARGE over 65,536 bytes or for a type or state key of more than 255.
 */
export function buildEvent(version: RoomVersion, draft: EventDraft, server: ServerName, key: SigningKey): RoomEvent {
  if (!hasShortFields(draft)) throw tooLarge("The type and the state key of an event have at most 255 bytes.");
  const json = draftJson(version, draft);
  const hashed = { ...json, hashes: { sha256: contentHash(version, json) } };
  const essential = essentialText(version, hashed);
  const signed = { ...hashed, signatures: { [server]: { [key.id]: signText(key, essential) } } };
  const text = eventText(version, signed);
  if (Buffer.byteLength(text) > MAX_EVENT_BYTES) throw tooLarge("The event is larger than 65536 bytes.");
  const event = readEvent(version, signed, derivedEventId(version, essential), text);
  if ("malformed" in event) throw badJson(`The event is malformed: ${event.malformed}.`);
  return event;
}

/** The event with one more server's signature: for invites and restricted joins, which two servers sign. */
export function cosignEvent(version: RoomVersion, event: RoomEvent, server: ServerName, key: SigningKey): RoomEvent {
  const json = wireForm(version, event);
  const signed = withSignature(json, server, key.id, signText(key, essentialText(version, json)));
  return { ...event, json: eventText(version, signed) };
}

/**
 * The event with a signature that a server has given, if the key made it: for policy servers, whose key the room names
 * (server-server API, "Validating Policy Server signatures"). Throws M_TOO_LARGE.
 */
export function addSignature(
  version: RoomVersion,
  event: RoomEvent,
  { server, keyId, publicKey, signature }: { server: ServerName; keyId: string; publicKey: string; signature: string },
): RoomEvent | undefined {
  const json = wireForm(version, event);
  if (!verifyText(publicKey, signature, essentialText(version, json))) return undefined;
  const text = eventText(version, withSignature(json, server, keyId, signature));
  if (Buffer.byteLength(text) > MAX_EVENT_BYTES) throw tooLarge("The event is larger than 65536 bytes.");
  return { ...event, json: text };
}

/** The event after a redaction was applied to it: same id, stripped content. */
export function redactEvent(version: RoomVersion, event: RoomEvent): RoomEvent {
  const redacted = readText(version, event.event_id, eventText(version, redact(version, wireForm(version, event))));
  if ("malformed" in redacted) throw new Error(`event ${event.event_id} cannot be redacted`);
  return redacted;
}

/** The reference hash of an event, which room versions 1 and 2 put beside its id in references. */
export function referenceHashOf(version: RoomVersion, event: RoomEvent): string {
  return sha256(essentialText(version, wireForm(version, event)));
}

/**
 * The servers whose signature an event needs (server-server API, "Validating hashes and signatures on received events";
 * authorisation rule "member.authoriserSignature"): its sender's, unless it is a third-party invite; that of the event id
 * where the sender chose it; that of the user who authorised a restricted join. Undefined: the authoriser is no user.
 */
export function requiredSigners(version: RoomVersion, event: RoomEvent): readonly ServerName[] | undefined {
  const signers = new Set<ServerName>();
  const member = event.type === "m.room.member";
  const thirdParty =
    member && ownString(event.content, "membership") === "invite" && Object.hasOwn(event.content, "third_party_invite");
  if (!thirdParty) signers.add(serverNameOf(event.sender));
  if (version.eventIds === "chosen") {
    const server = serverNameOf(event.event_id);
    if (server !== undefined) signers.add(server);
  }
  if (version.restrictedJoins && member && Object.hasOwn(event.content, "join_authorised_via_users_server")) {
    const authoriser = parseUserId(event.content.join_authorised_via_users_server);
    if (authoriser === undefined) return undefined;
    signers.add(serverNameOf(authoriser));
  }
  return [...signers];
}

/**
 * True if `server` signed the event: at least one of its signatures is by a key in `keys` (key id to public key, those that
 * were valid at the event's time), and every such signature is right.
 */
export function isSignedBy(event: ParsedEvent, server: ServerName, keys: ReadonlyMap<string, string>): boolean {
  const results = signaturesWith(event, server, keys).map(({ key, signature }) => verifyText(key, signature, event.essential));
  return results.length > 0 && results.every(Boolean);
}

/** As `isSignedBy`, on the thread pool. */
export async function isSignedByAsync(event: ParsedEvent, server: ServerName, keys: ReadonlyMap<string, string>): Promise<boolean> {
  const results = await Promise.all(signaturesWith(event, server, keys).map(({ key, signature }) => verifyTextAsync(key, signature, event.essential)));
  return results.length > 0 && results.every(Boolean);
}

function signaturesWith({ signed }: ParsedEvent, server: ServerName, keys: ReadonlyMap<string, string>): { readonly key: string; readonly signature: string }[] {
  return [...signaturesBy(signed, server)].flatMap(([keyId, signature]) => {
    const key = keys.get(keyId);
    return key === undefined ? [] : [{ key, signature }];
  });
}

/** The key ids with which `server` signed the event: those that a keyring has to find. */
export function signingKeyIds({ signed }: ParsedEvent, server: ServerName): readonly string[] {
  return [...signaturesBy(signed, server).keys()];
}
