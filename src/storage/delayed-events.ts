// Events that are to be sent later, and what became of them.
import type { EventId, RoomId, UserId } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** An event as it was scheduled. */
export interface Scheduled {
  readonly delay_id: string;
  readonly room_id: RoomId;
  readonly type: string;
  readonly state_key: string | null;
  /** JSON text. */
  readonly content: string;
  readonly origin_server_ts: number | null;
  readonly sticky_duration_ms: number | null;
  readonly delay_ms: number;
  readonly running_since: number;
  readonly send_ts: number;
}

/** With what became of it: sent, failed (JSON text of the error), or cancelled if it is over without either. */
export interface DelayedEvent extends Scheduled {
  readonly finalised_ts: number | null;
  readonly event_id: EventId | null;
  readonly error: string | null;
}

/** One that a process is to send now. */
export interface DueEvent extends Scheduled {
  readonly user_nid: number;
  readonly user_id: UserId;
  readonly is_guest: boolean;
  readonly is_admin: boolean;
  readonly locked: boolean;
  readonly suspended: boolean;
  readonly deactivated: boolean;
  readonly shadow_banned: boolean;
}

/** What a list is restricted to. */
export interface DelayedFilter {
  readonly room_id?: RoomId | undefined;
  readonly type?: string | undefined;
  readonly status?: "scheduled" | "finalised" | undefined;
  readonly outcome?: "send" | "cancel" | "error" | undefined;
}

/** A place in the list. */
export interface DelayedPlace {
  readonly send_ts: number;
  readonly delay_id: string;
}

/** Of what is over, a user keeps so many. */
const KEPT_FINALISED = 1_000;

const SCHEDULED = "delay_id, room_id, type, state_key, content, origin_server_ts, sticky_duration_ms, delay_ms, running_since, send_ts";
const ALL = `${SCHEDULED}, finalised_ts, event_id, error`;

