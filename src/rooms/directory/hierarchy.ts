// The tree of rooms below a space, depth first, in pages (client-server API, "GET /hierarchy").
import { forbidden, invalidParam } from "../../errors.js";
import { parseRoomId, type RoomId, type ServerName, serverNameOf } from "../../protocol/identifiers.js";
import type { RoomContext, RoomUser } from "../context.js";
import { remoteTree } from "./remote-hierarchy.js";
import { serversToAsk } from "../membership/remote-membership.js";
import { CHILD, childrenAmong, childState, isSuggested, type SpaceChild } from "./space-children.js";
import { mayKnowRemote, type MembershipsByRoom, membershipsByRoom, type RoomSummary, summaries } from "./summary.js";

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 100;
const MAX_DEPTH = 20;
/** Rooms of one tree; what is beyond is not shown. */
const MAX_ROOMS = 10_000;
/** Other servers' rooms that are asked for in one walk, how many at once, and how long. */
const MAX_ASKS = 50;
const AT_ONCE = 5;
const BUDGET_MS = 8_000;

export interface HierarchyRequest {
  readonly from?: string | undefined;
  readonly limit?: number | undefined;
  readonly max_depth?: number | undefined;
  readonly suggested_only?: boolean | undefined;
}

interface TreeRoom {
  readonly summary: RoomSummary;
  /** Those of its children that are asked for, in their order. */
  readonly children: readonly SpaceChild[];
}

/** A room to look at, and what the room above it has told. */
interface Candidate {
  readonly roomId: RoomId;
  readonly via: readonly ServerName[];
  /** As another server tells of it. */
  readonly told?: RoomSummary | undefined;
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
  const rooms = await new Tree(context, user, suggested_only).below(roomId, depth);
  if (!rooms.has(roomId)) throw forbidden("You may not look at this room.");
  const order = depthFirst(rooms, roomId, depth);
  const start = from === undefined ? 0 : placeIn(order, from);
  const page = order.slice(start, start + limit);
  const end = start + page.length;
  const last = page.at(-1);
  const next_batch = last === undefined || end >= order.length ? undefined : placeToken(end, last.summary.room_id, walk);
  return JSON.stringify({ rooms: page.map(({ summary, children }) => ({ ...summary, children_state: children.map(childState) })), next_batch });
}

/** The rooms of a tree that the user may know of, read level by level: ours, and those of which other servers tell. */
class Tree {
  readonly #context: RoomContext;
  readonly #user: RoomUser;
  readonly #suggestedOnly: boolean;
  readonly #deadline = performance.now() + BUDGET_MS;
  #asks = 0;
  /** Rooms that nobody of this server can look at, as others say. */
  readonly #inaccessible = new Set<RoomId>();
  #memberships: MembershipsByRoom = new Map();

  constructor(context: RoomContext, user: RoomUser, suggestedOnly: boolean) {
    this.#context = context;
    this.#user = user;
    this.#suggestedOnly = suggestedOnly;
  }

  /** The rooms from `root` on, `depth` levels of them below it. */
  async below(root: RoomId, depth: number): Promise<Map<RoomId, TreeRoom>> {
    this.#memberships = await membershipsByRoom(this.#context.database, this.#user);
    const rooms = new Map<RoomId, TreeRoom>();
    const met = new Set<RoomId>([root]);
    let level: Candidate[] = [{ roomId: root, via: serversToAsk(this.#context, root, []) }];
    for (let below = depth; level.length > 0; below--) {
      const next: Candidate[] = [];
      for (const { summary, children, told } of await this.#level(level, below === 0)) {
        const wanted = summary.room_type === "m.space" ? children.filter((child) => !this.#suggestedOnly || isSuggested(child)) : [];
        rooms.set(summary.room_id, { summary, children: wanted });
        if (below === 0) continue;
        for (const { roomId, via } of wanted) {
          if (met.has(roomId) || met.size >= MAX_ROOMS) continue;
          met.add(roomId);
          next.push({ roomId, via, told: told?.get(roomId) });
        }
      }
      level = next;
    }
    return rooms;
  }

  /** Those rooms of a level that the user may know of; `isLast`: what is below them does not matter. */
  async #level(level: readonly Candidate[], isLast: boolean): Promise<ToldRoom[]> {
    const { database } = this.#context;
    const ids = level.map(({ roomId }) => roomId);
    const { shown, hidden } = await database.snapshot((reads) => summaries(this.#context, reads, this.#memberships, ids, [CHILD]));
    const rooms: (ToldRoom | undefined)[] = level.map(({ roomId }) => {
      const room = shown.get(roomId);
      return room && { summary: room.summary, children: childrenAmong(room.further) };
    });
    const open = level.flatMap((candidate, index) => {
      const isKnown = shown.get(candidate.roomId)?.outdated === false || hidden.has(candidate.roomId);
      return isKnown ? [] : [{ candidate, index }];
    });
    const work = open.values();
    const asker = async (): Promise<void> => {
      for (const { candidate, index } of work) rooms[index] = (await this.#elsewhere(candidate, isLast)) ?? rooms[index];
    };
    await Promise.all(Array.from({ length: AT_ONCE }, asker));
    return rooms.filter((room) => room !== undefined);
  }

  async #elsewhere({ roomId, via, told }: Candidate, isLast: boolean): Promise<ToldRoom | undefined> {
    if (told !== undefined && (isLast || told.room_type !== "m.space")) {
      return mayKnowRemote(told, this.#memberships) ? { summary: told, children: [] } : undefined;
    }
    if (this.#inaccessible.has(roomId) || this.#asks >= MAX_ASKS || performance.now() > this.#deadline) return undefined;
    this.#asks += 1;
    const tree = await remoteTree(this.#context, serverNameOf(this.#user.user_id), roomId, via, this.#suggestedOnly);
    if (tree === undefined || !mayKnowRemote(tree.summary, this.#memberships)) return undefined;
    for (const id of tree.inaccessible) if (this.#inaccessible.size < MAX_ROOMS) this.#inaccessible.add(id);
    return { summary: tree.summary, children: tree.children, told: tree.below };
  }
}

interface ToldRoom extends TreeRoom {
  /** What another server tells of the rooms below. */
  readonly told?: ReadonlyMap<RoomId, RoomSummary>;
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
    stack.push(...room.children.toReversed().map((child) => ({ roomId: child.roomId, below: below - 1 })));
  }
  return order;
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
  const index = order.findIndex(({ summary }) => summary.room_id === after);
  return index < 0 ? place : index + 1;
}
