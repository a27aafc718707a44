// Trees of events that relate to each other, also those that only other servers have (MSC2836, "/event_relationships").
import { forbidden } from "../../errors.js";
import { FederationError } from "../../federation/client.js";
import { logger } from "../../log.js";
import { historyVisibilityIn } from "../../protocol/history-visibility.js";
import { createEventIdOfRoom, type EventId, type RoomId, type ServerName, serverNameOf } from "../../protocol/identifiers.js";
import { parseEvent } from "../../protocol/event-format.js";
import { isObject, type JsonObject, type JsonValue, own } from "../../protocol/json.js";
import { authChain } from "../../storage/auth-chains.js";
import { ancestorsOf, childrenOf, childrenSummaries, type ChildrenSummary } from "../../storage/event-relationships.js";
import { eventsById, eventsByNid } from "../../storage/events.js";
import { serversOfRoom } from "../../storage/room-directory.js";
import { FLAGS } from "../../storage/room-rows.js";
import type { Reads } from "../../storage/statement.js";
import type { ShownEvent } from "./client-event.js";
import type { RoomContext, RoomUser } from "../context.js";
import { HISTORY_VISIBILITY, type Room, stateEventsOf } from "../current-state.js";
import { type ReadEvent, readStored } from "./event-cache.js";
import { eventTexts } from "./event-page.js";
import { receiveOutliers } from "../remote/receive.js";
import { noSuchEvent, requireView, visibleIn } from "./room-view.js";
import { requireServerView, visibleToServer } from "./server-view.js";

const log = logger("rooms");

const DEFAULT = { limit: 100, depth: 3, breadth: 10 };
const MOST = { limit: 100, depth: 10, breadth: 100 };
/** Events of a tree that can be reached, page by page. */
const MAX_EVENTS = 1_000;
/** How often other servers are asked for one request, and how many of them for the same event. */
const MAX_ASKED = 5;
const MAX_TRIES = 3;
const TIMEOUT_MS = 5_000;
const MAX_BYTES = 4 * 1024 * 1024;
/** Events, and events that authorise them, that are taken from one answer. */
const MAX_TAKEN = 500;

export interface RelationshipsRequest {
  readonly event_id: EventId;
  readonly room_id?: RoomId | undefined;
  readonly direction?: "up" | "down" | undefined;
  readonly max_depth?: number | undefined;
  readonly max_breadth?: number | undefined;
  readonly limit?: number | undefined;
  readonly depth_first?: boolean | undefined;
  readonly recent_first?: boolean | undefined;
  readonly include_parent?: boolean | undefined;
  readonly include_children?: boolean | undefined;
  readonly batch?: string | undefined;
}

/** A part of a tree: its events in the order that was asked for, and what of it is not here. */
interface Walk {
  readonly events: readonly ReadEvent[];
  /** An event that one of these relates to and that is not here, and a server that should have it. */
  readonly missing: { readonly event_id: EventId; readonly near: ServerName } | undefined;
}

/**
 * The events around an event that relate to each other, as the user may see them: JSON text. Other servers are asked for those that
 * are not here. Throws M_NOT_FOUND, M_FORBIDDEN.
 */
export async function eventRelationships(context: RoomContext, user: RoomUser, request: RelationshipsRequest): Promise<string> {
  const { database } = context;
  const known = (await eventsById(database, [request.event_id])).get(request.event_id);
  const roomId = known?.room_id ?? request.room_id;
  if (roomId === undefined) throw noSuchEvent();
  const { room, joined } = await requireView(context, database, user, roomId, noSuchEvent());
  const asker = new Asker(context, room, serverNameOf(user.user_id), request);
  // Who is not in the room sees what is here.
  if (known === undefined && joined) await asker.ask(request.event_id);
  for (;;) {
    const { missing } = await database.snapshot((reads) => walk(reads, room, request));
    if (missing === undefined || !joined || !(await asker.ask(missing.event_id, missing.near))) break;
  }
  return await database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId, noSuchEvent());
    const { events } = await walk(reads, room, request);
    const placed = await visibleIn(context, reads, view, events.filter(isPlaced));
    // Where the state at an event is not known the room's present one has to do, and its strictest settings hide it.
    const open = view.joined && (await isOpen(context, reads, room));
    const visible = events.flatMap((read): ShownEvent[] => {
      if (isPlaced(read)) return placed.has(read.row.nid) ? [{ read, membership: placed.get(read.row.nid) }] : [];
      return open && !view.ignored.has(read.event.sender) ? [{ read, membership: undefined }] : [];
    });
    if (visible[0]?.read.event.event_id !== request.event_id) throw noSuchEvent();
    const { page, next_batch } = paged(visible, request);
    const [texts, summaries] = await Promise.all([
      eventTexts(context, reads, view, page),
      childrenSummaries(reads, room.nid, page.map(({ read }) => read.event.event_id)),
    ]);
    const shown = texts.map((text, index) => withSummary(text, summaries.get(page[index]?.read.event.event_id ?? "")));
    return `{"events":[${shown.join(",")}],"limited":${next_batch !== undefined}${next_batch === undefined ? "" : `,"next_batch":"${next_batch}"`}}`;
  });
}

