// What /sync shows beside events, put together from where each of it lives.
import { PUSH_RULES } from "../accounts/account-data.js";
import type { Presence } from "../ephemeral/presence.js";
import { receiptContents } from "../ephemeral/receipts.js";
import type { Range, SideEvent, SideStreams } from "../ephemeral/side-streams.js";
import type { Typing } from "../ephemeral/typing.js";
import { accountDataChanged, NO_ROOM } from "../storage/account-data.js";
import type { Interning } from "../storage/interning.js";
import { NO_OWN_RULES, rulesChanged } from "../storage/push-rules.js";
import type { Reads } from "../storage/statement.js";
import { rulesShown } from "./rules.js";
import { unreadCounts } from "./unread.js";

export interface SideStreamServices {
  readonly typing: Typing;
  readonly presence: Presence;
  readonly interning: Interning;
}

/** The side streams of a process. */
export function sideStreams({ typing, presence, interning }: SideStreamServices): SideStreams {
  return {
    receipts: receiptContents,
    typing: (roomNid) => typing.content(roomNid),
    typingChanged: (rooms, serial) => typing.changed(rooms, serial),
    typingSerial: () => typing.serial,
    presence: (reads, userNid, range, met) => presence.changed(reads, userNid, range, met),
    presenceOf: (reads, userNids) => presence.of(reads, userNids),
    unread: unreadCounts,
    accountData: (reads, userNid, range) => accountData(interning, reads, userNid, range),
  };
}

async function accountData(
  interning: Interning,
  reads: Reads,
  userNid: number,
  range: Range,
): Promise<{ readonly global: SideEvent[]; readonly rooms: Map<number, SideEvent[]> }> {
  const [entries, changed] = await Promise.all([
    accountDataChanged(reads, userNid, range),
    rulesChanged(reads, userNid, range),
  ]);
  const global: SideEvent[] = [];
  const rooms = new Map<number, SideEvent[]>();
  for (const { room_nid, type, content } of entries) {
    const event = { type, content };
    const ofRoom = rooms.get(room_nid);
    if (room_nid === NO_ROOM) global.push(event);
    else if (ofRoom === undefined) rooms.set(room_nid, [event]);
    else ofRoom.push(event);
  }
  // Who never changed a rule has the predefined ones, which nothing announces.
  const rules = changed ?? (range.after === 0 ? NO_OWN_RULES : undefined);
  if (rules !== undefined) {
    const userId = (await interning.userIds([userNid])).get(userNid) ?? "";
    global.push({ type: PUSH_RULES, content: JSON.stringify({ global: rulesShown(rules, userId) }) });
  }
  return { global, rooms };
}
