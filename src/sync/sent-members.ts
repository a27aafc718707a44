// Which member events a device has been sent, so that lazy loading does not send them again and again. An event counts as
// sent only for a client that shows a token at least as new as the answer that had it: answers get lost.
import { LRUCache } from "lru-cache";

const DEVICES = 10_000;
const MEMBERS_PER_DEVICE = 5_000;

export class SentMembers {
  /** By device: (room, user) to the member event and the position of the answer that had it. */
  readonly #devices = new LRUCache<string, Map<string, { readonly nid: number; readonly position: number }>>({
    max: DEVICES,
  });

  /** True if the device has this member event. `since` is the position of the token that it shows. */
  has(device: string, roomNid: number, userNid: number, eventNid: number, since: number): boolean {
    const sent = this.#devices.get(device)?.get(`${roomNid} ${userNid}`);
    return sent !== undefined && sent.nid === eventNid && sent.position <= since;
  }

  /** Notes that the answer of `position` has this member event. */
  add(device: string, roomNid: number, userNid: number, eventNid: number, position: number): void {
    let members = this.#devices.get(device);
    if (members === undefined || members.size >= MEMBERS_PER_DEVICE) this.#devices.set(device, (members = new Map()));
    const key = `${roomNid} ${userNid}`;
    const sent = members.get(key);
    if (sent?.nid !== eventNid || sent.position > position) members.set(key, { nid: eventNid, position });
  }
}
