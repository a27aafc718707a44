// The most common change of all, one message of one of our users, as a statement of plain values. It writes what the general
// statement would; only the way of the rows into PostgreSQL is a shorter one.
import type { CountRows } from "./counts.js";
import type { LogEntry } from "./log-entry.js";
import { type RoomRows, TABLES, writePushes } from "./room-rows.js";
import type { Statement } from "./statement.js";

const PARAMETERS = 26;

const MESSAGE = `write_message(${Array.from({ length: PARAMETERS }, (_, index) => `$${index + 1}`).join(", ")}) AS position`;

const WRITE_MESSAGE: Statement<{ position: number }> = {
  name: "write_message",
  text: `SELECT ${MESSAGE}`,
};
const WRITE_MESSAGE_AND_PUSHES: Statement<{ position: number }> = {
  name: "write_message_and_pushes",
  text: `SELECT ${writePushes(PARAMETERS + 1)}, ${MESSAGE}`,
};

/** The tables that a lone message writes one row of at most. */
const EXPECTED: ReadonlySet<string> = new Set(["fences", "events", "message_json", "transaction_ids"]);

/** The statement for changes that are a lone message, which takes their position and gives it; undefined if they are anything else. */
export function loneMessage(
  changes: readonly RoomRows[],
  entries: readonly LogEntry[],
): { readonly statement: Statement<{ position: number }>; readonly values: readonly unknown[] } | undefined {
  const [change] = changes;
  const [entry] = entries;
  if (changes.length !== 1 || entries.length !== 1 || change === undefined || entry?.kind !== "event") return undefined;
  const { fences, events, message_json, transaction_ids = [], counts, pushes = [] } = change;
  if (events?.length !== 1 || fences?.length !== 1 || message_json?.length !== 1 || transaction_ids.length > 1) return undefined;
  const [event] = events;
  const [fence] = fences;
  const [body] = message_json;
  const [transaction] = transaction_ids;
  if (event === undefined || fence === undefined || body === undefined || counts === undefined) return undefined;
  if (TABLES.some((table) => !EXPECTED.has(table) && (change[table]?.length ?? 0) > 0)) return undefined;
  if (event.ordinal === null || event.flags !== 0 || fence.snapshot !== event.state_before || !isUsual(counts)) return undefined;
  const [counted] = counts.counted_events;
  return {
    statement: pushes.length > 0 ? WRITE_MESSAGE_AND_PUSHES : WRITE_MESSAGE,
    values: [
      fence.revision,
      fence.owner,
      fence.extremities,
      event.nid,
      event.room_nid,
      event.event_id,
      event.type_nid,
      event.sender_nid,
      event.depth,
      event.origin_server_ts,
      event.ordinal,
      event.state_before,
      event.prev_nids,
      event.auth_nids,
      event.relates_to,
      event.rel_type_nid,
      event.thread_root,
      event.thread_ordinal,
      body.json,
      transaction === undefined ? null : Buffer.from(transaction.key, "hex"),
      transaction?.device_id ?? null,
      transaction?.txn_id ?? null,
      counted?.notifies ?? null,
      counted?.highlights ?? null,
      counted?.notified ?? null,
      counted?.highlighted ?? null,
      ...(pushes.length > 0 ? [JSON.stringify(pushes)] : []),
    ],
  };
}

/** Whether a message counts by the predefined rules alone: with its own receipt, and with nobody's exception. */
function isUsual({ counted_events, counted_scopes, count_exceptions, implied_receipts, uncounted_events }: CountRows): boolean {
  return (
    implied_receipts.length === 1 &&
    counted_events.length <= 1 &&
    counted_scopes.length === counted_events.length &&
    count_exceptions.length === 0 &&
    uncounted_events.length === 0
  );
}
