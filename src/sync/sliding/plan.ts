// What one answer of sliding sync has to say of each room: which rooms lists and subscriptions reach, and what of them the
// client does not have yet (MSC4186, "Room results" and "Changing room configs").
import { LRUCache } from "lru-cache";
import { LOG_KINDS } from "../../storage/log-entry.js";
import type { SentRoom } from "../../storage/sliding-connections.js";
import type { ListedRoom } from "../../storage/sliding-rooms.js";
import { inScope, combined, type RoomConfig, type RoomOrigin, type SlidingRequest } from "./request.js";
import { requiredStateOf, type RequiredState } from "./required-state.js";
import { isJoined, isLeft, isWaiting, type RoomList } from "./room-list.js";

/** Bits of the extensions that follow single rooms. */
export const FOLLOWS = { receipts: 1, account_data: 2 } as const;

/** A room that the answer is about. */
export interface PlannedRoom {
  readonly room: ListedRoom;
  readonly origin: RoomOrigin;
  readonly config: RoomConfig;
  /** What the client had of it; undefined: nothing that counts. */
  readonly row: SentRoom | undefined;
  /** All of it is told. */
  readonly initial: boolean;
  /** It may have changed since the position `from`, up to which the client has it. */
  readonly changed: boolean;
  readonly from: number;
  /** The client asks for more of the latest events than it has. */
  readonly moreTimeline: boolean;
  /** What it was kept up to date with, if it now asks for other state than that. */
  readonly otherState: RequiredState | undefined;
  readonly is_dm: boolean;
  /** Bits of FOLLOWS. */
  readonly follows: number;
}

/** What happened since the client's token. */
export interface News {
  /** The position of the token; undefined at the beginning of a connection. */
  readonly after: number | undefined;
  /** Kinds of log entries of rooms that the client has everything of. */
  readonly kinds: ReadonlyMap<number, readonly number[]>;
  /** Rooms in which the user has read on. */
  readonly readOn: ReadonlySet<number>;
  /** Rooms whose account data changed. */
  readonly accountData: ReadonlySet<number>;
}

export interface Plan {
  readonly counts: ReadonlyMap<string, number>;
  readonly rooms: readonly PlannedRoom[];
  /** Rooms that changed and are not told of now. */
  readonly behind: ReadonlyMap<number, SentRoom>;
}

/** Events of a room that was left and that nothing asks for. */
const LEFT_TIMELINE = 20;

const compiled = new LRUCache<string, RequiredState>({ max: 1_000 });

function stateOfText(text: string): RequiredState {
  let state = compiled.get(text);
  if (state === undefined) compiled.set(text, (state = requiredStateOf(text)));
  return state;
}

interface Reached {
  readonly lists: string[];
  readonly configs: RoomConfig[];
  subscribed: boolean;
}

