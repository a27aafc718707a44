// Which rooms an answer of /sync is about, and which part of each (client-server API, "Syncing").
import { membershipIn } from "../protocol/membership.js";
import { LOG_KINDS } from "../storage/log-entry.js";
import { MEMBERSHIPS } from "../storage/room-rows.js";
import { CHANGED_ROOMS, type MembershipNow, OWN_CHANGES } from "../storage/sync.js";
import type { RoomWindow } from "./room-window.js";
import type { SyncReading } from "./sync-request.js";

export interface SyncWindows {
  readonly windows: readonly RoomWindow[];
  /** The rooms whose members became known since the token, and when. */
  readonly completed: ReadonlyMap<number, number>;
}

/** How a room came to be joined since the token: whether all of it has to be told, and from where on its events. */
interface Join {
  readonly isNew: boolean;
  readonly after: number;
}

/** The windows of those of the user's rooms that are shown as joined or left. */
export async function windowsOf(reading: SyncReading, rooms: readonly MembershipNow[]): Promise<SyncWindows> {
  const { since, resync, fullState, filter } = reading.request;
  const incremental = since !== undefined && !resync;
  const joins = incremental ? await joinsSince(reading, rooms) : new Map<number, Join>();
  const completed = new Map<number, number>();
  for (const { room_nid, membership, whole_since } of rooms) {
    if (membership !== MEMBERSHIPS.join || whole_since === null || whole_since <= reading.after) continue;
    completed.set(room_nid, whole_since);
    if (incremental && !filter.lazyLoadMembers) joins.set(room_nid, { isNew: true, after: joins.get(room_nid)?.after ?? 0 });
  }
  const windows = rooms.flatMap(({ room_nid, room_id, membership, position }): RoomWindow[] => {
    const isJoined = membership === MEMBERSHIPS.join;
    if (!isJoined && membership !== MEMBERSHIPS.leave && membership !== MEMBERSHIPS.ban) return [];
    const isNews = incremental && position > reading.after;
    if (!isJoined && !isNews && !resync && (incremental || !filter.includeLeave)) return [];
    // Who came and went since the token sees the room for the first time.
    const join = isJoined || isNews ? joins.get(room_nid) : undefined;
    const isNew = join?.isNew === true;
    return [
      {
        room_nid,
        room_id,
        section: isJoined ? "join" : "leave",
        after: incremental ? (join?.after ?? reading.after) : 0,
        upTo: isJoined ? reading.upTo : position,
        fullState: !incremental || isNew || fullState,
        isNew: isNew || resync,
        joinedThroughout: isJoined && incremental && join === undefined,
      },
    ];
  });
  return { windows: incremental && !fullState ? await changed(reading, windows, joins) : windows, completed };
}

/** Of joined rooms only those in which something happened. The log knows, as far as it reaches back. */
async function changed(reading: SyncReading, windows: readonly RoomWindow[], joins: ReadonlyMap<number, Join>): Promise<readonly RoomWindow[]> {
  const joined = windows.filter(({ section }) => section === "join").map(({ room_nid }) => room_nid);
  if (joined.length === 0 || !reading.logReachesBack || reading.request.since?.sticky !== undefined) return windows;
  const rows = await reading.reads.read(CHANGED_ROOMS, [joined, reading.after, reading.upTo]);
  const news = new Set(rows.map(({ room_nid }) => room_nid));
  return windows.filter(({ section, room_nid }) => section === "leave" || news.has(room_nid) || joins.has(room_nid));
}

/** The rooms in which the user was joined and not joined, each at some time since the token. */
async function joinsSince(reading: SyncReading, rooms: readonly MembershipNow[]): Promise<Map<number, Join>> {
  const { services, reads, reader, after, upTo } = reading;
  const moved = rooms.filter(({ membership, position }) => position > after && membership !== MEMBERSHIPS.invite && membership !== MEMBERSHIPS.knock);
  const joins = new Map<number, Join>();
  if (moved.length === 0) return joins;
  if (!reading.logReachesBack) {
    for (const { room_nid } of moved) joins.set(room_nid, { isNew: true, after: 0 });
    return joins;
  }
  const changes = await reads.read(OWN_CHANGES, [reader.user_nid, after, upTo, LOG_KINDS.state_change]);
  const nids = changes.flatMap(({ reference, previous }) => [reference, previous]).filter((nid) => nid !== null);
  const events = await services.events.get(reads, nids);
  const membership = (nid: number | null): string | undefined => (nid === null ? undefined : membershipIn(events.get(nid)?.event.content ?? {}));
  const firsts = new Map<number, number | null>();
  const [there, away] = [new Set<number>(), new Set<number>()];
  for (const { room_nid, reference, previous } of changes) {
    if (!firsts.has(room_nid)) firsts.set(room_nid, previous);
    for (const nid of [reference, previous]) (membership(nid) === "join" ? there : away).add(room_nid);
  }
  for (const room of away) {
    if (!there.has(room)) continue;
    const first = firsts.get(room) ?? null;
    const before = membership(first);
    // Who was joined at the token and came back knows the room up to there; who had left it, up to the leaving.
    if (before === "join") joins.set(room, { isNew: false, after });
    else {
      const left = before === "leave" || before === "ban" ? events.get(first ?? -1) : undefined;
      joins.set(room, { isNew: true, after: left?.row.position ?? 0 });
    }
  }
  return joins;
}
