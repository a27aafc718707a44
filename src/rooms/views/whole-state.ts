// Waiting for the whole state of rooms of which only a part is known yet (server-server API, "Joining Rooms", `members_omitted`).
import { unknownError } from "../../errors.js";
import type { Database } from "../../storage/database.js";
import { isWhole } from "../../storage/partial-state.js";
import type { Room } from "../current-state.js";

/** How often one looks, and for how long a request waits. */
const LOOK_MS = 100;
const LONGEST_MS = 90_000;

/** What was asked for takes the whole state of a room, which is not known yet. */
class PartialState extends Error {
  override name = "PartialState";
  readonly roomNid: number;

  constructor(roomNid: number) {
    super("the state of the room is not known whole yet");
    this.roomNid = roomNid;
  }
}

/** To be called inside of `onceWhole` by what takes the whole state of a room. */
export function requireWhole({ nid, whole_since }: Pick<Room, "nid" | "whole_since">): void {
  if (whole_since === null) throw new PartialState(nid);
}

/** Acts; again as soon as the state is known whole that it took. Throws M_UNKNOWN 504 where that takes too long. */
export async function onceWhole<Result>(database: Database, act: () => Promise<Result>): Promise<Result> {
  for (const until = performance.now() + LONGEST_MS; ; ) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof PartialState)) throw error;
      if (!(await untilWhole(database, error.roomNid, until - performance.now()))) {
        throw unknownError(504, "Other servers have not told yet who is in this room: try again.");
      }
    }
  }
}

/** Waits until all of a room's state is known, at most so many milliseconds: whether it is. */
export async function untilWhole(database: Database, roomNid: number, forMs: number): Promise<boolean> {
  const until = performance.now() + forMs;
  while (!(await isWhole(database, roomNid))) {
    if (performance.now() >= until) return false;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return true;
}