/** Makes the plan of an answer. `sent` is what the client has. */
export async function planAnswer(list: RoomList, request: SlidingRequest, sent: ReadonlyMap<number, SentRoom>, news: News): Promise<Plan> {
  const counts = new Map<string, number>();
  const reached = new Map<ListedRoom, Reached>();
  const reach = (room: ListedRoom, config: RoomConfig): Reached => {
    let found = reached.get(room);
    if (found === undefined) reached.set(room, (found = { lists: [], configs: [], subscribed: false }));
    if (!found.configs.includes(config)) found.configs.push(config);
    return found;
  };
  for (const wanted of request.lists) {
    const rooms = await list.filtered(wanted.filters);
    counts.set(wanted.name, rooms.length);
    const shown = wanted.ranges === undefined ? rooms : new Set(wanted.ranges.flatMap(([from, to]) => rooms.slice(from, to + 1)));
    for (const room of shown) reach(room, wanted).lists.push(wanted.name);
  }
  if (request.subscriptions.size > 0) {
    for (const room of list.listed) {
      const config = request.subscriptions.get(room.room_id);
      if (config !== undefined) reach(room, config).subscribed = true;
    }
  }
  const planned: PlannedRoom[] = [];
  // Requests ask for few different things: what they come to is the same object for many rooms.
  const known = new Map<string, RoomConfig>();
  for (const [room, { lists, configs, subscribed }] of reached) {
    const key = `${subscribed ? room.room_id : ""} ${JSON.stringify(lists)}`;
    const config = known.get(key) ?? combined(configs);
    if (config === undefined) continue;
    known.set(key, config);
    planned.push(planRoom(list, request, room, { room_id: room.room_id, lists, subscribed }, config, sent.get(room.room_nid), news));
  }
  const behind = new Map<number, SentRoom>();
  for (const [nid, row] of sent) {
    const room = list.rooms.get(nid);
    if (room === undefined || reached.has(room)) continue;
    if (isUntoldLeave(room, row, news)) {
      const config = { timelineLimit: LEFT_TIMELINE, required: stateOfText(row.config) };
      planned.push(planRoom(list, request, room, { room_id: room.room_id, lists: [], subscribed: false }, config, row, news));
    } else if (news.after !== undefined && row.sent === undefined && !isLeft(room) && isBehind(room, row, news, news.after)) {
      behind.set(nid, { ...row, sent: news.after });
    }
  }
  return { counts, rooms: planned, behind };
}

function planRoom(
  list: RoomList,
  { extensions }: SlidingRequest,
  room: ListedRoom,
  origin: RoomOrigin,
  config: RoomConfig,
  row: SentRoom | undefined,
  news: News,
): PlannedRoom {
  const is_dm = list.direct.has(room.room_id);
  // Who came back to a room is told all of it again, as is who came to know it otherwise.
  const initial = row === undefined || (row.membership !== room.membership && !isLeft(room));
  const from = initial ? 0 : (row.sent ?? news.after ?? 0);
  const joined = isJoined(room);
  const follows =
    (joined && inScope(extensions.receipts, origin) ? FOLLOWS.receipts : 0) |
    (joined && inScope(extensions.account_data, origin) ? FOLLOWS.account_data : 0);
  const other = !initial && joined && row.config !== config.required.text;
  return {
    room,
    origin,
    config,
    row,
    initial,
    from,
    changed: initial || hasChanged(room, row, is_dm, from, news),
    moreTimeline: !initial && joined && config.timelineLimit > row.timeline_limit,
    otherState: other ? stateOfText(row.config) : undefined,
    is_dm,
    follows,
  };
}

function hasChanged(room: ListedRoom, row: SentRoom, is_dm: boolean, from: number, { kinds, readOn }: News): boolean {
  if (room.position > from || row.membership !== room.membership) return true;
  if (!isJoined(room)) return false;
  if (row.sent !== undefined || row.is_dm !== is_dm || readOn.has(room.room_nid)) return true;
  return (kinds.get(room.room_nid) ?? []).some((kind) => kind === LOG_KINDS.event || kind === LOG_KINDS.state_change);
}

/** Whether the client knows a room that the user has left, and not that it was left. */
function isUntoldLeave(room: ListedRoom, row: SentRoom, { after }: News): boolean {
  if (!isLeft(room)) return false;
  return row.membership !== room.membership || room.position > (row.sent ?? after ?? 0);
}

/** Whether something happened that the client is not told now. */
function isBehind(room: ListedRoom, row: SentRoom, { kinds, readOn, accountData }: News, after: number): boolean {
  if (room.position > after) return true;
  if (isWaiting(room)) return false;
  if (readOn.has(room.room_nid)) return true;
  if ((row.extensions & FOLLOWS.account_data) !== 0 && accountData.has(room.room_nid)) return true;
  return (kinds.get(room.room_nid) ?? []).some(
    (kind) =>
      kind === LOG_KINDS.event ||
      kind === LOG_KINDS.state_change ||
      (kind === LOG_KINDS.receipt && (row.extensions & FOLLOWS.receipts) !== 0),
  );
}
