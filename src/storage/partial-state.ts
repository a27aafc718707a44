// Rooms of which we know a part of the state, and how far joins through other servers are.
import { type EventId, parseServerName, type RoomId, type ServerName, type UserId } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import { isDeadProcess } from "./processes.js";
import type { BoundStatement } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** How far a join through other servers is. */
export type EntryPhase = "writing" | "incomplete" | "complete" | "given_up";

const BEGIN: Statement = {
  name: "partial_state_begin",
  text: "SELECT begin_partial_state($1, $2, $3::text[], $4)",
};

/** What notes, with the join that it writes, that only a part of the state before it is known. `now` in milliseconds. */
export function beginPartialState(roomNid: number, entry: EventId, servers: readonly ServerName[], now: number): BoundStatement {
  return { statement: BEGIN, values: [roomNid, toText(entry), servers.map(toText), now], atPosition: true };
}

const END: Statement = { name: "partial_state_end", text: "SELECT end_partial_state($1, $2, $3::text[], $4)" };

/**
 * What notes that nothing of a room's state is missing any more, or that nobody asks for it; `missed` were in the room without being
 * known. `now` in milliseconds.
 */
export function endPartialState(roomNid: number, phase: "complete" | "given_up", missed: Iterable<ServerName>, now: number): BoundStatement {
  return { statement: END, values: [roomNid, phase, [...missed].map(toText), now], atPosition: true };
}

const WHOLE: Statement<{ whole: boolean }> = {
  name: "partial_state_whole", // rooms_pkey
  text: "SELECT whole_since IS NOT NULL AS whole FROM rooms WHERE nid = $1",
};

/** Whether all of a room's state is known; true also for a room that is gone. */
export async function isWhole(reads: Reads, roomNid: number): Promise<boolean> {
  const [row] = await reads.read(WHOLE, [roomNid]);
  return row?.whole !== false;
}

const IN_PART: Statement<{ known: boolean }> = {
  name: "partial_state_server", // room_entries_incomplete, joined_servers_pkey
  text: `SELECT true AS known FROM room_entries e JOIN joined_servers j ON j.room_nid = e.room_nid AND j.server_name = $1 AND j.members > 0
    WHERE e.phase = 'incomplete' LIMIT 1`,
};

/** Whether a server is in a room of which it is not known who is in it. */
export async function isInPartialRoom(reads: Reads, server: ServerName): Promise<boolean> {
  return (await reads.read(IN_PART, [server])).length > 0;
}

const START: Statement = {
  name: "partial_state_start", // room_entries_pkey; a room that is in use already stays so
  text: `INSERT INTO room_entries AS e (room_nid, user_id, asked, phase, expected, started_ts, claimed_by) VALUES ($1, $2, $3, 'writing', $4, $5, $6)
    ON CONFLICT (room_nid) DO UPDATE SET user_id = excluded.user_id, asked = excluded.asked, written = 0, expected = excluded.expected,
      started_ts = excluded.started_ts, usable_ts = CASE WHEN e.phase = 'incomplete' THEN e.usable_ts END, finished_ts = NULL,
      phase = CASE WHEN e.phase = 'incomplete' THEN e.phase ELSE excluded.phase END,
      claimed_by = CASE WHEN e.phase = 'incomplete' THEN e.claimed_by ELSE excluded.claimed_by END`,
};

/** Notes that a room is being joined by a process through a server, which gave so many events. `now` in milliseconds. */
export async function startEntry(
  database: Database,
  roomNid: number,
  { user_id, asked, expected, process }: { readonly user_id: UserId; readonly asked: ServerName; readonly expected: number; readonly process: number },
  now: number,
): Promise<void> {
  await database.write(START, [roomNid, toText(user_id), toText(asked), expected, now, process]);
}

const FAIL: Statement = {
  name: "partial_state_fail", // room_entries_pkey
  text: "UPDATE room_entries SET phase = 'given_up', error = $2, finished_ts = $3, claimed_by = NULL WHERE room_nid = $1 AND phase = 'writing'",
};

/** Notes that a room could not be joined, unless it was before. `now` in milliseconds. */
export async function failEntry(database: Database, roomNid: number, reason: string, now: number): Promise<void> {
  await database.write(FAIL, [roomNid, toText(reason), now]);
}

const PROGRESS: Statement = {
  name: "partial_state_progress", // room_entries_pkey
  text: "UPDATE room_entries SET written = $2, expected = $3 WHERE room_nid = $1",
};

