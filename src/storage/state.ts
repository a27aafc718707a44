// The state of rooms: now, and before and after any event, by immutable snapshots that share what did not change.
import type { EventId } from "../protocol/identifiers.js";
import { splitStateTuple, type StateTuple } from "../protocol/state-map.js";
import { MEMBERSHIPS } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** One piece of state: which event holds it. */
export interface StateEntry {
  readonly tuple_nid: number;
  readonly type: string;
  readonly state_key: string;
  readonly event_nid: number;
  readonly event_id: EventId;
  /** The position at which it became so. */
  readonly position: number;
}

/** A state entry with the event's text, and by what it was redacted. */
export interface StateEventEntry extends StateEntry {
  readonly redacted_by: number | null;
  readonly depth: number;
  readonly json: string;
}

function decoded<Entry extends { readonly type: string; readonly state_key: string }>(row: Entry): Entry {
  if (!row.type.includes("\\") && !row.state_key.includes("\\")) return row;
  return { ...row, type: fromText(row.type), state_key: fromText(row.state_key) };
}

const COLUMNS = "c.tuple_nid, t.type, t.state_key, c.event_nid, e.event_id, c.position";
const WITH_EVENTS = "e.redacted_by, e.depth, b.json";
const JOINS = "JOIN state_tuples t ON t.nid = c.tuple_nid JOIN events e ON e.nid = c.event_nid";
const BODY = "JOIN state_event_json b ON b.nid = c.event_nid";

const CURRENT: Statement<StateEventEntry> = {
  name: "state_current", // current_state_pkey
  text: `SELECT ${COLUMNS}, ${WITH_EVENTS} FROM current_state c ${JOINS} ${BODY} WHERE c.room_nid = $1`,
};
const CURRENT_OF_TYPES: Statement<StateEventEntry> = {
  name: "state_current_of_types", // current_state_type
  text: `SELECT ${COLUMNS}, ${WITH_EVENTS} FROM current_state c ${JOINS} ${BODY} WHERE c.room_nid = $1
    AND c.type_nid = ANY (ARRAY (SELECT nid FROM event_types WHERE type = ANY($2)))`,
};
const CURRENT_OF_TUPLES: Statement<StateEventEntry> = {
  name: "state_current_of_tuples", // state_tuples_type_state_key_key, then current_state_pkey
  text: `SELECT ${COLUMNS}, ${WITH_EVENTS} FROM unnest($2::text[], $3::text[]) AS wanted (type, state_key)
    JOIN state_tuples t ON t.type = wanted.type AND t.state_key = wanted.state_key
    JOIN current_state c ON c.room_nid = $1 AND c.tuple_nid = t.nid
    JOIN events e ON e.nid = c.event_nid ${BODY}`,
};

/** The whole current state of a room. */
export async function currentState(database: Reads, roomNid: number): Promise<StateEventEntry[]> {
  return (await database.read(CURRENT, [roomNid])).map(decoded);
}

/** The current state of a room that has one of these types. */
export async function currentStateOfTypes(
  database: Reads,
  roomNid: number,
  types: readonly string[],
): Promise<StateEventEntry[]> {
  return (await database.read(CURRENT_OF_TYPES, [roomNid, types.map(toText)])).map(decoded);
}

/** The current state of a room for these (type, state_key). */
export async function currentStateOf(
  database: Reads,
  roomNid: number,
  tuples: Iterable<StateTuple>,
): Promise<StateEventEntry[]> {
  const pairs = [...tuples].map(splitStateTuple);
  const values = [roomNid, pairs.map(([type]) => toText(type)), pairs.map(([, key]) => toText(key))];
  return (await database.read(CURRENT_OF_TUPLES, values)).map(decoded);
}

// Of a chain of snapshots the highest number that speaks of a tuple decides; event 0 says that it was taken away.
const CHAIN = `RECURSIVE chain AS (
    SELECT nid, number, parent, tuple_nids, event_nids FROM state_snapshots WHERE nid = $1
    UNION ALL SELECT s.nid, s.number, s.parent, s.tuple_nids, s.event_nids FROM chain JOIN state_snapshots s ON s.nid = chain.parent)`;
