// Ed25519 keys and signatures over JSON (appendices, "Signing Details" and "Checking for a Signature").
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { decodeBase64, encodeBase64 } from "./base64.js";
import { canonicalJson } from "./canonical-json.js";
import { isObject, type JsonObject, own, ownString } from "./json.js";

// What DER puts before the 32 raw bytes of an Ed25519 key (RFC 8410).
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

/** A key that signs in the name of one of our servers. `id` is the whole identifier, as `ed25519:a_1`. */
export interface SigningKey {
  readonly id: string;
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

/** A signing key from its identifier and its 32-byte seed. Throws RangeError if either has the wrong form. */
export function signingKey(id: string, seed: Uint8Array): SigningKey {
  if (seed.length !== KEY_BYTES) throw new RangeError("An Ed25519 seed has 32 bytes.");
  if (!/^ed25519:[a-zA-Z0-9_]+$/.test(id)) throw new RangeError("A key id is ed25519: and letters, digits and underscores.");
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: "der", type: "pkcs8" });
  const raw = createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(SPKI_PREFIX.length);
  return { id, publicKey: encodeBase64(raw), privateKey };
}

// Building a key object costs as much as half a check; the same few keys check almost everything.
const verifyKeys = new Map<string, KeyObject>();
const MAX_VERIFY_KEYS = 5_000;

function verifyKey(publicKey: string): KeyObject | undefined {
  const known = verifyKeys.get(publicKey);
  if (known !== undefined) {
    verifyKeys.delete(publicKey); // to the end: the map is in order of last use
    verifyKeys.set(publicKey, known);
    return known;
  }
  const raw = decodeBase64(publicKey);
  if (raw?.length !== KEY_BYTES) return undefined;
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: "der", type: "spki" });
  const [oldest] = verifyKeys.keys();
  if (verifyKeys.size >= MAX_VERIFY_KEYS && oldest !== undefined) verifyKeys.delete(oldest);
  verifyKeys.set(publicKey, key);
  return key;
}

/** The unpadded base64 of the key's signature over the UTF-8 bytes of a text. */
export function signText(key: SigningKey, text: string): string {
  return encodeBase64(sign(null, Buffer.from(text), key.privateKey));
}

/** True if `signature` is the public key's signature over a text. Anything malformed is false. */
export function verifyText(publicKey: string, signature: string, text: string): boolean {
  const key = verifyKey(publicKey);
  const bytes = decodeBase64(signature);
  return key !== undefined && bytes?.length === SIGNATURE_BYTES && verify(null, Buffer.from(text), key, bytes);
}

/** As verifyText, on the thread pool: for batches of events from other servers. */
export function verifyTextAsync(publicKey: string, signature: string, text: string): Promise<boolean> {
  const key = verifyKey(publicKey);
  const bytes = decodeBase64(signature);
  if (key === undefined || bytes?.length !== SIGNATURE_BYTES) return Promise.resolve(false);
  return new Promise((resolve, reject) => {
    verify(null, Buffer.from(text), key, bytes, (error, valid) => (error ? reject(error) : resolve(valid)));
  });
}

/** The text that a signature over a JSON object covers: all but `signatures` and `unsigned`. Throws as canonicalJson. */
export function signedText(object: JsonObject, options: { readonly lexemes?: boolean } = {}): string {
  const { signatures: _signatures, unsigned: _unsigned, ...signed } = object;
  return canonicalJson(signed, options);
}

/** The object with one more signature in `signatures`. */
export function withSignature(object: JsonObject, signer: string, keyId: string, signature: string): JsonObject {
  const all = own(object, "signatures");
  const signatures = isObject(all) ? all : {};
  const ours = own(signatures, signer);
  return {
    ...object,
    signatures: { ...signatures, [signer]: { ...(isObject(ours) ? ours : {}), [keyId]: signature } },
  };
}

/** The object signed by `signer` with `key`. Throws as canonicalJson. */
export function signJson(object: JsonObject, signer: string, key: SigningKey): JsonObject {
  return withSignature(object, signer, key.id, signText(key, signedText(object)));
}

/** The signatures by `signer` whose algorithm we know: key id to signature. */
export function signaturesBy(object: JsonObject, signer: string): ReadonlyMap<string, string> {
  const all = own(object, "signatures");
  const theirs = isObject(all) ? own(all, signer) : undefined;
  if (!isObject(theirs)) return new Map();
  const found = new Map<string, string>();
  for (const id of Object.keys(theirs)) {
    const signature = ownString(theirs, id);
    if (signature !== undefined && id.startsWith("ed25519:")) found.set(id, signature);
  }
  return found;
}

/** True if `signer` signed the object with the key `keyId`, whose public half is `publicKey`. */
export function verifyJson(object: JsonObject, signer: string, keyId: string, publicKey: string): boolean {
  const signature = signaturesBy(object, signer).get(keyId);
  return signature !== undefined && verifyText(publicKey, signature, signedText(object));
}
