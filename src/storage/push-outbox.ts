// What is owed to pushers: written with the events, taken by whichever process delivers, deleted once it is delivered.
import type { UserId } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import { isDeadProcess } from "./processes.js";
import { type Pusher, PUSHER_COLUMNS, type PusherRow, toPusher } from "./pushers.js";
import { type BoundStatement, MEMBERSHIPS } from "./room-rows.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText } from "./text.js";
import { WHOLE_ROOM } from "./threads.js";

const BADGE: Statement = {
  name: "push_outbox_badge", // pushers_user_nid_app_id_pushkey_key
  text: `INSERT INTO push_outbox (pusher_nid, room_nid, thread, ordinal, tweaks, created_ts)
    SELECT nid, $2, 0, 0, '{}', (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    FROM pushers WHERE user_nid = $1 AND enabled AND kind = 'http' FOR KEY SHARE SKIP LOCKED`,
};

/** What owes the pushers of a user the unread count, because of a room; for the committer. */
export function badgeOwed(userNid: number, roomNid: number): BoundStatement {
  return { statement: BADGE, values: [userNid, roomNid] };
}

/** A pusher that this process delivers for, until it lets it go. */
export interface ClaimedPusher extends Pusher {
  readonly user_id: UserId;
  readonly gateway: string;
  readonly failures: number;
  readonly failing_since: number | null;
  readonly badge: number | null;
}

type ClaimedRow = PusherRow & Pick<ClaimedPusher, "gateway" | "failures" | "failing_since" | "badge"> & { readonly user_id: string };

/** Each pusher that is owed something, found by hopping from one to the next. */
const OWED = `WITH RECURSIVE owed AS (
      SELECT min(pusher_nid) AS nid FROM push_outbox
      UNION ALL SELECT (SELECT min(pusher_nid) FROM push_outbox WHERE pusher_nid > owed.nid) FROM owed WHERE owed.nid IS NOT NULL)
    SELECT nid FROM owed WHERE nid IS NOT NULL`;
const OWED_TO_USERS = `SELECT nid FROM pushers WHERE user_nid = ANY($7)
    AND EXISTS (SELECT FROM push_outbox WHERE pusher_nid = pushers.nid)`;

function claim(name: string, owed: string): Statement<ClaimedRow> {
  const free = `retry_ts <= $2 AND (pushers.process IS NULL OR ${isDeadProcess("pushers.process")})`;
  return {
    name,
    text: `UPDATE pushers SET process = $1 WHERE nid = ANY(ARRAY(
        SELECT nid FROM pushers WHERE ${free} AND nid IN (
          SELECT nid FROM (
            SELECT nid, gateway, row_number() OVER (PARTITION BY gateway ORDER BY retry_ts, nid) AS place
            FROM pushers WHERE nid IN (${owed}) AND ${free}) AS waiting
          WHERE place <= coalesce(($4::integer[])[array_position($3::text[], gateway)], $5)
          LIMIT $6)
        FOR NO KEY UPDATE SKIP LOCKED))
      RETURNING ${PUSHER_COLUMNS}, (SELECT user_id FROM users WHERE users.nid = pushers.user_nid) AS user_id, gateway, failures, failing_since, badge`,
  };
}

const CLAIM_ANY = claim("push_outbox_claim", OWED);
const CLAIM_OF_USERS = claim("push_outbox_claim_of_users", OWED_TO_USERS);

/** How many pushers a process may deliver for. */
export interface ClaimLimits {
  readonly process: number;
  readonly now: number;
  /** Gateways for which another number holds than for all others. */
  readonly gateways: ReadonlyMap<string, number>;
  readonly perGateway: number;
  readonly most: number;
}

/** Takes pushers that are owed something, of these users or of all. No living process has them besides this one. */
export async function claimPushers(
  database: Database,
  { process, now, gateways, perGateway, most }: ClaimLimits,
  users?: readonly number[],
): Promise<ClaimedPusher[]> {
  const values = [process, now, [...gateways.keys()], [...gateways.values()], perGateway, most];
  const rows = await (users === undefined ? database.write(CLAIM_ANY, values) : database.write(CLAIM_OF_USERS, [...values, users]));
  return rows.map(({ user_id, gateway, failures, failing_since, badge, ...row }) => ({
    ...toPusher(row),
    user_id: fromText(user_id) as UserId,
    gateway,
    failures,
    failing_since,
    badge,
  }));
}

