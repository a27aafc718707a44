// The rooms that our servers publish (client-server API, "Published room directory").
import { forbidden, invalidParam, notFound } from "../../errors.js";
import { type RoomId, serverNameOf, type ServerName } from "../../protocol/identifiers.js";
import { requiredLevel, userLevel } from "../../protocol/power-levels.js";
import {
  countPublishedRooms,
  type DirectoryName,
  type ListedRooms,
  type DirectoryPlace,
  isPublished,
  publication,
  publishedRooms,
} from "../../storage/room-directory.js";
import type { Reads } from "../../storage/statement.js";
import type { RoomContext, RoomUser } from "../context.js";
import { CREATE, membershipAmong, memberTuple, POWER_LEVELS, powerLevelsAmong, requireRoom, stateEventsOf } from "../current-state.js";
import { type DirectoryRoom, directoryRooms } from "./summary.js";

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 500;
/** Rooms that are looked at in one step, and steps of one search: then the page is short. */
const STEP = 250;
const STEPS = 20;

/** Whether a room is published. Throws M_NOT_FOUND. */
export async function visibilityOf({ database }: RoomContext, server: ServerName, roomId: RoomId): Promise<"public" | "private"> {
  const room = await requireRoom(database, roomId);
  return (await isPublished(database, server, room.nid)) ? "public" : "private";
}

/**
 * Publishes a room in the directory of the user's server, or takes it out: for who may set its canonical alias, and for
 * administrators. Throws M_NOT_FOUND, M_FORBIDDEN.
 */
export async function setVisibility(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  visibility: "public" | "private",
): Promise<void> {
  const { database, committer } = context;
  const room = await requireRoom(database, roomId);
  const state = await stateEventsOf(context, database, room.nid, [CREATE, POWER_LEVELS, memberTuple(user.user_id)]);
  const levels = powerLevelsAmong(room, state);
  const may =
    membershipAmong(state, user.user_id) === "join" &&
    userLevel(levels, user.user_id) >= requiredLevel(levels, "m.room.canonical_alias", true);
  if (!may && !user.is_admin) throw forbidden("You may not change whether this room is published.");
  const statement = publication(serverNameOf(user.user_id), room.nid, visibility === "public");
  await committer.submit({ statements: [statement], entries: [] });
}

/** The directory of a network that an application service bridges to; undefined if the text names none. */
function networkDirectory(instance: string): DirectoryName | undefined {
  const [id, ...network] = instance.split("|");
  return id === undefined || network.length === 0 ? undefined : `${id}|${network.join("|")}`;
}

/**
 * Publishes a room among those of a network, or takes it out: whether it belongs there is for the application service to
 * say. Throws M_NOT_FOUND.
 */
export async function setNetworkVisibility(
  { database, committer }: RoomContext,
  instance: string,
  roomId: RoomId,
  visibility: "public" | "private",
): Promise<void> {
  const directory = networkDirectory(instance);
  if (directory === undefined) throw notFound("This is no network.");
  const room = await requireRoom(database, roomId);
  await committer.submit({ statements: [publication(directory, room.nid, visibility === "public")], entries: [] });
}

export interface DirectoryRequest {
  /** Whose directory; the one that was asked if absent. */
  readonly server?: string | undefined;
  readonly limit?: number | undefined;
  readonly since?: string | undefined;
  readonly filter?: { readonly generic_search_term?: string; readonly room_types?: readonly (string | null)[] } | undefined;
  readonly third_party_instance_id?: string | undefined;
  /** Also the rooms of all networks of application services. */
  readonly include_all_networks?: boolean | undefined;
}

export interface DirectoryPage {
  readonly chunk: DirectoryRoom[];
  readonly next_batch?: string;
  readonly prev_batch?: string;
  readonly total_room_count_estimate?: number;
}

const FIRST: DirectoryPlace = { joined: Number.MAX_SAFE_INTEGER, room_nid: 0 };

