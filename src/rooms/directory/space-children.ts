// The rooms that a space names (client-server API, "m.space.child", "Ordering of children within a space").
import { parseRoomId, parseServerName, parseUserId, type RoomId, type ServerName, type UserId } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../../protocol/json.js";
import type { ReadEvent } from "../views/event-cache.js";

export const CHILD = "m.space.child";

/** A room that a space names, and where it may be asked for. */
export interface SpaceChild {
  readonly roomId: RoomId;
  readonly via: readonly ServerName[];
  readonly sender: UserId;
  readonly content: JsonObject;
  readonly origin_server_ts: number;
}

/** What of other servers' events is passed on. */
const KNOWN = ["via", "order", "suggested"];
/** Servers that one child is asked for. */
const MAX_VIA = 5;

/** The children that state events of a space name, in their order. */
export function childrenAmong(events: readonly ReadEvent[]): SpaceChild[] {
  return inOrder(events.flatMap(({ event }) => childOf(event.state_key, event.sender, event.content, event.origin_server_ts) ?? []));
}

/** The children that another server names as those of a space: at most `most`. */
export function childrenIn(value: JsonValue | undefined, most: number): SpaceChild[] {
  const children = (Array.isArray(value) ? value : []).slice(0, most).flatMap((state) => {
    if (!isObject(state) || own(state, "type") !== CHILD) return [];
    const [sender, content, ts] = [parseUserId(own(state, "sender")), own(state, "content"), own(state, "origin_server_ts")];
    if (sender === undefined || !isObject(content) || typeof ts !== "number") return [];
    const known = Object.fromEntries(KNOWN.flatMap((name) => {
      const value = own(content, name);
      return value === undefined ? [] : [[name, value] as const];
    }));
    return childOf(own(state, "state_key"), sender, known, ts) ?? [];
  });
  return inOrder(children);
}

/** Whether a space recommends a child. */
export function isSuggested({ content }: SpaceChild): boolean {
  return own(content, "suggested") === true;
}

function childOf(stateKey: JsonValue | undefined, sender: UserId, content: JsonObject, origin_server_ts: number): SpaceChild | undefined {
  const roomId = parseRoomId(stateKey);
  const named = own(content, "via");
  const via = (Array.isArray(named) ? named : []).flatMap((server) => parseServerName(server) ?? []).slice(0, MAX_VIA);
  return roomId === undefined || via.length === 0 ? undefined : { roomId, via, sender, content, origin_server_ts };
}

function inOrder(children: readonly SpaceChild[]): SpaceChild[] {
  return children.toSorted((a, b) => {
    const [first, second] = [orderOf(a), orderOf(b)];
    if (first !== second) return first === undefined ? 1 : second === undefined || first < second ? -1 : 1;
    if (a.origin_server_ts !== b.origin_server_ts) return a.origin_server_ts - b.origin_server_ts;
    return a.roomId < b.roomId ? -1 : 1;
  });
}

function orderOf({ content }: SpaceChild): string | undefined {
  const order = ownString(content, "order");
  return order !== undefined && /^[\x20-\x7e]{1,50}$/.test(order) ? order : undefined;
}

/** A child as answers show it: stripped state with its time. */
export function childState({ roomId, sender, content, origin_server_ts }: SpaceChild): JsonObject {
  return { type: CHILD, state_key: roomId, sender, content, origin_server_ts };
}
