// Threads that users follow (MSC4306), and the list of them for clients that catch up (MSC4308).
import { invalidParam, MatrixError, notFound } from "../../errors.js";
import type { EventId, RoomId } from "../../protocol/identifiers.js";
import type { Reads } from "../../storage/statement.js";
import {
  changedThreadSubscriptions,
  findThreadSubscription,
  type ListedSubscription,
  type SubscriptionPlace,
  type ThreadSubscription,
  threadSubscribed,
  threadUnsubscribed,
} from "../../storage/thread-subscriptions.js";
import type { RoomContext, RoomUser } from "../context.js";
import type { ReadEvent } from "./event-cache.js";
import { noSuchEvent, requireEvent, requireView, type RoomView } from "./room-view.js";
import type { RuleChanges } from "../owner/rule-changes.js";
import { parseToken } from "../token.js";

/** Rooms of this process count what comes next by who follows it now; other processes read that from the log. */
type SubscriptionContext = RoomContext & { readonly ruleChanges: RuleChanges };

const MAX_LIMIT = 100;
const LAST: SubscriptionPlace = { position: Number.MAX_SAFE_INTEGER, root: 0 };

/**
 * Lets a user follow a thread: by choice, or, with `automatic`, because of that event of it. Throws M_NOT_FOUND for a thread
 * that the user cannot see, IO.ELEMENT.MSC4306.M_NOT_IN_THREAD for a cause that is not in it, and 409
 * IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION if the user has unsubscribed since the cause.
 */
export async function subscribeToThread(
  context: SubscriptionContext,
  user: RoomUser,
  roomId: RoomId,
  rootId: EventId,
  automatic: EventId | undefined,
): Promise<void> {
  const { database, committer } = context;
  const { view, root } = await requireThread(context, database, user, roomId, rootId);
  const cause = automatic === undefined ? undefined : await positionInThread(context, database, view, root, automatic);
  const before = await findThreadSubscription(database, user.user_nid, root.row.nid);
  if (cause !== undefined && before?.subscribed === true) return;
  if (cause !== undefined && before !== undefined && before.position >= cause) {
    const message = "The thread was unsubscribed after this event.";
    throw new MatrixError(409, "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION", message);
  }
  await committer.submit({
    statements: [threadSubscribed(user.user_nid, root.row.nid, view.room.nid, cause)],
    entries: [{ kind: "thread_subscription", user_nid: user.user_nid, reference: root.row.nid }],
  });
  context.ruleChanges.threads.note(root.row.nid);
}

/** Lets a user follow a thread no longer, if they did. Throws M_NOT_FOUND for a thread that the user cannot see. */
export async function unsubscribeFromThread(context: SubscriptionContext, user: RoomUser, roomId: RoomId, rootId: EventId): Promise<void> {
  const { database, committer } = context;
  const { root } = await requireThread(context, database, user, roomId, rootId);
  if ((await findThreadSubscription(database, user.user_nid, root.row.nid))?.subscribed !== true) return;
  await committer.submit({
    statements: [threadUnsubscribed(user.user_nid, root.row.nid)],
    entries: [{ kind: "thread_subscription", user_nid: user.user_nid, reference: root.row.nid }],
  });
  context.ruleChanges.threads.note(root.row.nid);
}

/** How a user follows a thread. Throws M_NOT_FOUND if they do not, or cannot see it. */
export async function threadSubscription(context: RoomContext, user: RoomUser, roomId: RoomId, rootId: EventId): Promise<ThreadSubscription> {
  const { root } = await requireThread(context, context.database, user, roomId, rootId);
  const found = await findThreadSubscription(context.database, user.user_nid, root.row.nid);
  if (found?.subscribed !== true) throw notFound("This thread is not subscribed.");
  return found;
}

/**
 * A page of a user's subscriptions and ends of such, the latest change first, and where the next begins if there is more.
 * `to` is a token as of which the client knows them. Throws M_INVALID_PARAM for what is no token.
 */
export async function threadSubscriptions(
  { database }: RoomContext,
  userNid: number,
  request: { readonly from?: string | undefined; readonly to?: string | undefined; readonly limit?: number | undefined },
): Promise<{ readonly rows: readonly ListedSubscription[]; readonly end: string | undefined }> {
  const limit = Math.min(request.limit ?? MAX_LIMIT, MAX_LIMIT);
  const before = request.from === undefined ? LAST : placeIn(request.from);
  const after = request.to === undefined ? 0 : positionIn(request.to);
  const found = await changedThreadSubscriptions(database, userNid, before, after, limit + 1);
  const rows = found.slice(0, limit);
  const last = found.length > limit ? rows.at(-1) : undefined;
  return { rows, end: last && subscriptionPlace(last) };
}

type ByThread<Shown> = Record<string, Record<string, Shown>>;

/** Changes of subscriptions by room and thread, as MSC4308 has them: what is empty is absent. */
export function subscriptionsByRoom(rows: readonly ListedSubscription[]): {
  subscribed?: ByThread<{ automatic: boolean; bump_stamp: number }>;
  unsubscribed?: ByThread<{ bump_stamp: number }>;
} {
  const subscribed = byRoom(rows.filter((row) => row.subscribed), ({ automatic, position }) => ({ automatic, bump_stamp: position }));
  const unsubscribed = byRoom(rows.filter((row) => !row.subscribed), ({ position }) => ({ bump_stamp: position }));
  return { ...(subscribed !== undefined && { subscribed }), ...(unsubscribed !== undefined && { unsubscribed }) };
}

/** Rows by room and thread; undefined if there are none. */
function byRoom<Shown>(rows: readonly ListedSubscription[], shown: (row: ListedSubscription) => Shown): ByThread<Shown> | undefined {
  if (rows.length === 0) return undefined;
  const rooms: ByThread<Shown> = {};
  for (const row of rows) (rooms[row.room_id] ??= {})[row.event_id] = shown(row);
  return rooms;
}

/** The event that a thread hangs on, or may come to hang on. Throws M_NOT_FOUND. */
async function requireThread(
  context: RoomContext,
  reads: Reads,
  user: RoomUser,
  roomId: RoomId,
  rootId: EventId,
): Promise<{ readonly view: RoomView; readonly root: ReadEvent }> {
  const view = await requireView(context, reads, user, roomId, noSuchEvent());
  return { view, root: (await requireEvent(context, reads, view, rootId)).read };
}

/** The position of an event of a thread. Throws IO.ELEMENT.MSC4306.M_NOT_IN_THREAD. */
async function positionInThread(context: RoomContext, reads: Reads, view: RoomView, root: ReadEvent, eventId: EventId): Promise<number> {
  const { read } = await requireEvent(context, reads, view, eventId);
  if (read.row.thread_root === root.row.nid) return read.row.position;
  throw new MatrixError(400, "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD", "This event is not in the thread.");
}

/** The token of what is older in the list than a subscription. */
export function subscriptionPlace({ position, root }: SubscriptionPlace): string {
  return `c${position}_${root}`;
}

function placeIn(token: string): SubscriptionPlace {
  const [, position, root] = /^c(\d{1,15})_(\d{1,15})$/.exec(token) ?? [];
  if (position === undefined || root === undefined) throw invalidParam('"from" is no token of this list.');
  return { position: Number(position), root: Number(root) };
}

function positionIn(token: string): number {
  const parsed = parseToken(token);
  if (parsed?.kind === "sync") return parsed.position;
  const place = /^c(\d{1,15})_\d{1,15}$/.exec(token)?.[1];
  if (place === undefined) throw invalidParam('"to" is no token of a sync or of this list.');
  return Number(place);
}
