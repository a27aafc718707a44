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

const LIST = `SELECT p.room_nid, r.room_id, p.joined FROM (
    SELECT room_nid, (SELECT count(*) FROM current_state s WHERE s.room_nid = published_rooms.room_nid AND s.membership = 1) AS joined
    FROM published_rooms WHERE server_name = $1) p
  JOIN rooms r ON r.nid = p.room_nid`;
// current_state_membership, once per published room
const AFTER: Statement<PublishedRoom> = {
  name: "room_directory_after",
  text: `${LIST} WHERE (-p.joined, p.room_nid) > (-$2::bigint, $3::bigint) ORDER BY p.joined DESC, p.room_nid LIMIT $4`,
};
const BEFORE: Statement<PublishedRoom> = {
  name: "room_directory_before",
  text: `${LIST} WHERE (-p.joined, p.room_nid) < (-$2::bigint, $3::bigint) ORDER BY p.joined, p.room_nid DESC LIMIT $4`,
};
const COUNT: Statement<{ count: number }> = {
  name: "room_directory_count",
  text: "SELECT count(*) AS count FROM published_rooms WHERE server_name = $1",
};

/** Published rooms next to a place, the nearest first: largest rooms come first in the whole list. */
export async function publishedRooms(
  reads: Reads,
  directory: DirectoryName,
  place: DirectoryPlace,
  direction: "after" | "before",
  limit: number,
): Promise<PublishedRoom[]> {
  return await reads.read(direction === "after" ? AFTER : BEFORE, [directory, place.joined, place.room_nid, limit]);
}

/** How many rooms a directory has. */
export async function countPublishedRooms(reads: Reads, directory: DirectoryName): Promise<number> {
  const [row] = await reads.read(COUNT, [directory]);
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
