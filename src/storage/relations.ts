// Which events relate to which. Events that were redacted, rejected or are not ours to show relate to nothing.
import type { HistoryKey } from "./events.js";
import type { Reads, Statement } from "./statement.js";
import { toText } from "./text.js";

const RELATES = "flags = 0 AND redacted_by IS NULL";

const RELATED: Statement<{ nid: number }> = {
  name: "relations_related", // events_relations, once per event
  text: `SELECT parent.nid FROM unnest($1::bigint[]) AS parent (nid)
    CROSS JOIN LATERAL (SELECT FROM events WHERE relates_to = parent.nid AND ${RELATES}
      AND ($2::bigint[] IS NULL OR sender_nid = ANY($2)) AND ($3::integer[] IS NULL OR rel_type_nid = ANY($3)) LIMIT 1) child`,
};

/** Those events that an event of one of these senders relates to with one of these relation types; null asks nothing. */
export async function relatedEvents(
  reads: Reads,
  nids: readonly number[],
  senders: readonly number[] | null,
  types: readonly number[] | null,
): Promise<Set<number>> {
  const rows = nids.length === 0 ? [] : await reads.read(RELATED, [nids, senders, types]);
  return new Set(rows.map(({ nid }) => nid));
}

const HAVING_CHILDREN: Statement<{ nid: number }> = {
  name: "relations_having_children", // events_relations_of_type, once per event and type
  text: `SELECT DISTINCT parent.nid FROM unnest($1::bigint[]) AS parent (nid) CROSS JOIN unnest($2::integer[]) AS type (nid)
    CROSS JOIN LATERAL (SELECT FROM events WHERE relates_to = parent.nid AND rel_type_nid = type.nid AND ${RELATES} LIMIT 1) child`,
};

/** Those events that have children of one of these relation types. One look into an index each, however many children. */
export async function eventsHavingChildren(reads: Reads, nids: readonly number[], types: readonly number[]): Promise<Set<number>> {
  const rows = nids.length === 0 ? [] : await reads.read(HAVING_CHILDREN, [nids, types]);
  return new Set(rows.map(({ nid }) => nid));
}

/** A child of an event, by numbers. */
export interface Child {
  readonly parent: number;
  readonly nid: number;
}

/** Among this many last replacements of an event the most recent is looked for: clocks do not differ by more. */
const RECENT_REPLACEMENTS = 50;
/** That many are given, so that something is left when the most recent is not valid. */
const REPLACEMENTS = 3;

const REPLACED: Statement<Child> = {
  name: "relations_replacements", // events_relations_of_type, once per event
  text: `SELECT original.nid AS parent, child.nid FROM unnest($1::bigint[]) AS wanted (nid)
    JOIN events original ON original.nid = wanted.nid AND original.tuple_nid IS NULL AND original.redacted_by IS NULL
      AND original.rel_type_nid IS DISTINCT FROM $2
    CROSS JOIN LATERAL (SELECT * FROM (SELECT nid, origin_server_ts, event_id FROM events
        WHERE relates_to = original.nid AND rel_type_nid = $2 AND sender_nid = original.sender_nid
          AND type_nid = original.type_nid AND tuple_nid IS NULL AND ${RELATES}
        ORDER BY depth DESC, nid DESC LIMIT ${RECENT_REPLACEMENTS}) recent
      ORDER BY origin_server_ts DESC, event_id COLLATE "C" DESC LIMIT ${REPLACEMENTS}) child
    ORDER BY original.nid, child.origin_server_ts DESC, child.event_id COLLATE "C" DESC`,
};

/** What may replace these events, the most recent first; their contents are not looked at ("Validity of replacement events"). */
export async function replacementsOf(reads: Reads, nids: readonly number[], relType: number): Promise<Child[]> {
  return nids.length === 0 ? [] : await reads.read(REPLACED, [nids, relType]);
}

const LAST_CHILDREN: Statement<Child> = {
  name: "relations_last_children", // events_relations_of_type, once per event
  text: `SELECT parent.nid AS parent, child.nid FROM unnest($1::bigint[]) AS parent (nid)
    CROSS JOIN LATERAL (SELECT depth, nid FROM events WHERE relates_to = parent.nid AND rel_type_nid = $2 AND ${RELATES}
      AND sender_nid <> ALL($3::bigint[]) ORDER BY depth DESC, nid DESC LIMIT $4) child
    ORDER BY parent.nid, child.depth DESC, child.nid DESC`,
};

/** The last children of events with one relation type, latest first, without those of some senders. */
export async function lastChildren(
  reads: Reads,
  nids: readonly number[],
  relType: number,
  without: readonly number[],
  limit: number,
): Promise<Child[]> {
  return nids.length === 0 ? [] : await reads.read(LAST_CHILDREN, [nids, relType, without, limit]);
}

/** Which of an event's relations are asked for. */
export interface RelationsWanted {
  readonly relType: number | undefined;
  readonly type: number | undefined;
  /** Senders whose events are left out, state excepted. */
  readonly without: readonly number[];
  /** 1: direct relations only. */
  readonly levels: number;
}

// The statement differs by what is asked for, so that each has the plan of its own index.
function pageOfRelations(dir: "b" | "f", { relType, type, levels }: RelationsWanted): Statement<{ nid: number }> {
  const test =
    RELATES + (relType === undefined ? "" : " AND rel_type_nid = $6") + (type === undefined ? "" : ` AND type_nid = $${relType === undefined ? 6 : 7}`);
  const shown = "(sender_nid <> ALL($4::bigint[]) OR tuple_nid IS NOT NULL)";
  const [beyond, order] = dir === "b" ? ["<", "depth DESC, nid DESC"] : [">=", "depth, nid"];
  const page = `(depth, nid) ${beyond} ($2, $3) AND ${shown} ORDER BY ${order} LIMIT $5`;
  const name = `relations_page_${dir}${levels}${relType === undefined ? "" : "_rel_type"}${type === undefined ? "" : "_type"}`;
  if (levels === 1) return { name, text: `SELECT nid FROM events WHERE relates_to = $1 AND ${test} AND ${page}` };
  const columns = "nid, depth, sender_nid, tuple_nid";
  return {
    name,
    // Each level through the index: a join of its own choice would read all relations there are.
    text: `WITH RECURSIVE related (${columns}, level) AS (
        SELECT ${columns}, 1 FROM events WHERE relates_to = $1 AND ${test}
      UNION ALL
        SELECT child.*, related.level + 1 FROM related
        CROSS JOIN LATERAL (SELECT ${columns} FROM events WHERE relates_to = related.nid AND ${test} OFFSET 0) child
        WHERE related.level < ${levels}
      ) SELECT nid FROM related WHERE ${page}`,
  };
}

/** The numbers of events that relate to an event, from a place in the room's history on. */
export async function relationsOf(
  reads: Reads,
  nid: number,
  dir: "b" | "f",
  from: HistoryKey,
  wanted: RelationsWanted,
  limit: number,
): Promise<number[]> {
  const types = [wanted.relType, wanted.type].filter((type) => type !== undefined);
  const values = [nid, from.depth, from.nid, wanted.without, limit, ...types];
  return (await reads.read(pageOfRelations(dir, wanted), values)).map((row) => row.nid);
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
