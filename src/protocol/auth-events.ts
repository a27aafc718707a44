// Which state authorises an event (server-server API, "Auth events selection").
import { isObject, type JsonObject, own, ownString } from "./json.js";
import type { RoomVersion } from "./room-version.js";
import { type StateMap, type StateTuple, stateTuple } from "./state-map.js";

/** What the selection looks at: drafts have it before they have auth events. */
export interface Selectable {
  readonly type: string;
  readonly state_key?: string;
  readonly sender: string;
  readonly content: JsonObject;
}

const CREATE = stateTuple("m.room.create", "");
const POWER_LEVELS = stateTuple("m.room.power_levels", "");
const JOIN_RULES = stateTuple("m.room.join_rules", "");

/**
 * The state that the authorisation rules look at for an event, the create event always included. `auth_events` name it
 * too, apart from the create event where the room id implies it: see `authEventTuples`.
 */
export function authorisingTuples(version: RoomVersion, event: Selectable): StateTuple[] {
  if (event.type === "m.room.create") return [];
  const tuples = new Set([CREATE, POWER_LEVELS, stateTuple("m.room.member", event.sender)]);
  if (event.type !== "m.room.member") return [...tuples];
  const membership = ownString(event.content, "membership");
  if (event.state_key !== undefined) tuples.add(stateTuple("m.room.member", event.state_key));
  if (membership === "join" || membership === "invite" || membership === "knock") tuples.add(JOIN_RULES);
  if (membership === "invite") {
    const invite = own(event.content, "third_party_invite");
    const signed = isObject(invite) ? own(invite, "signed") : undefined;
    const token = isObject(signed) ? ownString(signed, "token") : undefined;
    if (token !== undefined) tuples.add(stateTuple("m.room.third_party_invite", token));
  }
  if (membership === "join" && version.restrictedJoins) {
    const authoriser = ownString(event.content, "join_authorised_via_users_server");
    if (authoriser !== undefined) tuples.add(stateTuple("m.room.member", authoriser));
  }
  return [...tuples];
}

/** The (type, state_key) that the `auth_events` of an event may name. */
export function authEventTuples(version: RoomVersion, event: Selectable): StateTuple[] {
  return authorisingTuples(version, event).filter((tuple) => tuple !== CREATE || !version.hashedRoomIds);
}

/** The auth events of a new event, from the state before it: whatever the state map holds, ids or events. */
export function selectAuthEvents<T>(version: RoomVersion, event: Selectable, state: StateMap<T>): T[] {
  return authEventTuples(version, event).flatMap((tuple) => state.get(tuple) ?? []);
}
