// Which events others relate to.
import type { Reads, Statement } from "./statement.js";
import { toText } from "./text.js";

const RELATED: Statement<{ relates_to: number }> = {
  name: "relations_related", // events_relations
  text: `SELECT DISTINCT relates_to FROM events WHERE relates_to = ANY($1) AND flags = 0 AND redacted_by IS NULL
    AND ($2::bigint[] IS NULL OR sender_nid = ANY($2)) AND ($3::bigint[] IS NULL OR rel_type_nid = ANY($3))`,
};

/** Those events that an event of one of these senders relates to with one of these relation types; null asks nothing. */
export async function relatedEvents(
  reads: Reads,
  nids: readonly number[],
  senders: readonly number[] | null,
  types: readonly number[] | null,
): Promise<Set<number>> {
  const rows = nids.length === 0 ? [] : await reads.read(RELATED, [nids, senders, types]);
  return new Set(rows.map(({ relates_to }) => relates_to));
}

/** Annotations of one event by one user with one type, most likely with different keys: more are not looked through. */
const MAX_ANNOTATIONS = 200;

const ANNOTATIONS: Statement<{ nid: number }> = {
  name: "relations_annotations", // events_relations
  text: `SELECT e.nid FROM events target JOIN events e ON e.relates_to = target.nid
      JOIN event_types type ON type.nid = e.type_nid AND type.type = $3
      JOIN event_types relation ON relation.nid = e.rel_type_nid AND relation.type = 'm.annotation'
    WHERE target.event_id = $1 AND e.sender_nid = $2 AND e.flags = 0 AND e.redacted_by IS NULL
    ORDER BY e.nid DESC LIMIT ${MAX_ANNOTATIONS}`,
};

/** The annotations of an event that a user sent with a type and that were not redacted, by number. */
export async function annotationsBy(reads: Reads, eventId: string, senderNid: number, type: string): Promise<number[]> {
  return (await reads.read(ANNOTATIONS, [toText(eventId), senderNid, toText(type)])).map(({ nid }) => nid);
}
