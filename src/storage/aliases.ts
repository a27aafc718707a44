// Room aliases of our servers.
import { parseRoomAlias, type RoomAlias, type RoomId } from "../protocol/identifiers.js";
import { sqlState } from "./database.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import type { BoundStatement } from "./room-rows.js";
import { fromText, toText } from "./text.js";

export interface AliasRecord {
  readonly alias: string;
  readonly room_nid: number;
  readonly room_id: RoomId;
  readonly creator_nid: number;
}

const FIND: Statement<AliasRecord> = {
  name: "aliases_find", // room_aliases_pkey
  text: `SELECT a.alias, a.room_nid, r.room_id, a.creator_nid FROM room_aliases a JOIN rooms r ON r.nid = a.room_nid
    WHERE a.alias = ANY($1)`,
};
const OF_ROOM: Statement<{ alias: string }> = {
  name: "aliases_of_room", // room_aliases_room
  text: "SELECT alias FROM room_aliases WHERE room_nid = $1 ORDER BY alias",
};
const INSERT: Statement = {
  name: "aliases_insert",
  text: "INSERT INTO room_aliases (alias, room_nid, creator_nid) VALUES ($1, $2, $3)",
};
const DELETE: Statement = {
  name: "aliases_delete", // room_aliases_pkey; not if it points elsewhere by now
  text: "DELETE FROM room_aliases WHERE alias = $1 AND room_nid = $2 RETURNING alias",
};

/** Where aliases of our servers point to; unknown ones are left out. */
export async function findAliases(reads: Reads, aliases: readonly RoomAlias[]): Promise<Map<string, AliasRecord>> {
  const rows = aliases.length === 0 ? [] : await reads.read(FIND, [aliases.map(toText)]);
  return new Map(rows.map((row) => [fromText(row.alias), row]));
}

/** The aliases of our servers that point to a room. */
export async function aliasesOfRoom(reads: Reads, roomNid: number): Promise<RoomAlias[]> {
  return (await reads.read(OF_ROOM, [roomNid])).flatMap(({ alias }) => parseRoomAlias(fromText(alias)) ?? []);
}

/** What makes an alias; `isAliasTaken` tells the failure that one that exists causes. */
export function aliasInsert(alias: RoomAlias, roomNid: number, creatorNid: number): BoundStatement {
  return { statement: INSERT, values: [toText(alias), roomNid, creatorNid] };
}

/** Deletes an alias of a room; false if there is none any more. */
export async function deleteAlias(tx: Queryable, alias: RoomAlias, roomNid: number): Promise<boolean> {
  return (await tx.query(DELETE, [toText(alias), roomNid])).length > 0;
}

/** Whether a transaction that makes an alias failed because it exists. */
export function isAliasTaken(error: unknown): boolean {
  return sqlState(error) === "23505";
}
