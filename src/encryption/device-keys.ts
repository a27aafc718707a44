// Keys that a device uploads: its identity, and one-time keys for those who want to write to it (client-server API,
// "Uploading keys").
import { keysLeftChanged, devicesChanged } from "../accounts/device-lists.js";
import { badJson, invalidParam, notFound } from "../errors.js";
import type { DeviceId, UserId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, parseJson } from "../protocol/json.js";
import { forgetDeviceSignatures } from "../storage/cross-signing.js";
import { addOneTimeKeys, findDeviceKeys, keyCounts, lockDevice, setDeviceKeys, setFallbackKeys, type StoredKey } from "../storage/device-keys.js";
import type { Reads } from "../storage/statement.js";
import type { EncryptionContext } from "./context.js";
import { checkDeviceKeys, checkOneTimeKey, fingerprintKey, keyText, withoutUnsigned } from "./signatures.js";

const MAX_UPLOADED = 1_000;
const MAX_KEPT = 5_000;
const MAX_ID_BYTES = 255;

export interface UploadedKeys {
  readonly device_keys?: JsonObject | undefined;
  readonly one_time_keys?: JsonObject | undefined;
  readonly fallback_keys?: JsonObject | undefined;
}

interface Uploader {
  readonly user_id: UserId;
  readonly user_nid: number;
  readonly device_id: DeviceId | undefined;
}

/**
 * Keeps what a device uploads, all of it or nothing; gives the number of its one-time keys by algorithm. Throws M_BAD_JSON for
 * malformed keys, M_INVALID_SIGNATURE, M_INVALID_PARAM for keys of somebody else, for too many, and for the id of another key.
 */
export async function uploadKeys(context: EncryptionContext, uploader: Uploader, uploaded: UploadedKeys): Promise<Readonly<Record<string, number>>> {
  const { user_id, user_nid, device_id } = uploader;
  if (device_id === undefined) throw invalidParam("Only devices have keys: this access token belongs to none.");
  const { device_keys, one_time_keys = {}, fallback_keys = {} } = uploaded;
  if (device_keys !== undefined) checkDeviceKeys(device_keys, user_id, device_id);
  const oneTime = storedKeys(one_time_keys);
  const fallbacks = storedKeys(fallback_keys);
  if (new Set(fallbacks.map(({ algorithm }) => algorithm)).size < fallbacks.length) {
    throw invalidParam("There can be one fallback key of an algorithm.");
  }
  const device = { user_nid, device_id };
  return await context.database.transaction(async (tx) => {
    const [exists, before] = await Promise.all([lockDevice(tx, device), findDeviceKeys(tx, device)]);
    if (!exists) throw notFound("This device is gone.");
    const kept = device_keys === undefined ? before : keyText(withoutUnsigned(device_keys));
    const fingerprint = fingerprintOf(kept, device_id);
    for (const keys of [one_time_keys, fallback_keys]) {
      for (const [name, key] of Object.entries(keys)) checkOneTimeKey(key, algorithmOf(name), user_id, device_id, fingerprint);
    }
    if (kept !== undefined && kept !== before) {
      await setDeviceKeys(tx, device, kept);
      if (before !== undefined && fingerprintOf(before, device_id) !== fingerprint) await forgetDeviceSignatures(tx, [device]);
      devicesChanged(context, tx, [device]);
    }
    if (oneTime.length > 0) {
      const other = await addOneTimeKeys(tx, device, oneTime);
      if (other !== undefined) throw invalidParam(`There is another one-time key of the id ${other}.`);
    }
    if (fallbacks.length > 0) await setFallbackKeys(tx, device, fallbacks);
    const reads: Reads = { read: (statement, values) => tx.query(statement, values) };
    const counts = (await keyCounts(reads, [device]))[0]?.counts ?? {};
    if (Object.values(counts).reduce((sum, count) => sum + count, 0) > MAX_KEPT) {
      throw invalidParam(`A device may have at most ${MAX_KEPT} one-time keys here.`);
    }
    if (oneTime.length + fallbacks.length > 0) keysLeftChanged(context, tx, [device]);
    return counts;
  });
}

function fingerprintOf(text: string | undefined, deviceId: DeviceId): string | undefined {
  const keys = text === undefined ? undefined : parseJson(text);
  return isObject(keys) ? fingerprintKey(keys, deviceId) : undefined;
}

const algorithmOf = (name: string): string => name.slice(0, name.indexOf(":"));

/** Keys as they are stored. Throws M_BAD_JSON for names without an algorithm, M_INVALID_PARAM for too many. */
function storedKeys(keys: JsonObject): StoredKey[] {
  const entries = Object.entries(keys);
  if (entries.length > MAX_UPLOADED) throw invalidParam(`At most ${MAX_UPLOADED} keys can be uploaded at once.`);
  return entries.map(([name, key]) => {
    const algorithm = algorithmOf(name);
    const key_id = name.slice(algorithm.length + 1);
    if (!name.includes(":") || algorithm === "" || key_id === "") throw badJson("The names of keys are algorithm:id.");
    if (Buffer.byteLength(name) > MAX_ID_BYTES || /[\0\p{Surrogate}]/u.test(name)) throw badJson("The name of a key is too long, or no text.");
    return { algorithm, key_id, key: keyText(key) };
  });
}
