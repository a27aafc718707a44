// The messages to the reader's device in an answer of /sync, and what becomes of those it has (client-server API,
// "Send-to-Device messaging"): a token that came with messages says that the device has them.
import { LRUCache } from "lru-cache";
import type { DeviceId } from "../protocol/identifiers.js";
import type { SyncToken } from "../rooms/token.js";
import type { Database } from "../storage/database.js";
import type { LogFollower } from "../storage/log.js";
import type { Reads } from "../storage/statement.js";
import { type Acknowledged, acknowledgeMessages, type Inbox, waitingInInboxes, waitingMessages } from "../storage/to-device.js";
import { TurnLoader } from "../storage/turn-loader.js";

/** The most messages of one answer: the rest comes with the next, which does not wait. */
const MOST = 100;
/** Devices of which is remembered up to where they have everything. */
const REMEMBERED = 100_000;

interface Reader {
  readonly user_nid: number;
  readonly device_id: DeviceId | undefined;
}

export interface ToDeviceSection {
  /** JSON texts. */
  readonly events: readonly string[];
  /** If there are more: the number of the last of these, for the next token. */
  readonly toDevice: number | undefined;
}

const NONE: ToDeviceSection = { events: [], toDevice: undefined };

/** The messages that wait for the reader's device, after a token (all without one) and up to a position. */
export async function toDeviceSection(
  reads: Reads,
  { user_nid, device_id }: Reader,
  since: SyncToken | undefined,
  upTo: number,
  most = MOST,
): Promise<ToDeviceSection> {
  if (device_id === undefined) return NONE;
  const limit = Math.min(most, MOST);
  // A token of an answer that left messages out says how far it came, whatever its position is.
  const after = since === undefined || since.toDevice !== undefined ? 0 : since.position;
  return sectionOf(await waitingMessages(reads, user_nid, device_id, { after, upTo, afterNid: since?.toDevice ?? 0, limit: limit + 1 }), limit);
}

/** The messages of many inboxes: those whom the same message woke ask at the same time. */
export type Inboxes = TurnLoader<Inbox, readonly { nid: number; event: string }[]>;

export function inboxLoader(reads: Reads): Inboxes {
  const nameOf = ({ user_nid, device_id, after, upTo }: Inbox): string => `${user_nid} ${device_id} ${after} ${upTo}`;
  return new TurnLoader(nameOf, async (asked) => {
    const found = await waitingInInboxes(reads, asked);
    return new Map(asked.map((inbox, index) => [nameOf(inbox), found[index] ?? []]));
  });
}

/** As `toDeviceSection`, for a token of an answer that left no messages out. */
export async function toDeviceFrom(inboxes: Inboxes, { user_nid, device_id }: Reader, since: SyncToken, upTo: number): Promise<ToDeviceSection> {
  if (device_id === undefined) return NONE;
  return sectionOf((await inboxes.load({ user_nid, device_id, after: since.position, upTo, limit: MOST + 1 })) ?? [], MOST);
}

function sectionOf(found: readonly { nid: number; event: string }[], limit: number): ToDeviceSection {
  const shown = found.slice(0, limit);
  return { events: shown.map(({ event }) => event), toDevice: found.length > limit ? shown.at(-1)?.nid : undefined };
}

/** JSON text of the section. */
export function toDeviceText({ events }: ToDeviceSection): string {
  return `"to_device":{"events":[${events.join(",")}]}`;
}

/** Deletes what devices have shown to have. */
export class Acknowledgements {
  readonly #deleted: TurnLoader<Acknowledged, undefined>;
  readonly #follower: LogFollower;
  /** Up to which position nothing is kept for a device any more. */
  readonly #done = new LRUCache<string, number>({ max: REMEMBERED });

  constructor(database: Database, follower: LogFollower) {
    const nameOf = ({ user_nid, device_id, position, nid }: Acknowledged): string => `${user_nid} ${device_id} ${position} ${nid}`;
    const remove = async (devices: readonly Acknowledged[]): Promise<ReadonlyMap<string, undefined>> => {
      await acknowledgeMessages(database, devices);
      return new Map<string, undefined>();
    };
    this.#deleted = new TurnLoader(nameOf, remove, { oneAtATime: true });
    this.#follower = follower;
    follower.onNewEpoch(() => this.#done.clear());
  }

  /** Notes a token that a device shows. Asks the database only if something was sent to the device, or if nobody knows. */
  async note({ user_nid, device_id }: Reader, { position, toDevice }: SyncToken): Promise<void> {
    if (device_id === undefined) return;
    const key = `${user_nid} ${device_id}`;
    const done = this.#done.get(key);
    if (done !== undefined && toDevice === undefined) {
      if (position <= done) return;
      const entries = this.#follower.userEntries(user_nid, { after: done, upTo: position });
      if (entries?.some(({ kind, device }) => kind === "to_device" && device === device_id) === false) {
        this.#done.set(key, position);
        return;
      }
    }
    await this.#deleted.load({ user_nid, device_id, position, nid: toDevice });
    if (toDevice === undefined) this.#done.set(key, Math.max(position, done ?? 0));
  }
}
