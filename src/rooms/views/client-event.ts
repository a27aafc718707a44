// Events as one reader sees them: the shared part with `unsigned` spliced in (client-server API, "Room event format").
import { completeEvent, eventHead, memberText, type EventFormat } from "../../protocol/client-event.js";
import { redactEvent } from "../../protocol/event-format.js";
import { isObject, type JsonObject, type JsonValue } from "../../protocol/json.js";
import type { Membership } from "../../protocol/membership.js";
import type { EventId } from "../../protocol/identifiers.js";
import type { Reads } from "../../storage/statement.js";
import { stickyExpiries } from "../../storage/sticky-events.js";
import { sentAs } from "../../storage/transaction-ids.js";
import type { EventCache, ReadEvent } from "./event-cache.js";
import type { VisibilityReader } from "./visibility.js";

/** Who sees the events, and how. */
export interface EventReader extends VisibilityReader {
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

/** What one reader is told of the events that relate to another ("Aggregations of child events"). */
export interface Aggregation {
  readonly replacement: ShownEvent | undefined;
  readonly references: readonly EventId[];
  readonly thread: { readonly latest: ShownEvent; readonly count: number; readonly participated: boolean } | undefined;
}

/** By the number of the event that they belong to. */
export type Aggregations = ReadonlyMap<number, Aggregation>;

/** What events need besides themselves: what they replaced, what redacted them, their transaction ids, their aggregations. */
export interface EventContext {
  readonly others: ReadonlyMap<number, ReadEvent>;
  readonly transactions: ReadonlyMap<number, string>;
  /** Ids of delayed events (MSC4140). */
  readonly delays: ReadonlyMap<number, string>;
  readonly aggregations: Aggregations;
  /** Until when those that are sticky are. */
  readonly sticky: ReadonlyMap<number, number>;
  /** Senders whose accounts were erased. */
  readonly erased: ReadonlySet<number>;
}

const NOTHING: Aggregation = { replacement: undefined, references: [], thread: undefined };

export const NO_CONTEXT: EventContext = { others: new Map(), transactions: new Map(), delays: new Map(), aggregations: new Map(), sticky: new Map(), erased: new Set() };

/** Reads what the unsigned parts of these events, and of those in their aggregations, need: at most three statements. */
export async function eventContext(
  cache: EventCache,
  reads: Reads,
  reader: EventReader,
  events: readonly ReadEvent[],
  aggregations: Aggregations = NO_CONTEXT.aggregations,
): Promise<EventContext> {
  const others: number[] = [];
  const own: number[] = [];
  const sticky: number[] = [];
  const bundled = [...aggregations.values()].flatMap(({ replacement, thread }) => [replacement, thread?.latest]);
  for (const { row, event } of [...events, ...bundled.flatMap((shown) => shown?.read ?? [])]) {
    if (row.replaces !== null) others.push(row.replaces);
    if (row.redacted_by !== null) others.push(row.redacted_by);
    if (row.sender_nid === reader.user_nid) own.push(row.nid);
    const { sticky_duration_ms } = event;
    if (sticky_duration_ms !== undefined && event.origin_server_ts + sticky_duration_ms > reader.now) sticky.push(row.nid);
  }
  const { device_id } = reader;
  return {
    ...(device_id === undefined ? NO_CONTEXT : await sentAs(reads, own, reader.user_nid, device_id)),
    others: others.length === 0 ? new Map() : await cache.get(reads, others),
    aggregations,
    sticky: await stickyExpiries(reads, sticky),
    erased: cache.erased,
  };
}

function redacted(read: ReadEvent): ReadEvent {
  const event = redactEvent(read.version, read.event);
  return { ...read, event, head: eventHead(read.version, event, "client") };
}

/** The JSON text of an event for a reader. `withRoomId` is for places that do not imply the room. */
export function shownEvent(shown: ShownEvent, reader: EventReader, context: EventContext, withRoomId: boolean): string {
  const text = eventText(shown, reader, context, withRoomId, context.aggregations.get(shown.read.row.nid));
  if (reader.fields === undefined) return text;
  const parsed: JsonValue = JSON.parse(text);
  return isObject(parsed) ? JSON.stringify(reader.fields(parsed)) : text;
}

function eventText(
  { read: whole, membership }: ShownEvent,
  reader: EventReader,
  context: EventContext,
  withRoomId: boolean,
  aggregation: Aggregation | undefined,
): string {
  // Who was not there when it was sent never sees what users said who have had themselves erased.
  const hidden = context.erased.has(whole.row.sender_nid) && membership !== undefined && membership !== "join";
  const read = hidden ? redacted(whole) : whole;
  const { row, event } = read;
  let unsigned = `{"age":${Math.max(0, reader.now - event.origin_server_ts)}`;
  const transaction = context.transactions.get(row.nid);
  if (transaction !== undefined) unsigned += `,"transaction_id":${JSON.stringify(transaction)}`;
  const delay = context.delays.get(row.nid);
  if (delay !== undefined) unsigned += `,"org.matrix.msc4140.delay_id":${JSON.stringify(delay)}`;
  if (membership !== undefined) unsigned += `,"membership":"${membership}"`;
  const left = event.sticky_duration_ms === undefined ? 0 : (context.sticky.get(row.nid) ?? 0) - reader.now;
  if (left > 0) unsigned += `,"msc4354_sticky_duration_ttl_ms":${left}`;
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
  if (aggregation !== undefined) unsigned += `,"m.relations":${aggregationText(aggregation, reader, context, withRoomId)}`;
  unsigned += "}";
  const head = reader.format === "client" ? read.head : eventHead(read.version, event, reader.format);
  return withRoomId && reader.format === "client"
    ? completeEvent(head, { roomId: read.room_id, unsigned })
    : completeEvent(head, { unsigned });
}

/**
 * The JSON text of `m.relations`: the events in it have the form of the event that it belongs to. They end there: of the
 * latest event of a thread only what replaces it and refers to it is told, so that no chain of events makes an endless text.
 */
function aggregationText(
  { replacement, references, thread }: Aggregation,
  reader: EventReader,
  context: EventContext,
  withRoomId: boolean,
): string {
  const parts: string[] = [];
  if (replacement !== undefined) parts.push(`"m.replace":${eventText(replacement, reader, context, withRoomId, undefined)}`);
  if (references.length > 0) parts.push(`"m.reference":${JSON.stringify({ chunk: references.map((event_id) => ({ event_id })) })}`);
  if (thread !== undefined) {
    const { thread: _nested, ...own } = context.aggregations.get(thread.latest.read.row.nid) ?? NOTHING;
    const aggregation = own.replacement === undefined && own.references.length === 0 ? undefined : { ...own, thread: undefined };
    const latest = eventText(thread.latest, reader, context, withRoomId, aggregation);
    parts.push(`"m.thread":{"latest_event":${latest},"count":${thread.count},"current_user_participated":${thread.participated}}`);
  }
  return `{${parts.join(",")}}`;
}
