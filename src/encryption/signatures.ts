// What is checked of keys before they are kept: whose they are, that they are keys, and that they are signed as they should be
// (client-server API, "Key algorithms", "Device keys", "Cross-signing").
import { badJson, invalidParam, MatrixError } from "../errors.js";
import { decodeBase64 } from "../protocol/base64.js";
import { canonicalJson } from "../protocol/canonical-json.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../protocol/json.js";
import { signaturesBy, verifyJson } from "../protocol/signing.js";

const MAX_KEY_BYTES = 32_768;
const ED25519 = "ed25519:";
const KEY_BYTES = 32;

export const invalidSignature = (message: string): MatrixError => new MatrixError(400, "M_INVALID_SIGNATURE", message);

/** Canonical JSON of a key. Throws M_BAD_JSON for what has none, M_INVALID_PARAM for what is too large. */
export function keyText(value: JsonValue): string {
  let text: string;
  try {
    text = canonicalJson(value);
  } catch {
    throw badJson("A key must be JSON that can be signed: no fractions and no numbers beyond 53 bits.");
  }
  if (Buffer.byteLength(text) > MAX_KEY_BYTES) throw invalidParam(`A key may have at most ${MAX_KEY_BYTES} bytes.`);
  return text;
}

/** The object without what is not signed and not kept with it. */
export function withoutUnsigned(key: JsonObject): JsonObject {
  const { unsigned: _unsigned, ...kept } = key;
  return kept;
}

/** Whether `signatures` is what it has to be: texts by key, by user. */
function hasSoundSignatures(key: JsonObject): boolean {
  const signatures = own(key, "signatures");
  if (signatures === undefined) return true;
  return isObject(signatures) && Object.values(signatures).every((each) => isObject(each) && Object.values(each).every((text) => typeof text === "string"));
}

/** The public Ed25519 key of a device, if it has one. */
export function fingerprintKey(keys: JsonObject, deviceId: string): string | undefined {
  const all = own(keys, "keys");
  return isObject(all) ? ownString(all, ED25519 + deviceId) : undefined;
}

/** What is wrong with the form of identity keys of a device, if anything is. */
export function flawOfDeviceKeys(keys: JsonObject): string | undefined {
  if (ownString(keys, "user_id") === undefined || ownString(keys, "device_id") === undefined) return "Device keys name a user and a device.";
  const algorithms = own(keys, "algorithms");
  if (!Array.isArray(algorithms) || !algorithms.every((name) => typeof name === "string")) return '"algorithms" must be a list of texts.';
  const all = own(keys, "keys");
  if (!isObject(all) || !Object.values(all).every((key) => typeof key === "string")) return '"keys" must hold texts.';
  if (!isObject(own(keys, "signatures")) || !hasSoundSignatures(keys)) return '"signatures" must hold texts by user and key.';
  return undefined;
}

/**
 * Checks identity keys that a device uploads. They must have a signature of their own, as the specification says; others refuse
 * what has none. Throws M_BAD_JSON for malformed keys, M_INVALID_PARAM for those of somebody else or without it, M_INVALID_SIGNATURE.
 */
export function checkDeviceKeys(keys: JsonObject, userId: string, deviceId: string): void {
  const flaw = flawOfDeviceKeys(keys);
  if (flaw !== undefined) throw badJson(flaw);
  if (ownString(keys, "user_id") !== userId || ownString(keys, "device_id") !== deviceId) {
    throw invalidParam("These keys say that they are of another device than the one that uploads them.");
  }
  keyText(keys);
  const key = fingerprintKey(keys, deviceId);
  const id = ED25519 + deviceId;
  if (!signaturesBy(keys, userId).has(id)) throw invalidParam("The device has not signed its own keys.");
  if (key === undefined || !verifyJson(keys, userId, id, key)) throw invalidSignature("The signature of the device on its own keys is wrong.");
}

/**
 * Checks the one-time or fallback key of a device whose fingerprint is `key`, if that is known. Throws M_BAD_JSON,
 * M_INVALID_SIGNATURE.
 */
export function checkOneTimeKey(value: JsonValue, algorithm: string, userId: string, deviceId: string, key: string | undefined): void {
  if (typeof value === "string" && !algorithm.startsWith("signed_")) return;
  if (!isObject(value) || ownString(value, "key") === undefined) throw badJson(`A key of ${algorithm} is an object with "key".`);
  if (!algorithm.startsWith("signed_")) return;
  if (!hasSoundSignatures(value)) throw badJson('"signatures" must hold texts by user and key.');
  if (key !== undefined && !verifyJson(value, userId, ED25519 + deviceId, key)) {
    throw invalidSignature("A key is not signed by its device, or wrongly.");
  }
}

/** The only public key in a cross-signing key of this use and user; undefined if it is none. */
export function crossSigningPublicKey(key: JsonObject, usage: string, userId: string): string | undefined {
  const usages = own(key, "usage");
  const keys = own(key, "keys");
  if (ownString(key, "user_id") !== userId || !Array.isArray(usages) || !usages.includes(usage) || !isObject(keys)) return undefined;
  const entries = Object.entries(keys);
  const [entry] = entries;
  if (entries.length !== 1 || entry === undefined || !hasSoundSignatures(key)) return undefined;
  const [id, value] = entry;
  if (typeof value !== "string" || id !== ED25519 + value || decodeBase64(value)?.length !== KEY_BYTES) return undefined;
  return value;
}

/** Whether an object carries a right signature of a user by one of their keys. */
export function isSignedBy(object: JsonObject, userId: string, publicKey: string): boolean {
  return verifyJson(object, userId, ED25519 + publicKey, publicKey);
}
