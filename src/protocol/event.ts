// An event of any room version, as everything inside sees it.
import {
  type EventId,
  parseEventId,
  parseRoomId,
  parseUserId,
  type RoomId,
  roomIdOfCreateEvent,
  type UserId,
} from "./identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "./json.js";
import type { RoomVersion } from "./room-version.js";

/**
 * An event after its format was checked and its id computed. `room_id` is always set (room version 12 derives it for the
 * create event), `prev_events` and `auth_events` are always plain ids (room versions 1 and 2 carry pairs on the wire).
 * `redacts` is set wherever the room version keeps it. `depth` is cut to what a double holds (versions 1 to 5 allow more).
 * `json` is the text exactly as signed, without `unsigned`; it is what is stored and sent on.
 */
export interface RoomEvent {
  readonly event_id: EventId;
  readonly room_id: RoomId;
  readonly type: string;
  readonly state_key?: string;
  readonly sender: UserId;
  readonly content: JsonObject;
  readonly origin_server_ts: number;
  readonly depth: number;
  readonly prev_events: readonly EventId[];
  readonly auth_events: readonly EventId[];
  readonly redacts?: EventId;
  /** For how many milliseconds it is sticky (MSC4354), at most an hour; absent for what is not. */
  readonly sticky_duration_ms?: number;
  readonly json: string;
}

/** A state event: one with a state key. */
export type StateEvent = RoomEvent & { readonly state_key: string };

/** True for events with a state key. */
export function isState(event: RoomEvent): event is StateEvent {
  return event.state_key !== undefined;
}

/** Throws Error unless all events are of one room: events of other rooms must never authorise anything. */
export function requireOneRoom(events: Iterable<RoomEvent>): void {
  let room: RoomId | undefined;
  for (const event of events) {
    room ??= event.room_id;
    if (event.room_id !== room) throw new Error(`event ${event.event_id} is of another room than ${room}`);
  }
}

/** Why something is no event of its room version. */
export interface Malformed {
  readonly malformed: string;
  /** It breaks the rules of JSON that its version has ("Canonical JSON"), not only the format of events. */
  readonly badJson?: boolean;
}

export const MAX_PREV_EVENTS = 20;
const MAX_AUTH_EVENTS = 10;
const MAX_FIELD_LENGTH = 255;

/** The member of an event that makes it sticky. */
export const STICKY = "msc4354_sticky";
const MAX_STICKY_MS = 3_600_000;

const malformed = (reason: string): Malformed => ({ malformed: reason });

/** True for the create event of a room version whose create event carries no room id. */
function isUnnamedCreate(version: RoomVersion, type: string, stateKey: JsonValue | undefined): boolean {
  return version.hashedRoomIds && type === "m.room.create" && stateKey === "";
}

function isTooLong(version: RoomVersion, field: string): boolean {
  return Buffer.byteLength(field) > MAX_FIELD_LENGTH && (version.fieldsInBytes || Array.from(field).length > MAX_FIELD_LENGTH);
}

/** Whether an event keeps to what the specification says for all versions, as those that we make do. */
export function hasShortFields({ type, state_key = "" }: Pick<RoomEvent, "type" | "state_key">): boolean {
  return Buffer.byteLength(type) <= MAX_FIELD_LENGTH && Buffer.byteLength(state_key) <= MAX_FIELD_LENGTH;
}

/**
 * Reads the fields of an event in wire form and checks them against the room version's event format ("Event format" of
 * the version; server-server API, "PDUs"). `derivedId` is the event's id where the version derives it, `text` its
 * canonical text. Gives `{ malformed }` for what is no event of this version; never throws.
 */