const BY_KEY: Statement<{ delay_id: string }> = {
  name: "delayed_events_by_key",
  text: "SELECT delay_id FROM delayed_events WHERE transaction_key = decode($1, 'hex')",
};
const COUNT: Statement<{ count: number; next: number | null }> = {
  name: "delayed_events_count", // delayed_events_user
  text: "SELECT count(*) AS count, min(send_ts) AS next FROM delayed_events WHERE user_nid = $1 AND finalised_ts IS NULL",
};
const INSERT: Statement = {
  name: "delayed_events_insert",
  text: `INSERT INTO delayed_events (user_nid, transaction_key, ${SCHEDULED})
    VALUES ($1, decode($2, 'hex'), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
};
const FORGET_OLDEST: Statement = {
  name: "delayed_events_forget_oldest", // delayed_events_user
  text: `DELETE FROM delayed_events WHERE delay_id IN (SELECT delay_id FROM delayed_events
    WHERE user_nid = $1 AND finalised_ts IS NOT NULL ORDER BY send_ts DESC OFFSET ${KEPT_FINALISED})`,
};
const FIND: Statement<DelayedEvent & { user_nid: number }> = {
  name: "delayed_events_find",
  text: `SELECT user_nid, ${ALL} FROM delayed_events WHERE delay_id = $1`,
};
const LIST_TEXT = (comparison: string, order: string): string => `SELECT ${ALL} FROM delayed_events
    WHERE user_nid = $1 AND (send_ts, delay_id) ${comparison} ($2, $3) AND room_id = coalesce($4, room_id) AND type = coalesce($5, type)
      AND ($6::boolean IS NULL OR $6 = (finalised_ts IS NOT NULL))
      AND ($7::text IS NULL OR finalised_ts IS NOT NULL AND $7 = CASE WHEN event_id IS NOT NULL THEN 'send' WHEN error IS NOT NULL THEN 'error' ELSE 'cancel' END)
    ORDER BY send_ts ${order}, delay_id ${order} LIMIT $8`;
const LIST: Statement<DelayedEvent> = { name: "delayed_events_list", text: LIST_TEXT(">", "ASC") }; // delayed_events_user
const LIST_BACK: Statement<DelayedEvent> = { name: "delayed_events_list_back", text: LIST_TEXT("<", "DESC") }; // delayed_events_user
const DUE_ROWS = (which: string): string => `UPDATE delayed_events d SET claimed_until_ts = $2 FROM accounts a, users u
    WHERE d.delay_id IN (SELECT delay_id FROM delayed_events WHERE ${which} FOR UPDATE SKIP LOCKED)
      AND a.user_nid = d.user_nid AND u.nid = d.user_nid
    RETURNING d.user_nid, u.user_id, a.is_guest, a.is_admin, a.locked, a.suspended, a.shadow_banned, a.deactivated_ts IS NOT NULL AS deactivated,
      ${SCHEDULED.split(", ").map((column) => `d.${column}`).join(", ")}`;
const CLAIM_DUE: Statement<DueEvent> = {
  name: "delayed_events_claim_due", // delayed_events_due
  text: DUE_ROWS("finalised_ts IS NULL AND send_ts <= $1 AND claimed_until_ts <= $1 ORDER BY send_ts LIMIT $3"),
};
const CLAIM_ONE: Statement<DueEvent> = {
  name: "delayed_events_claim_one",
  text: DUE_ROWS("delay_id = $3 AND finalised_ts IS NULL AND claimed_until_ts <= $1"),
};
const NEXT: Statement<{ next: number | null }> = {
  name: "delayed_events_next", // delayed_events_due
  text: "SELECT min(greatest(send_ts, claimed_until_ts)) AS next FROM (SELECT send_ts, claimed_until_ts FROM delayed_events WHERE finalised_ts IS NULL ORDER BY send_ts LIMIT 100) AS first",
};
const RELEASE: Statement = { name: "delayed_events_release", text: "UPDATE delayed_events SET claimed_until_ts = 0 WHERE delay_id = $1" };
const FINALISE: Statement = {
  name: "delayed_events_finalise",
  text: "UPDATE delayed_events SET finalised_ts = $2, event_id = $3, error = $4 WHERE delay_id = $1 AND finalised_ts IS NULL",
};
const CANCEL: Statement<{ delay_id: string }> = {
  name: "delayed_events_cancel",
  text: `UPDATE delayed_events SET finalised_ts = $2 WHERE delay_id = $1 AND finalised_ts IS NULL AND claimed_until_ts <= $2 RETURNING delay_id`,
};
const RESTART: Statement<{ delay_id: string }> = {
  name: "delayed_events_restart",
  text: `UPDATE delayed_events SET running_since = $2, send_ts = $2 + delay_ms
    WHERE delay_id = $1 AND finalised_ts IS NULL AND claimed_until_ts <= $2 RETURNING delay_id`,
};
const EXPIRE: Statement = {
  name: "delayed_events_expire", // delayed_events_finalised
  text: "DELETE FROM delayed_events WHERE finalised_ts < $1",
};

/** What was scheduled under the digest of a transaction id (hexadecimal). */
export async function scheduledUnder(tx: Queryable, key: string): Promise<string | undefined> {
  const [row] = await tx.query(BY_KEY, [key]);
  return row?.delay_id;
}

/** How many events a user has scheduled, and when the next is sent. */
export async function countScheduled(tx: Queryable, userNid: number): Promise<{ count: number; next: number | null }> {
  const [row] = await tx.query(COUNT, [userNid]);
  return row ?? { count: 0, next: null };
}

/** Schedules an event, and forgets of what is over with the user what is too much. */
export async function insertScheduled(tx: Queryable, userNid: number, key: string | undefined, event: Scheduled): Promise<void> {
  const { delay_id, room_id, type, state_key, content, origin_server_ts, sticky_duration_ms, delay_ms, running_since, send_ts } = event;
  await Promise.all([
    tx.query(INSERT, [
      userNid,
      key ?? null,
      delay_id,
      toText(room_id),
      toText(type),
      state_key === null ? null : toText(state_key),
      content,
      origin_server_ts,
    sticky_duration_ms,
      delay_ms,
      running_since,
      send_ts,
    ]),
    tx.query(FORGET_OLDEST, [userNid]),
  ]);
}

/** One event, scheduled or over, and whose it is. */
export async function findDelayed(reads: Reads, delayId: string): Promise<(DelayedEvent & { user_nid: number }) | undefined> {
  const [row] = await reads.read(FIND, [toText(delayId)]);
  return row && read(row);
}

/** A user's events from a place on, by the time at which they are to be sent. */
export async function listDelayed(
  reads: Reads,
  userNid: number,
  { room_id, type, status, outcome }: DelayedFilter,
  { from, backwards, limit }: { readonly from: DelayedPlace; readonly backwards: boolean; readonly limit: number },
): Promise<DelayedEvent[]> {
  const rows = await reads.read(backwards ? LIST_BACK : LIST, [
    userNid,
    from.send_ts,
    from.delay_id,
    room_id === undefined ? null : toText(room_id),
    type === undefined ? null : toText(type),
    status === undefined ? null : status === "finalised",
    outcome ?? null,
    limit,
  ]);
  return rows.map(read);
}

/** Takes events whose time has come, the earliest first, until a time. */
export async function claimDue(database: Database, now: number, until: number, most: number): Promise<DueEvent[]> {
  const rows = (await database.write(CLAIM_DUE, [now, until, most])).map(read);
  return rows.map(withUser).toSorted((a, b) => a.send_ts - b.send_ts);
}

/** Takes one event, whenever its time is; undefined if it is over or somebody else has it. */
export async function claimDelayed(database: Database, delayId: string, now: number, until: number): Promise<DueEvent | undefined> {
  const [row] = await database.write(CLAIM_ONE, [now, until, toText(delayId)]);
  return row && withUser(read(row));
}

/** When there is next something to do. */
export async function nextDue(reads: Reads): Promise<number | undefined> {
  const [row] = await reads.read(NEXT, []);
  return row?.next ?? undefined;
}

/** Lets an event wait on for its time. */
export async function releaseDelayed(database: Database, delayId: string): Promise<void> {
  await database.write(RELEASE, [delayId]);
}

/** Notes that an event was sent, or why not: `error` is JSON text. */
export async function finaliseDelayed(
  database: Database,
  delayId: string,
  now: number,
  outcome: { readonly event_id: EventId } | { readonly error: string },
): Promise<void> {
  const [eventId, error] = "event_id" in outcome ? [outcome.event_id, null] : [null, outcome.error];
  await database.write(FINALISE, [delayId, now, eventId, error]);
}

/** Cancels an event; false if it is over or being sent. */
export async function cancelDelayed(database: Database, delayId: string, now: number): Promise<boolean> {
  return (await database.write(CANCEL, [toText(delayId), now])).length > 0;
}

/** Lets an event's delay begin anew; false if it is over or being sent. */
export async function restartDelayed(database: Database, delayId: string, now: number): Promise<boolean> {
  return (await database.write(RESTART, [toText(delayId), now])).length > 0;
}

/** Forgets events that were over before a time. */
export async function expireDelayed(database: Database, before: number): Promise<void> {
  await database.write(EXPIRE, [before]);
}

const withUser = (event: DueEvent): DueEvent => ({ ...event, user_id: fromText(event.user_id) as UserId });

function read<Row extends Scheduled>(row: Row): Row {
  return {
    ...row,
    room_id: fromText(row.room_id) as RoomId,
    type: fromText(row.type),
    state_key: row.state_key === null ? null : fromText(row.state_key),
  };
}
