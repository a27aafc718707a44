// The rooms of local users, those that they left included.
import type { RoomId } from "../protocol/identifiers.js";
import type { BoundStatement } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";
import { toText } from "./text.js";

export interface MembershipEntry {
  readonly room_nid: number;
  readonly room_id: RoomId;
  readonly version: string;
  /** A number of MEMBERSHIPS. */
  readonly membership: number;
  readonly event_nid: number;
  /** The position at which the membership became so. */
  readonly position: number;
  readonly forgotten: boolean;
  /** Only a part of the room's state is known. */
  readonly partial: boolean;
}

const OF_USER: Statement<MembershipEntry> = {
  name: "memberships_of_user", // memberships_pkey
  text: `SELECT m.room_nid, r.room_id, r.version, m.membership, m.event_nid, m.position, m.forgotten, r.whole_since IS NULL AS partial
    FROM memberships m JOIN rooms r ON r.nid = m.room_nid WHERE m.user_nid = $1`,
};
const IN_ROOM: Statement<MembershipEntry> = {
  name: "memberships_in_room", // memberships_pkey
  text: `SELECT m.room_nid, r.room_id, r.version, m.membership, m.event_nid, m.position, m.forgotten, r.whole_since IS NULL AS partial
    FROM memberships m JOIN rooms r ON r.nid = m.room_nid WHERE m.user_nid = $1 AND r.room_id = $2`,
};

/** All memberships that a local user ever had, the latest of each room. */
export async function membershipsOfUser(database: Reads, userNid: number): Promise<MembershipEntry[]> {
  return await database.read(OF_USER, [userNid]);
}

/** A local user's membership in one room. */
export async function membershipInRoom(
  database: Reads,
  userNid: number,
  roomId: string,
): Promise<MembershipEntry | undefined> {
  const [row] = await database.read(IN_ROOM, [userNid, roomId]);
  return row;
}

const MUTUAL = `memberships m JOIN current_state c ON c.room_nid = m.room_nid AND c.user_nid = $2 AND c.membership = 1
    WHERE m.user_nid = $1 AND m.membership = 1`;
const MUTUAL_AFTER: Statement<{ nid: number; room_id: RoomId }> = {
  name: "memberships_mutual_after", // memberships_pkey, current_state_user
  text: `SELECT r.nid, r.room_id FROM (SELECT m.room_nid FROM ${MUTUAL} AND m.room_nid > $3 ORDER BY m.room_nid LIMIT $4) found
    JOIN rooms r ON r.nid = found.room_nid ORDER BY r.nid`,
};
const MUTUAL_COUNT: Statement<{ count: number }> = {
  name: "memberships_mutual_count", // memberships_pkey, current_state_user
  text: `SELECT count(*) AS count FROM ${MUTUAL}`,
};

/** Rooms that a local user and another one have joined, from the one after a number on, in the order of their numbers. */
export async function mutualRoomsAfter(
  reads: Reads,
  userNid: number,
  otherNid: number,
  after: number,
  limit: number,
): Promise<{ nid: number; room_id: RoomId }[]> {
  return await reads.read(MUTUAL_AFTER, [userNid, otherNid, after, limit]);
}

/** How many rooms a local user and another one have joined. */
export async function countMutualRooms(reads: Reads, userNid: number, otherNid: number): Promise<number> {
  const [row] = await reads.read(MUTUAL_COUNT, [userNid, otherNid]);
  return row?.count ?? 0;
}

const FORGET: Statement = {
  name: "memberships_forget", // memberships_pkey; not while the user is in the room or invited (leave 4, ban 5)
  text: `UPDATE memberships SET forgotten = true WHERE user_nid = $1 AND room_nid = $2 AND membership IN (4, 5)`,
};

/** What forgets a room for a user, to be given to the committer. */
export function forgetRoom(userNid: number, roomNid: number): BoundStatement {
  return { statement: FORGET, values: [userNid, roomNid] };
}