export function readEvent(
  version: RoomVersion,
  json: JsonObject,
  derivedId: EventId | undefined,
  text: string,
): RoomEvent | Malformed {
  const type = ownString(json, "type");
  const content = own(json, "content");
  const stateKey = own(json, "state_key");
  if (type === undefined || isTooLong(version, type)) return malformed("type is not a string of at most 255 bytes");
  if (!isObject(content)) return malformed("content is not an object");
  if (stateKey !== undefined && (typeof stateKey !== "string" || isTooLong(version, stateKey))) {
    return malformed("state_key is not a string of at most 255 bytes");
  }
  const sender = parseUserId(own(json, "sender"));
  if (sender === undefined) return malformed("sender is not a user id");

  const event_id = derivedId ?? parseEventId(own(json, "event_id"));
  if (event_id === undefined || (derivedId === undefined && !event_id.includes(":"))) {
    return malformed("event_id is not an event id");
  }
  const unnamed = isUnnamedCreate(version, type, stateKey);
  if (unnamed && Object.hasOwn(json, "room_id")) return malformed("a create event has no room_id in this room version");
  const room_id = unnamed ? roomIdOfCreateEvent(event_id) : parseRoomId(own(json, "room_id"));
  if (room_id === undefined) return malformed("room_id is not a room id");

  const origin_server_ts = wholeNumber(own(json, "origin_server_ts"));
  const depth = wholeNumber(own(json, "depth"));
  if (origin_server_ts === undefined) return malformed("origin_server_ts is not an integer");
  if (depth === undefined || depth < 0) return malformed("depth is not an integer from 0");

  const prev_events = references(version, own(json, "prev_events"), MAX_PREV_EVENTS);
  const auth_events = references(version, own(json, "auth_events"), MAX_AUTH_EVENTS);
  if (prev_events === undefined) return malformed("prev_events is not a list of at most 20 events");
  if (auth_events === undefined) return malformed("auth_events is not a list of at most 10 events");

  const hashes = own(json, "hashes");
  const signatures = own(json, "signatures");
  if (!isObject(hashes) || ownString(hashes, "sha256") === undefined) return malformed("hashes has no sha256");
  if (!isObject(signatures) || !Object.values(signatures).every(isObject)) return malformed("signatures are no objects");

  const redacts = type === "m.room.redaction" ? redactedEvent(version, json, content) : undefined;
  const sticky = stickyDuration(json);
  return {
    event_id,
    room_id,
    type,
    ...(stateKey !== undefined && { state_key: stateKey }),
    sender,
    content,
    origin_server_ts,
    depth,
    prev_events,
    auth_events,
    ...(redacts !== undefined && { redacts }),
    ...(sticky !== undefined && { sticky_duration_ms: sticky }),
    json: text,
  };
}

/** The event that a redaction names: in its content or beside it, as the version says; undefined if it names none. */
function redactedEvent(version: RoomVersion, json: JsonObject, content: JsonObject): EventId | undefined {
  return parseEventId(own(version.redactsInContent ? content : json, "redacts"));
}

/** For how long an event says that it is sticky (MSC4354), cut to an hour. */
function stickyDuration(json: JsonObject): number | undefined {
  const sticky = own(json, STICKY);
  const duration = isObject(sticky) ? own(sticky, "duration_ms") : undefined;
  return typeof duration === "number" && Number.isInteger(duration) && duration >= 0 ? Math.min(duration, MAX_STICKY_MS) : undefined;
}

/** An integer, cut to the range of a double: room versions 1 to 5 allow depths up to 2^63-1. */
function wholeNumber(value: JsonValue | undefined): number | undefined {
  if (typeof value !== "number" || !Number.isInteger(value)) return undefined;
  return Math.max(Math.min(value, Number.MAX_SAFE_INTEGER), Number.MIN_SAFE_INTEGER);
}

/** The ids of prev_events or auth_events; undefined if they have the wrong form or are too many. */
function references(version: RoomVersion, list: JsonValue | undefined, most: number): EventId[] | undefined {
  if (!Array.isArray(list) || list.length > most) return undefined;
  const ids: EventId[] = [];
  for (const entry of list) {
    const id = parseEventId(version.referencePairs && Array.isArray(entry) && entry.length === 2 ? entry[0] : entry);
    if (id === undefined || Array.isArray(entry) !== version.referencePairs) return undefined;
    ids.push(id);
  }
  return ids;
}

/**
 * An event from our own storage: its text passed every check when it came in. Throws Error if the text is no event,
 * which means that the storage is damaged.
 */
export function storedEvent(version: RoomVersion, id: EventId, text: string): RoomEvent {
  const json: JsonValue = JSON.parse(text);
  const event = isObject(json) ? readEvent(version, json, version.eventIds === "chosen" ? undefined : id, text) : undefined;
  if (event === undefined || "malformed" in event) throw new Error(`stored event ${id} cannot be read`);
  return event;
}
