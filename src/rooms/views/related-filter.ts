// Filters that ask what relates to an event (client-server API, "RoomEventFilter": `related_by_*`).
import type { RoomEventFilter } from "../../protocol/filter.js";
import type { Interning } from "../../storage/interning.js";
import { relatedEvents } from "../../storage/relations.js";
import type { Reads } from "../../storage/statement.js";
import type { ReadEvent } from "./event-cache.js";

export type RelatedFilter = Pick<RoomEventFilter, "related_by_senders" | "related_by_rel_types">;

/** A test for these events: whether events of the senders and relation types that the filter names relate to them. */
export async function relatedTest(
  interning: Interning,
  reads: Reads,
  { related_by_senders: senders, related_by_rel_types: types }: RelatedFilter,
  events: readonly ReadEvent[],
): Promise<(event: ReadEvent) => boolean> {
  if (senders === undefined && types === undefined) return () => true;
  const found = await relatedEvents(
    reads,
    events.map(({ row }) => row.nid),
    senders === undefined ? null : [...(await interning.findUsers(senders)).values()],
    types === undefined ? null : [...(await interning.findTypes(types)).values()],
  );
  return ({ row }) => found.has(row.nid);
}
