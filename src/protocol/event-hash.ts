// Content hash, reference hash and event id (server-server API, "Signing Events").
import { hash } from "node:crypto";
import { toUrlSafe } from "./base64.js";
import { canonicalJson } from "./canonical-json.js";
import { type EventId, eventIdOfHash } from "./identifiers.js";
import type { JsonObject } from "./json.js";
import { redact } from "./redaction.js";
import type { RoomVersion } from "./room-version.js";

/** Unpadded base64 of the SHA-256 of a text. */
export function sha256(text: string): string {
  return hash("sha256", text, "base64").slice(0, -1);
}

/** The content hash of an event in wire form: over all but `unsigned`, `signatures` and `hashes`. */
export function contentHash(version: RoomVersion, event: JsonObject): string {
  const { unsigned: _unsigned, signatures: _signatures, hashes: _hashes, ...hashed } = event;
  return sha256(canonicalJson(hashed, { lexemes: !version.strictNumbers }));
}

/**
 * What an event's signatures and its reference hash both cover: the canonical JSON of the redacted event without
 * `signatures` and `unsigned`. Its SHA-256 is the reference hash.
 */
export function essentialText(version: RoomVersion, event: JsonObject): string {
  const { signatures: _signatures, ...essential } = redact(version, event);
  return canonicalJson(essential, { lexemes: !version.strictNumbers });
}

/** The event id that the room version derives from the essential text: undefined where the sender chooses it. */
export function derivedEventId(version: RoomVersion, essential: string): EventId | undefined {
  if (version.eventIds === "chosen") return undefined;
  const reference = sha256(essential);
  return eventIdOfHash(version.eventIds === "hash" ? reference : toUrlSafe(reference));
}
