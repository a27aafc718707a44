// Which threads users follow, and when that changed.
import type { EventId, RoomId } from "../protocol/identifiers.js";
import type { BoundStatement } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";
import { fromText } from "./text.js";

/** Whether a user follows a thread, or no longer does, since a position. */
export interface ThreadSubscription {
  readonly subscribed: boolean;
  readonly automatic: boolean;
  readonly position: number;
}

/** A subscription in a list. */
export interface ListedSubscription extends ThreadSubscription {
  readonly root: number;
  readonly room_id: RoomId;
  readonly event_id: EventId;
}

/** A place in the list of changes: those of one position are told apart by their threads. */
export interface SubscriptionPlace {
  readonly position: number;
  readonly root: number;
}

const FIND: Statement<ThreadSubscription> = {
  name: "thread_subscriptions_find",
  text: "SELECT subscribed, automatic, position FROM thread_subscriptions WHERE user_nid = $1 AND root = $2",
};
const SUBSCRIBE: Statement = {
  name: "thread_subscriptions_subscribe",
  // What a client does by itself takes back no choice that its user made after the cause.
  text: `INSERT INTO thread_subscriptions AS old (user_nid, root, room_nid, subscribed, automatic, position)
    VALUES ($1, $2, $3, true, $4::bigint IS NOT NULL, currval('log_position'))
    ON CONFLICT (user_nid, root) DO UPDATE SET subscribed = true, automatic = excluded.automatic, position = excluded.position
    WHERE $4::bigint IS NULL OR (NOT old.subscribed AND old.position < $4)`,
};
const UNSUBSCRIBE: Statement = {
  name: "thread_subscriptions_unsubscribe",
  text: `UPDATE thread_subscriptions SET subscribed = false, automatic = false, position = currval('log_position')
    WHERE user_nid = $1 AND root = $2 AND subscribed`,
};
const CHANGED: Statement<ListedSubscription> = {
  name: "thread_subscriptions_changed", // thread_subscriptions_changed, from its end
  text: `SELECT s.root, s.subscribed, s.automatic, s.position, r.room_id, e.event_id
    FROM thread_subscriptions s JOIN rooms r ON r.nid = s.room_nid JOIN events e ON e.nid = s.root
    WHERE s.user_nid = $1 AND (s.position, s.root) < ($2, $3) AND s.position > $4 ORDER BY s.position DESC, s.root DESC LIMIT $5`,
};

/** A user's subscription to a thread, or the end of it; undefined if there never was one. */
export async function findThreadSubscription(reads: Reads, userNid: number, root: number): Promise<ThreadSubscription | undefined> {
  const [row] = await reads.read(FIND, [userNid, root]);
  return row;
}

/**
 * What subscribes a user to a thread, for the committer: by choice, or because of an event of a position, which changes
 * nothing where the user is subscribed or has unsubscribed since then.
 */
export function threadSubscribed(userNid: number, root: number, roomNid: number, cause: number | undefined): BoundStatement {
  return { statement: SUBSCRIBE, values: [userNid, root, roomNid, cause ?? null], atPosition: true };
}

/** What ends a user's subscription to a thread, for the committer. */
export function threadUnsubscribed(userNid: number, root: number): BoundStatement {
  return { statement: UNSUBSCRIBE, values: [userNid, root], atPosition: true };
}

/** A user's subscriptions and ends of such that changed before a place and after a position, the latest first. */
export async function changedThreadSubscriptions(
  reads: Reads,
  userNid: number,
  before: SubscriptionPlace,
  after: number,
  limit: number,
): Promise<ListedSubscription[]> {
  const rows = await reads.read(CHANGED, [userNid, before.position, before.root, after, limit]);
  return rows.map((row) => ({ ...row, room_id: fromText(row.room_id) as RoomId, event_id: fromText(row.event_id) as EventId }));
}
