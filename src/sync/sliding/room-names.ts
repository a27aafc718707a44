// What rooms are called in an answer of sliding sync: their names and pictures, and the members that make up a name (MSC4186).
import { ownString } from "../../protocol/json.js";
import { stateTuple } from "../../protocol/state-map.js";
import type { ReadEvent } from "../../rooms/views/event-cache.js";
import { stateOfTuples } from "../../storage/sliding-rooms.js";
import { currentMembers, SUMMARIES, type SummaryRow } from "../../storage/sync.js";
import type { PlannedRoom } from "./plan.js";
import { NAME, stringIn, strippedEvents } from "./room-list.js";
import type { RoomState } from "./room-states.js";
import type { SlidingReading } from "./sliding-reading.js";

const AVATAR = stateTuple("m.room.avatar", "");

/** How many are in a room, and the member events of its heroes. */
export interface Summary {
  readonly row: SummaryRow;
  readonly heroes: readonly ReadEvent[];
}

/** The summaries of rooms. */
export async function summariesOf({ services, reads, reader }: SlidingReading, rooms: readonly PlannedRoom[]): Promise<Map<number, Summary>> {
  if (rooms.length === 0) return new Map();
  const rows = await reads.read(SUMMARIES, [rooms.map(({ room }) => room.room_nid), reader.user_nid]);
  const members = await currentMembers(reads, rows.flatMap(({ room_nid, heroes }) => heroes.map((user) => [room_nid, user] as const)));
  const events = await services.events.get(reads, members.map(({ event_nid }) => event_nid));
  const eventOf = new Map(members.map(({ room_nid, user_nid, event_nid }) => [`${room_nid} ${user_nid}`, events.get(event_nid)]));
  return new Map(
    rows.map((row) => [
      row.room_nid,
      { row, heroes: row.heroes.map((user) => eventOf.get(`${row.room_nid} ${user}`)).filter((event) => event !== undefined) },
    ]),
  );
}

/** The names and avatars of rooms. */
export async function namesOf({ services, reads }: SlidingReading, rooms: readonly PlannedRoom[]): Promise<Map<number, { name: string | null; avatar: string | null }>> {
  const found = new Map<number, { name: string | null; avatar: string | null }>();
  if (rooms.length === 0) return found;
  for (const { room } of rooms) found.set(room.room_nid, { name: null, avatar: null });
  const tuples = await services.interning.findTuples([NAME, AVATAR]);
  const rows = await stateOfTuples(reads, rooms.flatMap(({ room }) => [...tuples.values()].map((tuple) => [room.room_nid, tuple] as const)));
  const events = await services.events.get(reads, rows.map(({ event_nid }) => event_nid));
  for (const { room_nid, tuple_nid, event_nid } of rows) {
    const naming = found.get(room_nid);
    const content = events.get(event_nid)?.event.content ?? {};
    if (naming === undefined) continue;
    if (tuple_nid === tuples.get(NAME)) naming.name = ownString(content, "name") || null;
    else naming.avatar = ownString(content, "url") || null;
  }
  return found;
}

/** JSON of name, avatar and, where there is no name, of those who make one up. */
export function namingParts(
  { initial }: PlannedRoom,
  state: RoomState,
  { name, avatar }: { readonly name: string | null; readonly avatar: string | null },
  summary: Summary | undefined,
): string[] {
  const parts: string[] = [];
  if (state.name && (name !== null || !initial)) parts.push(`"name":${JSON.stringify(name)}`);
  if (state.avatar && (avatar !== null || !initial)) parts.push(`"avatar":${JSON.stringify(avatar)}`);
  if (name !== null || summary === undefined) return parts;
  const heroes = summary.heroes.map(({ event }) => {
    const displayname = ownString(event.content, "displayname");
    const avatar_url = ownString(event.content, "avatar_url");
    return { user_id: event.state_key, ...(displayname !== undefined && { displayname }), ...(avatar_url !== undefined && { avatar_url }) };
  });
  return [...parts, `"heroes":${JSON.stringify(heroes)}`];
}

/** JSON of what is told of a room that the user waits for. */
export function waitingParts(stripped: readonly string[]): string[] {
  const parts = [`"invite_state":[${stripped.join(",")}]`, `"stripped_state":[${stripped.join(",")}]`];
  for (const event of strippedEvents(stripped)) {
    const name = event["type"] === "m.room.name" ? stringIn(event, "name") : null;
    const avatar = event["type"] === "m.room.avatar" ? stringIn(event, "url") : null;
    if (name !== null && name !== "") parts.push(`"name":${JSON.stringify(name)}`);
    if (avatar !== null && avatar !== "") parts.push(`"avatar":${JSON.stringify(avatar)}`);
  }
  return parts;
}