/** As `eventRelationships`, for another server: with all that authorises the events. Throws M_NOT_FOUND, M_FORBIDDEN. */
export async function eventRelationshipsForServer(context: RoomContext, server: ServerName, request: RelationshipsRequest): Promise<string> {
  return await context.database.snapshot(async (reads) => {
    const known = (await eventsById(reads, [request.event_id])).get(request.event_id);
    if (known === undefined) throw noSuchEvent();
    const view = await requireServerView(context, reads, server, known.room_id);
    const events = (await walk(reads, view.room, request)).events.filter(isPlaced);
    const visible = await visibleToServer(context, reads, view, events);
    const { page, next_batch } = paged(events.filter(({ row }) => visible.has(row.nid)), request);
    if (page[0] === undefined) throw forbidden("Your server may not see this event.");
    const implied = view.room.rules.hashedRoomIds ? [...(await eventsById(reads, [createEventIdOfRoom(view.room.room_id)])).values()] : [];
    const chain = await context.events.get(reads, await authChain(reads, [...new Set([...page, ...implied.map((row) => ({ row }))].flatMap(({ row }) => [...row.auth_nids]))].concat(implied.map(({ nid }) => nid))));
    const summaries = await childrenSummaries(reads, view.room.nid, page.map(({ event }) => event.event_id));
    const texts = page.map(({ event }) => withSummary(event.json, summaries.get(event.event_id)));
    return `{"events":[${texts.join(",")}],"limited":${next_batch !== undefined},"auth_chain":[${[...chain.values()].map(({ event }) => event.json).join(",")}]}`;
  });
}

const isPlaced = ({ row }: ReadEvent): boolean => (row.flags & FLAGS.outlier) === 0;

async function isOpen(context: RoomContext, reads: Reads, room: Room): Promise<boolean> {
  const state = await stateEventsOf(context, reads, room.nid, [HISTORY_VISIBILITY]);
  return ["shared", "world_readable"].includes(historyVisibilityIn(state.get(HISTORY_VISIBILITY)?.content));
}

function paged<Item>(items: readonly Item[], { limit = DEFAULT.limit, batch }: RelationshipsRequest): { readonly page: readonly Item[]; readonly next_batch: string | undefined } {
  const start = Math.max(0, Number.parseInt(batch ?? "0", 10) || 0);
  const end = start + Math.min(limit, MOST.limit);
  return { page: items.slice(start, end), next_batch: end < items.length ? String(end) : undefined };
}

/** The JSON text of an event with what is known of its children in its `unsigned`. */
function withSummary(text: string, summary: ChildrenSummary | undefined): string {
  if (summary === undefined) return text;
  const event: JsonValue = JSON.parse(text);
  if (!isObject(event)) return text;
  const unsigned = own(event, "unsigned");
  return JSON.stringify({ ...event, unsigned: { ...(isObject(unsigned) ? unsigned : {}), ...summary } });
}

/** The event, what it relates to and what relates to it, as far as it is here and was asked for. */
async function walk(reads: Reads, room: Room, request: RelationshipsRequest): Promise<Walk> {
  const { direction = "down", depth_first = false, recent_first = true, include_parent = false, include_children = false } = request;
  const depth = Math.min(request.max_depth ?? DEFAULT.depth, MOST.depth);
  const breadth = Math.min(request.max_breadth ?? DEFAULT.breadth, MOST.breadth);
  const row = (await eventsById(reads, [request.event_id])).get(request.event_id);
  if (row === undefined || row.room_nid !== room.nid || (row.flags & (FLAGS.rejected | FLAGS.soft_failed | FLAGS.purged | FLAGS.withheld)) !== 0) return { events: [], missing: undefined };
  const ancestors = await ancestorsOf(reads, row.nid, direction === "up" ? depth : include_parent ? 1 : 0);
  const below = direction === "down" ? depth : include_children ? 1 : 0;
  const children = new Map<string, readonly number[]>();
  const ids = new Map<number, EventId>();
  const seen = new Set([row.nid, ...ancestors.flatMap(({ nid }) => nid ?? [])]);
  let level: readonly EventId[] = [row.event_id];
  for (let depthNow = 0; depthNow < below && level.length > 0 && seen.size < MAX_EVENTS; depthNow += 1) {
    const found = await childrenOf(reads, room.nid, level, breadth, recent_first);
    const next: EventId[] = [];
    const fresh = [...found.values()].flat().filter((nid) => !seen.has(nid)).slice(0, MAX_EVENTS - seen.size);
    for (const child of (await eventsByNid(reads, fresh)).values()) ids.set(child.nid, child.event_id);
    for (const [parent, nids] of found) children.set(parent, nids.filter((nid) => ids.has(nid) && !seen.has(nid) && seen.add(nid)));
    for (const nids of children.values()) next.push(...nids.filter((nid) => fresh.includes(nid)).flatMap((nid) => ids.get(nid) ?? []));
    level = next;
  }
  const order: number[] = [];
  const queue: number[] = [...(children.get(row.event_id) ?? [])];
  for (let nid = queue.shift(); nid !== undefined; nid = queue.shift()) {
    order.push(nid);
    const own = children.get(ids.get(nid) ?? "") ?? [];
    if (depth_first) queue.unshift(...own);
    else queue.push(...own);
  }
  const nids = [row.nid, ...ancestors.flatMap(({ nid }) => nid ?? []), ...order];
  const rows = await eventsByNid(reads, nids);
  const events = nids.flatMap((nid) => {
    const found = rows.get(nid);
    return found === undefined ? [] : [readStored(found)];
  });
  const end = ancestors.at(-1);
  const last = ancestors.at(-2)?.nid ?? row.nid;
  const near = rows.get(last)?.sender ?? row.sender;
  return { events, missing: end === undefined || end.nid !== undefined ? undefined : { event_id: end.event_id, near: serverNameOf(near) } };
}