/** Notes how many events of a room's state are written, and of how many. */
export async function noteProgress(database: Database, roomNid: number, written: number, expected: number): Promise<void> {
  await database.write(PROGRESS, [roomNid, written, expected]);
}

/** A room whose state is to be asked for. */
export interface IncompleteRoom {
  readonly room_nid: number;
  readonly room_id: RoomId;
  readonly version: string;
  readonly user_id: UserId;
  readonly asked: ServerName;
  readonly servers: readonly ServerName[];
  readonly entries: readonly number[];
  readonly attempts: number;
}

type ClaimedRow = Omit<IncompleteRoom, "servers"> & { readonly servers: readonly string[] };

const CLAIM: Statement<ClaimedRow> = {
  name: "partial_state_claim", // room_entries_incomplete
  text: `UPDATE room_entries e SET claimed_by = $1, attempts = attempts + 1 FROM rooms r WHERE r.nid = e.room_nid AND e.room_nid = (
      SELECT room_nid FROM room_entries WHERE phase = 'incomplete' AND due_ts <= $2 AND room_nid <> ALL ($3::bigint[])
        AND (claimed_by IS NULL OR claimed_by = $1 OR ${isDeadProcess("claimed_by")})
      ORDER BY due_ts LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING e.room_nid, r.room_id, r.version, e.user_id, e.asked, e.servers, e.entries, e.attempts`,
};

/** Takes up a room whose state is due to be asked for, none of those under way; undefined: there is none. `now` in milliseconds. */
export async function claimIncompleteRoom(database: Database, process: number, underWay: readonly number[], now: number): Promise<IncompleteRoom | undefined> {
  const [row] = await database.write(CLAIM, [process, now, underWay]);
  if (row === undefined) return undefined;
  const servers = row.servers.flatMap((name) => parseServerName(fromText(name)) ?? []);
  return { ...row, room_id: fromText(row.room_id) as RoomId, user_id: fromText(row.user_id) as UserId, servers };
}

const POSTPONE: Statement = {
  name: "partial_state_postpone", // room_entries_pkey
  text: "UPDATE room_entries SET claimed_by = NULL, due_ts = $2, error = $3 WHERE room_nid = $1 AND phase = 'incomplete'",
};

/** Gives a room back, to be asked for again at a time in milliseconds. */
export async function postponeIncompleteRoom(database: Database, roomNid: number, due: number, error: string): Promise<void> {
  await database.write(POSTPONE, [roomNid, due, toText(error)]);
}

const ENTRIES: Statement<{ entries: number[]; servers: string[] }> = {
  name: "partial_state_entries", // room_entries_pkey
  text: "SELECT entries, servers FROM room_entries WHERE room_nid = $1",
};

/** The joins of ours before which a room's state is not known whole, and the servers that were said to be in the room. */
export async function partialEntries(reads: Reads, roomNid: number): Promise<{ entries: readonly number[]; servers: ReadonlySet<string> }> {
  const [row] = await reads.read(ENTRIES, [roomNid]);
  return { entries: row?.entries ?? [], servers: new Set(row?.servers.map(fromText)) };
}

const SERVERS_OF: Statement<{ server_name: string }> = {
  name: "partial_state_servers_of", // events_pkey, state_tuples_pkey
  text: `SELECT DISTINCT server_of(s.state_key) AS server_name FROM events e JOIN state_tuples s ON s.nid = e.tuple_nid AND s.type = 'm.room.member'
    WHERE e.nid = ANY ($1::bigint[])`,
};

/** The servers of those whose memberships some events are. */
export async function serversOfMembers(reads: Reads, nids: readonly number[]): Promise<ServerName[]> {
  return (await reads.read(SERVERS_OF, [nids])).flatMap(({ server_name }) => parseServerName(fromText(server_name)) ?? []);
}

const SINCE: Statement<{ nid: number }> = {
  name: "partial_state_events_since", // events_depth narrows to the room
  text: "SELECT nid FROM events WHERE room_nid = $1 AND nid >= $2 AND flags & 1 = 0 ORDER BY nid LIMIT $3",
};

/** Events of a room that were given a place from one on, at most `limit`. */
export async function placedSince(reads: Reads, roomNid: number, from: number, limit: number): Promise<number[]> {
  return (await reads.read(SINCE, [roomNid, from, limit])).map(({ nid }) => nid);
}

