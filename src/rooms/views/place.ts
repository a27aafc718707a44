// Places in the history of a room, between two events, as pages begin and end there.
import { invalidParam } from "../../errors.js";
import { type HistoryKey, timelineBackwards } from "../../storage/events.js";
import type { Reads } from "../../storage/statement.js";
import type { ReadEvent } from "./event-cache.js";
import { formatToken, parseToken } from "../token.js";

export type Direction = "b" | "f";

/** A place in the history, and in the log, as a token says it. */
export interface Place extends HistoryKey {
  readonly position: number;
  /** Pages that go back from here are without what arrived in the live timeline after this position. */
  readonly upTo?: number;
}

/**
 * Branches come in late: what arrived before a place in the log may lie deeper in the history than what arrived last. A page that goes
 * back from there begins at the deepest of this many events.
 */
export const RECENT = 20;

export const START: Place = { depth: 0, nid: 0, position: 0 };
export const END: Place = { depth: Number.MAX_SAFE_INTEGER, nid: 0, position: Number.MAX_SAFE_INTEGER };

/** The token of a place. */
export function tokenOf({ depth, nid, position, upTo }: Place): string {
  return formatToken({ kind: "history", depth, nid, position, ...(upTo !== undefined && { upTo }) });
}

/**
 * The place in a room's history that a token names. A token of /sync stands for what had happened by then. Throws
 * M_INVALID_PARAM, with the parameter's name, for what is no token.
 */
export async function placeOf(reads: Reads, roomNid: number, text: string, name: string): Promise<Place> {
  const token = parseToken(text);
  if (token === undefined) throw invalidParam(`"${name}" is no token of this server.`);
  if (token.kind === "history") return token;
  const recent = await timelineBackwards(reads, roomNid, { after: -1, upTo: token.position }, RECENT);
  if (recent.length === 0) return { ...START, position: token.position };
  const { depth, nid } = recent.reduce((a, b) => (isDeeper(b, a) ? b : a));
  return { depth, nid: nid + 1, position: token.position, upTo: token.position };
}

/** Whether one event comes after another in a room's history. */
export function isDeeper(a: HistoryKey, b: HistoryKey): boolean {
  return a.depth > b.depth || (a.depth === b.depth && a.nid > b.nid);
}

/** The place just before an event. */
export function placeBefore({ row }: ReadEvent): Place {
  return { depth: row.depth, nid: row.nid, position: Math.max(0, row.position - 1) };
}

/** The place just after an event. */
export function placeAfter({ row }: ReadEvent): Place {
  return { depth: row.depth, nid: row.nid + 1, position: row.position };
}

/** The place from which a page goes on that began at another one. */
export function within(from: Place, at: Place): Place {
  return from.upTo === undefined ? at : { ...at, upTo: from.upTo };
}

/** Whether an event arrived after all that pages from a place show. */
export function isLater({ row }: ReadEvent, { upTo }: Place): boolean {
  return upTo !== undefined && row.ordinal !== null && row.position > upTo;
}

/** Whether an event lies on the other side of the place where reading stops. */
export function isBeyond(key: HistoryKey, dir: Direction, to: HistoryKey | undefined): boolean {
  if (to === undefined) return false;
  const isBefore = isDeeper(to, key);
  return dir === "b" ? isBefore : !isBefore;
}
