// What a push gateway is sent (Push Gateway API, "Homeserver behaviour").
import type { PushNotification } from "../../spec/push/notify.js";
import type { UserId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, own, ownString } from "../protocol/json.js";
import { type StateTuple, stateTuple } from "../protocol/state-map.js";
import type { EventCache, ReadEvent } from "../rooms/views/event-cache.js";
import type { Pusher } from "../storage/pushers.js";
import type { Reads } from "../storage/statement.js";
import { currentStateOf } from "../storage/state.js";

/** What a room and people in it are called. */
export interface RoomNames {
  readonly room: string | undefined;
  readonly alias: string | undefined;
  /** Display names by user id. */
  readonly people: ReadonlyMap<string, string>;
}

const NAME = stateTuple("m.room.name", "");
const ALIAS = stateTuple("m.room.canonical_alias", "");

/** What a room and these people in it are called now. */
export async function namesIn(events: EventCache, reads: Reads, roomNid: number, people: readonly string[]): Promise<RoomNames> {
  const members = new Map([...new Set(people)].map((id) => [id, stateTuple("m.room.member", id)]));
  const entries = await currentStateOf(reads, roomNid, [NAME, ALIAS, ...members.values()]);
  const read = await events.get(reads, entries.map(({ event_nid }) => event_nid));
  const contents = new Map<StateTuple, JsonObject>();
  for (const { type, state_key, event_nid } of entries) {
    const content = read.get(event_nid)?.event.content;
    if (content !== undefined) contents.set(stateTuple(type, state_key), content);
  }
  const text = (tuple: StateTuple, key: string): string | undefined => ownString(contents.get(tuple) ?? {}, key) || undefined;
  const named = [...members].flatMap(([id, tuple]): [string, string][] => {
    const name = text(tuple, "displayname");
    return name === undefined ? [] : [[id, name]];
  });
  return { room: text(NAME, "name"), alias: text(ALIAS, "alias"), people: new Map(named) };
}

type Device = PushNotification["devices"][number];

function deviceOf({ app_id, pushkey, set_ts, data }: Pusher): Device {
  const { url: _, ...rest } = data;
  return { app_id, pushkey, pushkey_ts: Math.floor(set_ts / 1000), data: rest };
}

/** Whether a pusher is told unread counts (MSC4076). */
export function wantsBadge({ data }: Pusher): boolean {
  return own(data, "org.matrix.msc4076.disable_badge_count") !== true;
}

/** Tells the unread count alone. It is told also when it is 0: gateways take a count that is absent for one that is unchanged. */
export function badgeNotification(pusher: Pusher, unread: number): PushNotification {
  return { prio: "low", counts: { unread }, devices: [deviceOf(pusher)] };
}

/** Tells of an event, as much of it as the pusher wants. */
export function eventNotification(
  pusher: Pusher & { readonly user_id: UserId },
  { event, room_id }: ReadEvent,
  names: RoomNames,
  tweaks: JsonObject,
  unread: number | undefined,
): PushNotification {
  const urgent = event.type === "m.room.encrypted" || own(tweaks, "highlight") === true || own(tweaks, "sound") !== undefined;
  const told = {
    event_id: event.event_id,
    room_id,
    prio: urgent ? ("high" as const) : ("low" as const),
    ...(unread !== undefined && { counts: { unread } }),
  };
  const device = deviceOf(pusher);
  const sender_display_name = names.people.get(event.sender);
  if (ownString(pusher.data, "format") === "event_id_only") return { ...told, devices: [device] };
  return {
    ...told,
    type: event.type,
    sender: event.sender,
    ...(sender_display_name !== undefined && { sender_display_name }),
    ...(names.room !== undefined && { room_name: names.room }),
    ...(names.alias !== undefined && { room_alias: names.alias }),
    ...(event.type === "m.room.member" && { user_is_target: event.state_key === pusher.user_id }),
    content: event.content,
    devices: [{ ...device, tweaks }],
  };
}

/** The tweaks as they were stored. */
export function tweaksOf(text: string): JsonObject {
  const tweaks: JsonObject[string] = JSON.parse(text);
  return isObject(tweaks) ? tweaks : {};
}
