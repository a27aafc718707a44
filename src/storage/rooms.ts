// Rooms as rows: who may write to them, and what their owner has to know.
import { type EventId, parseEventId, type RoomId } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import { isDeadProcess } from "./processes.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** A room's row. */
export interface RoomRecord {
  readonly nid: number;
  readonly version: string;
  readonly revision: number;
  readonly extremities: readonly number[];
  readonly ordinal: number;
  readonly snapshot: number | null;
  /** Since which position all of its state is known; null while it is not. */
  readonly whole_since: number | null;
}

const CLAIM: Statement<RoomRecord> = {
  name: "rooms_claim",
  // A new revision fences off the owner before, should it still believe itself the owner. rooms_room_id_key
  text: `UPDATE rooms SET owner = $2, revision = revision + 1
    WHERE room_id = $1 AND (owner IS NULL OR owner = $2 OR ${isDeadProcess("rooms.owner")})
    RETURNING nid, version, revision, extremities, ordinal, snapshot, whole_since`,
};

const OWNER: Statement<{ owner: number | null; address: string | null }> = {
  name: "rooms_owner",
  text: `SELECT rooms.owner, processes.address FROM rooms LEFT JOIN processes ON processes.nid = rooms.owner
    WHERE room_id = $1`,
};

/** Makes `process` the owner of a room, unless another one that lives is: then undefined, as for an unknown room. */
export async function claimRoom(database: Database, roomId: RoomId, process: number): Promise<RoomRecord | undefined> {
  const [room] = await database.write(CLAIM, [toText(roomId), process]);
  return room;
}

/** Who owns a room: undefined if there is no such room. */
export async function roomOwner(
  database: Reads,
  roomId: RoomId,
): Promise<{ owner: number | null; address: string | null } | undefined> {
  const [row] = await database.read(OWNER, [toText(roomId)]);
  return row;
}

export interface RoomNames {
  readonly nid: number;
  readonly room_id: RoomId;
  readonly version: string;
  /** Since which position all of its state is known; null while it is not, 0: it always was. */
  readonly whole_since: number | null;
}

const BY_ID: Statement<RoomNames> = {
  name: "rooms_by_id",
  text: "SELECT nid, room_id, version, whole_since FROM rooms WHERE room_id = ANY($1)",
};
const BY_NID: Statement<RoomNames> = {
  name: "rooms_by_nid",
  text: "SELECT nid, room_id, version, whole_since FROM rooms WHERE nid = ANY($1)",
};

/** Rooms by their ids; unknown ones are left out. */
export async function roomsById(database: Reads, roomIds: readonly string[]): Promise<Map<string, RoomNames>> {
  const rows = roomIds.length === 0 ? [] : await database.read(BY_ID, [roomIds.map(toText)]);
  return new Map(rows.map((row) => [fromText(row.room_id), row]));
}

/** Rooms by their numbers. */
export async function roomsByNid(database: Reads, nids: readonly number[]): Promise<Map<number, RoomNames>> {
  const rows = nids.length === 0 ? [] : await database.read(BY_NID, [nids]);
  return new Map(rows.map((row) => [row.nid, row]));
}

const ENDS: Statement<{ event_id: string }> = {
  name: "rooms_ends",
  text: "SELECT e.event_id FROM rooms r JOIN events e ON e.nid = ANY (r.extremities) WHERE r.nid = $1",
};

/** The events of a room that have no successor. */
export async function roomEnds(reads: Reads, nid: number): Promise<EventId[]> {
  return (await reads.read(ENDS, [nid])).flatMap(({ event_id }) => parseEventId(fromText(event_id)) ?? []);
}

const ADOPT: Statement = {
  name: "rooms_adopt",
  // A room has been written to once as soon as it has a row.
  text: "INSERT INTO rooms (nid, room_id, version, revision) VALUES ($1, $2, $3, 1) ON CONFLICT (room_id) DO NOTHING",
};

/** Makes a room of other servers known, without events so far; nothing if it is known already. */
export async function adoptRoom(database: Database, nid: number, roomId: RoomId, version: string): Promise<void> {
  await database.write(ADOPT, [nid, toText(roomId), version]);
}
