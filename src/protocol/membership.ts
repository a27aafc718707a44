// Membership of users in rooms (m.room.member).
import type { RoomEvent } from "./event.js";
import { type JsonObject, ownString } from "./json.js";
import { type StateMap, stateTuple } from "./state-map.js";

export type Membership = "join" | "invite" | "leave" | "ban" | "knock";

const MEMBERSHIPS: readonly string[] = ["join", "invite", "leave", "ban", "knock"] satisfies Membership[];

function isMembership(text: string | undefined): text is Membership {
  return text !== undefined && MEMBERSHIPS.includes(text);
}

/** The membership that the content of a member event gives, or undefined if it is none. */
export function membershipIn(content: JsonObject): Membership | undefined {
  const membership = ownString(content, "membership");
  return isMembership(membership) ? membership : undefined;
}

/** A user's membership in a state; undefined if the room has never seen the user. */
export function membershipOf(state: StateMap<RoomEvent>, user: string): Membership | undefined {
  const event = state.get(stateTuple("m.room.member", user));
  return event && membershipIn(event.content);
}

/** The join rule of a state; `invite` if it has none. */
export function joinRuleOf(state: StateMap<RoomEvent>): string {
  const rules = state.get(stateTuple("m.room.join_rules", ""));
  return (rules && ownString(rules.content, "join_rule")) ?? "invite";
}
