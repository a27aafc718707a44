// That devices or keys of users have changed, for everybody who follows them (client-server API, "Tracking the device list
// for a user").
import type { DeviceId } from "../protocol/identifiers.js";
import type { Tx } from "../storage/database.js";
import { noteDeviceLists } from "../storage/device-lists.js";
import type { DeviceKey } from "../storage/devices.js";
import { appendToLog, type AccountContext } from "./context.js";

/** Says that devices have changed: they came, went, have another name or other keys. Once in a transaction. */
export function devicesChanged(context: Pick<AccountContext, "bus">, tx: Tx, devices: readonly DeviceKey[]): void {
  if (devices.length === 0) return;
  const changes = new Map<number, number>();
  for (const { user_nid } of devices) changes.set(user_nid, (changes.get(user_nid) ?? 0) + 1);
  noteDeviceLists(tx, changes);
  appendToLog(context, tx, devices.map(({ user_nid, device_id: device }) => ({ kind: "device_list", user_nid, device }) as const));
}

/** Says that a user's own keys have changed. Once in a transaction. */
export function ownKeysChanged(context: Pick<AccountContext, "bus">, tx: Tx, user_nid: number): void {
  noteDeviceLists(tx, new Map([[user_nid, 0]]));
  appendToLog(context, tx, [{ kind: "device_list", user_nid }]);
}

/** Says that something else is told of the keys that devices have left. */
export function keysLeftChanged(context: Pick<AccountContext, "bus">, tx: Tx, devices: readonly { readonly user_nid: number; readonly device_id: DeviceId }[]): void {
  appendToLog(context, tx, devices.map(({ user_nid, device_id: device }) => ({ kind: "key", user_nid, device }) as const));
}
