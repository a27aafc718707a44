// Events as they are stored: found by id or number, walked in the live order or in the order of history.
import type { EventId, RoomId, UserId } from "../protocol/identifiers.js";
import { HIDDEN } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** An event with what we know about it. `json` is its text exactly as signed. */
export interface StoredEvent {
  readonly nid: number;
  readonly room_nid: number;
  readonly room_id: RoomId;
  readonly version: string;
  readonly event_id: EventId;
  readonly type: string;
  readonly state_key: string | null;
  readonly sender: UserId;
  readonly sender_nid: number;
  readonly depth: number;
  readonly origin_server_ts: number;
  readonly position: number;
  /** Its place in the live timeline of the room; null for what the timeline does not show. */
  readonly ordinal: number | null;
  /** Bits of FLAGS. */
  readonly flags: number;
  readonly state_before: number | null;
  readonly replaces: number | null;
  readonly redacted_by: number | null;
  readonly relates_to: number | null;
  readonly thread_root: number | null;
  readonly thread_ordinal: number | null;
  readonly prev_nids: readonly number[];
  readonly auth_nids: readonly number[];
  readonly json: string;
}

// Each event is state or not, so exactly one of the two bodies is looked up, by primary key whatever the planner thinks of
// the number of events.
const SELECT = `SELECT e.nid, e.room_nid, r.room_id, r.version, e.event_id, t.type, s.state_key, u.user_id AS sender, e.sender_nid,
    e.depth, e.origin_server_ts, e.position, e.ordinal, e.flags, e.state_before, e.replaces, e.redacted_by, e.relates_to,
    e.thread_root, e.thread_ordinal, e.prev_nids, e.auth_nids,
    CASE WHEN e.tuple_nid IS NULL THEN (SELECT json FROM message_json m WHERE m.nid = e.nid)
      ELSE (SELECT json FROM state_event_json b WHERE b.nid = e.nid) END AS json`;
const JOINS = `JOIN rooms r ON r.nid = e.room_nid
    JOIN event_types t ON t.nid = e.type_nid
    JOIN users u ON u.nid = e.sender_nid
    LEFT JOIN state_tuples s ON s.nid = e.tuple_nid`;

type EventRecord = StoredEvent;

/** A row as the rest of the program sees it: strings that text cannot hold get their characters back. */
function stored(row: EventRecord): StoredEvent {
  const strings = { event_id: row.event_id, room_id: row.room_id, sender: row.sender, type: row.type };
  if (!`${strings.event_id}${strings.room_id}${strings.sender}${strings.type}${row.state_key ?? ""}`.includes("\\")) return row;
  return {
    ...row,
    event_id: restored(row.event_id),
    room_id: restored(row.room_id),
    sender: restored(row.sender),
    type: fromText(row.type),
    state_key: row.state_key === null ? null : fromText(row.state_key),
  };
}

/** An identifier out of its stored form is the identifier that went in. */
function restored<Id extends string>(id: Id): Id {
  return fromText(id) as Id;
}

// One after the other by the index: a plan that was made while the table was small would compare all of its rows with all that is asked for.
const BY_ID: Statement<EventRecord> = {
  name: "events_by_id", // events_event_id_key
  text: `${SELECT} FROM unnest($1::text[]) AS wanted (id) CROSS JOIN LATERAL (SELECT * FROM events WHERE event_id = wanted.id LIMIT 1) e ${JOINS}`,
};
const BY_NID: Statement<EventRecord> = {
  name: "events_by_nid", // events_pkey
  text: `${SELECT} FROM unnest($1::bigint[]) AS wanted (id) CROSS JOIN LATERAL (SELECT * FROM events WHERE nid = wanted.id LIMIT 1) e ${JOINS}`,
};

/** Events by their ids, whatever room they are in; unknown ones are left out. */
export async function eventsById(database: Reads, ids: readonly string[]): Promise<Map<string, StoredEvent>> {
  const rows = ids.length === 0 ? [] : await database.read(BY_ID, [ids.map(toText)]);
  return new Map(rows.map((row) => [row.event_id, stored(row)]));
}

/** Events by their numbers. */
export async function eventsByNid(database: Reads, nids: readonly number[]): Promise<Map<number, StoredEvent>> {
  const rows = nids.length === 0 ? [] : await database.read(BY_NID, [nids]);
  return new Map(rows.map((row) => [row.nid, stored(row)]));
}

