// Rooms as administrators look at them, and which of them nobody may join.
import type { EventId, RoomId, UserId } from "../protocol/identifiers.js";
import type { Database, Tx } from "./database.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** What a list of rooms can be sorted by, and the column. */
const ORDERS = {
  name: "name",
  canonical_alias: "canonical_alias",
  joined_members: "joined_members",
  joined_local_members: "joined_local_members",
  version: "version",
  creator: "creator",
  encryption: "encryption",
  federatable: "federatable",
  public: "public",
  join_rules: "join_rules",
  guest_access: "guest_access",
  history_visibility: "history_visibility",
  state_events: "state_events",
} as const;
export type RoomOrder = keyof typeof ORDERS;

export interface AdminRoom {
  readonly nid: number;
  readonly room_id: RoomId;
  readonly name: string | null;
  readonly topic: string | null;
  readonly avatar: string | null;
  readonly canonical_alias: string | null;
  readonly joined_members: number;
  readonly joined_local_members: number;
  readonly joined_local_devices: number;
  readonly version: string;
  readonly creator: UserId | null;
  readonly encryption: string | null;
  readonly federatable: boolean;
  readonly public: boolean;
  readonly join_rules: string | null;
  readonly guest_access: string | null;
  readonly history_visibility: string | null;
  readonly state_events: number;
  readonly room_type: string | null;
  readonly tombstoned: boolean;
  readonly replacement_room: string | null;
  readonly forgotten: boolean;
}

const piece = (type: string, key: string): string => `max(content_text(s.json, '${key}')) FILTER (WHERE t.type = '${type}')`;
// current_state_type, once for each type
const ROOMS = `WITH described AS (
    SELECT c.room_nid, ${piece("m.room.name", "name")} AS name, ${piece("m.room.topic", "topic")} AS topic,
      ${piece("m.room.avatar", "url")} AS avatar, ${piece("m.room.canonical_alias", "alias")} AS canonical_alias,
      ${piece("m.room.encryption", "algorithm")} AS encryption, ${piece("m.room.join_rules", "join_rule")} AS join_rules,
      ${piece("m.room.guest_access", "guest_access")} AS guest_access,
      ${piece("m.room.history_visibility", "history_visibility")} AS history_visibility,
      ${piece("m.room.create", "type")} AS room_type, ${piece("m.room.create", "m.federate")} AS federate,
      ${piece("m.room.tombstone", "replacement_room")} AS replacement_room, bool_or(t.type = 'm.room.tombstone') AS tombstoned,
      max(u.user_id) FILTER (WHERE t.type = 'm.room.create') AS creator
    FROM state_tuples t JOIN current_state c ON c.tuple_nid = t.nid JOIN events e ON e.nid = c.event_nid AND e.redacted_by IS NULL
      JOIN state_event_json s ON s.nid = e.nid JOIN users u ON u.nid = e.sender_nid
    WHERE t.state_key = '' AND t.type = ANY ('{m.room.name,m.room.topic,m.room.avatar,m.room.canonical_alias,m.room.encryption,
      m.room.join_rules,m.room.guest_access,m.room.history_visibility,m.room.create,m.room.tombstone}')
      AND ($1::bigint IS NULL OR c.room_nid = $1)
    GROUP BY c.room_nid),
  counted AS (
    SELECT c.room_nid, count(*) FILTER (WHERE c.membership = 1) AS joined_members,
      count(a.user_nid) FILTER (WHERE c.membership = 1) AS joined_local_members, count(c.event_nid) AS state_events
    FROM current_state c LEFT JOIN accounts a ON a.user_nid = c.user_nid
    WHERE $1::bigint IS NULL OR c.room_nid = $1 GROUP BY c.room_nid),
  found AS (
    SELECT r.nid, r.room_id, r.version, d.name, d.topic, d.avatar, d.canonical_alias, d.encryption, d.join_rules, d.guest_access,
      d.history_visibility, d.room_type, d.creator, d.federate IS DISTINCT FROM 'false' AS federatable, d.replacement_room,
      coalesce(d.tombstoned, false) AS tombstoned,
      coalesce(o.joined_members, 0) AS joined_members, coalesce(o.joined_local_members, 0) AS joined_local_members,
      coalesce(o.state_events, 0) AS state_events, EXISTS (SELECT FROM published_rooms p WHERE p.room_nid = r.nid) AS public
    FROM rooms r LEFT JOIN described d ON d.room_nid = r.nid LEFT JOIN counted o ON o.room_nid = r.nid
    WHERE ($1::bigint IS NULL OR r.nid = $1))`;