const JOINED_AMONG: Statement<{ visible: number; joined: number }> = {
  name: "memberships_joined_among", // rooms_room_id_key, current_state_pkey, current_state_membership
  text: `SELECT count(*) FILTER (WHERE visible)::integer AS visible, count(*) FILTER (WHERE visible AND joined)::integer AS joined
    FROM (SELECT c.membership = 1 AS joined, EXISTS (SELECT FROM current_state o JOIN accounts a ON a.user_nid = o.user_nid
        WHERE o.room_nid = r.nid AND o.membership = 1) AS visible
      FROM rooms r LEFT JOIN current_state c ON c.room_nid = r.nid AND c.tuple_nid = $2
      WHERE r.room_id = ANY ($1::text[])) AS seen`,
};

/** How many of some rooms have a member of ours, so that we know who is in them, and in how many of these the user with this member tuple is. */
export async function joinedAmong(
  reads: Reads,
  rooms: readonly RoomId[],
  memberTuple: number | undefined,
): Promise<{ readonly visible: number; readonly joined: number }> {
  const [row] = await reads.read(JOINED_AMONG, [rooms.map(toText), memberTuple ?? null]);
  return row ?? { visible: 0, joined: 0 };
}

const LOCAL_MEMBER: Statement<{ user_nid: number }> = {
  name: "memberships_local_member", // current_state_membership, accounts_pkey
  text: `SELECT c.user_nid FROM current_state c JOIN accounts a ON a.user_nid = c.user_nid
    WHERE c.room_nid = $1 AND c.membership = 1 LIMIT 1`,
};

/** Whether a user of ours is in a room: only then do we know what happens there. */
export async function hasLocalMember(reads: Reads, roomNid: number): Promise<boolean> {
  return (await reads.read(LOCAL_MEMBER, [roomNid])).length > 0;
}

const KNOWN_WELL: Statement<{ known: boolean }> = {
  name: "memberships_known_well", // current_state_membership, accounts_pkey, server_notice_rooms_room
  text: `SELECT EXISTS (SELECT FROM current_state WHERE room_nid = $1)
      AND (NOT EXISTS (SELECT FROM current_state WHERE room_nid = $1 AND membership = 1)
        OR EXISTS (SELECT FROM current_state c JOIN accounts a ON a.user_nid = c.user_nid WHERE c.room_nid = $1 AND c.membership = 1)
        OR EXISTS (SELECT FROM server_notice_rooms WHERE room_nid = $1))
      AS known`,
};

/** Whether what we have of a room is how it is: a user of ours is in it, or nobody is any more, or it is for notices of ours. */
export async function isKnownWell(reads: Reads, roomNid: number): Promise<boolean> {
  return (await reads.read(KNOWN_WELL, [roomNid]))[0]?.known === true;
}

const JOINED_USERS: Statement<{ user_nid: number }> = {
  name: "memberships_joined_users", // current_state_user
  text: "SELECT user_nid FROM current_state WHERE user_nid = ANY ($2::bigint[]) AND room_nid = $1 AND membership = 1",
};
const JOINED_ANYWHERE: Statement<{ user_nid: number }> = {
  name: "memberships_joined_anywhere", // current_state_user
  text: "SELECT DISTINCT user_nid FROM current_state WHERE user_nid = ANY ($1::bigint[]) AND membership = 1",
};

/** Those of some users, of whatever server, who are in a room. */
export async function joinedUsers(reads: Reads, roomNid: number, userNids: readonly number[]): Promise<Set<number>> {
  const rows = userNids.length === 0 ? [] : await reads.read(JOINED_USERS, [roomNid, userNids]);
  return new Set(rows.map(({ user_nid }) => user_nid));
}

/** Those of some users, of whatever server, who are in any room that we have. */
export async function joinedAnywhere(reads: Reads, userNids: readonly number[]): Promise<Set<number>> {
  const rows = userNids.length === 0 ? [] : await reads.read(JOINED_ANYWHERE, [userNids]);
  return new Set(rows.map(({ user_nid }) => user_nid));
}

const JOINED_ROOMS: Statement<{ room_nid: number; room_id: RoomId }> = {
  name: "memberships_joined_rooms", // current_state_user
  text: "SELECT room_nid, room_id FROM current_state JOIN rooms ON rooms.nid = room_nid WHERE user_nid = $1 AND membership = 1",
};

/** The rooms that we have and a user of whatever server is in, by number. */
export async function joinedRooms(reads: Reads, userNid: number): Promise<Map<number, RoomId>> {
  return new Map((await reads.read(JOINED_ROOMS, [userNid])).map(({ room_nid, room_id }) => [room_nid, room_id]));
}
