// What the log says of the time since a client's position, from the memory of the process: where it is known that nothing
// happened, nothing has to be asked for.
import type { LogFollower } from "../../storage/log.js";
import { LOG_KINDS, type LogKind, type PositionedEntry } from "../../storage/log-entry.js";

interface Range {
  readonly after: number;
  readonly upTo: number;
}

/** The log as far as a process remembers it. */
export type LogMemory = Pick<LogFollower, "head" | "allEntries" | "userEntries" | "roomEntries">;

/** Entries of a range, of a user, of rooms, of all. */
export interface Recent {
  /** Those that name the user. */
  readonly own: readonly PositionedEntry[];
  /** Those of a room. */
  ofRoom(room: number): readonly PositionedEntry[];
  /** Whether any at all is of one of these kinds. */
  readonly any: (...kinds: readonly LogKind[]) => boolean;
}

const NONE: readonly PositionedEntry[] = [];
/** Up to so many entries are parted by room at once; of more, each room is looked up. */
const FEW_ENTRIES = 256;

/** What happened in a range; undefined where memory does not reach back so far, or has not come as far. */
export function recentEntries(follower: LogMemory, userNid: number, range: Range): Recent | undefined {
  const all = range.upTo > follower.head ? undefined : follower.allEntries(range);
  const own = follower.userEntries(userNid, range);
  if (all === undefined || own === undefined) return undefined;
  const byRoom = all.length > FEW_ENTRIES ? undefined : parted(all);
  return {
    own,
    ofRoom: (room) => (byRoom === undefined ? follower.roomEntries(room, range) : byRoom.get(room)) ?? NONE,
    any: (...kinds) => all.some(({ kind }) => kinds.includes(kind)),
  };
}

/** The kinds of entries, by their numbers. */
export function kindsOf(entries: readonly PositionedEntry[]): number[] {
  return [...new Set(entries.map(({ kind }) => LOG_KINDS[kind]))];
}

function parted(entries: readonly PositionedEntry[]): Map<number, PositionedEntry[]> {
  const byRoom = new Map<number, PositionedEntry[]>();
  for (const entry of entries) {
    if (entry.room_nid === undefined) continue;
    const of = byRoom.get(entry.room_nid);
    if (of === undefined) byRoom.set(entry.room_nid, [entry]);
    else of.push(entry);
  }
  return byRoom;
}
