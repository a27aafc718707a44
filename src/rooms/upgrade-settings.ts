// What a user has set for a room goes along to the room that replaces it: tags, push rules, that it is a direct chat
// (client-server API, "Room Upgrades").
import { parseRoomId, type RoomId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../protocol/json.js";
import type { PushRule } from "../protocol/push-rules.js";
import { stateTuple } from "../protocol/state-map.js";
import { lockAccountData, NO_ROOM, setAccountData } from "../storage/account-data.js";
import type { LogEntry } from "../storage/log-entry.js";
import { LOG_CHANNEL } from "../storage/log.js";
import { lockRules, type OwnRules, storeRules } from "../storage/push-rules.js";
import type { RoomContext, RoomUser } from "./context.js";
import { findRoom, stateEventsOf } from "./current-state.js";

const TAGS = "m.tag";
const DIRECT = "m.direct";
const TOMBSTONE = stateTuple("m.room.tombstone", "");

interface NumberedRoom {
  readonly nid: number;
  readonly room_id: RoomId;
}

/**
 * Copies what a user has set for a room to the one that replaces it. What they have set there already stays: it can be done
 * again and changes nothing.
 */
export async function takeSettingsAlong(
  { database, bus }: Pick<RoomContext, "database" | "bus">,
  { user_nid }: RoomUser,
  from: NumberedRoom,
  to: NumberedRoom,
): Promise<void> {
  await database.transaction(async (tx) => {
    const rules = await lockRules(tx, user_nid);
    const [tags, tagsThere, direct] = await Promise.all([
      lockAccountData(tx, user_nid, from.nid, TAGS),
      lockAccountData(tx, user_nid, to.nid, TAGS),
      lockAccountData(tx, user_nid, NO_ROOM, DIRECT),
    ]);
    const entries: LogEntry[] = [];
    if (tags !== undefined && tagsThere === undefined) {
      setAccountData(tx, user_nid, to.nid, TAGS, tags);
      entries.push({ kind: "account_data", user_nid, reference: to.nid });
    }
    const newDirect = direct === undefined ? undefined : directWith(direct, from.room_id, to.room_id);
    if (newDirect !== undefined) {
      setAccountData(tx, user_nid, NO_ROOM, DIRECT, newDirect);
      entries.push({ kind: "account_data", user_nid });
    }
    const newRules = rulesWith(rules, from.room_id, to.room_id);
    if (newRules !== rules) {
      storeRules(tx, user_nid, newRules);
      entries.push({ kind: "push_rule", user_nid });
    }
    if (entries.length === 0) return;
    tx.append(entries);
    tx.afterCommit((position) => bus.publish(LOG_CHANNEL, String(position)));
  });
}

/**
 * As `takeSettingsAlong`, for whoever creates or joins a room that says to replace another. Those who join are believed to
 * want it only if the old room says the same: anybody can claim that their room replaces one of yours.
 */
export async function followPredecessor(
  context: RoomContext,
  user: RoomUser,
  room: { readonly room_id: RoomId; readonly room_nid: number },
  create: JsonObject,
  mustAgree = false,
): Promise<void> {
  const named = own(create, "predecessor");
  const roomId = isObject(named) ? parseRoomId(ownString(named, "room_id")) : undefined;
  const from = roomId === undefined ? undefined : await findRoom(context.database, roomId);
  if (from === undefined) return;
  if (mustAgree) {
    const tombstone = (await stateEventsOf(context, context.database, from.nid, [TOMBSTONE])).get(TOMBSTONE);
    if (ownString(tombstone?.content ?? {}, "replacement_room") !== room.room_id) return;
  }
  await takeSettingsAlong(context, user, from, { nid: room.room_nid, room_id: room.room_id });
}

/** Direct chats with a room added wherever another one stands; undefined if nothing changes. */
function directWith(text: string, from: RoomId, to: RoomId): string | undefined {
  const chats: JsonValue = JSON.parse(text);
  if (!isObject(chats)) return undefined;
  let changed = false;
  const entries = Object.entries(chats).map(([user, rooms]) => {
    if (!Array.isArray(rooms) || !rooms.includes(from) || rooms.includes(to)) return [user, rooms] as const;
    changed = true;
    return [user, [...rooms, to]] as const;
  });
  return changed ? JSON.stringify(Object.fromEntries(entries)) : undefined;
}

/** Push rules with those of a room, which have its id as theirs, repeated for another one. */
function rulesWith(rules: OwnRules, from: RoomId, to: RoomId): OwnRules {
  const repeated = (given: readonly PushRule[] | undefined): readonly PushRule[] | undefined => {
    const found = given?.find(({ rule_id }) => rule_id === from);
    if (given === undefined || found === undefined || given.some(({ rule_id }) => rule_id === to)) return given;
    const conditions = found.conditions?.map((condition) =>
      condition.key === "room_id" && condition.pattern === from ? { ...condition, pattern: to } : condition,
    );
    return [{ ...found, rule_id: to, ...(conditions !== undefined && { conditions }) }, ...given];
  };
  const [room, override] = [repeated(rules.own.room), repeated(rules.own.override)];
  if (room === rules.own.room && override === rules.own.override) return rules;
  return { ...rules, own: { ...rules.own, ...(room !== undefined && { room }), ...(override !== undefined && { override }) } };
}
