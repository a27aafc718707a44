// What sliding sync reads of many rooms at once: which there are, and state of each by what is wanted of it.
import type { RoomId } from "../protocol/identifiers.js";
import type { Reads, Statement } from "./statement.js";
import type { StateRow } from "./sync.js";
import { fromText } from "./text.js";

/** A room of a local user. */
export interface ListedRoom {
  readonly room_nid: number;
  readonly room_id: RoomId;
  /** A number of MEMBERSHIPS. */
  readonly membership: number;
  /** The user's member event, who sent it, and its position. */
  readonly event_nid: number;
  readonly sender_nid: number;
  readonly position: number;
  /** Left, and the user wants to hear no more of it. */
  readonly forgotten: boolean;
  /** The position of the last event that the timeline shows to its members. */
  readonly activity: number;
}

const LIST: Statement<Omit<ListedRoom, "activity"> & { activity: number | null }> = {
  name: "sliding_list", // memberships_pkey, rooms_pkey, events_pkey, events_ordinal
  // Forgetting gives the row a later position than the event's; an outlier was there before it meant anything.
  text: `SELECT m.room_nid, r.room_id, m.membership, m.event_nid, m.forgotten, e.sender_nid,
      CASE WHEN e.flags & 1 <> 0 AND NOT forgotten THEN m.position ELSE e.position END AS position, last.position AS activity
    FROM memberships m JOIN rooms r ON r.nid = m.room_nid JOIN events e ON e.nid = m.event_nid
    LEFT JOIN events last ON last.room_nid = m.room_nid AND last.ordinal = r.ordinal AND m.membership = 1
    WHERE m.user_nid = $1 AND (NOT forgotten OR e.position > $2)`,
};

/** The rooms of a local user, but those left by a position and forgotten. */
export async function listRooms(reads: Reads, userNid: number, after: number): Promise<ListedRoom[]> {
  const rows = await reads.read(LIST, [userNid, after]);
  return rows.map((row) => ({ ...row, activity: row.activity ?? row.position }));
}

const OF_TUPLES: Statement<StateRow> = {
  name: "sliding_state_of_tuples", // current_state_pkey
  text: `SELECT c.room_nid, c.tuple_nid, c.event_nid, c.user_nid FROM unnest($1::bigint[], $2::bigint[]) AS wanted (room_nid, tuple_nid)
    JOIN current_state c ON c.room_nid = wanted.room_nid AND c.tuple_nid = wanted.tuple_nid WHERE c.event_nid IS NOT NULL`,
};
const OF_TYPES: Statement<StateRow> = {
  name: "sliding_state_of_types", // current_state_type
  text: `SELECT c.room_nid, c.tuple_nid, c.event_nid, c.user_nid FROM unnest($1::bigint[], $2::integer[]) AS wanted (room_nid, type_nid)
    JOIN current_state c ON c.room_nid = wanted.room_nid AND c.type_nid = wanted.type_nid WHERE c.event_nid IS NOT NULL`,
};

/** The current state of (room, tuple) pairs, as far as there is any. */
export async function stateOfTuples(reads: Reads, pairs: readonly (readonly [room: number, tuple: number])[]): Promise<StateRow[]> {
  return pairs.length === 0 ? [] : await reads.read(OF_TUPLES, [pairs.map(([room]) => room), pairs.map(([, tuple]) => tuple)]);
}

/** The current state of (room, type) pairs. */
export async function stateOfTypes(reads: Reads, pairs: readonly (readonly [room: number, type: number])[]): Promise<StateRow[]> {
  return pairs.length === 0 ? [] : await reads.read(OF_TYPES, [pairs.map(([room]) => room), pairs.map(([, type]) => type)]);
}

const CREATE_EVENTS: Statement<{ room_nid: number; json: string }> = {
  name: "sliding_create_events", // current_state_pkey, state_event_json_pkey
  text: `SELECT c.room_nid, json FROM current_state c JOIN state_event_json s ON s.nid = c.event_nid
    WHERE c.room_nid = ANY ($1::bigint[]) AND c.tuple_nid = $2`,
};

/** The create events of rooms that we have the state of, as JSON text; `tuple` is the number of theirs. */
export async function createEvents(reads: Reads, rooms: readonly number[], tuple: number): Promise<Map<number, string>> {
  if (rooms.length === 0) return new Map();
  return new Map((await reads.read(CREATE_EVENTS, [rooms, tuple])).map(({ room_nid, json }) => [room_nid, json]));
}

const TAGS: Statement<{ room_nid: number; content: string }> = {
  name: "sliding_tags", // account_data_pkey
  text: "SELECT room_nid, content FROM account_data WHERE user_nid = $1 AND room_nid > 0 AND type = 'm.tag'",
};

/** A user's tags of rooms, as JSON text of the account data. */
export async function tagsOfRooms(reads: Reads, userNid: number): Promise<Map<number, string>> {
  return new Map((await reads.read(TAGS, [userNid])).map(({ room_nid, content }) => [room_nid, content]));
}

/** Of the latest events of a room so many are looked at for what bumps it. */
const LOOKED_AT = 200;

const BUMPS: Statement<{ room_nid: number; position: number }> = {
  name: "sliding_bumps", // rooms_pkey, events_ordinal
  text: `SELECT r.nid AS room_nid, found.position FROM rooms r CROSS JOIN LATERAL (
      SELECT position FROM events e WHERE e.room_nid = r.nid AND e.ordinal > r.ordinal - ${LOOKED_AT} AND type_nid = ANY ($2::integer[])
      ORDER BY e.ordinal DESC LIMIT 1) AS found
    WHERE r.nid = ANY ($1::bigint[])`,
};

/** The position of the last event of some types in each room, where there is any among the latest. */
export async function lastOfTypes(reads: Reads, rooms: readonly number[], types: readonly number[]): Promise<Map<number, number>> {
  if (rooms.length === 0) return new Map();
  return new Map((await reads.read(BUMPS, [rooms, types])).map(({ room_nid, position }) => [room_nid, position]));
}

const OWN_RECEIPTS: Statement<{ room_nid: number }> = {
  name: "sliding_own_receipts", // log_user
  text: `SELECT DISTINCT room_nid FROM log
    WHERE user_nid = $1 AND position > $2 AND position <= $3 AND kind = 4 AND room_nid IS NOT NULL`,
};

/** The rooms in which a user has read on at positions in (after, upTo]: their unread counts may have changed. */
export async function roomsReadOn(reads: Reads, userNid: number, after: number, upTo: number): Promise<number[]> {
  return (await reads.read(OWN_RECEIPTS, [userNid, after, upTo])).map(({ room_nid }) => room_nid);
}

const ACCOUNT_DATA: Statement<{ room_nid: number; type: string; content: string }> = {
  name: "sliding_account_data", // account_data_pkey
  text: "SELECT room_nid, type, content FROM account_data WHERE user_nid = $1 AND room_nid = ANY ($2::bigint[])",
};

/** A user's account data of rooms; an empty object for what was deleted. */
export async function accountDataOfRooms(
  reads: Reads,
  userNid: number,
  rooms: readonly number[],
): Promise<Map<number, { readonly type: string; readonly content: string }[]>> {
  const found = new Map<number, { readonly type: string; readonly content: string }[]>();
  if (rooms.length === 0) return found;
  for (const { room_nid, type, content } of await reads.read(ACCOUNT_DATA, [userNid, rooms])) {
    const entry = { type: fromText(type), content };
    const of = found.get(room_nid);
    if (of === undefined) found.set(room_nid, [entry]);
    else of.push(entry);
  }
  return found;
}
