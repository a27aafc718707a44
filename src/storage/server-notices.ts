// The rooms in which users hear from the server.
import type { RoomId } from "../protocol/identifiers.js";
import { violatedConstraint } from "./database.js";
import type { BoundStatement } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";

const FIND: Statement<{ nid: number; room_id: RoomId }> = {
  name: "server_notice_rooms_find", // server_notice_rooms_pkey
  text: `SELECT rooms.nid, rooms.room_id FROM server_notice_rooms JOIN rooms ON rooms.nid = room_nid WHERE user_nid = $1`,
};
const INSERT: Statement = {
  name: "server_notice_rooms_insert",
  text: "INSERT INTO server_notice_rooms (user_nid, room_nid) VALUES ($1, $2)",
};

/** The room of a user; undefined if the server has told them nothing yet. */
export async function findNoticeRoom(reads: Reads, userNid: number): Promise<{ nid: number; room_id: RoomId } | undefined> {
  const [row] = await reads.read(FIND, [userNid]);
  return row;
}

/** What makes a room that of a user; `hasNoticeRoom` tells the failure that another one causes. */
export function noticeRoomInsert(userNid: number, roomNid: number): BoundStatement {
  return { statement: INSERT, values: [userNid, roomNid] };
}

/** Whether a transaction failed because the user has a room already. */
export function hasNoticeRoom(error: unknown): boolean {
  return violatedConstraint(error) === "server_notice_rooms_pkey";
}
