// The summaries of rooms in answers of /sync: how many are there, and by whom a room without a name is called ("RoomSummary").
import { type JsonObject, ownString } from "../protocol/json.js";
import type { ReadEvent } from "../rooms/views/event-cache.js";
import { CURRENT_STATE_OF_TYPES, SUMMARIES, type SummaryRow } from "../storage/sync.js";
import { loadStates, type RoomWindow, type Timeline } from "./room-window.js";
import type { SyncReading } from "./sync-request.js";

/** What a room is called by: without either clients call it after its heroes. */
const NAMES = ["m.room.name", "m.room.canonical_alias"];

/** As JSON text, and who is named in it. */
export interface Summary {
  readonly text: string;
  readonly heroes: readonly number[];
}

/** A room of an answer: its events, and the state that is shown with them by numbers of state keys. */
export interface RoomSection {
  readonly window: RoomWindow;
  readonly timeline: Timeline;
  readonly state: ReadonlyMap<number, number>;
}

/** Summaries of rooms that are new to the client or whose members or names changed. */
export async function summariesOf(reading: SyncReading, sections: readonly RoomSection[]): Promise<ReadonlyMap<number, Summary>> {
  const { services, reads, reader } = reading;
  const known = sections.filter(({ window }) => !window.fullState);
  const contents = await loadStates(services.events, reads, known.map(({ state }) => state));
  const changed = sections
    .filter(
      ({ window, timeline, state }) =>
        window.fullState ||
        timeline.events.some(({ read }) => changesSummary(read)) ||
        [...state.values()].some((nid) => changesSummary(contents.get(nid))),
    )
    .map(({ window }) => window.room_nid);
  if (changed.length === 0) return new Map();
  const [summaries, named] = await Promise.all([reads.read(SUMMARIES, [changed, reader.user_nid]), namedRooms(reading, changed)]);
  const unnamed = summaries.filter(({ room_nid }) => !named.has(room_nid));
  const names = await services.interning.userIds(unnamed.flatMap(({ heroes }) => heroes));
  return new Map(
    summaries.map((row) => {
      const heroes = named.has(row.room_nid) ? undefined : row.heroes;
      return [row.room_nid, { text: summaryText(row, heroes?.map((nid) => names.get(nid))), heroes: heroes ?? [] }];
    }),
  );
}

/** Those of some rooms that have a name or an alias to be called by. */
async function namedRooms({ services, reads }: SyncReading, rooms: readonly number[]): Promise<Set<number>> {
  const state = await reads.read(CURRENT_STATE_OF_TYPES, [rooms, NAMES]);
  const events = await services.events.get(reads, state.map(({ event_nid }) => event_nid));
  const isName = (content: JsonObject): boolean => (ownString(content, "name") ?? ownString(content, "alias") ?? "") !== "";
  return new Set(state.flatMap(({ room_nid, event_nid }) => (isName(events.get(event_nid)?.event.content ?? {}) ? [room_nid] : [])));
}

/** Whether an event changes what a room's summary says. */
export function changesSummary(read: ReadEvent | undefined): boolean {
  return read !== undefined && (read.event.type === "m.room.member" || NAMES.includes(read.event.type));
}

function summaryText({ joined, invited }: SummaryRow, heroes: readonly (string | undefined)[] | undefined): string {
  return JSON.stringify({
    ...(heroes !== undefined && { "m.heroes": heroes.filter((name) => name !== undefined) }),
    "m.joined_member_count": joined,
    "m.invited_member_count": invited,
  });
}
