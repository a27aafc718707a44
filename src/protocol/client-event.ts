// Events as clients see them (client-server API, "Types of room events"; server behaviour for redactions of room version 11).
import { type RoomEvent, type StateEvent, STICKY } from "./event.js";
import type { RoomVersion } from "./room-version.js";

export type EventFormat = "client" | "federation";

/**
 * The part of an event that is the same for all who see it: JSON text of an object that lacks its closing brace, so that
 * `completeEvent` can add what differs. In the client format content keeps the text that was signed; redactions name their
 * target both in the content and beside it, whatever the room version.
 */
export function eventHead(version: RoomVersion, event: RoomEvent, format: EventFormat): string {
  const id = quote(event.event_id);
  if (format === "federation") {
    const members = event.json.slice(0, -1);
    return version.eventIds === "chosen" ? members : `${members},"event_id":${id}`;
  }
  const { redacts } = event;
  let content = memberText(event.json, "content") ?? "{}";
  if (redacts !== undefined && !version.redactsInContent && !Object.hasOwn(event.content, "redacts")) {
    content = `{"redacts":${quote(redacts)}${content === "{}" ? "" : ","}${content.slice(1)}`;
  }
  return (
    `{"type":${quote(event.type)},"sender":${quote(event.sender)},"content":${content}` +
    (event.state_key === undefined ? "" : `,"state_key":${quote(event.state_key)}`) +
    (redacts === undefined ? "" : `,"redacts":${quote(redacts)}`) +
    (event.sticky_duration_ms === undefined ? "" : `,"${STICKY}":${memberText(event.json, STICKY) ?? "{}"}`) +
    `,"origin_server_ts":${event.origin_server_ts},"event_id":${id}`
  );
}

/**
 * The JSON text of an event for one reader: its head, the room id unless the place implies it or the federation format has
 * it already, and `unsigned`, JSON text too, unless it is empty.
 */
export function completeEvent(head: string, options: { readonly roomId?: string; readonly unsigned?: string }): string {
  const room = options.roomId === undefined ? "" : `,"room_id":${quote(options.roomId)}`;
  const unsigned = options.unsigned === undefined || options.unsigned === "{}" ? "" : `,"unsigned":${options.unsigned}`;
  return `${head}${room}${unsigned}}`;
}

/**
 * Stripped state: what someone invited sees of a state event ("Stripped state"). JSON text. Of the create event clients are told
 * the time, too, with which its room id can be checked where that is its hash.
 */
export function strippedEvent(event: StateEvent): string {
  const time = event.type === "m.room.create" ? `,"origin_server_ts":${event.origin_server_ts}` : "";
  return `{"type":${quote(event.type)},"state_key":${quote(event.state_key)},"sender":${quote(event.sender)},"content":${memberText(event.json, "content") ?? "{}"}${time}}`;
}

function quote(text: string): string {
  return JSON.stringify(text);
}

/** The text of a top-level member of a JSON object in canonical form, without parsing it. */
export function memberText(json: string, name: string): string | undefined {
  const wanted = quote(name);
  let depth = 0;
  let start = -1;
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (code === 0x22) {
      const from = i;
      for (i++; json.charCodeAt(i) !== 0x22; i++) if (json.charCodeAt(i) === 0x5c) i++;
      const isName = depth === 1 && start < 0 && json.charCodeAt(i + 1) === 0x3a;
      if (isName && i - from + 1 === wanted.length && json.startsWith(wanted, from)) start = i + 2;
    } else if (code === 0x7b || code === 0x5b) depth++;
    else if (code === 0x7d || code === 0x5d) depth--;
    const ends = (depth === 1 && code === 0x2c) || depth === 0;
    if (start >= 0 && i >= start && ends) return json.slice(start, i);
  }
  return undefined;
}
