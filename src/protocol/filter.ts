// Filters: which events a client wants to see (client-server API, "Filtering"). Their JSON is checked by the contract.
import { isObject, type JsonObject, own, ownString } from "./json.js";
import { parsePath, pickPaths } from "./property-path.js";

/** Filters events outside rooms: presence and account data. */
export interface EventFilter {
  readonly limit?: number | undefined;
  readonly senders?: readonly string[] | undefined;
  readonly not_senders?: readonly string[] | undefined;
  readonly types?: readonly string[] | undefined;
  readonly not_types?: readonly string[] | undefined;
}

/** Filters events of rooms. `related_by_*` ask about other events: whoever has the relations answers them. */
export interface RoomEventFilter extends EventFilter {
  readonly rooms?: readonly string[] | undefined;
  readonly not_rooms?: readonly string[] | undefined;
  readonly contains_url?: boolean | undefined;
  readonly lazy_load_members?: boolean | undefined;
  readonly include_redundant_members?: boolean | undefined;
  readonly unread_thread_notifications?: boolean | undefined;
  readonly rel_types?: readonly string[] | undefined;
  readonly not_rel_types?: readonly string[] | undefined;
  /** What they were called before they were specified (MSC3874). */
  readonly "org.matrix.msc3874.rel_types"?: readonly string[] | undefined;
  readonly "org.matrix.msc3874.not_rel_types"?: readonly string[] | undefined;
  readonly related_by_senders?: readonly string[] | undefined;
  readonly related_by_rel_types?: readonly string[] | undefined;
}

/** What of an event a filter looks at. Account data and ephemeral events have no sender. */
export interface Filterable {
  readonly type: string;
  readonly sender?: string;
  readonly room_id?: string;
  readonly content: JsonObject;
}

export type EventTest = (event: Filterable) => boolean;

/** A test of event types; `*` in a pattern stands for any run of characters. */
function compileTypes(patterns: readonly string[]): (type: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.includes("*")));
  const globs = patterns.filter((pattern) => pattern.includes("*")).map((pattern) => pattern.split(/\*+/));
  return (type) => exact.has(type) || globs.some((parts) => matchesParts(parts, type));
}

/** True if a text consists of these parts with anything in between. Types are told apart by case and have no `?`. */
function matchesParts(parts: readonly string[], text: string): boolean {
  const first = parts[0] ?? "";
  const last = parts.at(-1) ?? "";
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= text.length - last.length;
}

function only(list: readonly string[] | undefined, value: string | undefined): boolean {
  return list === undefined || (value !== undefined && list.includes(value));
}

/** The relation type of an event's `m.relates_to`. */
function relationType(content: JsonObject): string | undefined {
  const relation = own(content, "m.relates_to");
  return isObject(relation) ? ownString(relation, "rel_type") : undefined;
}

/** Compiles a filter: the test says whether an event passes. Exclusion wins over inclusion, an empty list includes nothing. */
export function compileFilter(filter: RoomEventFilter): EventTest {
  const tests: EventTest[] = [];
  const { senders, not_senders, types, not_types, rooms, not_rooms, contains_url } = filter;
  const rel_types = filter.rel_types ?? filter["org.matrix.msc3874.rel_types"];
  const not_rel_types = filter.not_rel_types ?? filter["org.matrix.msc3874.not_rel_types"];
  if (types !== undefined) {
    const included = compileTypes(types);
    tests.push((event) => included(event.type));
  }
  if (not_types !== undefined && not_types.length > 0) {
    const excluded = compileTypes(not_types);
    tests.push((event) => !excluded(event.type));
  }
  if (senders !== undefined) tests.push((event) => only(senders, event.sender));
  if (not_senders !== undefined && not_senders.length > 0) {
    tests.push((event) => event.sender === undefined || !not_senders.includes(event.sender));
  }
  if (rooms !== undefined || not_rooms !== undefined) {
    const wanted = compileRooms(filter);
    tests.push((event) => event.room_id === undefined || wanted(event.room_id));
  }
  if (contains_url !== undefined) {
    tests.push((event) => (ownString(event.content, "url") !== undefined) === contains_url);
  }
  if (rel_types !== undefined) tests.push((event) => only(rel_types, relationType(event.content)));
  if (not_rel_types !== undefined && not_rel_types.length > 0) {
    tests.push((event) => !not_rel_types.includes(relationType(event.content) ?? ""));
  }
  return (event) => tests.every((test) => test(event));
}

/** The test that `rooms` and `not_rooms` of a filter make up, for rooms as a whole. */
export function compileRooms(filter: Pick<RoomEventFilter, "rooms" | "not_rooms">): (room: string) => boolean {
  const included = filter.rooms && new Set(filter.rooms);
  const excluded = new Set(filter.not_rooms);
  return (room) => !excluded.has(room) && (included === undefined || included.has(room));
}

/** Compiles `event_fields`: the function keeps of an event, as a client sees it, only these properties. */
export function compileEventFields(fields: readonly string[]): (event: JsonObject) => JsonObject {
  const paths = fields.map(parsePath);
  return (event) => pickPaths(event, paths);
}
