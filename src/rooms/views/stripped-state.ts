// What who is invited to a room, or knocks on it, is shown of it (client-server API, "Stripped state").
import type { Reads } from "../../storage/statement.js";
import { CURRENT_STATE_OF_TYPES } from "../../storage/sync.js";
import type { RoomContext } from "../context.js";
import type { ReadEvent } from "./event-cache.js";

/** The types of that state. */
export const STRIPPED = [
  "m.room.create",
  "m.room.join_rules",
  "m.room.canonical_alias",
  "m.room.avatar",
  "m.room.encryption",
  "m.room.name",
  "m.room.topic",
];

/** The events of a room that its invited and knocking users are shown. */
export async function strippedStateOf({ events }: RoomContext, reads: Reads, roomNid: number): Promise<ReadEvent[]> {
  const rows = await reads.read(CURRENT_STATE_OF_TYPES, [[roomNid], STRIPPED]);
  return [...(await events.get(reads, rows.map(({ event_nid }) => event_nid))).values()];
}
