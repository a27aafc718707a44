// What application services have yet to be told, who tells them, and in which rooms they have users.
import type { RoomAlias, RoomId, UserId } from "../protocol/identifiers.js";
import type { Database, Tx } from "./database.js";
import { isDeadProcess } from "./processes.js";
import { MEMBERSHIPS } from "./room-rows.js";
import type { Queryable, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** The name of an application service's cursor. */
export const cursorOf = (id: string): string => `${CURSORS}${toText(id)}`;
const CURSORS = "appservice:";

const KNOW: Statement = {
  name: "appservices_know",
  text: "INSERT INTO appservices (id) VALUES ($1) ON CONFLICT (id) DO NOTHING",
};
const HOLD: Statement<{ users_digest: string }> = {
  name: "appservices_hold",
  text: "SELECT users_digest FROM appservices WHERE id = $1 AND owner = $2 FOR UPDATE",
};
const CLAIM: Statement<{ failures: number; retry_ts: number }> = {
  name: "appservices_claim",
  text: `UPDATE appservices SET owner = $2
    WHERE id = $1 AND (owner IS NULL OR owner = $2 OR ${isDeadProcess("appservices.owner")})
    RETURNING failures, retry_ts`,
};
const START_AT_HEAD: Statement = {
  name: "appservices_start_at_head",
  text: `INSERT INTO log_cursors (name, position)
    SELECT name, (SELECT coalesce(max(position), 0) FROM log) FROM unnest($1::text[]) AS new (name) ON CONFLICT (name) DO NOTHING`,
};
const FORGET: Statement = { name: "appservices_forget", text: "DELETE FROM appservices WHERE id <> ALL ($1)" };
const FORGET_CURSORS: Statement = {
  name: "appservices_forget_cursors",
  text: `DELETE FROM log_cursors WHERE starts_with(name, '${CURSORS}') AND name <> ALL ($1)`,
};
const NOTE_FAILURE: Statement = {
  name: "appservices_note_failure",
  text: "UPDATE appservices SET failures = $3, retry_ts = $4 WHERE id = $1 AND owner = $2",
};
const RETRY_NOW: Statement = {
  name: "appservices_retry_now",
  text: "UPDATE appservices SET failures = 0, retry_ts = 0 WHERE id = $1",
};
const NEXT: Statement<{ nid: number; txn_id: string; body: string }> = {
  name: "appservice_transactions_next", // appservice_transactions_next
  text: "SELECT nid, txn_id, body FROM appservice_transactions WHERE appservice = $1 ORDER BY nid LIMIT 1",
};
const PUT: Statement = {
  name: "appservice_transactions_put",
  text: `INSERT INTO appservice_transactions (appservice, txn_id, body)
    SELECT $1, txn_id, body FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS new (txn_id, body, place) ORDER BY place`,
};
const DONE: Statement = {
  name: "appservice_transactions_done",
  text: `WITH done AS (DELETE FROM appservice_transactions WHERE nid = $2)
    UPDATE appservices SET failures = 0, retry_ts = 0 WHERE id = $1`,
};

/** Takes it upon this process to tell an application service; undefined while another living process does. */
export async function claimAppService(database: Database, id: string, owner: number): Promise<{ failures: number; retry_ts: number } | undefined> {
  const [, [claimed]] = await database.transaction((tx) => Promise.all([tx.query(KNOW, [toText(id)]), tx.query(CLAIM, [toText(id), owner])]));
  return claimed;
}

/** Holds an application service for the rest of the transaction; undefined if this process no longer owns it. */
export async function holdAppService(tx: Queryable, id: string, owner: number): Promise<{ users_digest: string } | undefined> {
  const [held] = await tx.query(HOLD, [toText(id), owner]);
  return held;
}

/** Lets new application services be told what happens from now on. */
export async function startAtHead(tx: Queryable, ids: readonly string[]): Promise<void> {
  await tx.query(START_AT_HEAD, [ids.map(cursorOf)]);
}

/** Forgets all application services but these, for which alone the log is kept; those of them that are new begin at its head. */
export async function keepOnlyAppServices(database: Database, ids: readonly string[]): Promise<void> {
  await database.transaction((tx) =>
    Promise.all([tx.query(FORGET, [ids.map(toText)]), tx.query(FORGET_CURSORS, [ids.map(cursorOf)]), startAtHead(tx, ids)]),
  );
}

/** Notes that an attempt has failed, how many that makes, and when the next is due. */
export async function noteFailure(database: Database, id: string, owner: number, failures: number, retryTs: number): Promise<void> {
  await database.write(NOTE_FAILURE, [toText(id), owner, failures, retryTs]);
}

/** Lets the next attempt be due at once: the application service has shown that it is there. */
export async function retryNow(database: Database, id: string): Promise<void> {
  await database.write(RETRY_NOW, [toText(id)]);
}

export interface PendingTransaction {
  readonly nid: number;
  readonly txn_id: string;
  readonly body: string;
}

/** What an application service is to be told next. */
export async function nextTransaction(database: Database, id: string): Promise<PendingTransaction | undefined> {
  const [row] = await database.read(NEXT, [toText(id)]);
  return row && { ...row, body: fromText(row.body) };
}

/** Puts transactions behind those that wait. */
export async function putTransactions(tx: Queryable, id: string, all: readonly { readonly txn_id: string; readonly body: string }[]): Promise<void> {
  if (all.length === 0) return;
  await tx.query(PUT, [toText(id), all.map(({ txn_id }) => txn_id), all.map(({ body }) => toText(body))]);
}

/** Notes that the application service has taken a transaction. */
export async function transactionDone(database: Database, id: string, nid: number): Promise<void> {
  await database.write(DONE, [toText(id), nid]);
}

const JOINED_USERS: Statement<{ nid: number; user_id: string }> = {
  name: "appservice_members_joined_users", // users_pkey, then memberships_pkey
  text: `SELECT nid, user_id FROM users WHERE nid > $1
      AND EXISTS (SELECT FROM memberships WHERE user_nid = users.nid AND membership = ${MEMBERSHIPS.join})
    ORDER BY nid LIMIT 10000`,
};
const CLEAR: Statement = { name: "appservice_members_clear", text: "DELETE FROM appservice_members WHERE appservice = $1" };
const ADD_ROOMS_OF: Statement = {
  name: "appservice_members_add_rooms_of",
  text: `INSERT INTO appservice_members (appservice, room_nid, user_nid)
    SELECT $1, room_nid, user_nid FROM memberships WHERE user_nid = ANY($2) AND membership = ${MEMBERSHIPS.join}`,
};
const SET_DIGEST: Statement = { name: "appservices_set_digest", text: "UPDATE appservices SET users_digest = $2 WHERE id = $1" };
const ADD: Statement = {
  name: "appservice_members_add",
  text: `INSERT INTO appservice_members (appservice, room_nid, user_nid)
    SELECT $1, room_nid, user_nid FROM unnest($2::bigint[], $3::bigint[]) AS new (room_nid, user_nid) ON CONFLICT DO NOTHING`,
};
const REMOVE: Statement = {
  name: "appservice_members_remove",
  text: `DELETE FROM appservice_members USING unnest($2::bigint[], $3::bigint[]) AS gone (room_nid, user_nid)
    WHERE appservice = $1 AND appservice_members.room_nid = gone.room_nid AND appservice_members.user_nid = gone.user_nid`,
};
const AMONG: Statement<Membership> = {
  name: "appservice_members_among",
  text: `SELECT room_nid, user_nid FROM appservice_members
    JOIN unnest($2::bigint[], $3::bigint[]) AS asked (room_nid, user_nid) USING (room_nid, user_nid) WHERE appservice = $1`,
};
const ROOMS: Statement<{ nid: number; room_id: string; members: number; aliases: string[] }> = {
  name: "appservices_rooms", // rooms_pkey, appservice_members_pkey, room_aliases_room
  text: `SELECT nid, room_id, (SELECT count(*) FROM appservice_members WHERE appservice = $1 AND room_nid = rooms.nid) AS members,
      ARRAY(SELECT alias FROM room_aliases WHERE room_nid = rooms.nid) AS aliases
    FROM rooms WHERE nid = ANY($2)`,
};
const SHARING: Statement<{ user_nid: number }> = {
  name: "appservices_sharing", // current_state_user, appservice_members_pkey
  text: `SELECT user_nid FROM unnest($2::bigint[]) AS asked (user_nid) WHERE EXISTS (
    SELECT FROM current_state JOIN appservice_members AS own ON own.appservice = $1 AND own.room_nid = current_state.room_nid
    WHERE current_state.user_nid = asked.user_nid AND current_state.membership = ${MEMBERSHIPS.join})`,
};

/** A user in a room. */
export interface Membership {
  readonly room_nid: number;
  readonly user_nid: number;
}

/** Finds anew in which rooms an application service has users, after others are covered than before. */
export async function findMembers(tx: Tx, id: string, digest: string, covers: (user: UserId) => boolean): Promise<void> {
  await tx.query(CLEAR, [toText(id)]);
  for (let after = 0; ; ) {
    const users = await tx.query(JOINED_USERS, [after]);
    const last = users.at(-1);
    if (last === undefined) break;
    after = last.nid;
    const own = users.filter(({ user_id }) => covers(fromText(user_id) as UserId)).map(({ nid }) => nid);
    if (own.length > 0) await tx.query(ADD_ROOMS_OF, [toText(id), own]);
  }
  await tx.query(SET_DIGEST, [toText(id), digest]);
}

/** Which of these are known as users of the application service in a room. */
export async function knownMembers(tx: Queryable, id: string, asked: readonly Membership[]): Promise<Membership[]> {
  return await tx.query(AMONG, [toText(id), asked.map(({ room_nid }) => room_nid), asked.map(({ user_nid }) => user_nid)]);
}

/** Notes who of an application service's users came into rooms and who left. */
export async function changeMembers(tx: Queryable, id: string, came: readonly Membership[], left: readonly Membership[]): Promise<void> {
  const columns = (rows: readonly Membership[]): number[][] => [rows.map(({ room_nid }) => room_nid), rows.map(({ user_nid }) => user_nid)];
  await Promise.all([
    left.length > 0 && tx.query(REMOVE, [toText(id), ...columns(left)]),
    came.length > 0 && tx.query(ADD, [toText(id), ...columns(came)]),
  ]);
}

/** A room as far as an application service can be interested in it. */
export interface RoomOfInterest {
  readonly room_id: RoomId;
  readonly aliases: readonly RoomAlias[];
  /** How many of its users are joined. */
  readonly members: number;
}

/** Rooms by number, as an application service sees them. */
export async function roomsOfInterest(tx: Queryable, id: string, nids: readonly number[]): Promise<Map<number, RoomOfInterest>> {
  const rows = await tx.query(ROOMS, [toText(id), nids]);
  return new Map(
    rows.map(({ nid, room_id, members, aliases }) => [
      nid,
      { room_id: fromText(room_id) as RoomId, aliases: aliases.map((alias) => fromText(alias) as RoomAlias), members },
    ]),
  );
}

/** Those of these users who share a room with a user of the application service. */
export async function usersSharing(reads: Queryable, id: string, userNids: readonly number[]): Promise<number[]> {
  return (await reads.query(SHARING, [toText(id), userNids])).map(({ user_nid }) => user_nid);
}
