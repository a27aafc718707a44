// The rooms that our servers publish.
import { parseServerName, type RoomId, type ServerName } from "../protocol/identifiers.js";
import type { BoundStatement } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";

/** A directory: the name of its server, or an application service and one of its networks, which no server can be called. */
export type DirectoryName = ServerName | `${string}|${string}`;

const PUBLISH: Statement = {
  name: "room_directory_publish",
  text: "INSERT INTO published_rooms (server_name, room_nid) VALUES ($1, $2) ON CONFLICT DO NOTHING",
};
const UNPUBLISH: Statement = {
  name: "room_directory_unpublish",
  text: "DELETE FROM published_rooms WHERE server_name = $1 AND room_nid = $2",
};
const IS_PUBLISHED: Statement = {
  name: "room_directory_is_published",
  text: "SELECT FROM published_rooms WHERE server_name = $1 AND room_nid = $2",
};

/** What publishes a room in a directory, or takes it out. */
export function publication(directory: DirectoryName, roomNid: number, published: boolean): BoundStatement {
  return { statement: published ? PUBLISH : UNPUBLISH, values: [directory, roomNid] };
}

/** Whether a room is published in a directory. */
export async function isPublished(reads: Reads, directory: DirectoryName, roomNid: number): Promise<boolean> {
  return (await reads.read(IS_PUBLISHED, [directory, roomNid])).length > 0;
}

export interface PublishedRoom {
  readonly room_nid: number;
  readonly room_id: RoomId;
  readonly joined: number;
}

/** A place in the list of published rooms: after the room with this many members and this number. */
export interface DirectoryPlace {
  readonly joined: number;
  readonly room_nid: number;
}

/** The rooms of the directory $1, or also of those of all networks; a room is in several of them once. */
const ROOMS = {
  one: "SELECT room_nid FROM published_rooms WHERE server_name = $1",
  all: "SELECT DISTINCT room_nid FROM published_rooms WHERE server_name = $1 OR position('|' in server_name) > 0",
} as const;

const listOf = (rooms: string): string => `SELECT p.room_nid, r.room_id, p.joined FROM (
    SELECT room_nid, (SELECT count(*) FROM current_state s WHERE s.room_nid = listed.room_nid AND s.membership = 1) AS joined
    FROM (${rooms}) listed) p
  JOIN rooms r ON r.nid = p.room_nid`;
// current_state_membership, once per published room
const statements = (which: keyof typeof ROOMS): { readonly after: Statement<PublishedRoom>; readonly before: Statement<PublishedRoom>; readonly count: Statement<{ count: number }> } => ({
  after: {
    name: `room_directory_after_${which}`,
    text: `${listOf(ROOMS[which])} WHERE (-p.joined, p.room_nid) > (-$2::bigint, $3::bigint) ORDER BY p.joined DESC, p.room_nid LIMIT $4`,
  },
  before: {
    name: `room_directory_before_${which}`,
    text: `${listOf(ROOMS[which])} WHERE (-p.joined, p.room_nid) < (-$2::bigint, $3::bigint) ORDER BY p.joined, p.room_nid DESC LIMIT $4`,
  },
  count: { name: `room_directory_count_${which}`, text: `SELECT count(*) AS count FROM (${ROOMS[which]}) listed` },
});
const STATEMENTS = { one: statements("one"), all: statements("all") };

/** Which rooms are asked for: those of a directory, and also those of the networks of application services. */
export interface ListedRooms {
  readonly directory: DirectoryName;
  readonly allNetworks: boolean;
}

/** Published rooms next to a place, the nearest first: largest rooms come first in the whole list. */
export async function publishedRooms(
  reads: Reads,
  { directory, allNetworks }: ListedRooms,
  place: DirectoryPlace,
  direction: "after" | "before",
  limit: number,
): Promise<PublishedRoom[]> {
  return await reads.read(STATEMENTS[allNetworks ? "all" : "one"][direction], [directory, place.joined, place.room_nid, limit]);
}

/** How many rooms there are in the whole list. */
export async function countPublishedRooms(reads: Reads, { directory, allNetworks }: ListedRooms): Promise<number> {
  const [row] = await reads.read(STATEMENTS[allNetworks ? "all" : "one"].count, [directory]);
  return row?.count ?? 0;
}

const SERVERS: Statement<{ server: string }> = {
  name: "room_directory_servers", // joined_servers_pkey
  text: `SELECT server_name AS server FROM joined_servers WHERE room_nid = $1
      AND members > (server_name = coalesce((SELECT server_of(user_id) FROM users WHERE nid = $3), ''))::integer
    ORDER BY members DESC, server_name LIMIT $2`,
};

/** The servers with most joined members of a room, one of them left aside. */
export async function serversOfRoom(reads: Reads, roomNid: number, limit: number, without = 0): Promise<ServerName[]> {
  return (await reads.read(SERVERS, [roomNid, limit, without])).flatMap(({ server }) => parseServerName(server) ?? []);
}
