// Who may see an event (client-server API, "Room History Visibility").
import { type JsonObject, ownString } from "./json.js";
import type { Membership } from "./membership.js";

export type HistoryVisibility = "world_readable" | "shared" | "invited" | "joined";

/** What an m.room.history_visibility event sets; `shared` without such an event or for a value that nobody knows. */
export function historyVisibilityIn(content: JsonObject | undefined): HistoryVisibility {
  const value = content === undefined ? undefined : ownString(content, "history_visibility");
  return value === "world_readable" || value === "invited" || value === "joined" ? value : "shared";
}

/** What a user's right to see an event depends on: the room's state at the event. */
export interface Viewpoint {
  /** Before the event, and after it if the event itself changes the visibility. */
  readonly visibilities: readonly HistoryVisibility[];
  /** The user's membership before the event, and after it if it is the user's own member event. */
  readonly memberships: readonly (Membership | undefined)[];
  /** Whether the user joined the room at any point after the event. */
  readonly joinedSince: boolean;
}

/** Whether a user may see an event; steps as in "Server behaviour". */
export function mayUserSee({ visibilities, memberships, joinedSince }: Viewpoint): boolean {
  // 1.
  if (visibilities.includes("world_readable")) return true;
  // 2.
  if (memberships.includes("join")) return true;
  // 3.
  if (visibilities.includes("shared") && joinedSince) return true;
  // 4.
  if (visibilities.includes("invited") && memberships.includes("invite")) return true;
  // 5.
  return false;
}

/**
 * Whether a server may see an event, by the memberships of its users at the event: what one of them may see, the server
 * may see, and `shared` history is for every server in the room now, which the caller has made sure of.
 */
export function mayServerSee(visibility: HistoryVisibility, memberships: Iterable<Membership>): boolean {
  if (visibility === "world_readable" || visibility === "shared") return true;
  for (const membership of memberships) {
    if (membership === "join" || (membership === "invite" && visibility === "invited")) return true;
  }
  return false;
}
