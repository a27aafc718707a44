// Receipts and the fully-read marker (client-server API, "Receipts" and "Fully read markers").
import { FULLY_READ } from "../accounts/account-data.js";
import type { Requester } from "../accounts/requester.js";
import type { Clock } from "../clock.js";
import { forbidden, invalidParam, notFound } from "../errors.js";
import type { EventId, RoomId } from "../protocol/identifiers.js";
import { isObject, type JsonValue, ownString } from "../protocol/json.js";
import { accountDataSet, findAccountData } from "../storage/account-data.js";
import type { CommitItem, Committer } from "../storage/committer.js";
import type { Database } from "../storage/database.js";
import { eventsById, eventsByNid, type StoredEvent } from "../storage/events.js";
import { membershipInRoom } from "../storage/memberships.js";
import { badgeOwed } from "../storage/push-outbox.js";
import { type Receipt, type ReceiptAhead, receiptPlace, receiptsAheadSet, receiptsChanged, receiptSet } from "../storage/receipts.js";
import { MEMBERSHIPS } from "../storage/room-rows.js";
import type { Reads } from "../storage/statement.js";
import { MAIN_TIMELINE, WHOLE_ROOM } from "../storage/threads.js";
import type { Range } from "./side-streams.js";

export interface ReceiptContext {
  readonly database: Database;
  readonly committer: Committer;
  readonly clock: Clock;
}

/** What a client says that it has read: a receipt, or the marker. */
export interface ReadUpTo {
  readonly type: Receipt["kind"] | "m.fully_read";
  readonly event_id: EventId;
  /** An event id, or `main`; absent for the whole room. */
  readonly thread_id?: unknown;
}

/** Throws M_INVALID_PARAM for a thread that cannot be one, or that the type does not go with. */
function requireThread({ type, thread_id }: ReadUpTo): string | undefined {
  if (thread_id === undefined) return undefined;
  if (typeof thread_id !== "string" || thread_id === "") throw invalidParam('"thread_id" must be a string that is not empty.');
  if (type === "m.fully_read") throw invalidParam("The fully-read marker has no thread.");
  return thread_id;
}

/**
 * Notes how far a user has read a room; what would go back is left as it is. Throws M_FORBIDDEN if the user is not in the
 * room, M_NOT_FOUND for an event that the room does not have, M_INVALID_PARAM for a thread that the event is not in.
 */
export async function markRead(
  context: ReceiptContext,
  { user_nid }: Requester,
  roomId: RoomId,
  wanted: readonly ReadUpTo[],
): Promise<void> {
  const { database, committer } = context;
  const marks = wanted.map((mark) => ({ ...mark, thread_id: requireThread(mark) }));
  const membership = await membershipInRoom(database, user_nid, roomId);
  if (membership?.membership !== MEMBERSHIPS.join) throw forbidden("You are not in this room.");
  const { room_nid } = membership;
  const named = marks.flatMap(({ event_id, thread_id = "main" }) => (thread_id === "main" ? [event_id] : [event_id, thread_id]));
  const events = await eventsById(database, [...new Set(named)]);
  const eventOf = (id: string): StoredEvent => {
    const event = events.get(id);
    if (event?.room_nid !== room_nid) throw notFound("This room has no such event.");
    return event;
  };
  const items = await Promise.all(
    marks.map(async (mark): Promise<CommitItem | undefined> => {
      const event = eventOf(mark.event_id);
      if (mark.type === "m.fully_read") return await fullyRead(database, user_nid, event);
      const thread = await threadOf(database, event, mark.thread_id, events);
      const ordinal = event.ordinal ?? 0;
      const receipt: Receipt = { room_nid, user_nid, thread, kind: mark.type, event_nid: event.nid, ordinal, ts: context.clock.now() };
      const before = await receiptPlace(database, receipt);
      if (before !== undefined && before >= ordinal) return undefined;
      return { statements: [...receiptSet(receipt), badgeOwed(user_nid, room_nid)], entries: [{ kind: "receipt", user_nid, room_nid }] };
    }),
  );
  const due = items.filter((item) => item !== undefined);
  if (due.length === 0) return;
  await committer.submit({
    statements: due.flatMap(({ statements = [] }) => statements),
    entries: due.flatMap(({ entries }) => entries),
  });
}

/** A public receipt as another server tells it. */
export interface ToldReceipt {
  readonly user_nid: number;
  readonly event_id: string;
  readonly thread_id: string | undefined;
  readonly ts: number;
}

/** Longest event id (appendix "Event IDs"). */
const MAX_ID = 255;

/**
 * Notes what another server says of its users in a room; what does not fit the room is left out, what would go back, too. A receipt
 * may come before its event: it is shown all the same.
 */
