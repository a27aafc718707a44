// What other servers may see of a room (server-server API, "Retrieving events", "Backfilling and retrieving missing events").
import { forbidden, MatrixError, notFound } from "../../errors.js";
import { redactEvent } from "../../protocol/event-format.js";
import { type HistoryVisibility, historyVisibilityIn, mayServerSee } from "../../protocol/history-visibility.js";
import { createEventIdOfRoom, type EventId, parseUserId, type RoomId, type ServerName, serverNameOf } from "../../protocol/identifiers.js";
import { membershipIn, type Membership } from "../../protocol/membership.js";
import { aclAllows, compileServerAcl } from "../../protocol/server-acl.js";
import { stateTuple } from "../../protocol/state-map.js";
import { authChain } from "../../storage/auth-chains.js";
import { membersOfServer, predecessors, previousEvents } from "../../storage/event-graph.js";
import { eventsById, eventsClosestTo, type StoredEvent } from "../../storage/events.js";
import { FLAGS, MEMBERSHIPS } from "../../storage/room-rows.js";
import { stateAtSnapshot } from "../../storage/state.js";
import type { Reads } from "../../storage/statement.js";
import { stateOfSnapshots } from "../../storage/visibility.js";
import type { RoomContext } from "../context.js";
import { HISTORY_VISIBILITY, requireRoom, type Room, stateEventsOf } from "../current-state.js";
import type { ReadEvent } from "./event-cache.js";

const SERVER_ACL = stateTuple("m.room.server_acl", "");
const MAX_BACKFILL = 100;
const MAX_MISSING = 20;
/** Events around a time that are looked at for one that the server may see. */
const CANDIDATES = 100;

/** A room as another server may see it. */
export interface ServerView {
  readonly room: Room;
  readonly server: ServerName;
  /** The server's users, as far as the room knows them: numbers of their (type, state_key). */
  readonly members: readonly number[];
}

/** Throws M_FORBIDDEN if the room's m.room.server_acl keeps a server out ("Server Access Control Lists"). */
export async function requireAllowedServer(context: RoomContext, reads: Reads, room: Room, server: ServerName): Promise<void> {
  const acl = (await stateEventsOf(context, reads, room.nid, [SERVER_ACL])).get(SERVER_ACL);
  if (acl !== undefined && !aclAllows(compileServerAcl(acl.content), server)) throw forbidden("The room does not let this server take part.");
}

/** A room for a server that is in it and that its access control list lets in. Throws M_NOT_FOUND, M_FORBIDDEN. */
export async function requireServerView(context: RoomContext, reads: Reads, server: ServerName, roomId: RoomId): Promise<ServerView> {
  const room = await requireRoom(reads, roomId);
  await requireAllowedServer(context, reads, room, server);
  const members = await membersOfServer(reads, room.nid, server);
  if (![...members.values()].includes(MEMBERSHIPS.join)) throw forbidden("Nobody of this server is in the room.");
  return { room, server, members: [...members.keys()] };
}

/**
 * A room for a server that its access control list lets in, and those of some events of it that the server may ask about: all while it
 * is in the room, and else those that one of its users was in the room at. Whoever was banned so hears of the way to the ban, which it
 * needs to take the ban for one; of what came later it sees not even the shape. Throws M_NOT_FOUND, M_FORBIDDEN.
 */
async function requireViewOf(
  context: RoomContext,
  reads: Reads,
  server: ServerName,
  roomId: RoomId,
  ids: readonly EventId[],
): Promise<{ readonly view: ServerView; readonly rows: ReadonlyMap<EventId, StoredEvent> }> {
  const room = await requireRoom(reads, roomId);
  await requireAllowedServer(context, reads, room, server);
  const members = await membersOfServer(reads, room.nid, server);
  const view = { room, server, members: [...members.keys()] };
  const rows = new Map([...(await eventsById(reads, ids))].filter(([, row]) => row.room_nid === room.nid).map(([, row]) => [row.event_id, row]));
  if ([...members.values()].includes(MEMBERSHIPS.join)) return { view, rows };
  const states = await stateOfSnapshots(reads, [...new Set([...rows.values()].flatMap(({ state_before }) => state_before ?? []))], view.members);
  const memberEvents = await context.events.get(reads, [...states.values()].flatMap((state) => [...state.values()]));
  const wasThere = ({ state_before }: StoredEvent): boolean =>
    state_before !== null &&
    [...(states.get(state_before)?.values() ?? [])].some((nid) => membershipIn(memberEvents.get(nid)?.event.content ?? {}) === "join");
  const known = new Map([...rows].filter(([, row]) => wasThere(row)));
  if (known.size === 0) throw forbidden("Nobody of this server is in the room.");
  return { view, rows: known };
}

