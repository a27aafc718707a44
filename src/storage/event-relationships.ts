// Which events say in `m.relationship` that they relate to which (MSC2836). Redacted and refused events relate to nothing.
import { type EventId, parseEventId } from "../protocol/identifiers.js";
import { type BoundStatement, FLAGS } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** An event that relates to another. */
export interface RelationshipRow {
  readonly child_nid: number;
  readonly parent_id: EventId;
  readonly rel_type: string;
}

const RELATES = `e.flags & ${FLAGS.rejected | FLAGS.soft_failed | FLAGS.purged | FLAGS.withheld} = 0 AND e.redacted_by IS NULL`;
/** Children of one event that are looked at: only a hostile room has more. */
const MOST_CHILDREN = 1_000;

const ADD: Statement = {
  name: "event_relationships_add",
  text: `INSERT INTO event_relationships (room_nid, child_nid, parent_id, rel_type)
    SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[]) ON CONFLICT DO NOTHING`,
};

/** What notes relationships of events of a room. */
export function addRelationships(roomNid: number, rows: readonly RelationshipRow[]): BoundStatement {
  return {
    statement: ADD,
    values: [roomNid, rows.map(({ child_nid }) => child_nid), rows.map(({ parent_id }) => toText(parent_id)), rows.map(({ rel_type }) => toText(rel_type))],
  };
}

const CHILDREN: Statement<{ parent_id: string; nid: number }> = {
  name: "event_relationships_children", // event_relationships_parent, events_pkey, once per event
  text: `SELECT parent.id AS parent_id, child.nid FROM unnest($2::text[]) WITH ORDINALITY AS parent (id, place)
    CROSS JOIN LATERAL (
      SELECT nid, origin_server_ts FROM (
        SELECT e.nid, e.origin_server_ts FROM event_relationships r JOIN events e ON e.nid = r.child_nid
        WHERE r.room_nid = $1 AND r.parent_id = parent.id AND ${RELATES} LIMIT ${MOST_CHILDREN}) kept
      ORDER BY CASE WHEN $4 THEN -origin_server_ts ELSE origin_server_ts END, CASE WHEN $4 THEN -nid ELSE nid END LIMIT $3) child
    ORDER BY parent.place, CASE WHEN $4 THEN -child.origin_server_ts ELSE child.origin_server_ts END, CASE WHEN $4 THEN -child.nid ELSE child.nid END`,
};

/** The children of events, at most `breadth` of each, by their time: the most recent first, or last. */
export async function childrenOf(
  reads: Reads,
  roomNid: number,
  parents: readonly EventId[],
  breadth: number,
  recentFirst: boolean,
): Promise<Map<string, number[]>> {
  const children = new Map<string, number[]>();
  const rows = parents.length === 0 ? [] : await reads.read(CHILDREN, [roomNid, parents.map(toText), breadth, recentFirst]);
  for (const { parent_id, nid } of rows) {
    const id = fromText(parent_id);
    children.set(id, [...(children.get(id) ?? []), nid]);
  }
  return children;
}

const ANCESTORS: Statement<{ parent_id: string; nid: number | null }> = {
  name: "event_relationships_ancestors", // event_relationships_pkey, events_event_id_key, once per ancestor
  text: `WITH RECURSIVE up AS (
      SELECT r.parent_id, e.nid, 1 AS level FROM event_relationships r
        LEFT JOIN events e ON e.event_id = r.parent_id AND e.room_nid = r.room_nid AND ${RELATES}
        WHERE r.child_nid = $1
      UNION ALL
      SELECT r.parent_id, e.nid, up.level + 1 FROM up JOIN event_relationships r ON r.child_nid = up.nid
        LEFT JOIN events e ON e.event_id = r.parent_id AND e.room_nid = r.room_nid AND ${RELATES}
        WHERE up.level < $2)
    SELECT parent_id, nid FROM up ORDER BY level`,
};

/** What an event relates to, what that relates to, and so on, up to some levels; the last may be one that is not here. */
export async function ancestorsOf(reads: Reads, nid: number, levels: number): Promise<{ readonly event_id: EventId; readonly nid: number | undefined }[]> {
  const rows = levels === 0 ? [] : await reads.read(ANCESTORS, [nid, levels]);
  return rows.flatMap((row) => {
    const event_id = parseEventId(fromText(row.parent_id));
    return event_id === undefined ? [] : [{ event_id, nid: row.nid ?? undefined }];
  });
}

/** How many events relate to one, by type, and the SHA-256 of their ids, sorted and put together: unpadded base64. */
export interface ChildrenSummary {
  readonly children: Readonly<Record<string, number>>;
  readonly children_hash: string;
}

const SUMMARIES: Statement<{ parent_id: string; children: Record<string, number>; hash: string }> = {
  name: "event_relationships_summaries", // event_relationships_parent, events_pkey, once per event
  text: `WITH child AS (
      SELECT parent.id AS parent_id, kept.rel_type, kept.event_id FROM unnest($2::text[]) AS parent (id)
      CROSS JOIN LATERAL (SELECT r.rel_type, e.event_id FROM event_relationships r JOIN events e ON e.nid = r.child_nid
        WHERE r.room_nid = $1 AND r.parent_id = parent.id AND ${RELATES} LIMIT ${MOST_CHILDREN}) kept)
    SELECT parent_id, encode(sha256(convert_to(string_agg(event_id, '' ORDER BY event_id COLLATE "C"), 'UTF8')), 'base64') AS hash,
      (SELECT json_object_agg(rel_type, n) FROM (SELECT rel_type, count(*) AS n FROM child c WHERE c.parent_id = child.parent_id GROUP BY rel_type) counts) AS children
    FROM child GROUP BY parent_id`,
};

/** What is known of the children of events; those without any are left out. */
export async function childrenSummaries(reads: Reads, roomNid: number, parents: readonly EventId[]): Promise<Map<string, ChildrenSummary>> {
  const rows = parents.length === 0 ? [] : await reads.read(SUMMARIES, [roomNid, parents.map(toText)]);
  return new Map(rows.map(({ parent_id, children, hash }) => [fromText(parent_id), { children, children_hash: hash.replace(/=+$/, "") }]));
}
