// Pages of a room's events: as many as were asked for that pass, and where the next page begins.
import type { Membership } from "../../protocol/membership.js";
import type { ShownEvent } from "./client-event.js";
import type { ReadEvent } from "./event-cache.js";
import { type Direction, isBeyond, isLater, type Place, placeAfter, placeBefore, within } from "./place.js";

/** No page has more events. */
export const MAX_LIMIT = 1_000;
/** How often more is read when a filter or the history's visibility left too little: then the page is short. */
const ROUNDS = 5;

export interface PageBounds {
  readonly dir: Direction;
  readonly from: Place;
  readonly to?: Place | undefined;
  readonly limit: number;
}

export interface Page {
  readonly shown: readonly ShownEvent[];
  /** Where the next page begins; undefined at the end of what there is. */
  readonly next: Place | undefined;
  /** How far was read. */
  readonly reached: Place;
}

/** Where the events of a page come from. */
export interface PageSource {
  /** That many events from a place on, in the page's direction. */
  read(from: Place, limit: number): Promise<readonly ReadEvent[]>;
  /** Those of them that are shown, by number, with the reader's membership at each. */
  pass(events: readonly ReadEvent[]): Promise<ReadonlyMap<number, Membership>>;
}

/** Reads events from a place on, until there are `limit` that pass. */
export async function readPage({ dir, from, to, limit }: PageBounds, source: PageSource): Promise<Page> {
  const placeBeyond = (event: ReadEvent): Place => (dir === "b" ? within(from, placeBefore(event)) : placeAfter(event));
  const shown: ShownEvent[] = [];
  let at = from;
  // One more than wanted tells whether anything follows.
  for (let round = 0, size = limit + 1; round < ROUNDS; round++, size = Math.min(size * 2, MAX_LIMIT)) {
    const events = (await source.read(at, size)).filter(({ row }) => !isBeyond(row, dir, to));
    const passing = await source.pass(events);
    for (const event of events) {
      if (shown.length >= limit) return { shown, next: at, reached: at };
      at = placeBeyond(event);
      const membership = passing.get(event.row.nid);
      if (membership === undefined || (dir === "b" && isLater(event, from))) continue;
      shown.push({ read: event, membership });
    }
    if (events.length < size) return { shown, next: undefined, reached: at };
  }
  return { shown, next: at, reached: at };
}
