// What clients sent under which transaction id, so that sending again gives the same event.
import { hash } from "node:crypto";
import type { EventId } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** A digest of the scope of a transaction id, in hexadecimal: one device of one user, one endpoint ("Transaction identifiers"). */
export function transactionKey(user: string, device: string, endpoint: string, txnId: string): string {
  return hash("sha256", JSON.stringify([user, device, endpoint, txnId]), "hex");
}

export interface SentEvent {
  readonly key: string;
  readonly event_id: EventId;
  readonly position: number;
}

const BY_KEY: Statement<SentEvent> = {
  name: "transaction_ids_by_key", // transaction_ids_pkey
  text: `SELECT encode(t.key, 'hex') AS key, e.event_id, e.position FROM transaction_ids t JOIN events e ON e.nid = t.event_nid
    WHERE t.key = ANY(SELECT decode(wanted, 'hex') FROM unnest($1::text[]) AS wanted)`,
};

/** The events that were sent under these keys. */
export async function eventsSentUnder(database: Reads, keys: readonly string[]): Promise<SentEvent[]> {
  return keys.length === 0 ? [] : await database.read(BY_KEY, [keys]);
}

const OF_EVENTS: Statement<{ event_nid: number; txn_id: string }> = {
  name: "transaction_ids_of_events", // transaction_ids_event
  text: "SELECT event_nid, txn_id FROM transaction_ids WHERE event_nid = ANY($1) AND user_nid = $2 AND device_id = $3",
};

/** The transaction ids under which a device sent events: what `unsigned.transaction_id` shows to that device alone. */
export async function transactionIdsOf(
  database: Reads,
  eventNids: readonly number[],
  userNid: number,
  device: string,
): Promise<Map<number, string>> {
  const rows = eventNids.length === 0 ? [] : await database.read(OF_EVENTS, [eventNids, userNid, toText(device)]);
  return new Map(rows.map((row) => [row.event_nid, fromText(row.txn_id)]));
}

/** Stands for a device where an event was delayed (MSC4140): its transaction id is the id of the delayed event. */
export const DELAYED = "\0delayed";

const SENT_AS: Statement<{ event_nid: number; txn_id: string; delayed: boolean }> = {
  name: "transaction_ids_sent_as", // transaction_ids_event
  text: "SELECT event_nid, txn_id, device_id = $4 AS delayed FROM transaction_ids WHERE event_nid = ANY($1) AND user_nid = $2 AND device_id IN ($3, $4)",
};

/** What `unsigned` says of events to their sender: to the device that sent them its transaction ids, to all the ids of delayed events. */
export async function sentAs(
  reads: Reads,
  eventNids: readonly number[],
  userNid: number,
  device: string,
): Promise<{ readonly transactions: ReadonlyMap<number, string>; readonly delays: ReadonlyMap<number, string> }> {
  const rows = eventNids.length === 0 ? [] : await reads.read(SENT_AS, [eventNids, userNid, toText(device), toText(DELAYED)]);
  const of = (delayed: boolean) => new Map(rows.filter((row) => row.delayed === delayed).map((row) => [row.event_nid, fromText(row.txn_id)]));
  return { transactions: of(false), delays: of(true) };
}

const EXPIRE: Statement<{ count: number }> = {
  name: "transaction_ids_expire", // transaction_ids_created
  text: `WITH old AS (SELECT key FROM transaction_ids WHERE created < now() - interval '1 day' LIMIT 10000),
      gone AS (DELETE FROM transaction_ids USING old WHERE transaction_ids.key = old.key RETURNING 1)
    SELECT count(*) AS count FROM gone`,
};

/** Forgets transaction ids that no client will send again: how many, at most 10,000 at a time. */
export async function expireTransactionIds(database: Database): Promise<number> {
  const [row] = await database.write(EXPIRE, []);
  return row?.count ?? 0;
}
