// Keys as clients make them: of devices, one-time keys, and users' own.
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { encodeBase64 } from "../../src/protocol/base64.js";
import { signJson, type SigningKey } from "../../src/protocol/signing.js";
import type { JsonObject } from "../../src/protocol/json.js";

export interface TestKey {
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

export function newKey(): TestKey {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return { publicKey: encodeBase64(publicKey.export({ format: "der", type: "spki" }).subarray(-32)), privateKey };
}

/** An object signed by a user with a key that is named after itself, or after a device. */
export function signedBy(object: JsonObject, userId: string, key: TestKey, name = key.publicKey): JsonObject {
  const signing: SigningKey = { id: `ed25519:${name}`, publicKey: key.publicKey, privateKey: key.privateKey };
  return signJson(object, userId, signing);
}

export interface TestDevice {
  readonly key: TestKey;
  readonly device_keys: JsonObject;
  oneTimeKey(): JsonObject;
  oneTimeKeys(...names: string[]): JsonObject;
}

interface Owner {
  readonly user_id: string;
  readonly device_id: string;
}

/** The keys of a device. */
export function deviceOf({ user_id, device_id }: Owner): TestDevice {
  const key = newKey();
  const curve = encodeBase64(randomBytes(32));
  const unsigned = {
    user_id,
    device_id,
    algorithms: ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
    keys: { [`ed25519:${device_id}`]: key.publicKey, [`curve25519:${device_id}`]: curve },
  };
  const oneTimeKey = (): JsonObject => signedBy({ key: encodeBase64(randomBytes(32)) }, user_id, key, device_id);
  return {
    key,
    device_keys: signedBy(unsigned, user_id, key, device_id),
    oneTimeKey,
    oneTimeKeys: (...names) => Object.fromEntries(names.map((name) => [`signed_curve25519:${name}`, oneTimeKey()])),
  };
}

/** A user's own key of some use, signed by the master key if that is given. */
export function ownKey({ user_id }: Pick<Owner, "user_id">, usage: string, key: TestKey, master?: TestKey): JsonObject {
  const object = { user_id, usage: [usage], keys: { [`ed25519:${key.publicKey}`]: key.publicKey } };
  return master === undefined ? object : signedBy(object, user_id, master);
}

