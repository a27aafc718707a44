// Which events others relate to.
import type { Reads, Statement } from "./statement.js";

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
