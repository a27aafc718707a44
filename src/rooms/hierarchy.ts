// The tree of rooms below a space, depth first, in pages (client-server API, "GET /hierarchy").
import { forbidden, invalidParam } from "../errors.js";
import { strippedEvent } from "../protocol/client-event.js";
import { isState } from "../protocol/event.js";
import { parseRoomId, parseServerName, type RoomId } from "../protocol/identifiers.js";
import { own, ownString } from "../protocol/json.js";
import type { Reads } from "../storage/statement.js";
import type { RoomContext, RoomUser } from "./context.js";
import type { ReadEvent } from "./event-cache.js";
import { type MembershipsByRoom, membershipsByRoom, summaries, type SummarisedRoom } from "./summary.js";

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 100;
const MAX_DEPTH = 20;
/** Rooms of one tree; what is beyond is not shown. */
const MAX_ROOMS = 10_000;
const CHILD = "m.space.child";

export interface HierarchyRequest {
  readonly from?: string | undefined;
  readonly limit?: number | undefined;
  readonly max_depth?: number | undefined;
  readonly suggested_only?: boolean | undefined;
}

interface TreeRoom extends SummarisedRoom {
  readonly roomId: RoomId;
  /** Those of its children that are asked for, in their order. */
  readonly children: readonly ReadEvent[];
}

/** Where a page begins: behind this room of the tree, or at this place if the room is no longer in it. */
interface PagePlace {
  readonly place: number;
  readonly after: RoomId;
}

/**
 * A page of the tree below a room: JSON text. A token says all that it takes to go on, so that any process can. Throws
 * M_FORBIDDEN where the user may not know of the room, M_INVALID_PARAM for a token, also if other parameters changed.
 */
export async function spaceHierarchy(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  request: HierarchyRequest,
): Promise<string> {
  const { max_depth = MAX_DEPTH, suggested_only = false } = request;
  if (max_depth < 0) throw invalidParam('"max_depth" must not be negative.');
  if (request.limit !== undefined && request.limit < 1) throw invalidParam('"limit" must be greater than zero.');
  const depth = Math.min(max_depth, MAX_DEPTH);
  const limit = Math.min(request.limit ?? DEFAULT_LIMIT, MAX_LIMIT);
  const walk = `${depth}_${suggested_only ? "s" : "a"}`;
  const from = request.from === undefined ? undefined : parsePlace(request.from, walk);
  return await context.database.snapshot(async (reads) => {
    const memberships = await membershipsByRoom(reads, user);
    const rooms = await treeBelow(context, reads, memberships, roomId, depth, suggested_only);
    if (!rooms.has(roomId)) throw forbidden("You may not look at this room.");
    const order = depthFirst(rooms, roomId, depth);
    const start = from === undefined ? 0 : placeIn(order, from);
    const page = order.slice(start, start + limit);
    const end = start + page.length;
    const last = page.at(-1);
    const next = last === undefined || end >= order.length ? "" : `,"next_batch":${JSON.stringify(placeToken(end, last.roomId, walk))}`;
    return `{"rooms":[${page.map(roomText).join(",")}]${next}}`;
  });
}

/** All rooms of the tree that the user may know of, read level by level. */
async function treeBelow(
  context: RoomContext,
  reads: Reads,
  memberships: MembershipsByRoom,
  root: RoomId,
  depth: number,
  suggestedOnly: boolean,
): Promise<Map<RoomId, TreeRoom>> {
  const rooms = new Map<RoomId, TreeRoom>();
  const met = new Set<RoomId>([root]);
  let level: RoomId[] = [root];
  for (let below = depth; level.length > 0; below--) {
    const found = await summaries(context, reads, memberships, level, [CHILD]);
    const next: RoomId[] = [];
    for (const roomId of level) {
      const room = found.get(roomId);
      if (room === undefined) continue;
      const children = room.summary.room_type === "m.space" ? childrenAmong(room.further, suggestedOnly) : [];
      rooms.set(roomId, { ...room, roomId, children });
      if (below === 0) continue;
      for (const child of children.map(childOf)) {
        if (child === undefined || met.has(child) || met.size >= MAX_ROOMS) continue;
        met.add(child);
        next.push(child);
      }
    }
    level = next;
  }
  return rooms;
}

function childOf({ event }: ReadEvent): RoomId | undefined {
  return parseRoomId(event.state_key);
}

/** The children that events name, in the order of the specification ("Ordering of children within a space"). */
function childrenAmong(events: readonly ReadEvent[], suggestedOnly: boolean): ReadEvent[] {
  return events
    .filter((read) => {
      const via = own(read.event.content, "via");
      const reachable = Array.isArray(via) && via.some((server) => parseServerName(server) !== undefined);
      return reachable && childOf(read) !== undefined && (!suggestedOnly || own(read.event.content, "suggested") === true);
    })
    .toSorted((a, b) => {
      const [first, second] = [orderOf(a), orderOf(b)];
      if (first !== second) return first === undefined ? 1 : second === undefined || first < second ? -1 : 1;
      if (a.event.origin_server_ts !== b.event.origin_server_ts) return a.event.origin_server_ts - b.event.origin_server_ts;
      return (a.event.state_key ?? "") < (b.event.state_key ?? "") ? -1 : 1;
    });
}

function orderOf({ event }: ReadEvent): string | undefined {
  const order = ownString(event.content, "order");
  return order !== undefined && /^[\x20-\x7e]{1,50}$/.test(order) ? order : undefined;
}

/** The rooms of a tree in the order in which they are shown, each where it is met first. */
function depthFirst(rooms: ReadonlyMap<RoomId, TreeRoom>, root: RoomId, depth: number): TreeRoom[] {
  const order: TreeRoom[] = [];
  const shown = new Set<RoomId>();
  const stack = [{ roomId: root, below: depth }];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const { roomId, below } = top;
    const room = rooms.get(roomId);
    if (room === undefined || shown.has(roomId)) continue;
    shown.add(roomId);
    order.push(room);
    if (below === 0) continue;
    const children = room.children.flatMap((child) => childOf(child) ?? []);
    stack.push(...children.toReversed().map((child) => ({ roomId: child, below: below - 1 })));
  }
  return order;
}

function roomText({ summary, children }: TreeRoom): string {
  const states = children.map(({ event }) => event).filter(isState);
  const texts = states.map((event) => withMember(strippedEvent(event), "origin_server_ts", String(event.origin_server_ts)));
  return withMember(JSON.stringify(summary), "children_state", `[${texts.join(",")}]`);
}

/** The text of an object with one member more. */
function withMember(object: string, name: string, value: string): string {
  return `${object.slice(0, -1)},"${name}":${value}}`;
}

function placeToken(place: number, after: RoomId, walk: string): string {
  return `h${place}_${walk}_${Buffer.from(after).toString("base64url")}`;
}

function parsePlace(token: string, walk: string): PagePlace {
  const [, place, given, after] = /^h(\d{1,6})_(\d{1,3}_[sa])_([\w-]+)$/.exec(token) ?? [];
  const roomId = after === undefined ? undefined : parseRoomId(Buffer.from(after, "base64url").toString());
  if (roomId === undefined) throw invalidParam('"from" is no token of this server.');
  if (given !== walk) throw invalidParam('"suggested_only" and "max_depth" cannot change from page to page.');
  return { place: Number(place), after: roomId };
}

function placeIn(order: readonly TreeRoom[], { place, after }: PagePlace): number {
  const index = order.findIndex(({ roomId }) => roomId === after);
  return index < 0 ? place : index + 1;
}