/** Asks the servers of a room for parts of a tree, a few times for one request. */
class Asker {
  readonly #context: RoomContext;
  readonly #room: Room;
  readonly #origin: ServerName;
  readonly #request: RelationshipsRequest;
  readonly #asked = new Set<EventId>();

  constructor(context: RoomContext, room: Room, origin: ServerName, request: RelationshipsRequest) {
    this.#context = context;
    this.#room = room;
    this.#origin = origin;
    this.#request = request;
  }

  /** Asks for an event and what is around it; what comes is kept. Whether it was asked for now and given. */
  async ask(eventId: EventId, near?: ServerName, onlyBelow = false): Promise<boolean> {
    if (this.#asked.has(eventId) || this.#asked.size >= MAX_ASKED) return false;
    this.#asked.add(eventId);
    const { database, federation, servers } = this.#context;
    const inRoom = await serversOfRoom(database, this.#room.nid, MAX_ASKED);
    const others = [...new Set([...(near === undefined ? [] : [near]), ...inRoom])].filter((server) => !servers.isLocal(server) && federation.policy.allows(server));
    const { batch: _batch, ...asked } = this.#request;
    const body = { ...asked, event_id: eventId, room_id: this.#room.room_id, ...(onlyBelow && { direction: "down", max_depth: 1, include_parent: false }) };
    for (const destination of others.slice(0, MAX_TRIES)) {
      const answer = await this.#askAt(destination, JSON.parse(JSON.stringify(body)) as JsonObject);
      const events = answer === undefined ? [] : listOf(answer, "events");
      if (answer === undefined || events.length === 0) continue;
      await receiveOutliers(this.#context, this.#room, { origin: destination, destination: this.#origin }, [...listOf(answer, "auth_chain"), ...events]);
      if (!onlyBelow) await this.#complete(events, destination);
      return (await eventsById(database, [eventId])).has(eventId);
    }
    return false;
  }

  /** Asks for the children of events of which the server that gave them knows more. */
  async #complete(events: readonly JsonValue[], server: ServerName): Promise<void> {
    const counts = new Map<EventId, number>();
    for (const wire of events) {
      const unsigned = isObject(wire) ? own(wire, "unsigned") : undefined;
      const children = isObject(unsigned) ? own(unsigned, "children") : undefined;
      const parsed = isObject(children) ? parseEvent(this.#room.rules, wire) : undefined;
      if (!isObject(children) || parsed === undefined || "malformed" in parsed) continue;
      counts.set(parsed.event.event_id, sum(Object.values(children)));
    }
    const here = await childrenSummaries(this.#context.database, this.#room.nid, [...counts.keys()]);
    for (const [id, count] of counts) {
      if (count > sum(Object.values(here.get(id)?.children ?? {}))) await this.ask(id, server, true);
    }
  }

  async #askAt(destination: ServerName, body: JsonObject): Promise<JsonObject | undefined> {
    const uri = "/_matrix/federation/unstable/event_relationships";
    try {
      return await this.#context.federation.client.request({ origin: this.#origin, destination, method: "POST", uri, body, timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES, hasEvents: true });
    } catch (error) {
      if (!(error instanceof FederationError)) throw error;
      log.info({ server: destination, room: this.#room.room_id, reason: error.message }, "a server did not give the events around one");
      return undefined;
    }
  }
}

const sum = (counts: readonly JsonValue[]): number => counts.reduce<number>((total, count) => total + (typeof count === "number" ? count : 0), 0);

function listOf(answer: JsonObject, key: string): readonly JsonValue[] {
  const list = own(answer, key);
  return Array.isArray(list) ? list.slice(0, MAX_TAKEN) : [];
}