/** Something that is owed, and what has become of it since. */
export interface OwedPush {
  readonly nid: number;
  readonly room_nid: number;
  readonly event_nid: number | null;
  readonly thread: number;
  readonly tweaks: string;
  readonly created_ts: number;
  /** Still of interest: not read, not redacted, and the user still in the room, or invited by this event. */
  readonly stands: boolean;
}

const OWED_TO: Statement<OwedPush> = {
  name: "push_outbox_owed", // push_outbox_pusher, memberships_pkey, events_pkey, receipts_pkey
  text: `SELECT owed.nid, owed.room_nid, owed.event_nid, owed.thread, owed.tweaks, owed.created_ts,
      events.redacted_by IS NULL
      AND coalesce(memberships.membership = ${MEMBERSHIPS.join}
        OR memberships.event_nid = owed.event_nid AND memberships.membership = ${MEMBERSHIPS.invite}, false)
      AND owed.ordinal > coalesce((SELECT max(receipts.ordinal) FROM receipts WHERE receipts.room_nid = owed.room_nid
        AND receipts.user_nid = $2 AND receipts.thread IN (owed.thread, ${WHOLE_ROOM})), 0) AS stands
    FROM push_outbox AS owed
    LEFT JOIN memberships ON memberships.user_nid = $2 AND memberships.room_nid = owed.room_nid
    LEFT JOIN events ON events.nid = owed.event_nid
    WHERE pusher_nid = $1 ORDER BY owed.nid LIMIT $3`,
};

/** What is owed to a pusher, oldest first. */
export async function owedTo(reads: Reads, { nid, user_nid }: Pick<Pusher, "nid" | "user_nid">, most: number): Promise<OwedPush[]> {
  return await reads.read(OWED_TO, [nid, user_nid, most]);
}

const DELETE: Statement = { name: "push_outbox_delete", text: "DELETE FROM push_outbox WHERE pusher_nid = $1 AND nid = ANY($2)" };
const COLLAPSE: Statement = {
  name: "push_outbox_collapse", // push_outbox_pusher
  text: `DELETE FROM push_outbox WHERE nid IN (
      SELECT nid FROM (SELECT nid, row_number() OVER (PARTITION BY room_nid ORDER BY nid DESC) AS age
        FROM push_outbox WHERE pusher_nid = $1) AS pending WHERE age > $2)`,
};
const FORGET: Statement = { name: "push_outbox_forget", text: "DELETE FROM push_outbox WHERE pusher_nid = $1" };

/** Deletes what was delivered or is of no interest any more. */
export async function deletePushes(tx: Queryable, pusherNid: number, nids: readonly number[]): Promise<void> {
  await tx.query(DELETE, [pusherNid, nids]);
}

/** Keeps the newest of what is owed to a pusher, so many of each room. */
export async function collapsePushes(database: Database, pusherNid: number, perRoom: number): Promise<void> {
  await database.write(COLLAPSE, [pusherNid, perRoom]);
}

/** Deletes all that is owed to a pusher. */
export async function forgetPushes(database: Database, pusherNid: number): Promise<void> {
  await database.write(FORGET, [pusherNid]);
}

const DELIVERED: Statement = {
  name: "push_outbox_delivered",
  text: "UPDATE pushers SET failures = 0, failing_since = NULL, badge = coalesce($2, badge) WHERE nid = $1",
};
const HURRY: Statement = {
  name: "push_outbox_hurry", // pushers_gateway
  text: "UPDATE pushers SET retry_ts = 0 WHERE gateway = $1 AND failures > 0 AND retry_ts > 0",
};
const RELEASE: Statement = {
  name: "push_outbox_release",
  text: `UPDATE pushers SET process = NULL, retry_ts = $3, failures = $4, failing_since = $5 WHERE nid = $1 AND process = $2`,
};

/** Notes that a gateway took something, and the unread count that it was told. */
export async function noteDelivered(tx: Queryable, pusherNid: number, badge: number | undefined): Promise<void> {
  await tx.query(DELIVERED, [pusherNid, badge ?? null]);
}

/** A gateway works again: all pushers behind it that wait are tried. */
export async function hurryGateway(database: Database, gateway: string): Promise<void> {
  await database.write(HURRY, [gateway]);
}

/** What is remembered of a pusher until it is served again. */
export interface PusherRest {
  readonly retry_ts: number;
  readonly failures: number;
  readonly failing_since: number | null;
}

/** Lets a pusher go: it is not tried again before `retryTs`. */
export async function releasePusher(
  database: Database,
  pusherNid: number,
  process: number,
  state: PusherRest,
): Promise<void> {
  await database.write(RELEASE, [pusherNid, process, state.retry_ts, state.failures, state.failing_since]);
}