/** A page of a directory, the largest rooms first. Throws M_INVALID_PARAM for a token, M_NOT_FOUND for a server. */
export async function directoryPage(context: RoomContext, asked: ServerName, request: DirectoryRequest): Promise<DirectoryPage> {
  const { servers, database } = context;
  const server = request.server === undefined ? asked : servers.names.find((name) => name === request.server);
  if (server === undefined) throw notFound(`The server ${String(request.server)} cannot be reached.`);
  const directory = request.third_party_instance_id === undefined ? server : networkDirectory(request.third_party_instance_id);
  if (directory === undefined) return { chunk: [] };
  const listed = { directory, allNetworks: request.include_all_networks === true && request.third_party_instance_id === undefined };
  const { direction, place } = parsePlace(request.since);
  const asks = request.limit ?? 0;
  const limit = Math.min(asks > 0 ? asks : DEFAULT_LIMIT, MAX_LIMIT);
  return await database.snapshot(async (reads) => {
    const { rooms, more } = await walk(context, reads, listed, direction, place, limit, wanted(request.filter));
    const total = request.filter === undefined ? await countPublishedRooms(reads, listed) : undefined;
    if (direction === "before") rooms.reverse();
    const hasNext = direction === "before" || more;
    const hasPrevious = direction === "before" ? more : request.since !== undefined;
    const [first] = rooms;
    const last = rooms.at(-1);
    return {
      chunk: rooms.map(({ shown }) => shown),
      ...(hasNext && { next_batch: placeToken("n", last?.place ?? place) }),
      ...(hasPrevious && { prev_batch: placeToken("p", first?.place ?? place) }),
      ...(total !== undefined && { total_room_count_estimate: total }),
    };
  });
}

interface Found {
  readonly place: DirectoryPlace;
  readonly shown: DirectoryRoom;
}

/** Walks through a directory from a place on until enough rooms pass the test. */
async function walk(
  context: RoomContext,
  reads: Reads,
  listed: ListedRooms,
  direction: "after" | "before",
  from: DirectoryPlace,
  limit: number,
  test: ((room: DirectoryRoom) => boolean) | undefined,
): Promise<{ rooms: Found[]; more: boolean }> {
  const rooms: Found[] = [];
  let place = from;
  for (let step = 0; step < STEPS; step++) {
    // One more than wanted tells whether anything follows.
    const size = test === undefined ? limit + 1 : STEP;
    const published = await publishedRooms(reads, listed, place, direction, size);
    const shown = await directoryRooms(context, reads, published);
    for (const [index, room] of published.entries()) {
      const description = shown[index];
      if (description === undefined || test?.(description) === false) continue;
      if (rooms.length >= limit) return { rooms, more: true };
      rooms.push({ place: room, shown: description });
    }
    const last = published.at(-1);
    if (last === undefined || published.length < size) return { rooms, more: false };
    place = last;
  }
  return { rooms, more: true };
}

/** The test that a filter makes up; undefined if all rooms pass. */
function wanted(filter: DirectoryRequest["filter"]): ((room: DirectoryRoom) => boolean) | undefined {
  const term = filter?.generic_search_term?.toLowerCase() ?? "";
  const types = filter?.room_types;
  if (term === "" && types === undefined) return undefined;
  return (room) => {
    const texts = [room.name, room.topic, room.canonical_alias];
    if (!texts.some((text) => (text ?? "").toLowerCase().includes(term))) return false;
    return types === undefined || types.includes(room.room_type ?? null);
  };
}

function placeToken(kind: "n" | "p", { joined, room_nid }: DirectoryPlace): string {
  return `${kind}${joined}_${room_nid}`;
}

function parsePlace(token: string | undefined): { direction: "after" | "before"; place: DirectoryPlace } {
  if (token === undefined) return { direction: "after", place: FIRST };
  const [, kind, joined, room_nid] = /^([np])(\d{1,15})_(\d{1,15})$/.exec(token) ?? [];
  if (kind === undefined) throw invalidParam('"since" is no token of this server.');
  return { direction: kind === "n" ? "after" : "before", place: { joined: Number(joined), room_nid: Number(room_nid) } };
}