/** How an event was judged anew. */
export interface RejudgedRow {
  readonly nid: number;
  readonly flags: number;
  readonly state_before: number | null;
  readonly replaces: number | null;
}

const REJUDGE: Statement = {
  name: "partial_state_rejudge", // events_pkey; what is rejected loses its place in the timeline
  text: `UPDATE events e SET flags = n.flags, state_before = n.state_before, replaces = n.replaces,
      ordinal = CASE WHEN n.flags & 2 = 0 THEN e.ordinal END
    FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[]) AS n (nid, flags, state_before, replaces) WHERE e.nid = n.nid`,
};

/** What writes how events were judged anew. */
export function rejudgeEvents(rows: readonly RejudgedRow[]): BoundStatement {
  const columns = [rows.map(({ nid }) => nid), rows.map(({ flags }) => flags), rows.map((row) => row.state_before), rows.map(({ replaces }) => replaces)];
  return { statement: REJUDGE, values: columns };
}

/** Events that are looked up at once. */
const READ_AT_ONCE = 2_000;

/** A state event that we have in whatever way. */
export interface KnownState {
  readonly event_id: EventId;
  readonly nid: number;
  readonly room_nid: number;
  readonly type: string;
  readonly state_key: string | null;
  readonly flags: number;
}

const KNOWN: Statement<KnownState> = {
  name: "partial_state_known", // events_event_id_key
  text: `SELECT e.event_id, e.nid, e.room_nid, t.type, s.state_key, e.flags FROM unnest($1::text[]) AS wanted (id)
    CROSS JOIN LATERAL (SELECT * FROM events WHERE event_id = wanted.id LIMIT 1) e JOIN event_types t ON t.nid = e.type_nid
    LEFT JOIN state_tuples s ON s.nid = e.tuple_nid`,
};

/** Those of many events that we have, without their texts. */
export async function knownState(reads: Reads, ids: readonly EventId[]): Promise<Map<EventId, KnownState>> {
  const known = new Map<EventId, KnownState>();
  // In pieces: in between others have their turn.
  for (let start = 0; start < ids.length; start += READ_AT_ONCE) {
    for (const row of await reads.read(KNOWN, [ids.slice(start, start + READ_AT_ONCE).map(toText)])) {
      const event_id = fromText(row.event_id) as EventId;
      known.set(event_id, { ...row, event_id, type: fromText(row.type), state_key: row.state_key === null ? null : fromText(row.state_key) });
    }
  }
  return known;
}

/** A join through other servers, as administrators see it. Times in milliseconds. */
export interface EntryRow {
  readonly room_id: string;
  readonly user_id: string;
  readonly asked: string;
  readonly phase: EntryPhase;
  readonly written: number;
  readonly expected: number;
  readonly attempts: number;
  readonly error: string | null;
  /** The number of the process that is at it. */
  readonly process: number | null;
  readonly started_ts: number;
  readonly usable_ts: number | null;
  readonly finished_ts: number | null;
}

const LIST: Statement<EntryRow> = {
  name: "partial_state_list", // room_entries_started; who wrote the state of a room and is no more has told nobody that it failed
  text: `SELECT r.room_id, e.user_id, e.asked, CASE WHEN gone THEN 'given_up' ELSE e.phase END AS phase, e.written, e.expected, e.attempts,
      CASE WHEN gone THEN 'the process that was at it has ended' ELSE e.error END AS error,
      CASE WHEN e.phase = 'incomplete' OR (e.phase = 'writing' AND NOT gone) THEN e.claimed_by END AS process, e.started_ts, e.usable_ts, e.finished_ts
    FROM (SELECT * FROM room_entries ORDER BY started_ts DESC, room_nid DESC LIMIT $1 OFFSET $2) e JOIN rooms r ON r.nid = e.room_nid
    CROSS JOIN LATERAL (SELECT e.phase = 'writing' AND ${isDeadProcess("e.claimed_by")} AS gone) g
    ORDER BY e.started_ts DESC, e.room_nid DESC`,
};

/** Joins through other servers, the latest first. */
export async function listEntries(reads: Reads, limit: number, from: number): Promise<EntryRow[]> {
  const rows = await reads.read(LIST, [limit, from]);
  return rows.map((row) => ({ ...row, room_id: fromText(row.room_id), user_id: fromText(row.user_id), asked: fromText(row.asked), error: row.error === null ? null : fromText(row.error) }));
}