const FILTER = `FROM found WHERE ($2::text IS NULL OR strpos(lower(coalesce(name, '')), $2) > 0
      OR strpos(lower(coalesce(canonical_alias, '')), $2) > 0 OR lower(room_id) = $2)
    AND ($3::boolean IS NULL OR public = $3) AND ($4::boolean IS NULL OR (joined_members = 0) = $4)`;

const LISTS = new Map<string, Statement<AdminRoom>>(
  Object.entries(ORDERS).flatMap(([order, column]) =>
    (["ASC", "DESC"] as const).map((direction) => [
      `${order} ${direction}`,
      {
        name: `admin_rooms_by_${order}_${direction.toLowerCase()}`,
        text: `${ROOMS} SELECT found.* ${FILTER} ORDER BY ${column} ${direction} NULLS LAST, room_id LIMIT $5 OFFSET $6`,
      },
    ]),
  ),
);
const COUNT: Statement<{ total: number }> = { name: "admin_rooms_count", text: `${ROOMS} SELECT count(*) AS total ${FILTER}` };
const ONE: Statement<AdminRoom> = {
  name: "admin_rooms_one",
  text: `${ROOMS} SELECT found.*,
      (SELECT count(*) FROM current_state c JOIN devices d ON d.user_nid = c.user_nid WHERE c.room_nid = $1 AND c.membership = 1) AS joined_local_devices,
      NOT EXISTS (SELECT FROM memberships m WHERE m.room_nid = $1 AND NOT m.forgotten) AS forgotten
    FROM found`,
};

/** Several rooms, of all that pass a filter: those of a page, and how many pass it. */
export async function listRooms(
  reads: Reads,
  filter: { readonly search_term?: string | undefined; readonly public_rooms?: boolean | undefined; readonly empty_rooms?: boolean | undefined },
  order: RoomOrder,
  page: { readonly from: number; readonly limit: number; readonly direction: "ASC" | "DESC" },
): Promise<{ rooms: AdminRoom[]; total: number }> {
  const list = LISTS.get(`${order} ${page.direction}`);
  if (list === undefined) throw new RangeError(`there is no order ${order}`);
  const term = filter.search_term === undefined ? null : toText(filter.search_term.toLowerCase());
  const values = [null, term, filter.public_rooms ?? null, filter.empty_rooms ?? null];
  const [rooms, counted] = await Promise.all([reads.read(list, [...values, page.limit, page.from]), reads.read(COUNT, values)]);
  return { rooms: rooms.map(decoded), total: counted[0]?.total ?? 0 };
}

/** All that is told of one room. */
export async function describeRoom(reads: Reads, roomNid: number): Promise<AdminRoom | undefined> {
  const [row] = await reads.read(ONE, [roomNid]);
  return row && decoded(row);
}

function decoded(row: AdminRoom): AdminRoom {
  return {
    ...row,
    room_id: fromText(row.room_id) as RoomId,
    creator: row.creator === null ? null : (fromText(row.creator) as UserId),
  };
}

const EXTREMITIES: Statement<{ event_id: EventId; depth: number; received_ts: number; state_group: number | null }> = {
  name: "admin_rooms_extremities",
  text: `SELECT e.event_id, e.depth, e.origin_server_ts AS received_ts, e.state_before AS state_group
    FROM rooms r JOIN events e ON e.nid = ANY (r.extremities) WHERE r.nid = $1 ORDER BY e.nid`,
};