/** The texts of events for a server: those that it may not see in their redacted form. */
async function shown(context: RoomContext, reads: Reads, view: ServerView, events: readonly ReadEvent[]): Promise<string[]> {
  const visible = await visibleToServer(context, reads, view, events);
  return events.map((read) => (visible.has(read.row.nid) ? read.event : redactEvent(read.version, read.event)).json);
}

/**
 * Those events that a server in the room may see as they are, by number. What changes the visibility counts as before and after it,
 * and so do the memberships of the server's users; of senders who were erased a server sees what it was there for.
 */
export async function visibleToServer(
  { interning, events: cache }: RoomContext,
  reads: Reads,
  { server, members }: ServerView,
  page: readonly ReadEvent[],
): Promise<Set<number>> {
  const visibilityTuple = (await interning.findTuples([HISTORY_VISIBILITY])).get(HISTORY_VISIBILITY);
  const snapshots = [...new Set(page.flatMap(({ row }) => row.state_before ?? []))];
  const visibilities = await stateOfSnapshots(reads, snapshots, visibilityTuple === undefined ? [] : [visibilityTuple]);
  const contents = await cache.get(reads, [...visibilities.values()].flatMap((state) => [...state.values()]));
  const visibilitiesAt = ({ row, event }: ReadEvent): HistoryVisibility[] => {
    const nid = row.state_before === null || visibilityTuple === undefined ? undefined : visibilities.get(row.state_before)?.get(visibilityTuple);
    const before = historyVisibilityIn(nid === undefined ? undefined : contents.get(nid)?.event.content);
    return event.type === "m.room.history_visibility" && event.state_key === "" ? [before, historyVisibilityIn(event.content)] : [before];
  };
  const maySee = (read: ReadEvent, memberships: readonly Membership[]): boolean =>
    visibilitiesAt(read).some((visibility) => mayServerSee(visibility, memberships));
  const isErased = ({ row }: ReadEvent): boolean => cache.erased.has(row.sender_nid);
  // Who was in the room at an event is asked only where it matters.
  const narrow = page.filter((read) => isErased(read) || !maySee(read, []));
  const states = await stateOfSnapshots(reads, [...new Set(narrow.flatMap(({ row }) => row.state_before ?? []))], members);
  const memberEvents = await cache.get(reads, [...states.values()].flatMap((state) => [...state.values()]));
  const membershipsAt = ({ row, event }: ReadEvent): Membership[] => {
    const before = [...((row.state_before === null ? undefined : states.get(row.state_before))?.values() ?? [])];
    const memberships = before.map((nid) => memberEvents.get(nid)?.event);
    const user = event.type === "m.room.member" ? parseUserId(event.state_key) : undefined;
    if (user !== undefined && serverNameOf(user) === server) memberships.push(event);
    return memberships.flatMap((member) => (member && membershipIn(member.content)) ?? []);
  };
  const visible = page.filter((read) => {
    if (!isErased(read) && maySee(read, [])) return true;
    const memberships = membershipsAt(read);
    return maySee(read, memberships) && (!isErased(read) || memberships.includes("join"));
  });
  return new Set(visible.map(({ row }) => row.nid));
}

/** One event: its text. Throws M_NOT_FOUND, M_FORBIDDEN. */
export async function eventForServer(context: RoomContext, server: ServerName, eventId: EventId): Promise<string> {
  return await context.database.snapshot(async (reads) => {
    const row = (await eventsById(reads, [eventId])).get(eventId);
    if (row === undefined || (row.flags & (FLAGS.rejected | FLAGS.outlier | FLAGS.purged)) !== 0) {
      throw notFound("This server does not have this event.");
    }
    const { view, rows } = await requireViewOf(context, reads, server, row.room_id, [eventId]);
    if (!rows.has(eventId)) throw notFound("This server does not have this event.");
    const [text] = await shown(context, reads, view, [context.events.add(row)]);
    if (text === undefined) throw notFound("This server does not have this event.");
    return text;
  });
}

export interface StateForServer {
  readonly pdus: readonly ReadEvent[];
  readonly authChain: readonly ReadEvent[];
}

/** The state before an event and all that authorises it. Throws M_NOT_FOUND, M_FORBIDDEN. */
export async function stateForServer(context: RoomContext, server: ServerName, roomId: RoomId, eventId: EventId): Promise<StateForServer> {
  return await context.database.snapshot(async (reads) => {
    const { view, rows } = await requireViewOf(context, reads, server, roomId, [eventId]);
    const row = rows.get(eventId);
    if (row === undefined || (row.flags & (FLAGS.outlier | FLAGS.rejected)) !== 0) throw notFound("This server does not have this event, or does not know the state before it.");
    if (view.room.whole_since === null) {
      throw new MatrixError(403, "M_UNABLE_DUE_TO_PARTIAL_STATE", "This server does not know the whole state of the room yet.");
    }
    return await stateWithAuthChain(context, reads, (await stateAtSnapshot(reads, row.state_before)).map(({ event_nid }) => event_nid));
  });
}

