// Gaps in the history of a room: events that others name as previous and that we do not have.
import { type EventId, parseEventId, type UserId } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import type { HistoryKey } from "./events.js";
import { type BoundStatement, FLAGS, HIDDEN } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** A gap: just before the event with this key, which names what is missing. */
export interface Gap extends HistoryKey {
  readonly missing: EventId;
  readonly named_by: UserId;
  /** When servers may be asked for it (again), in milliseconds; 0 if they never were. */
  readonly due_ts: number;
}

/** Gaps that are looked at for one page. */
const MOST = 100;

function gaps(order: "ASC" | "DESC"): Statement<{ event_id: string; sender: string; depth: number; nid: number; due_ts: number }> {
  return {
    name: `gaps_${order.toLowerCase()}`, // missing_events_open; only a damaged or hostile room has many
    text: `SELECT m.event_id, u.user_id AS sender, e.depth, e.nid, coalesce(m.due_ts, 0) AS due_ts
      FROM missing_events m JOIN events e ON e.nid = m.named_by JOIN users u ON u.nid = e.sender_nid
      WHERE m.room_nid = $1 AND m.event_nid IS NULL AND e.flags & ${HIDDEN & ~FLAGS.withheld} = 0 AND (e.depth, e.nid) >= ($2, $3) AND (e.depth, e.nid) < ($4, $5)
      ORDER BY e.depth ${order}, e.nid ${order} LIMIT ${MOST}`,
  };
}
const NEWEST_GAPS = gaps("DESC");
const OLDEST_GAPS = gaps("ASC");

/** The gaps before those events of a room whose keys are in [low, high): the latest first, or with `dir` "f" the earliest. */
export async function gapsBetween(reads: Reads, roomNid: number, low: HistoryKey, high: HistoryKey, dir: "b" | "f"): Promise<Gap[]> {
  const rows = await reads.read(dir === "b" ? NEWEST_GAPS : OLDEST_GAPS, [roomNid, low.depth, low.nid, high.depth, high.nid]);
  return rows.flatMap(({ event_id, sender, depth, nid, due_ts }) => {
    const missing = parseEventId(fromText(event_id));
    return missing === undefined ? [] : [{ missing, named_by: fromText(sender) as UserId, depth, nid, due_ts }];
  });
}

const AMONG: Statement<{ event_id: string }> = {
  name: "gaps_among", // missing_events_pkey
  text: "SELECT DISTINCT event_id FROM missing_events WHERE room_nid = $1 AND event_id = ANY ($2) AND event_nid IS NULL",
};

/** Those of some events that a room misses. */
export async function missingAmong(reads: Reads, roomNid: number, ids: readonly EventId[]): Promise<Set<string>> {
  const rows = ids.length === 0 ? [] : await reads.read(AMONG, [roomNid, ids.map(toText)]);
  return new Set(rows.map(({ event_id }) => fromText(event_id)));
}

const BEHIND: Statement<{ event_id: string }> = {
  name: "gaps_behind", // missing_events_pkey, events_pkey, accounts_pkey
  text: `SELECT DISTINCT m.event_id FROM missing_events m JOIN events e ON e.nid = m.named_by
    WHERE m.room_nid = $1 AND m.event_id = ANY ($2) AND m.event_nid IS NULL
      AND (e.flags & ~${FLAGS.withheld} = 0 AND e.ordinal IS NULL OR EXISTS (SELECT FROM accounts WHERE user_nid = e.sender_nid))`,
};

/**
 * Those of some events that a room misses in its history: an event of the history follows them, or one of ours, which only the joins do
 * by which we came.
 */
export async function missingBehind(reads: Reads, roomNid: number, ids: Iterable<string>): Promise<Set<string>> {
  const wanted = [...ids].map(toText);
  const rows = wanted.length === 0 ? [] : await reads.read(BEHIND, [roomNid, wanted]);
  return new Set(rows.map(({ event_id }) => fromText(event_id)));
}

const FOUND: Statement = {
  name: "gaps_found", // missing_events_pkey
  text: `UPDATE missing_events m SET event_nid = found.nid FROM unnest($2::text[], $3::bigint[]) AS found (event_id, nid)
    WHERE m.room_nid = $1 AND m.event_id = found.event_id`,
};

/** What notes that missing events are there now, under these numbers. */
export function gapsFilled(roomNid: number, found: ReadonlyMap<EventId, number>): BoundStatement {
  return { statement: FOUND, values: [roomNid, [...found.keys()].map(toText), [...found.values()]] };
}

const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 24 * 3_600_000;

const POSTPONE: Statement = {
  name: "gaps_postpone", // missing_events_pkey
  text: `UPDATE missing_events SET attempts = coalesce(attempts, 0) + 1,
      due_ts = $3 + least(${LONGEST_PAUSE_MS}, ${FIRST_PAUSE_MS} * 2 ^ least(coalesce(attempts, 0), 20))::bigint
    WHERE room_nid = $1 AND event_id = ANY ($2) AND event_nid IS NULL`,
};

/** Notes that nobody gave these events at `now`: they are asked for again later, each time after twice the pause. */
export async function postponeGaps(database: Database, roomNid: number, missing: readonly EventId[], now: number): Promise<void> {
  await database.write(POSTPONE, [roomNid, missing.map(toText), now]);
}
