// Redactions that came before the events that they redact.
import type { EventId } from "../protocol/identifiers.js";
import { type BoundStatement, FLAGS } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** Redactions of one event that are looked at, one of each sender: nobody keeps another's out by sending many. */
const MOST = 100;

const ADD: Statement = {
  name: "pending_redactions_add",
  text: "INSERT INTO pending_redactions (room_nid, event_id, redaction_nid) SELECT $1, * FROM unnest($2::text[], $3::bigint[]) ON CONFLICT DO NOTHING",
};

/** What notes redactions, by their numbers, of events that may come later. */
export function addPendingRedactions(roomNid: number, redactions: readonly { readonly event_id: EventId; readonly by: number }[]): BoundStatement {
  return { statement: ADD, values: [roomNid, redactions.map(({ event_id }) => toText(event_id)), redactions.map(({ by }) => by)] };
}

const FIND: Statement<{ event_id: string; nid: number }> = {
  name: "pending_redactions_find", // pending_redactions_pkey, events_pkey, once per event
  text: `SELECT target.id AS event_id, found.nid FROM unnest($2::text[]) AS target (id)
    CROSS JOIN LATERAL (SELECT DISTINCT ON (e.sender_nid) e.nid FROM pending_redactions p JOIN events e ON e.nid = p.redaction_nid
      WHERE p.room_nid = $1 AND p.event_id = target.id AND e.flags & ${FLAGS.outlier | FLAGS.rejected | FLAGS.soft_failed} = 0
      ORDER BY e.sender_nid, e.nid DESC LIMIT ${MOST}) found`,
};

const SHOW: Statement = {
  name: "pending_redactions_show", // events_pkey
  text: `UPDATE events e SET flags = e.flags & ~${FLAGS.withheld | FLAGS.withheld_live}, ordinal = shown.ordinal,
      position = CASE WHEN shown.ordinal IS NULL THEN e.position ELSE currval('log_position') END
    FROM unnest($1::bigint[], $2::bigint[]) AS shown (nid, ordinal) WHERE e.nid = shown.nid`,
};

/** What shows redactions that were withheld: those with an ordinal at that place of the live timeline, as what came last. */
export function showRedactions(shown: readonly { readonly nid: number; readonly ordinal: number | null }[]): BoundStatement {
  return { statement: SHOW, values: [shown.map(({ nid }) => nid), shown.map(({ ordinal }) => ordinal)], atPosition: true };
}

/** The redactions of some events of a room that came before these. */
export async function pendingRedactions(reads: Reads, roomNid: number, ids: readonly EventId[]): Promise<Map<string, number[]>> {
  const pending = new Map<string, number[]>();
  for (const { event_id, nid } of ids.length === 0 ? [] : await reads.read(FIND, [roomNid, ids.map(toText)])) {
    const id = fromText(event_id);
    pending.set(id, [...(pending.get(id) ?? []), nid]);
  }
  return pending;
}