/** Events of a state, and all that authorises them (and `also`), which may be some of the state again. */
export async function stateWithAuthChain(
  context: RoomContext,
  reads: Reads,
  nids: readonly number[],
  also: readonly number[] = [],
): Promise<StateForServer> {
  const state = await context.events.get(reads, nids);
  const create = [...state.values()].find(({ event }) => event.type === "m.room.create" && event.state_key === "");
  // Where the room id implies the create event nothing names it, but other servers look for it here.
  const authorising = [...state.values()].flatMap(({ row }) => row.auth_nids).concat(create?.row.nid ?? [], also);
  const chain = await context.events.get(reads, await authChain(reads, [...new Set(authorising)]));
  return { pdus: [...state.values()], authChain: [...chain.values()] };
}

/** All that authorises an event: texts. Throws M_NOT_FOUND, M_FORBIDDEN. */
export async function authChainForServer(context: RoomContext, server: ServerName, roomId: RoomId, eventId: EventId): Promise<string[]> {
  return await context.database.snapshot(async (reads) => {
    const { view, rows } = await requireViewOf(context, reads, server, roomId, [eventId]);
    const row = rows.get(eventId);
    if (row === undefined) throw notFound("This server does not have this event.");
    const create = createEventIdOfRoom(roomId);
    const implied = view.room.rules.hashedRoomIds && create !== eventId ? ((await eventsById(reads, [create])).get(create)?.nid ?? []) : [];
    const chain = await context.events.get(reads, await authChain(reads, row.auth_nids.concat(implied)));
    return [...chain.values()].map(({ event }) => event.json);
  });
}

/** Events and what came before them, latest first: texts. Throws M_NOT_FOUND, M_FORBIDDEN. */
export async function backfillForServer(
  context: RoomContext,
  server: ServerName,
  roomId: RoomId,
  from: readonly EventId[],
  limit: number,
): Promise<string[]> {
  return await context.database.snapshot(async (reads) => {
    const { view, rows } = await requireViewOf(context, reads, server, roomId, from);
    const walk = { from: [...rows.values()].map(({ nid }) => nid), without: [], minDepth: 0, limit: Math.min(limit, MAX_BACKFILL) };
    return await walked(context, reads, view, walk, (a, b) => b.row.depth - a.row.depth || b.row.nid - a.row.nid);
  });
}

export interface MissingEventsRequest {
  readonly limit?: number | undefined;
  readonly min_depth?: number | undefined;
  readonly earliest_events: readonly EventId[];
  readonly latest_events: readonly EventId[];
}

/** The events between those that a server has and later ones, earliest first: texts. Throws M_NOT_FOUND, M_FORBIDDEN. */
export async function missingForServer(
  context: RoomContext,
  server: ServerName,
  roomId: RoomId,
  { limit = 10, min_depth = 0, earliest_events, latest_events }: MissingEventsRequest,
): Promise<string[]> {
  return await context.database.snapshot(async (reads) => {
    const { view, rows } = await requireViewOf(context, reads, server, roomId, latest_events);
    const latest = [...rows.values()].map(({ nid }) => nid);
    const earliest = [...(await eventsById(reads, earliest_events)).values()].filter(({ room_nid }) => room_nid === view.room.nid);
    const without = [...earliest.map(({ nid }) => nid), ...latest];
    const from = (await previousEvents(reads, latest)).filter((nid) => !without.includes(nid));
    const walk = { from, without, minDepth: min_depth, limit: Math.min(limit, MAX_MISSING) };
    return await walked(context, reads, view, walk, (a, b) => a.row.depth - b.row.depth || a.row.nid - b.row.nid);
  });
}

async function walked(
  context: RoomContext,
  reads: Reads,
  view: ServerView,
  walk: Parameters<typeof predecessors>[1],
  order: (a: ReadEvent, b: ReadEvent) => number,
): Promise<string[]> {
  const events = await context.events.get(reads, await predecessors(reads, walk));
  return await shown(context, reads, view, [...events.values()].toSorted(order));
}

/** The event closest to a time that the server may see. Throws M_NOT_FOUND, M_FORBIDDEN. */
export async function eventByTimestampForServer(
  context: RoomContext,
  server: ServerName,
  roomId: RoomId,
  { ts, dir }: { readonly ts: number; readonly dir: "f" | "b" },
): Promise<{ event_id: EventId; origin_server_ts: number }> {
  return await context.database.snapshot(async (reads) => {
    const view = await requireServerView(context, reads, server, roomId);
    const events = (await eventsClosestTo(reads, view.room.nid, ts, dir, CANDIDATES)).map((row) => context.events.add(row));
    const visible = await visibleToServer(context, reads, view, events);
    const found = events.find(({ row }) => visible.has(row.nid));
    if (found === undefined) throw notFound("There is no event in that direction that your server may see.");
    return { event_id: found.event.event_id, origin_server_ts: found.event.origin_server_ts };
  });
}
