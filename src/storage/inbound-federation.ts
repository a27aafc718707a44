// What other servers have sent: events that wait to be worked into their rooms, and transactions that were answered.
import type { EventId, RoomId, ServerName } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** An event as it came. */
export interface StagedEvent {
  readonly room_id: RoomId;
  readonly event_id: EventId;
  readonly origin: ServerName;
  readonly json: string;
}

const STAGE: Statement = {
  name: "staged_events_add",
  text: `INSERT INTO staged_events (room_id, event_id, origin, json, received_ts, due_ts)
    SELECT room_id, event_id, $3, json, $5, $6 FROM unnest($1::text[], $2::text[], $4::text[]) AS event (room_id, event_id, json)
    ON CONFLICT (room_id, event_id) DO NOTHING`,
};
const TAKE: Statement<StagedEvent> = {
  name: "staged_events_take", // staged_events_due
  text: `UPDATE staged_events SET attempts = attempts + 1, due_ts = $1 + $2 * (2 ^ least(attempts, 8))::bigint
    WHERE nid IN (SELECT nid FROM staged_events WHERE due_ts <= $1 AND room_id <> ALL ($4::text[]) ORDER BY due_ts LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING room_id, event_id, origin, json`,
};
const TAKE_FRESH: Statement<StagedEvent> = {
  name: "staged_events_take_fresh", // staged_events_fresh
  text: `UPDATE staged_events SET attempts = 1, due_ts = $2
    WHERE nid IN (SELECT nid FROM staged_events WHERE room_id = $1 AND attempts = 0 ORDER BY nid LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING room_id, event_id, origin, json`,
};
const REMOVE: Statement = {
  name: "staged_events_remove",
  text: `DELETE FROM staged_events USING unnest($1::text[], $2::text[]) AS done (room_id, event_id)
    WHERE staged_events.room_id = done.room_id AND staged_events.event_id = done.event_id`,
};
const GIVE_UP: Statement = {
  name: "staged_events_give_up",
  text: "DELETE FROM staged_events WHERE received_ts < $1",
};
const ANSWER: Statement<{ answer: string }> = {
  name: "inbound_transactions_answer",
  text: "SELECT answer FROM inbound_transactions WHERE origin = $1 AND destination = $2 AND txn_id = $3",
};
const ANSWERED: Statement = {
  name: "inbound_transactions_answered",
  text: `INSERT INTO inbound_transactions (origin, destination, txn_id, answer, received_ts) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING`,
};
const FORGET: Statement = {
  name: "inbound_transactions_forget", // inbound_transactions_received
  text: "DELETE FROM inbound_transactions WHERE received_ts < $1",
};

/** Keeps events of one server until they are worked in: nobody else takes them up before `due`, in milliseconds. */
export async function stageEvents(
  database: Database,
  origin: ServerName,
  events: readonly Omit<StagedEvent, "origin">[],
  now: number,
  due: number,
): Promise<void> {
  const column = <Key extends keyof Omit<StagedEvent, "origin">>(key: Key) => events.map((event) => event[key]);
  await database.execute(STAGE, [column("room_id"), column("event_id"), origin, column("json"), now, due]);
}

/**
 * Takes up events whose time has come, but for those of some rooms; they come back after `pauseMs`, longer each time, unless they are
 * removed.
 */
export async function takeStagedEvents(database: Database, now: number, pauseMs: number, limit: number, without: readonly RoomId[]): Promise<StagedEvent[]> {
  return await database.write(TAKE, [now, pauseMs, limit, without]);
}

/** Takes up events of a room that nobody has taken up yet, the first that came first: nobody else does before `due`, in milliseconds. */
export async function takeFreshEvents(database: Database, roomId: RoomId, due: number, limit: number): Promise<StagedEvent[]> {
  return await database.write(TAKE_FRESH, [roomId, due, limit]);
}

/** Removes events that are decided. */
export async function removeStagedEvents(
  database: Database,
  events: readonly { readonly room_id: RoomId; readonly event_id: EventId }[],
): Promise<void> {
  if (events.length === 0) return;
  await database.execute(REMOVE, [events.map(({ room_id }) => room_id), events.map(({ event_id }) => event_id)]);
}

/** What a transaction was answered; undefined if it was not. */
export async function answeredTransaction(
  reads: Reads,
  origin: ServerName,
  destination: ServerName,
  txnId: string,
): Promise<string | undefined> {
  return (await reads.read(ANSWER, [origin, destination, txnId]))[0]?.answer;
}

/** Remembers what a transaction was answered. */
export async function noteAnsweredTransaction(
  database: Database,
  origin: ServerName,
  destination: ServerName,
  txnId: string,
  answer: string,
  now: number,
): Promise<void> {
  await database.execute(ANSWERED, [origin, destination, txnId, answer, now]);
}

/** Forgets transactions and gives up events that came before a time, in milliseconds. */
export async function forgetInbound(database: Database, before: { readonly transactions: number; readonly events: number }): Promise<void> {
  await database.write(FORGET, [before.transactions]);
  await database.write(GIVE_UP, [before.events]);
}

const PLACED: Statement<{ event_id: string }> = {
  name: "inbound_placed_events", // events_event_id_key
  text: "SELECT event_id FROM events WHERE event_id = ANY ($1::text[]) AND flags & 1 = 0",
};

/** Which of these events have a place in their rooms, whatever was decided about them. */
export async function placedEvents(reads: Reads, ids: readonly EventId[]): Promise<Set<string>> {
  return new Set((await reads.read(PLACED, [ids.map(toText)])).map(({ event_id }) => fromText(event_id)));
}