/** The ends of a room's history. */
export async function forwardExtremities(
  reads: Reads,
  roomNid: number,
): Promise<{ event_id: EventId; depth: number; received_ts: number; state_group: number | null }[]> {
  return await reads.read(EXTREMITIES, [roomNid]);
}

const DROP_ENDS: Statement<{ dropped: number }> = {
  name: "admin_rooms_drop_ends", // rooms_pkey, events_pkey
  // The revision tells the room's owner to look again.
  text: `WITH room AS (SELECT nid, extremities FROM rooms WHERE nid = $1 FOR UPDATE),
      newest AS (SELECT e.nid FROM room JOIN events e ON e.nid = ANY (room.extremities) ORDER BY e.depth DESC, e.nid DESC LIMIT 1)
    UPDATE rooms SET extremities = ARRAY[newest.nid], revision = revision + 1,
      dropped_ends = dropped_ends || array_remove(room.extremities, newest.nid)
    FROM room, newest WHERE rooms.nid = room.nid AND cardinality(room.extremities) > 1
    RETURNING cardinality(room.extremities) - 1 AS dropped`,
};

/** Leaves of the ends of a room's history the one that is farthest on; gives how many were taken away. The state stays as it is. */
export async function dropEnds(tx: Queryable, roomNid: number): Promise<number> {
  return (await tx.query(DROP_ENDS, [roomNid]))[0]?.dropped ?? 0;
}

const BLOCKED: Statement<{ user_id: UserId }> = {
  name: "blocked_rooms_find",
  text: "SELECT u.user_id FROM blocked_rooms b JOIN users u ON u.nid = b.blocked_by WHERE b.room_id = $1",
};
const CLOSED: Statement = {
  name: "blocked_rooms_closed", // blocked_rooms_pkey, admin_tasks_resource
  text: `SELECT FROM blocked_rooms WHERE room_id = $1
    UNION ALL SELECT FROM admin_tasks WHERE resource_id = $1 AND action = 'delete_room' AND status IN ('scheduled', 'active')`,
};
const BLOCK: Statement = {
  name: "blocked_rooms_block",
  text: "INSERT INTO blocked_rooms (room_id, blocked_by) VALUES ($1, $2) ON CONFLICT DO NOTHING",
};
const UNBLOCK: Statement = { name: "blocked_rooms_unblock", text: "DELETE FROM blocked_rooms WHERE room_id = $1" };

/** Who has blocked a room; undefined if it is not. */
export async function blockerOf(reads: Reads, roomId: RoomId): Promise<UserId | undefined> {
  return (await reads.read(BLOCKED, [toText(roomId)]))[0]?.user_id;
}

/** Whether nobody may come into a room: it is blocked, or being deleted. */
export async function isClosed(reads: Reads, roomId: RoomId): Promise<boolean> {
  return (await reads.read(CLOSED, [toText(roomId)])).length > 0;
}

/** Blocks a room, or ends that. */
export async function setBlocked(tx: Pick<Tx, "query">, roomId: RoomId, block: boolean, by: number): Promise<void> {
  await tx.query(block ? BLOCK : UNBLOCK, block ? [toText(roomId), by] : [toText(roomId)]);
}

const LOCAL_MEMBERS: Statement<{ user_id: UserId; membership: number }> = {
  name: "admin_rooms_local_members", // current_state_membership, accounts_pkey
  text: `SELECT u.user_id, c.membership FROM current_state c JOIN accounts a ON a.user_nid = c.user_nid JOIN users u ON u.nid = c.user_nid
    WHERE c.room_nid = $1 AND c.membership = ANY ('{1,2,3}') ORDER BY c.membership, u.user_id`,
};

/** Our users who are in a room (membership 1), invited (2) or knocking (3). */
export async function localMembers(database: Database, roomNid: number): Promise<{ user_id: UserId; membership: number }[]> {
  const rows = await database.read(LOCAL_MEMBERS, [roomNid]);
  return rows.map(({ user_id, membership }) => ({ user_id: fromText(user_id) as UserId, membership }));
}
