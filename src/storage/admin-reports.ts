// Reports of users as administrators look at them.
import type { EventId, RoomId, UserId } from "../protocol/identifiers.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

export interface EventReport {
  readonly id: number;
  readonly received_ts: number;
  readonly reporter: UserId;
  readonly reason: string | null;
  readonly score: number | null;
  readonly room_nid: number;
  readonly room_id: RoomId;
  readonly event_nid: number;
  readonly event_id: EventId;
  readonly sender: UserId;
}

export interface UserReport {
  readonly id: number;
  readonly received_ts: number;
  readonly reporter: UserId;
  readonly reason: string | null;
  readonly target: UserId;
}

export interface ReportFilter {
  readonly id?: number | undefined;
  /** Part of the id of who reported. */
  readonly reporter?: string | undefined;
  /** Part of the id of who is reported, or of who sent what is. */
  readonly reported?: string | undefined;
  readonly room_id?: string | undefined;
}

interface Page {
  readonly from: number;
  readonly limit: number;
  readonly oldestFirst: boolean;
}

const EVENTS = `FROM reports p JOIN users u ON u.nid = p.reporter_nid JOIN rooms r ON r.nid = p.room_nid
    JOIN events e ON e.nid = p.event_nid JOIN users s ON s.nid = e.sender_nid
  WHERE ($1::bigint IS NULL OR p.nid = $1) AND ($2::text IS NULL OR strpos(u.user_id, $2) > 0)
    AND ($3::text IS NULL OR strpos(s.user_id, $3) > 0) AND ($4::text IS NULL OR strpos(r.room_id, $4) > 0)`;
const USERS = `FROM reports p JOIN users u ON u.nid = p.reporter_nid JOIN users t ON t.nid = p.user_nid
  WHERE ($1::bigint IS NULL OR p.nid = $1) AND ($2::text IS NULL OR strpos(u.user_id, $2) > 0)
    AND ($3::text IS NULL OR strpos(t.user_id, $3) > 0)`;
const RECEIVED = "(extract(epoch FROM p.received) * 1000)::bigint AS received_ts";

const listOf = <R extends object>(name: string, columns: string, from: string, values: number): readonly [Statement<R>, Statement<R>] => {
  const [limit, offset] = [`$${values + 1}`, `$${values + 2}`];
  const text = (direction: string): string =>
    `SELECT p.nid AS id, ${RECEIVED}, u.user_id AS reporter, p.reason, ${columns} ${from} ORDER BY p.nid ${direction} LIMIT ${limit} OFFSET ${offset}`;
  return [
    { name: `${name}_oldest`, text: text("ASC") },
    { name: `${name}_newest`, text: text("DESC") },
  ];
};
const EVENT_LISTS = listOf<EventReport>(
  "admin_reports_of_events",
  "p.score, p.room_nid, r.room_id, p.event_nid, e.event_id, s.user_id AS sender",
  EVENTS,
  4,
);
const USER_LISTS = listOf<UserReport>("admin_reports_of_users", "t.user_id AS target", USERS, 3);
const COUNT_EVENTS: Statement<{ total: number }> = { name: "admin_reports_count_events", text: `SELECT count(*) AS total ${EVENTS}` };
const COUNT_USERS: Statement<{ total: number }> = { name: "admin_reports_count_users", text: `SELECT count(*) AS total ${USERS}` };

const text = (value: string | undefined): string | null => (value === undefined ? null : toText(value));
const decoded = <R extends { readonly reason: string | null }>(row: R): R => ({
  ...row,
  reason: row.reason === null ? null : fromText(row.reason),
});

/** A page of the reports of events that pass a filter, and how many pass it. */
export async function listEventReports(reads: Reads, filter: ReportFilter, page: Page): Promise<{ reports: EventReport[]; total: number }> {
  const values = [filter.id ?? null, text(filter.reporter), text(filter.reported), text(filter.room_id)];
  const list = EVENT_LISTS[page.oldestFirst ? 0 : 1];
  const [rows, counted] = await Promise.all([reads.read(list, [...values, page.limit, page.from]), reads.read(COUNT_EVENTS, values)]);
  return { reports: rows.map(decoded), total: counted[0]?.total ?? 0 };
}

/** A page of the reports of users that pass a filter, and how many pass it. */
export async function listUserReports(reads: Reads, filter: ReportFilter, page: Page): Promise<{ reports: UserReport[]; total: number }> {
  const values = [filter.id ?? null, text(filter.reporter), text(filter.reported)];
  const list = USER_LISTS[page.oldestFirst ? 0 : 1];
  const [rows, counted] = await Promise.all([reads.read(list, [...values, page.limit, page.from]), reads.read(COUNT_USERS, values)]);
  return { reports: rows.map(decoded), total: counted[0]?.total ?? 0 };
}

const DELETE: Statement = {
  name: "admin_reports_delete",
  text: "DELETE FROM reports WHERE nid = $1 AND (event_nid IS NOT NULL) = $2 AND (user_nid IS NOT NULL) = $3 RETURNING nid",
};

/** Deletes a report of an event or of a user; false if there is none of this number. */
export async function deleteReport(tx: Queryable, id: number, of: "event" | "user"): Promise<boolean> {
  return (await tx.query(DELETE, [id, of === "event", of === "user"])).length > 0;
}