const AT_SNAPSHOT = `WITH ${CHAIN}, folded AS (
    SELECT DISTINCT ON (change.tuple_nid) change.tuple_nid, change.event_nid
    FROM chain CROSS JOIN LATERAL unnest(chain.tuple_nids, chain.event_nids) AS change (tuple_nid, event_nid)
    ORDER BY change.tuple_nid, chain.number DESC)
  SELECT c.tuple_nid, t.type, t.state_key, c.event_nid, e.event_id, e.position, ${WITH_EVENTS}
  FROM folded c ${JOINS} ${BODY} WHERE c.event_nid <> 0`;

const SNAPSHOT: Statement<StateEventEntry> = { name: "state_at_snapshot", text: AT_SNAPSHOT };
const SNAPSHOT_TUPLES: Statement<StateEventEntry> = {
  name: "state_at_snapshot_of_tuples",
  text: `${AT_SNAPSHOT} AND (t.type, t.state_key) IN (SELECT * FROM unnest($2::text[], $3::text[]))`,
};

const WITHOUT_MEMBERS: Statement<{ event_nid: number }> = {
  name: "state_at_snapshot_without_members", // of those with many members only numbers are read
  text: `WITH ${CHAIN}, folded AS (
      SELECT DISTINCT ON (change.tuple_nid) change.tuple_nid, change.event_nid
      FROM chain CROSS JOIN LATERAL unnest(chain.tuple_nids, chain.event_nids) AS change (tuple_nid, event_nid)
      ORDER BY change.tuple_nid, chain.number DESC)
    SELECT c.event_nid FROM folded c JOIN events e ON e.nid = c.event_nid
    WHERE c.event_nid <> 0 AND (c.event_nid = ANY ($2::bigint[]) OR e.type_nid <> ALL (ARRAY (SELECT nid FROM event_types WHERE type = 'm.room.member')))`,
};

/** The events of a snapshot's state but for memberships; of these only those that are among `members`. */
export async function stateWithoutMembers(reads: Reads, snapshot: number | null, members: readonly number[]): Promise<number[]> {
  if (snapshot === null) return [];
  return (await reads.read(WITHOUT_MEMBERS, [snapshot, members])).map(({ event_nid }) => event_nid);
}

const HEROES: Statement<{ event_nid: number }> = {
  name: "state_heroes", // current_state_membership
  text: `WITH heroes AS MATERIALIZED (SELECT event_nid, membership FROM current_state WHERE room_nid = $1 AND membership IS NOT NULL AND user_nid <> $2)
    (SELECT event_nid FROM heroes WHERE membership IN (1, 2) ORDER BY event_nid LIMIT $3)
    UNION ALL (SELECT event_nid FROM heroes WHERE membership IN (4, 5) AND NOT EXISTS (SELECT FROM heroes WHERE membership IN (1, 2))
      ORDER BY event_nid LIMIT $3)`,
};
const MOST_HEROES = 5;

/** The memberships of those after whom a room without a name is called, for a reader (client-server API, "m.heroes"). */
export async function heroesOf(reads: Reads, roomNid: number, reader: number): Promise<number[]> {
  return (await reads.read(HEROES, [roomNid, reader, MOST_HEROES])).map(({ event_nid }) => event_nid);
}

/** The state of a snapshot, as StoredEvent.state_before names it; null is the empty state. */
export async function stateAtSnapshot(database: Reads, snapshot: number | null): Promise<StateEventEntry[]> {
  return snapshot === null ? [] : (await database.read(SNAPSHOT, [snapshot])).map(decoded);
}

/** What a snapshot holds for these (type, state_key). */
export async function stateAtSnapshotOf(
  database: Reads,
  snapshot: number | null,
  tuples: Iterable<StateTuple>,
): Promise<StateEventEntry[]> {
  if (snapshot === null) return [];
  const pairs = [...tuples].map(splitStateTuple);
  const values = [snapshot, pairs.map(([type]) => toText(type)), pairs.map(([, key]) => toText(key))];
  return (await database.read(SNAPSHOT_TUPLES, values)).map(decoded);
}

/** One link of a chain of snapshots. */
export interface SnapshotLink {
  readonly nid: number;
  readonly number: number;
  readonly parent: number | null;
  readonly tuple_nids: readonly number[];
  readonly event_nids: readonly number[];
}

const LINKS: Statement<SnapshotLink> = {
  name: "state_snapshot_links",
  text: `WITH ${CHAIN} SELECT nid, number, parent, tuple_nids, event_nids FROM chain ORDER BY number`,
};

