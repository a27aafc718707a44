// Which events of a room a user may see (client-server API, "Room History Visibility"), for pages of events of many rooms.
import { historyVisibilityIn, mayUserSee, type HistoryVisibility } from "../../protocol/history-visibility.js";
import type { UserId } from "../../protocol/identifiers.js";
import { membershipIn, type Membership } from "../../protocol/membership.js";
import { stateTuple } from "../../protocol/state-map.js";
import type { Reads } from "../../storage/statement.js";
import type { Interning } from "../../storage/interning.js";
import { memberHistory, stateOfSnapshots } from "../../storage/visibility.js";
import type { EventCache, ReadEvent } from "./event-cache.js";

const VISIBILITY = stateTuple("m.room.history_visibility", "");

export interface VisibilityServices {
  readonly interning: Interning;
  readonly events: EventCache;
}

/** Who reads; without a user only what anybody may read. */
export interface VisibilityReader {
  readonly user_id: UserId | undefined;
  /** Rooms in which the user is joined now (as of the read). */
  readonly joined: (roomNid: number) => boolean;
  /** Users of whom the reader wants to see no more than state. */
  readonly ignored?: ReadonlySet<string>;
}

/** Whether an event is left out because its sender is ignored: never state, nor what the readers sent themselves. */
export function isIgnored({ user_id, ignored }: Omit<VisibilityReader, "joined">, { event }: ReadEvent): boolean {
  return ignored !== undefined && event.state_key === undefined && ignored.has(event.sender) && event.sender !== user_id;
}

/**
 * Those events that the reader may see, by number, each with the reader's membership at the event. Rejected, soft-failed and
 * outlier events are for the caller to leave out. A constant number of statements for any number of events and rooms.
 */
export async function visibleEvents(
  { interning, events: cache }: VisibilityServices,
  reads: Reads,
  reader: VisibilityReader,
  page: readonly ReadEvent[],
): Promise<Map<number, Membership>> {
  const member = reader.user_id === undefined ? undefined : stateTuple("m.room.member", reader.user_id);
  const tuples = await interning.findTuples(member === undefined ? [VISIBILITY] : [VISIBILITY, member]);
  const visibilityNid = tuples.get(VISIBILITY);
  const memberNid = member === undefined ? undefined : tuples.get(member);

  const snapshots = new Set<number>();
  const left = new Set<number>();
  for (const { row } of page) {
    if (row.state_before !== null) snapshots.add(row.state_before);
    if (memberNid !== undefined && !reader.joined(row.room_nid)) left.add(row.room_nid);
  }
  const nids = [...tuples.values()];
  const states = await stateOfSnapshots(reads, [...snapshots], nids);
  const history = memberNid === undefined ? new Map<number, number[]>() : await memberHistory(reads, [...left], memberNid);
  const needed = [...states.values()].flatMap((state) => [...state.values()]).concat(...history.values());
  const contents = await cache.get(reads, needed);

  const at = (snapshot: number | null, tuple: number | undefined): ReadEvent | undefined => {
    const nid = snapshot === null || tuple === undefined ? undefined : states.get(snapshot)?.get(tuple);
    return nid === undefined ? undefined : contents.get(nid);
  };
  const lastJoins = new Map<number, number>();
  for (const [room, nids] of history) {
    const join = nids.find((nid) => membershipIn(contents.get(nid)?.event.content ?? {}) === "join");
    if (join !== undefined) lastJoins.set(room, join);
  }
  const visible = new Map<number, Membership>();
  for (const read of page) {
    const { row, event } = read;
    if (isIgnored(reader, read)) continue;
    const visibilities: HistoryVisibility[] = [historyVisibilityIn(at(row.state_before, visibilityNid)?.event.content)];
    const memberships: (Membership | undefined)[] = [];
    const before = at(row.state_before, memberNid);
    memberships.push(before && membershipIn(before.event.content));
    if (event.state_key !== undefined && stateTuple(event.type, event.state_key) === VISIBILITY) {
      visibilities.push(historyVisibilityIn(event.content));
    }
    const own = event.type === "m.room.member" && event.state_key === reader.user_id;
    if (own) memberships.push(membershipIn(event.content));
    const joinedSince = reader.user_id !== undefined && (reader.joined(row.room_nid) || (lastJoins.get(row.room_nid) ?? 0) > row.nid);
    // What happens to their own membership users always see: how else would they know?
    if (own || mayUserSee({ visibilities, memberships, joinedSince })) visible.set(row.nid, memberships.at(-1) ?? "leave");
  }
  return visible;
}
