// Checks that what the tables say of each other is true: after a crash, before and after an upgrade, whenever in doubt.
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";

/** Something that must not be: in which check it was found, and where. */
export interface Problem {
  readonly check: string;
  readonly where: string;
}

export interface FsckReport {
  /** How many checks were made. */
  readonly checks: number;
  /** The first problems of each check, at most 100 of each. */
  readonly problems: readonly Problem[];
}

const MOST = 100;

/** Each check selects what must not be, with a word on where it is. */
const CHECKS: Readonly<Record<string, string>> = {
  "an event has no text": `
    SELECT 'event ' || e.nid AS found FROM events e
    LEFT JOIN state_event_json s ON s.nid = e.nid AND e.tuple_nid IS NOT NULL
    LEFT JOIN message_json m ON m.nid = e.nid AND e.tuple_nid IS NULL
    WHERE s.nid IS NULL AND m.nid IS NULL`,
  "a text has no event": `
    SELECT 'text ' || b.nid AS found FROM (SELECT nid FROM state_event_json UNION ALL SELECT nid FROM message_json) b
    LEFT JOIN events e ON e.nid = b.nid WHERE e.nid IS NULL`,
  "the timeline of a room has a gap": `
    SELECT 'room ' || r.nid AS found FROM rooms r LEFT JOIN events e ON e.room_nid = r.nid AND (e.ordinal IS NOT NULL OR e.flags & 16 <> 0)
    GROUP BY r.nid, r.ordinal HAVING count(e.nid) <> r.ordinal OR coalesce(max(e.ordinal), 0) > r.ordinal
      OR (coalesce(max(e.ordinal), 0) <> r.ordinal AND NOT bool_or(e.flags & 18 = 18))`,
  "the timeline of a room is not in the order of positions": `
    SELECT 'event ' || nid AS found FROM (
      SELECT nid, position < lag(position) OVER (PARTITION BY room_nid ORDER BY ordinal) AS wrong
      FROM events WHERE ordinal IS NOT NULL) o WHERE wrong`,
  "a thread has a gap": `
    SELECT 'thread ' || thread_root AS found FROM events WHERE thread_root IS NOT NULL
    GROUP BY thread_root HAVING count(*) <> max(thread_ordinal) OR count(DISTINCT thread_ordinal) <> count(*)`,
  "a thread is not counted as it is": `
    SELECT 'thread ' || coalesce(t.root, e.root, p.root) AS found FROM threads t
    FULL JOIN (SELECT relates_to AS root, count(*) AS events FROM events
      WHERE flags = 0 AND redacted_by IS NULL AND rel_type_nid = (SELECT nid FROM event_types WHERE type = 'm.thread')
      GROUP BY relates_to) e ON e.root = t.root
    FULL JOIN (SELECT root, sum(events) AS events FROM thread_participants GROUP BY root) p ON p.root = coalesce(t.root, e.root)
    WHERE t.events IS DISTINCT FROM e.events OR t.events IS DISTINCT FROM p.events`,
  "an event names a previous event that does not exist": `
    SELECT 'event ' || e.nid AS found FROM events e CROSS JOIN unnest(e.prev_nids) AS prev (nid)
    LEFT JOIN events p ON p.nid = prev.nid WHERE p.nid IS NULL`,
  "an event names an authorising event that does not exist or is none": `
    SELECT 'event ' || e.nid AS found FROM events e CROSS JOIN unnest(e.auth_nids) AS auth (nid)
    LEFT JOIN events a ON a.nid = auth.nid AND a.room_nid = e.room_nid WHERE a.nid IS NULL OR a.tuple_nid IS NULL`,
  "the ends of a room's history are wrong": `
    WITH ends AS (
      SELECT r.nid, r.extremities AS stored, r.dropped_ends AS dropped, ARRAY (SELECT e.nid FROM events e
        WHERE e.room_nid = r.nid AND (e.flags = 0 AND e.ordinal IS NOT NULL OR e.flags & 64 <> 0) AND NOT EXISTS (
          SELECT FROM (SELECT unnest(x.prev_nids) AS prev FROM events x WHERE x.room_nid = r.nid AND x.flags & 2 = 0 AND (x.ordinal IS NOT NULL OR x.flags & 80 <> 0)) p
          WHERE p.prev = e.nid)) AS nids
      FROM rooms r)
    SELECT 'room ' || nid AS found FROM ends WHERE NOT stored <@ nids
      -- Who has come back to a room has left the ends from before behind: they are older than an event that follows unknown ones, or
      -- ones that became known as history.
      OR EXISTS (SELECT FROM unnest(nids) AS lone (nid) JOIN events e ON e.nid = lone.nid WHERE lone.nid <> ALL (stored || dropped)
        AND NOT EXISTS (SELECT FROM missing_events m JOIN events x ON x.nid = m.named_by
          WHERE x.room_nid = e.room_nid AND x.ordinal > e.ordinal)
        AND NOT EXISTS (SELECT FROM events x JOIN events p ON p.nid = ANY (x.prev_nids) AND p.ordinal IS NULL
          WHERE x.room_nid = e.room_nid AND x.ordinal > e.ordinal))`,
  "a snapshot is missing": `
    SELECT 'snapshot ' || wanted.nid AS found FROM (
      SELECT DISTINCT state_before AS nid FROM events WHERE state_before IS NOT NULL
      UNION SELECT snapshot FROM rooms WHERE snapshot IS NOT NULL
      UNION SELECT parent FROM state_snapshots WHERE parent IS NOT NULL) wanted
    LEFT JOIN state_snapshots s ON s.nid = wanted.nid WHERE s.nid IS NULL`,
  "the current state of a room is not that of its last snapshot": `
    WITH RECURSIVE chain AS (
      SELECT r.nid AS room_nid, s.number, s.parent, s.tuple_nids, s.event_nids
        FROM rooms r JOIN state_snapshots s ON s.nid = r.snapshot
      UNION ALL SELECT chain.room_nid, s.number, s.parent, s.tuple_nids, s.event_nids
        FROM chain JOIN state_snapshots s ON s.nid = chain.parent),
    folded AS (
      SELECT DISTINCT ON (chain.room_nid, change.tuple_nid) chain.room_nid, change.tuple_nid, change.event_nid
      FROM chain CROSS JOIN LATERAL unnest(chain.tuple_nids, chain.event_nids) AS change (tuple_nid, event_nid)
      ORDER BY chain.room_nid, change.tuple_nid, chain.number DESC)
    SELECT 'room ' || coalesce(f.room_nid, c.room_nid) || ' state ' || coalesce(f.tuple_nid, c.tuple_nid) AS found
    FROM (SELECT * FROM folded WHERE event_nid <> 0) f
    FULL JOIN (SELECT * FROM current_state WHERE event_nid IS NOT NULL) c
      ON c.room_nid = f.room_nid AND c.tuple_nid = f.tuple_nid
    WHERE f.event_nid IS DISTINCT FROM c.event_nid`,
  "a user's membership is not that of the room's state": `
    SELECT 'user ' || m.user_nid || ' in room ' || m.room_nid AS found FROM memberships m
    LEFT JOIN current_state c ON c.room_nid = m.room_nid AND c.user_nid = m.user_nid AND c.event_nid = m.event_nid
    WHERE c.membership IS DISTINCT FROM m.membership
      -- Where none of ours is, other servers say what a user of ours is, and the event has no place in the room.
      AND NOT (c.membership IS NULL AND m.membership <> 1 AND EXISTS (SELECT FROM events e WHERE e.nid = m.event_nid AND e.flags & 1 <> 0))`,
  "a timeline event is not in the log at its position": `
    SELECT 'event ' || e.nid AS found FROM events e
    WHERE e.ordinal IS NOT NULL AND e.position >= (SELECT min(position) FROM log) AND (
      SELECT count(*) FROM log l WHERE l.room_nid = e.room_nid AND l.position = e.position AND l.kind = 1
        AND l.reference = e.nid) <> 1`,
  "the log speaks of an event that does not exist": `
    SELECT 'position ' || l.position AS found FROM log l LEFT JOIN events e ON e.nid = l.reference
    WHERE l.kind IN (1, 3) AND e.nid IS NULL`,
  "a room is known in part and nobody asks for the rest": `
    SELECT 'room ' || r.nid AS found FROM rooms r LEFT JOIN room_entries e ON e.room_nid = r.nid
    WHERE (r.whole_since IS NULL) <> (coalesce(e.phase, '') = 'incomplete')`,
  "the servers of a room are not counted as its members are": `
    WITH counted AS (SELECT room_nid, server_of(u.user_id) AS server_name, count(*) AS members
        FROM current_state c JOIN users u ON u.nid = c.user_nid WHERE c.membership = 1 GROUP BY 1, 2
      UNION ALL SELECT room_nid, unnest(servers), 1 FROM room_entries WHERE phase = 'incomplete'),
    wanted AS (SELECT room_nid, server_name, sum(members) AS members FROM counted GROUP BY 1, 2)
    SELECT 'room ' || coalesce(j.room_nid, w.room_nid) || ' server ' || coalesce(j.server_name, w.server_name) AS found
    FROM (SELECT * FROM joined_servers WHERE members <> 0) j FULL JOIN wanted w ON w.room_nid = j.room_nid AND w.server_name = j.server_name
    WHERE j.members IS DISTINCT FROM w.members`,
  "a transaction id is of an event that does not exist": `
    SELECT 'event ' || t.event_nid AS found FROM transaction_ids t LEFT JOIN events e ON e.nid = t.event_nid
    WHERE e.nid IS NULL`,
  "a redaction points nowhere": `
    SELECT 'event ' || e.nid AS found FROM events e LEFT JOIN events r ON r.nid = e.redacted_by AND r.room_nid = e.room_nid
    WHERE e.redacted_by IS NOT NULL AND r.nid IS NULL`,
  "a state event has no place in the auth chains": `
    SELECT 'event ' || e.nid AS found FROM events e LEFT JOIN auth_chains c ON c.event_nid = e.nid
    WHERE e.tuple_nid IS NOT NULL AND (e.flags & 1) = 0 AND c.event_nid IS NULL`,
  "a cursor is ahead of the log's sequence": `
    SELECT 'cursor ' || name AS found FROM log_cursors WHERE position > (SELECT last_value FROM log_position)`,
  "a position is ahead of its sequence": `
    SELECT 'position ' || max(position) AS found FROM log HAVING max(position) > (SELECT last_value FROM log_position)`,
};

/** Makes all checks on a database that may be in use: each sees one moment of it. */
export async function fsck(database: Pick<Database, "read">, progress: (check: string) => void = () => undefined): Promise<FsckReport> {
  const problems: Problem[] = [];
  const names = Object.keys(CHECKS);
  for (const [check, query] of Object.entries(CHECKS)) {
    progress(check);
    const statement: Statement<{ found: string }> = {
      name: `fsck_${names.indexOf(check)}`,
      text: `SELECT found FROM (${query}) AS problems LIMIT ${MOST}`,
    };
    for (const { found } of await database.read(statement, [])) problems.push({ check, where: found });
  }
  return { checks: names.length, problems };
}