export async function noteTold({ database, committer }: ReceiptContext, room_nid: number, told: readonly ToldReceipt[]): Promise<void> {
  const named = told.flatMap(({ event_id, thread_id = "main" }) => (thread_id === "main" ? [event_id] : [event_id, thread_id]));
  const events = await eventsById(database, [...new Set(named)]);
  const receipts = told.flatMap(({ user_nid, event_id, thread_id, ts }): Receipt[] => {
    const event = events.get(event_id);
    const thread = event?.room_nid === room_nid ? threadIn(event, thread_id, events) : undefined;
    if (event === undefined || thread === undefined) return [];
    return [{ room_nid, user_nid, thread, kind: "m.read", event_nid: event.nid, ordinal: event.ordinal ?? 0, ts }];
  });
  const ahead = new Map<number, ReceiptAhead>();
  for (const { user_nid, event_id, thread_id, ts } of told) {
    if (events.has(event_id) || event_id.length > MAX_ID || (thread_id !== undefined && thread_id !== "main")) continue;
    ahead.set(user_nid, { user_nid, event_id, thread: thread_id === undefined ? WHOLE_ROOM : MAIN_TIMELINE, ts });
  }
  const here = [...new Set(receipts.map(({ user_nid }) => user_nid))];
  const users = [...new Set([...here, ...ahead.keys()])];
  if (users.length === 0) return;
  await committer.submit({
    statements: [...receipts.flatMap(receiptSet), ...receiptsAheadSet(room_nid, [...ahead.values()], here)],
    entries: users.map((user_nid) => ({ kind: "receipt", user_nid, room_nid })),
  });
}

/** Relations that are followed to the root of a thread, as many as clients are asked to follow ("Threaded read receipts"). */
const MAX_HOPS = 3;

/**
 * The thread of a receipt on an event. One that only relates to what relates to the root is in the main timeline, but says how far
 * the thread was read as well. Throws M_INVALID_PARAM if the event is not related to the thread that is named.
 */
async function threadOf(database: Database, event: StoredEvent, threadId: string | undefined, events: ReadonlyMap<string, StoredEvent>): Promise<number> {
  const thread = threadIn(event, threadId, events);
  if (thread !== undefined) return thread;
  const root = threadId === undefined ? undefined : events.get(threadId);
  let target = event.thread_root === null ? event.relates_to : null;
  for (let hop = 0; root !== undefined && target !== null && hop < MAX_HOPS; hop += 1) {
    if (target === root.nid) return root.nid;
    target = (await eventsByNid(database, [target])).get(target)?.relates_to ?? null;
  }
  throw invalidParam(threadId === "main" ? "The event is not in the main timeline." : "The event is not in this thread.");
}

/** As `threadOf`, undefined if the event is not in the thread. */
function threadIn(event: StoredEvent, threadId: string | undefined, events: ReadonlyMap<string, StoredEvent>): number | undefined {
  if (threadId === undefined) return WHOLE_ROOM;
  if (threadId === "main") return event.thread_root === null ? MAIN_TIMELINE : undefined;
  const root = events.get(threadId);
  // The root is in the main timeline, but whoever opens a thread that nobody has read shows nothing but it.
  return root !== undefined && (event.thread_root === root.nid || event.nid === root.nid) ? root.nid : undefined;
}

/** The change that moves the fully-read marker; undefined if it would go back. */
async function fullyRead(database: Database, userNid: number, event: StoredEvent): Promise<CommitItem | undefined> {
  const before = await findAccountData(database, userNid, event.room_nid, FULLY_READ);
  const parsed: JsonValue = before === undefined ? null : JSON.parse(before);
  const id = isObject(parsed) ? ownString(parsed, "event_id") : undefined;
  const marked = id === undefined ? undefined : (await eventsById(database, [id])).get(id);
  if (marked !== undefined && (marked.nid === event.nid || isLater(marked, event))) return undefined;
  return {
    statements: [accountDataSet(userNid, event.room_nid, FULLY_READ, JSON.stringify({ event_id: event.event_id }))],
    entries: [{ kind: "account_data", user_nid: userNid, reference: event.room_nid }],
  };
}

/** Whether one event comes after another: by the live timeline, what is before that by depth. */
function isLater(one: StoredEvent, other: StoredEvent): boolean {
  if (one.ordinal !== null || other.ordinal !== null) return (one.ordinal ?? 0) > (other.ordinal ?? 0);
  return one.depth > other.depth;
}

type ReceiptContent = Record<string, Record<string, Record<string, { ts: number; thread_id?: string }>>>;

/** Receipts of rooms that changed in a range, as JSON text of the content of `m.receipt`; private ones of the reader only. */
export async function receiptContents(
  reads: Reads,
  rooms: readonly number[],
  userNid: number,
  range: Range,
): Promise<Map<number, string>> {
  const contents = new Map<number, ReceiptContent>();
  for (const { room_nid, event_id, user_id, kind, thread, root, ts } of await receiptsChanged(reads, rooms, userNid, range)) {
    let content = contents.get(room_nid);
    if (content === undefined) contents.set(room_nid, (content = Object.create(null) as ReceiptContent));
    const thread_id = thread === MAIN_TIMELINE ? "main" : root;
    const types = (content[event_id] ??= {});
    const users = (types[kind === 1 ? "m.read" : "m.read.private"] ??= {});
    // A place can hold one receipt of a user: that of the whole room, which comes last, says the most.
    users[user_id] = { ts, ...(thread_id !== null && thread !== WHOLE_ROOM && { thread_id }) };
  }
  return new Map([...contents].map(([room, content]) => [room, JSON.stringify(content)]));
}
