// Devices as they come to be, whoever makes them: by a login, an application service, an administrator or as a dehydrated one.
import { forbidden } from "../errors.js";
import { isCrossSigningKey, lockCrossSigning } from "../storage/cross-signing.js";
import type { Tx } from "../storage/database.js";
import { ensureDevice, type NewDevice } from "../storage/devices.js";

/** What may be a public key: 32 bytes in either alphabet, padded or not. */
const PUBLIC_KEY = /^[A-Za-z0-9+/_-]{43}={0,2}$/;

/**
 * Makes a device if there is none of this id; false if there is. Throws M_FORBIDDEN for the name of one of the user's own keys:
 * both are named alike where keys are verified ("Cross-signing").
 */
export async function makeDevice(tx: Tx, device: NewDevice): Promise<boolean> {
  if (PUBLIC_KEY.test(device.device_id)) {
    // A key that is being uploaded now is waited for, as its upload waits for this device.
    await lockCrossSigning(tx, device.user_nid);
    if (await isCrossSigningKey(tx, device.user_nid, device.device_id)) throw forbidden("A device cannot have the name of one of the user's own keys.");
  }
  return await ensureDevice(tx, device);
}