/** The chain of a snapshot, root first. */
export async function snapshotLinks(database: Reads, snapshot: number): Promise<SnapshotLink[]> {
  return await database.read(LINKS, [snapshot]);
}

/** A state change: what a tuple held before and what it holds now. */
export interface StateChange {
  readonly room_nid: number;
  readonly tuple_nid: number;
  readonly type: string;
  readonly state_key: string;
  /** Null: the tuple is gone. */
  readonly event_nid: number | null;
  readonly previous: number | null;
  readonly position: number;
}

const CHANGES: Statement<StateChange> = {
  name: "state_changes", // log_room
  text: `SELECT l.room_nid, l.tuple_nid, t.type, t.state_key, l.reference AS event_nid, l.previous, l.position
    FROM log l JOIN state_tuples t ON t.nid = l.tuple_nid
    WHERE l.room_nid = ANY($1) AND l.kind = 2 AND l.position > $2 AND l.position <= $3 ORDER BY l.position, l.index`,
};
const CHANGED_SINCE: Statement<StateChange> = {
  name: "state_changed_since", // current_state_pkey
  text: `SELECT c.room_nid, c.tuple_nid, t.type, t.state_key, c.event_nid, NULL::bigint AS previous, c.position
    FROM current_state c CROSS JOIN LATERAL (SELECT type, state_key FROM state_tuples WHERE nid = c.tuple_nid OFFSET 0) t
    WHERE c.room_nid = ANY($1) AND c.position > $2 ORDER BY c.position`,
};

/** The state changes of rooms with positions in (after, upTo], in their order, from the log. */
export async function stateChanges(
  database: Reads,
  roomNids: readonly number[],
  range: { readonly after: number; readonly upTo: number },
): Promise<StateChange[]> {
  return (await database.read(CHANGES, [roomNids, range.after, range.upTo])).map(decoded);
}

/** What of the rooms' state is now other than at a position that the log no longer reaches back to. */
export async function stateChangedSince(
  database: Reads,
  roomNids: readonly number[],
  after: number,
): Promise<StateChange[]> {
  return (await database.read(CHANGED_SINCE, [roomNids, after])).map(decoded);
}

export interface MemberEntry {
  readonly user_nid: number;
  readonly membership: number;
  readonly event_nid: number;
  readonly position: number;
}

const MEMBERS: Statement<MemberEntry> = {
  name: "state_members", // current_state_membership
  text: `SELECT user_nid, membership, event_nid, position FROM current_state
    WHERE room_nid = $1 AND membership = ANY($2) AND user_nid IS NOT NULL`,
};

/** The members of a room with one of these memberships. */
export async function roomMembers(
  database: Reads,
  roomNid: number,
  memberships: readonly (keyof typeof MEMBERSHIPS)[],
): Promise<MemberEntry[]> {
  return await database.read(MEMBERS, [roomNid, memberships.map((name) => MEMBERSHIPS[name])]);
}

const MEMBER_COUNTS: Statement<{ room_nid: number; membership: number; count: number }> = {
  name: "state_member_counts", // current_state_membership
  text: `SELECT room_nid, membership, count(*) AS count FROM current_state
    WHERE room_nid = ANY($1) AND membership IS NOT NULL GROUP BY room_nid, membership`,
};

/** How many members each room has, by membership number. */
export async function memberCounts(
  database: Reads,
  roomNids: readonly number[],
): Promise<Map<number, Map<number, number>>> {
  const counts = new Map<number, Map<number, number>>();
  for (const { room_nid, membership, count } of await database.read(MEMBER_COUNTS, [roomNids])) {
    let room = counts.get(room_nid);
    if (room === undefined) counts.set(room_nid, (room = new Map()));
    room.set(membership, count);
  }
  return counts;
}

const SHARED_ROOMS: Statement<{ user_nid: number }> = {
  name: "state_sharing_users", // current_state_user, then current_state_membership
  text: `SELECT DISTINCT theirs.user_nid FROM current_state mine
    JOIN current_state theirs ON theirs.room_nid = mine.room_nid AND theirs.membership = 1
    WHERE mine.user_nid = $1 AND mine.membership = 1 AND theirs.user_nid IS NOT NULL`,
};

/** Everyone who is joined to a room that a user is joined to, the user included. */
export async function usersSharingRooms(database: Reads, userNid: number): Promise<number[]> {
  return (await database.read(SHARED_ROOMS, [userNid])).map((row) => row.user_nid);
}
