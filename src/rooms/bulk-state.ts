// The state of a room as another server gives it, with many events: read, checked and written in pieces.
import { logger } from "../log.js";
import { type ParsedEvent, parseEvent } from "../protocol/event-format.js";
import type { EventId, RoomId, ServerName } from "../protocol/identifiers.js";
import { type JsonObject, type JsonValue, own } from "../protocol/json.js";
import type { RoomVersion } from "../protocol/room-version.js";
import { noteProgress } from "../storage/partial-state.js";
import { type CheckedEvent, checkSignatures } from "./check-events.js";
import type { RoomContext } from "./context.js";
import { inOrder } from "./event-order.js";

const log = logger("federation");

/** What a server gives of a large room takes its time: milliseconds, and bytes. */
export const STATE_MS = 300_000;
export const STATE_BYTES = 512 * 1024 * 1024;
/** Events that are read, or checked and written, at once: between them others have their turn. */
const READ_AT_ONCE = 200;
const WRITE_AT_ONCE = 500;

/**
 * Reads those of many events that are well formed and of the room: their ids, in their order. Between some of them others have
 * their turn.
 */
export async function readInto(events: Map<EventId, ParsedEvent>, version: RoomVersion, roomId: RoomId, wire: readonly JsonValue[]): Promise<EventId[]> {
  const ids: EventId[] = [];
  for (const [index, json] of wire.entries()) {
    if (index % READ_AT_ONCE === READ_AT_ONCE - 1) await new Promise((resolve) => setImmediate(resolve));
    const parsed = parseEvent(version, json);
    if ("malformed" in parsed || parsed.event.room_id !== roomId) continue;
    const { event_id } = parsed.event;
    ids.push(event_id);
    if (!events.has(event_id)) events.set(event_id, parsed);
  }
  return ids;
}

/** Where the state of a room comes from. */
export interface Source {
  readonly roomNid: number;
  readonly server: ServerName;
  readonly version: RoomVersion;
  readonly roomId: RoomId;
  readonly create: EventId;
}

/**
 * Writes those of many events whose signatures hold, each after those that authorise it. While some are written, the next are
 * checked: the one is PostgreSQL's work, the other that of the thread pool.
 */
export async function writeOutliers(
  { database, federation, owners }: Pick<RoomContext, "database" | "federation" | "owners">,
  { server, version, roomId, roomNid, create }: Source,
  events: ReadonlyMap<EventId, ParsedEvent>,
): Promise<void> {
  // Where the room id implies the create event, nothing names it, and everything needs it.
  const order = inOrder([...events.values()].map(({ event }) => event), ({ auth_events }) => [...auth_events, create]);
  const check = (start: number): Promise<CheckedEvent[]> =>
    checkSignatures(federation.keyRing, version, order.slice(start, start + WRITE_AT_ONCE).flatMap(({ event_id }) => events.get(event_id) ?? []));
  let next = check(0);
  for (let start = 0; start < order.length; start += WRITE_AT_ONCE) {
    const checked = await next;
    next = check(start + WRITE_AT_ONCE);
    // Whatever becomes of the writing, somebody has heard of this.
    next.catch(() => undefined);
    const outliers = checked.flatMap((result) => ("event" in result ? { event: result.event, as: "outlier" as const } : []));
    await owners.receive(version, roomId, outliers);
    const written = Math.min(start + WRITE_AT_ONCE, order.length);
    await noteProgress(database, roomNid, written, order.length);
    log.info({ room: roomId, server, written, of: order.length }, "a room is being joined");
  }
}

/** A list in an answer; empty if it is none. */
export function listOf(answer: JsonObject, key: string): readonly JsonValue[] {
  const list = own(answer, key);
  return Array.isArray(list) ? list : [];
}
