// How far users have read: one row per room, user, thread and kind of receipt.
import type { RoomId } from "../protocol/identifiers.js";
import type { BoundStatement } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";
import { WHOLE_ROOM } from "./threads.js";

/** Kinds as they are stored. `implied` is what the user did in the room; it is shown to nobody. */
const RECEIPT_KINDS = { "m.read": 1, "m.read.private": 2, implied: 3 } as const;

export interface Receipt {
  readonly room_nid: number;
  readonly user_nid: number;
  /** The root of a thread, MAIN_TIMELINE or WHOLE_ROOM. */
  readonly thread: number;
  readonly kind: "m.read" | "m.read.private";
  readonly event_nid: number;
  /** The event's place in the live timeline; 0 for what is before it. */
  readonly ordinal: number;
  readonly ts: number;
}

export interface ShownReceipt {
  readonly room_nid: number;
  readonly event_id: string;
  readonly user_id: string;
  readonly kind: number;
  readonly thread: number;
  /** The event id of the thread's root. */
  readonly root: string | null;
  readonly ts: number;
}

const CHANGED: Statement<ShownReceipt> = {
  name: "receipts_changed", // receipts_changed, receipts_ahead_changed, then primary keys
  text: `SELECT receipts.room_nid, events.event_id, user_id, kind, thread, root.event_id AS root, ts FROM receipts
    JOIN events ON events.nid = event_nid
    JOIN users ON users.nid = receipts.user_nid
    LEFT JOIN events AS root ON root.nid = thread AND thread > 0
    WHERE receipts.room_nid = ANY($1) AND last_position > $2 AND last_position <= $3 AND kind < 3
      AND (kind = 1 OR receipts.user_nid = $4)
    UNION ALL SELECT room_nid, event_id, user_id, ${RECEIPT_KINDS["m.read"]}, thread, NULL, ts FROM receipts_ahead
      JOIN users ON users.nid = user_nid WHERE room_nid = ANY($1) AND last_position > $2 AND last_position <= $3
    ORDER BY thread DESC`,
};
const SET_AHEAD: Statement = {
  name: "receipts_set_ahead", // receipts_ahead_pkey
  text: `INSERT INTO receipts_ahead (room_nid, user_nid, event_id, thread, ts, last_position)
    SELECT $1, user_nid, event_id, thread, ts, currval('log_position')
    FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[]) AS told (user_nid, event_id, thread, ts)
    ON CONFLICT (room_nid, user_nid) DO UPDATE SET event_id = excluded.event_id, thread = excluded.thread, ts = excluded.ts,
      last_position = excluded.last_position WHERE excluded.ts >= receipts_ahead.ts`,
};
const FORGET_AHEAD: Statement = {
  name: "receipts_forget_ahead", // receipts_ahead_pkey
  text: "DELETE FROM receipts_ahead WHERE room_nid = $1 AND user_nid = ANY ($2::bigint[])",
};
const SET: Statement = {
  name: "receipts_set", // receipts_pkey; a receipt never goes back
  text: `INSERT INTO receipts (room_nid, user_nid, thread, kind, event_nid, ordinal, ts, last_position)
    VALUES ($1, $2, $3, $4, $5, $6, $7, currval('log_position'))
    ON CONFLICT (room_nid, user_nid, thread, kind) DO UPDATE SET event_nid = excluded.event_nid,
      ordinal = excluded.ordinal, ts = excluded.ts, last_position = excluded.last_position
      WHERE excluded.ordinal > receipts.ordinal`,
};
const FORGET_EXCEPTIONS: Statement = {
  name: "receipts_forget_exceptions", // count_exceptions_pkey
  text: `DELETE FROM count_exceptions WHERE room_nid = $1 AND user_nid = $2 AND ordinal <= $4
    AND ($3 = ${WHOLE_ROOM} OR thread = $3)`,
};
const PLACES: Statement<{ thread: number; kind: number; ordinal: number }> = {
  name: "receipts_places", // receipts_pkey
  text: "SELECT thread, kind, ordinal FROM receipts WHERE room_nid = $1 AND user_nid = $2 AND thread = $3 AND kind = $4",
};