const IDS: Statement<{ nid: number; event_id: EventId }> = {
  name: "events_ids", // events_pkey
  text: "SELECT nid, event_id FROM unnest($1::bigint[]) AS wanted (id) CROSS JOIN LATERAL (SELECT nid, event_id FROM events WHERE nid = wanted.id LIMIT 1) e",
};

/** The ids of events by their numbers. */
export async function eventIds(database: Reads, nids: readonly number[]): Promise<Map<number, EventId>> {
  const rows = nids.length === 0 ? [] : await database.read(IDS, [nids]);
  return new Map(rows.map(({ nid, event_id }) => [nid, restored(event_id)]));
}

const TIMELINE_BACK: Statement<EventRecord> = {
  name: "events_timeline_back", // events_position
  text: `${SELECT} FROM (SELECT * FROM events WHERE room_nid = $1 AND ordinal IS NOT NULL AND position <= $2 AND position > $3
      ORDER BY position DESC, ordinal DESC LIMIT $4) e ${JOINS} ORDER BY e.ordinal DESC`,
};
const TIMELINE_ON: Statement<EventRecord> = {
  name: "events_timeline_on", // events_position
  text: `${SELECT} FROM (SELECT * FROM events WHERE room_nid = $1 AND ordinal IS NOT NULL AND position > $2 AND position <= $3
      ORDER BY position, ordinal LIMIT $4) e ${JOINS} ORDER BY e.ordinal`,
};

/** The newest events of a room's live timeline with positions in (after, upTo], newest first. */
export async function timelineBackwards(
  database: Reads,
  roomNid: number,
  range: { readonly after: number; readonly upTo: number },
  limit: number,
): Promise<StoredEvent[]> {
  return (await database.read(TIMELINE_BACK, [roomNid, range.upTo, range.after, limit])).map(stored);
}

/** The oldest events of a room's live timeline with positions in (after, upTo], oldest first. */
export async function timelineForwards(
  database: Reads,
  roomNid: number,
  range: { readonly after: number; readonly upTo: number },
  limit: number,
): Promise<StoredEvent[]> {
  return (await database.read(TIMELINE_ON, [roomNid, range.after, range.upTo, limit])).map(stored);
}

const TIMELINES_BACK: Statement<EventRecord> = {
  name: "events_timelines_back", // events_position, once per room
  text: `${SELECT} FROM unnest($1::bigint[], $2::bigint[]) AS wanted (room_nid, after)
    CROSS JOIN LATERAL (SELECT * FROM events WHERE events.room_nid = wanted.room_nid AND ordinal IS NOT NULL
      AND position <= $3 AND position > wanted.after ORDER BY position DESC, ordinal DESC LIMIT $4) e
    ${JOINS} ORDER BY e.room_nid, e.ordinal DESC`,
};

/** For each room the newest events of its live timeline after a position of its own and up to `upTo`, newest first. */
export async function timelinesBackwards(
  database: Reads,
  rooms: ReadonlyMap<number, number>,
  upTo: number,
  limit: number,
): Promise<Map<number, StoredEvent[]>> {
  const found = new Map<number, StoredEvent[]>();
  if (rooms.size === 0) return found;
  for (const row of await database.read(TIMELINES_BACK, [[...rooms.keys()], [...rooms.values()], upTo, limit])) {
    const events = found.get(row.room_nid);
    if (events === undefined) found.set(row.room_nid, [stored(row)]);
    else events.push(stored(row));
  }
  return found;
}

const SHOWN = `(flags & ${HIDDEN}) = 0`;

const HISTORY_BACK: Statement<EventRecord> = {
  name: "events_history_back", // events_depth
  text: `${SELECT} FROM (SELECT * FROM events WHERE room_nid = $1 AND (depth, nid) < ($2, $3) AND ${SHOWN}
      ORDER BY depth DESC, nid DESC LIMIT $4) e ${JOINS} ORDER BY e.depth DESC, e.nid DESC`,
};
const HISTORY_ON: Statement<EventRecord> = {
  name: "events_history_on", // events_depth
  text: `${SELECT} FROM (SELECT * FROM events WHERE room_nid = $1 AND (depth, nid) >= ($2, $3) AND ${SHOWN}
      ORDER BY depth, nid LIMIT $4) e ${JOINS} ORDER BY e.depth, e.nid`,
};

/** A place in a room's history: just before the event with this key. */
export interface HistoryKey {
  readonly depth: number;
  readonly nid: number;
}

