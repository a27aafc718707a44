// Deletes all that is stored of a room, in steps that each take a moment. Whoever adds a table that speaks of rooms adds it here.
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";

/** Rows of one step. */
const STEP = 1_000;

/** Tables whose rows belong to a room. What can be looked up from outside goes first, then what hangs on it. */
const TABLES = [
  "room_aliases", "published_rooms", "open_rooms", "server_notice_rooms", "room_upgrades", "reports", "account_data",
  "receipts", "search_index", "push_outbox", "push_mail_pauses", "appservice_members", "offered_state",
  "thread_subscriptions", "counted_events", "counted_scopes", "count_exceptions", "threads", "current_state", "joined_servers", "joined_members", "missing_events",
  "event_relationships", "pending_redactions", "room_entries", "receipts_ahead", "sticky_events", "soft_failed_sticky",
] as const;

const FORGET: Statement = { name: "room_purge_forget", text: "DELETE FROM rooms WHERE nid = $1 RETURNING nid" };
const REPLACEMENTS: Statement = { name: "room_purge_replacements", text: "DELETE FROM room_upgrades WHERE replacement_nid = $1" };
const MEMBERSHIPS: Statement<{ user_nid: number }> = {
  name: "room_purge_memberships",
  text: `DELETE FROM memberships WHERE ctid = ANY (ARRAY (SELECT ctid FROM memberships WHERE room_nid = $1 LIMIT ${STEP})) RETURNING user_nid`,
};
const ROWS: readonly Statement[] = TABLES.map((table) => ({
  name: `room_purge_${table}`,
  text: `DELETE FROM ${table} WHERE ctid = ANY (ARRAY (SELECT ctid FROM ${table} WHERE room_nid = $1 LIMIT ${STEP})) RETURNING 1 AS one`,
}));
const LOG: Statement = {
  name: "room_purge_log", // log_room
  text: `DELETE FROM log WHERE (position, index) IN (SELECT position, index FROM log WHERE room_nid = $1 ORDER BY position LIMIT ${STEP})
    RETURNING 1 AS one`,
};
const EVENTS: Statement = {
  name: "room_purge_events", // events_depth
  text: `WITH gone AS (DELETE FROM events WHERE nid = ANY (ARRAY (SELECT nid FROM events WHERE room_nid = $1 LIMIT ${STEP})) RETURNING nid),
      state AS (DELETE FROM state_event_json s USING gone WHERE s.nid = gone.nid),
      messages AS (DELETE FROM message_json m USING gone WHERE m.nid = gone.nid),
      sent AS (DELETE FROM transaction_ids t USING gone WHERE t.event_nid = gone.nid),
      contents AS (DELETE FROM redacted_contents c USING gone WHERE c.event_nid = gone.nid),
      participants AS (DELETE FROM thread_participants p USING gone WHERE p.root = gone.nid),
      owed AS (DELETE FROM owed_events o USING gone WHERE o.event_nid = gone.nid),
      links AS (DELETE FROM auth_chain_links l USING auth_chains c, gone
        WHERE c.event_nid = gone.nid AND l.chain = c.chain AND l.sequence = c.sequence),
      chains AS (DELETE FROM auth_chains c USING gone WHERE c.event_nid = gone.nid)
    SELECT 1 AS one FROM gone`,
};
const SNAPSHOTS: Statement = {
  name: "room_purge_snapshots", // state_snapshots_room
  text: `DELETE FROM state_snapshots WHERE nid = ANY (ARRAY (SELECT nid FROM state_snapshots WHERE room_nid = $1 LIMIT ${STEP})) RETURNING 1 AS one`,
};

/**
 * Deletes all that is stored of a room, first that there is one: from then on nobody can write to it, since its owner's fence finds
 * nothing. It can be called again for a room of which a part is gone. `progress` hears of each step.
 */
export async function purgeRoom(database: Database, roomNid: number, progress: (rows: number) => Promise<void>): Promise<void> {
  await database.transaction(async (tx) => {
    await Promise.all([tx.query(FORGET, [roomNid]), tx.query(REPLACEMENTS, [roomNid])]);
  });
  for (let rows = STEP; rows >= STEP; ) {
    rows = await database.transaction(async (tx) => {
      const members = await tx.query(MEMBERSHIPS, [roomNid]);
      // Whoever keeps lists of rooms reads theirs again.
      tx.append(members.map(({ user_nid }) => ({ kind: "invalidation", user_nid })));
      return members.length;
    });
    if (rows > 0) await progress(rows);
  }
  for (const statement of [...ROWS, LOG, EVENTS, SNAPSHOTS]) {
    for (let rows = STEP; rows >= STEP; ) {
      rows = (await database.write(statement, [roomNid])).length;
      if (rows > 0) await progress(rows);
    }
  }
}
