// Rooms that replace others.
import type { RoomId } from "../protocol/identifiers.js";
import { violatedConstraint } from "./database.js";
import type { BoundStatement } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";

const FIND: Statement<{ room_id: RoomId; nid: number }> = {
  name: "room_upgrades_find", // room_upgrades_pkey
  text: `SELECT rooms.room_id, rooms.nid FROM room_upgrades JOIN rooms ON rooms.nid = replacement_nid
    WHERE room_nid = $1 AND room_upgrades.version = $2`,
};
const INSERT: Statement = {
  name: "room_upgrades_insert",
  text: "INSERT INTO room_upgrades (room_nid, version, replacement_nid) VALUES ($1, $2, $3)",
};
const MOVE_ALIASES: Statement = {
  name: "room_upgrades_move_aliases", // room_aliases_room
  text: "UPDATE room_aliases SET room_nid = $2 WHERE room_nid = $1",
};
const MOVE_PUBLICATIONS: Statement = {
  name: "room_upgrades_move_publications",
  text: "UPDATE published_rooms SET room_nid = $2 WHERE room_nid = $1",
};

/** The room of a version that replaces a room; undefined if there is none. */
export async function findReplacement(reads: Reads, roomNid: number, version: string): Promise<{ room_id: RoomId; nid: number } | undefined> {
  const [row] = await reads.read(FIND, [roomNid, version]);
  return row;
}

/**
 * What lets a new room take the place of an old one: its record, our aliases, the entries in our directories.
 * `isReplacedAlready` tells the failure that another replacement of the same version causes.
 */
export function replacement(roomNid: number, version: string, newNid: number): BoundStatement[] {
  return [
    { statement: INSERT, values: [roomNid, version, newNid] },
    { statement: MOVE_ALIASES, values: [roomNid, newNid] },
    { statement: MOVE_PUBLICATIONS, values: [roomNid, newNid] },
  ];
}

/** Whether a transaction that replaces a room failed because it was replaced meanwhile. */
export function isReplacedAlready(error: unknown): boolean {
  return violatedConstraint(error) === "room_upgrades_pkey";
}
