// Which servers are in which rooms.
import { parseServerName, type ServerName } from "../protocol/identifiers.js";
import type { Reads, Statement } from "./statement.js";

/** Servers of a room that are told apart: ours are always among them. */
const SERVERS = 25;
const IN_ROOM: Statement<{ server_name: string }> = {
  name: "joined_servers_in_room", // joined_servers_pkey
  text: `SELECT server_name FROM joined_servers WHERE room_nid = $1 AND members > 0
    ORDER BY server_name = ANY ($2) DESC, members DESC, server_name LIMIT ${SERVERS}`,
};

/** Servers in a room: `ours` that are in it first, then those with most members. */
export async function serversInRoom(reads: Reads, roomNid: number, ours: readonly ServerName[]): Promise<ServerName[]> {
  const rows = await reads.read(IN_ROOM, [roomNid, ours]);
  return rows.flatMap(({ server_name }) => parseServerName(server_name) ?? []);
}

const AMONG: Statement<{ room_nid: number }> = {
  name: "joined_servers_among", // joined_servers_pkey
  text: "SELECT DISTINCT room_nid FROM joined_servers WHERE room_nid = ANY ($1) AND server_name = ANY ($2) AND members > 0",
};

/** Those of some rooms that one of these servers is in. */
export async function roomsOfServers(reads: Reads, roomNids: readonly number[], servers: readonly ServerName[]): Promise<Set<number>> {
  const rows = roomNids.length === 0 ? [] : await reads.read(AMONG, [roomNids, servers]);
  return new Set(rows.map(({ room_nid }) => room_nid));
}

const INVITED: Statement<{ room_nid: number }> = {
  name: "joined_servers_invited", // current_state_membership
  text: `SELECT DISTINCT c.room_nid FROM current_state c JOIN users u ON u.nid = c.user_nid
    WHERE c.room_nid = ANY ($1) AND c.membership = 2 AND server_of(u.user_id) = $2`,
};

/** Those of some rooms that a user of a server is invited to. */
export async function roomsInviting(reads: Reads, roomNids: readonly number[], server: ServerName): Promise<Set<number>> {
  const rows = roomNids.length === 0 ? [] : await reads.read(INVITED, [roomNids, server]);
  return new Set(rows.map(({ room_nid }) => room_nid));
}