/** The events of a room's history before a place, latest first. */
export async function historyBackwards(
  database: Reads,
  roomNid: number,
  before: HistoryKey,
  limit: number,
): Promise<StoredEvent[]> {
  return (await database.read(HISTORY_BACK, [roomNid, before.depth, before.nid, limit])).map(stored);
}

/** The events of a room's history from a place on, earliest first. */
export async function historyForwards(
  database: Reads,
  roomNid: number,
  from: HistoryKey,
  limit: number,
): Promise<StoredEvent[]> {
  return (await database.read(HISTORY_ON, [roomNid, from.depth, from.nid, limit])).map(stored);
}

/** $1 rooms, $2 depths, $3 numbers of events; $4, $5 how many before and after each (events_depth, twice for each). */
const AROUND: Statement<EventRecord & { readonly centre: number }> = {
  name: "events_around",
  text: `${SELECT}, e.centre FROM (
      SELECT wanted.nid AS centre, beside.* FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS wanted (room, depth, nid)
      CROSS JOIN LATERAL (
        (SELECT * FROM events WHERE room_nid = wanted.room AND (depth, nid) < (wanted.depth, wanted.nid) AND ${SHOWN}
          ORDER BY depth DESC, nid DESC LIMIT $4)
        UNION ALL
        (SELECT * FROM events WHERE room_nid = wanted.room AND (depth, nid) > (wanted.depth, wanted.nid) AND ${SHOWN}
          ORDER BY depth, nid LIMIT $5)) beside) e ${JOINS}
    ORDER BY e.centre, e.depth, e.nid`,
};

/** The events next to each of some events in the history of its room, earliest first, by the number of the one in the middle. */
export async function eventsAround(
  database: Reads,
  centres: readonly (HistoryKey & { readonly room_nid: number })[],
  before: number,
  after: number,
): Promise<Map<number, StoredEvent[]>> {
  const found = new Map<number, StoredEvent[]>(centres.map(({ nid }) => [nid, []]));
  if (centres.length === 0 || before + after === 0) return found;
  const columns = [centres.map(({ room_nid }) => room_nid), centres.map(({ depth }) => depth), centres.map(({ nid }) => nid)];
  for (const { centre, ...row } of await database.read(AROUND, [...columns, before, after])) found.get(centre)?.push(stored(row));
  return found;
}

const ORDINALS_AT: Statement<{ room_nid: number; ordinal: number }> = {
  name: "events_ordinals_at", // events_position, once per room
  text: `SELECT wanted.room_nid, e.ordinal FROM unnest($1::bigint[]) AS wanted (room_nid)
    CROSS JOIN LATERAL (SELECT ordinal FROM events WHERE events.room_nid = wanted.room_nid AND ordinal IS NOT NULL
      AND position <= $2 ORDER BY position DESC, ordinal DESC LIMIT 1) e`,
};

/** For each room the ordinal of its last timeline event at a position: how many it had by then. */
export async function ordinalsAt(database: Reads, roomNids: readonly number[], position: number): Promise<Map<number, number>> {
  const rows = roomNids.length === 0 ? [] : await database.read(ORDINALS_AT, [roomNids, position]);
  return new Map(rows.map((row) => [row.room_nid, row.ordinal]));
}

const CLOSEST_AFTER: Statement<EventRecord> = {
  name: "events_closest_after", // events_timestamp
  text: `${SELECT} FROM (SELECT * FROM events WHERE room_nid = $1 AND origin_server_ts >= $2 AND ${SHOWN}
      ORDER BY origin_server_ts, depth, nid LIMIT $3) e ${JOINS} ORDER BY e.origin_server_ts, e.depth, e.nid`,
};
const CLOSEST_BEFORE: Statement<EventRecord> = {
  name: "events_closest_before", // events_timestamp
  text: `${SELECT} FROM (SELECT * FROM events WHERE room_nid = $1 AND origin_server_ts <= $2 AND ${SHOWN}
      ORDER BY origin_server_ts DESC, depth DESC, nid DESC LIMIT $3) e ${JOINS} ORDER BY e.origin_server_ts DESC, e.depth DESC, e.nid DESC`,
};

/** The events of a room closest to a time in one direction, the closest first. */
export async function eventsClosestTo(
  database: Reads,
  roomNid: number,
  timestamp: number,
  direction: "f" | "b",
  limit: number,
): Promise<StoredEvent[]> {
  return (await database.read(direction === "f" ? CLOSEST_AFTER : CLOSEST_BEFORE, [roomNid, timestamp, limit])).map(stored);
}