/**
 * The receipts of rooms that changed at positions in (after, upTo], private ones of `userNid` only. Those of the whole room
 * come last.
 */
export async function receiptsChanged(
  reads: Reads,
  rooms: readonly number[],
  userNid: number,
  range: { readonly after: number; readonly upTo: number },
): Promise<ShownReceipt[]> {
  if (rooms.length === 0) return [];
  const rows = await reads.read(CHANGED, [rooms, range.after, range.upTo, userNid]);
  return rows.map((row) => ({ ...row, event_id: fromText(row.event_id), user_id: fromText(row.user_id) }));
}

/** The place up to which a user has read by one kind of receipt; undefined if there is none. */
export async function receiptPlace(reads: Reads, { room_nid, user_nid, thread, kind }: Receipt): Promise<number | undefined> {
  const [row] = await reads.read(PLACES, [room_nid, user_nid, thread, RECEIPT_KINDS[kind]]);
  return row?.ordinal;
}

/** What sets a receipt unless it would go back, and forgets exceptions of counts that it makes useless; for the committer. */
export function receiptSet({ room_nid, user_nid, thread, kind, event_nid, ordinal, ts }: Receipt): BoundStatement[] {
  return [
    { statement: FORGET_EXCEPTIONS, values: [room_nid, user_nid, thread, ordinal] },
    {
      statement: SET,
      values: [room_nid, user_nid, thread, RECEIPT_KINDS[kind], event_nid, ordinal, ts],
      atPosition: true,
    },
  ];
}

/** A receipt on an event that is not here. */
export interface ReceiptAhead {
  readonly user_nid: number;
  readonly event_id: string;
  readonly thread: number;
  readonly ts: number;
}

/** What notes receipts on events that are not here, one of each user, and forgets such of users who have since read what is here; for the committer. */
export function receiptsAheadSet(roomNid: number, ahead: readonly ReceiptAhead[], since: readonly number[]): BoundStatement[] {
  return [
    ...(since.length === 0 ? [] : [{ statement: FORGET_AHEAD, values: [roomNid, since] }]),
    ...(ahead.length === 0
      ? []
      : [
          {
            statement: SET_AHEAD,
            values: [roomNid, ahead.map(({ user_nid }) => user_nid), ahead.map(({ event_id }) => toText(event_id)), ahead.map(({ thread }) => thread), ahead.map(({ ts }) => ts)],
            atPosition: true,
          },
        ]),
  ];
}

const PUBLIC_AT: Statement<ShownReceipt & { room_id: RoomId; position: number }> = {
  name: "receipts_public_at", // receipts_pkey, accounts_pkey, then primary keys
  text: `SELECT r.room_nid, rooms.room_id, events.event_id, users.user_id, r.kind, r.thread, root.event_id AS root, r.ts, entry.position
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS entry (room_nid, user_nid, position)
    JOIN receipts r ON r.room_nid = entry.room_nid AND r.user_nid = entry.user_nid AND r.last_position = entry.position
    JOIN accounts ON accounts.user_nid = r.user_nid
    JOIN rooms ON rooms.nid = r.room_nid
    JOIN events ON events.nid = r.event_nid
    JOIN users ON users.nid = r.user_nid
    LEFT JOIN events AS root ON root.nid = r.thread AND r.thread > 0
    WHERE r.kind = ${RECEIPT_KINDS["m.read"]}`,
};

/** Public receipts of users of ours that entries of the log speak of, unless they were replaced since. */
export async function publicReceiptsAt(
  reads: Reads,
  entries: readonly { readonly room_nid: number; readonly user_nid: number; readonly position: number }[],
): Promise<(ShownReceipt & { readonly room_id: RoomId; readonly position: number })[]> {
  if (entries.length === 0) return [];
  const columns = [entries.map(({ room_nid }) => room_nid), entries.map(({ user_nid }) => user_nid), entries.map(({ position }) => position)];
  const rows = await reads.read(PUBLIC_AT, columns);
  return rows.map((row) => ({ ...row, event_id: fromText(row.event_id), user_id: fromText(row.user_id) }));
}
