// What /sync tells of others' devices and of the reader's own keys (client-server API, "Extensions to /sync").
import { LRUCache } from "lru-cache";
import type { DeviceId } from "../protocol/identifiers.js";
import { type KeyCounts, keyCounts } from "../storage/device-keys.js";
import { deviceListChanges, deviceListChangesBetween, usersSharingRooms } from "../storage/device-lists.js";
import type { Interning } from "../storage/interning.js";
import type { Reads } from "../storage/statement.js";
import { TurnLoader } from "../storage/turn-loader.js";

/** User ids, in the order of their numbers. */
export interface DeviceLists {
  readonly changed: string[];
  readonly left: string[];
}

export const NO_DEVICE_LISTS: DeviceLists = { changed: [], left: [] };

interface Named {
  readonly interning: Pick<Interning, "userIds">;
}

/** The ids of users, in the order of their numbers. */
export async function namesInOrder({ interning }: Named, nids: readonly number[]): Promise<string[]> {
  const names = nids.length === 0 ? new Map<number, string>() : await interning.userIds(nids);
  return nids.toSorted((a, b) => a - b).flatMap((nid) => names.get(nid) ?? []);
}

/**
 * Whose devices a user has to look at again since a position, up to another one if given; where nothing is known of that,
 * everybody's in the user's rooms.
 */
export async function deviceLists(named: Named, reads: Reads, userNid: number, after: number | undefined, upTo?: number): Promise<DeviceLists> {
  const { changed, left } =
    after === undefined
      ? await usersSharingRooms(reads, userNid)
      : upTo === undefined
        ? await deviceListChanges(reads, userNid, after)
        : await deviceListChangesBetween(reads, userNid, after, upTo);
  return { changed: await namesInOrder(named, changed), left: await namesInOrder(named, left) };
}

/** JSON text of the sections. */
export function encryptionText(lists: DeviceLists, keysLeft: string): string {
  return `"device_lists":${JSON.stringify(lists)},${keysLeft}`;
}

/** Without a device there are no keys. */
const NO_KEYS = `"device_one_time_keys_count":{},"device_unused_fallback_key_types":[]`;
const DEVICES = 50_000;
const ALGORITHM = "signed_curve25519";

interface Device {
  readonly user_nid: number;
  readonly device_id: DeviceId;
}

const nameOf = ({ user_nid, device_id }: Device): string => `${user_nid} ${device_id}`;

function textOf({ counts, unused }: KeyCounts): string {
  // Clients that see no count of these may take it that none are wanted.
  const all = JSON.stringify({ [ALGORITHM]: 0, ...counts });
  return `"device_one_time_keys_count":${all},"device_unused_fallback_key_types":${JSON.stringify(unused)}`;
}

interface Reader {
  readonly user_nid: number;
  readonly device_id: DeviceId | undefined;
}

/** JSON text of what a device has left of its keys. */
export async function keysLeftText(reads: Reads, { user_nid, device_id }: Reader): Promise<string> {
  const [row] = device_id === undefined ? [] : await keyCounts(reads, [{ user_nid, device_id }]);
  return row === undefined ? NO_KEYS : textOf(row);
}

/** What devices have left of their keys, kept until the log says that it changed: each answer tells it. */
export class KeysLeft {
  readonly #known = new LRUCache<string, Promise<string | undefined>>({ max: DEVICES });
  readonly #loader: TurnLoader<Device, string>;

  constructor(reads: Reads) {
    this.#loader = new TurnLoader(nameOf, async (devices) => new Map((await keyCounts(reads, devices)).map((row) => [nameOf(row), textOf(row)])));
  }

  /** JSON text of the sections. */
  async text({ user_nid, device_id }: Reader): Promise<string> {
    if (device_id === undefined) return NO_KEYS;
    const device = { user_nid, device_id };
    const key = nameOf(device);
    const known = this.#known.get(key);
    if (known !== undefined) return (await known) ?? NO_KEYS;
    const loading = this.#loader.load(device);
    this.#known.set(key, loading);
    loading.catch(() => this.#known.delete(key));
    return (await loading) ?? NO_KEYS;
  }

  /** Forgets a device: the log says that its keys changed. */
  forget(userNid: number, deviceId: string): void {
    this.#known.delete(`${userNid} ${deviceId}`);
  }

  forgetAll(): void {
    this.#known.clear();
  }
}
