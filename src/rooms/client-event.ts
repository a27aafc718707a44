// Events as one reader sees them: the shared part with `unsigned` spliced in (client-server API, "Room event format").
import { completeEvent, eventHead, memberText, type EventFormat } from "../protocol/client-event.js";
import { redactEvent } from "../protocol/event-format.js";
import { isObject, type JsonObject, type JsonValue } from "../protocol/json.js";
import type { Membership } from "../protocol/membership.js";
import type { EventCache, ReadEvent } from "./event-cache.js";
import type { Reads } from "../storage/statement.js";
import { transactionIdsOf } from "../storage/transaction-ids.js";

/** Who sees the events, and how. */
export interface EventReader {
  readonly user_nid: number;
  readonly device_id: string | undefined;
  readonly now: number;
  readonly format: EventFormat;
  /** Keeps only what `event_fields` asks for. */
  readonly fields: ((event: JsonObject) => JsonObject) | undefined;
}

export interface ShownEvent {
  readonly read: ReadEvent;
  /** The reader's membership at the event. */
  readonly membership: Membership | undefined;
}

/** What the events of a page need besides themselves: what they replaced, what redacted them, their transaction ids. */
export interface EventContext {
  readonly others: ReadonlyMap<number, ReadEvent>;
  readonly transactions: ReadonlyMap<number, string>;
  /** Senders whose accounts were erased. */
  readonly erased: ReadonlySet<number>;
}

/** Reads what the unsigned parts of these events need: at most two statements. */
export async function eventContext(
  cache: EventCache,
  reads: Reads,
  reader: EventReader,
  events: readonly ReadEvent[],
): Promise<EventContext> {
  const others: number[] = [];
  const own: number[] = [];
  for (const { row } of events) {
    if (row.replaces !== null) others.push(row.replaces);
    if (row.redacted_by !== null) others.push(row.redacted_by);
    if (row.sender_nid === reader.user_nid) own.push(row.nid);
  }
  const { device_id } = reader;
  return {
    others: others.length === 0 ? new Map() : await cache.get(reads, others),
    transactions:
      own.length === 0 || device_id === undefined
        ? new Map()
        : await transactionIdsOf(reads, own, reader.user_nid, device_id),
    erased: cache.erased,
  };
}

function redacted(read: ReadEvent): ReadEvent {
  const event = redactEvent(read.version, read.event);
  return { ...read, event, head: eventHead(read.version, event, "client") };
}

/** The JSON text of an event for a reader. `withRoomId` is for places that do not imply the room. */
export function shownEvent(
  { read: whole, membership }: ShownEvent,
  reader: EventReader,
  context: EventContext,
  withRoomId: boolean,
): string {
  // Who was not there when it was sent never sees what users said who have had themselves erased.
  const hidden = context.erased.has(whole.row.sender_nid) && membership !== undefined && membership !== "join";
  const read = hidden ? redacted(whole) : whole;
  const { row, event } = read;
  let unsigned = `{"age":${Math.max(0, reader.now - event.origin_server_ts)}`;
  const transaction = context.transactions.get(row.nid);
  if (transaction !== undefined) unsigned += `,"transaction_id":${JSON.stringify(transaction)}`;
  if (membership !== undefined) unsigned += `,"membership":"${membership}"`;
  const replaced = row.replaces === null || hidden ? undefined : context.others.get(row.replaces);
  if (replaced !== undefined) {
    unsigned +=
      `,"prev_content":${memberText(replaced.event.json, "content") ?? "{}"}` +
      `,"prev_sender":${JSON.stringify(replaced.event.sender)},"replaces_state":${JSON.stringify(replaced.event.event_id)}`;
  }
  const redaction = row.redacted_by === null ? undefined : context.others.get(row.redacted_by);
  if (redaction !== undefined) {
    unsigned += `,"redacted_because":${completeEvent(redaction.head, { roomId: redaction.room_id })}`;
  }
  unsigned += "}";
  const head = reader.format === "client" ? read.head : eventHead(read.version, event, reader.format);
  const text =
    withRoomId && reader.format === "client"
      ? completeEvent(head, { roomId: read.room_id, unsigned })
      : completeEvent(head, { unsigned });
  if (reader.fields === undefined) return text;
  const parsed: JsonValue = JSON.parse(text);
  return isObject(parsed) ? JSON.stringify(reader.fields(parsed)) : text;
}
