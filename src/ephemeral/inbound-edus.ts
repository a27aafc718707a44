// What other servers tell us that is not in the room's history. A server speaks for its own users only, and in rooms only
// where it may take part (server-server API, "EDUs", "Server Access Control Lists").
import type { Config } from "../config.js";
import { DEVICE_LIST_UPDATE, SIGNING_KEY_UPDATE } from "../encryption/device-list-edus.js";
import { takeDeviceListUpdate, takeSigningKeyUpdate } from "../encryption/remote-device-lists.js";
import type { DevicesOf } from "../storage/to-device.js";
import { receiveToDevice } from "../encryption/to-device.js";
import { parseRoomId, parseUserId, type ServerName, serverNameOf, type UserId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../protocol/json.js";
import type { RoomContext } from "../rooms/context.js";
import { findRoom, type Room } from "../rooms/current-state.js";
import type { Sender } from "../rooms/remote/receive.js";
import { requireAllowedServer } from "../rooms/views/server-view.js";
import { DIRECT_TO_DEVICE } from "../storage/destinations.js";
import { hasJoinedMembers } from "../storage/event-graph.js";
import { joinedAnywhere, joinedUsers } from "../storage/memberships.js";
import { isInPartialRoom } from "../storage/partial-state.js";
import { isPresenceState, type UserPresence } from "../storage/presence.js";
import type { Presence } from "./presence.js";
import { noteTold, type ToldReceipt } from "./receipts.js";
import type { Typing } from "./typing.js";

const MAX_ROOMS = 50;
const MAX_USERS = 500;
const MAX_STATUS = 1_000;
/** For so long is waited for a join through a server that tells us of users whom we do not know. */
const JOIN_MS = 2_000;

export interface InboundContext extends RoomContext {
  readonly config: RoomContext["config"] & Pick<Config, "federation">;
  readonly devicesOf: DevicesOf;
  readonly typing: Typing;
  readonly presence: Presence;
}

/** Takes ephemeral messages. What is malformed or not the sender's business is dropped. Throws M_FORBIDDEN where the sender may not take part. */
export function takeEdus(context: InboundContext): (sender: Sender, edu: JsonObject) => Promise<void> {
  return async ({ origin }, edu) => {
    const content = own(edu, "content");
    if (!isObject(content)) return;
    const type = ownString(edu, "edu_type");
    if (type === "m.typing") await takeTyping(context, origin, content);
    else if (type === "m.receipt") await takeReceipts(context, origin, content);
    else if (type === "m.presence") await takePresence(context, origin, content);
    else if (type === DIRECT_TO_DEVICE) await receiveToDevice(context, origin, content);
    else if (type === DEVICE_LIST_UPDATE) await takeDeviceListUpdate(context, origin, content);
    else if (type === SIGNING_KEY_UPDATE) await takeSigningKeyUpdate(context, origin, content);
  };
}

async function takeTyping(context: InboundContext, origin: ServerName, content: JsonObject): Promise<void> {
  const user = userOf(origin, own(content, "user_id"));
  const room = await allowedRoom(context, origin, own(content, "room_id"));
  const typing = own(content, "typing");
  if (user === undefined || room === undefined || typeof typing !== "boolean") return;
  const nids = await membersAmong(context, origin, room, [user]);
  if (nids.has(user)) context.typing.set(room.nid, user, typing);
}

async function takeReceipts(context: InboundContext, origin: ServerName, content: JsonObject): Promise<void> {
  for (const [roomId, kinds] of Object.entries(content).slice(0, MAX_ROOMS)) {
    const read = isObject(kinds) ? own(kinds, "m.read") : undefined;
    if (!isObject(read)) continue;
    const room = await allowedRoom(context, origin, roomId);
    if (room === undefined) continue;
    const said = Object.entries(read).slice(0, MAX_USERS).flatMap(([id, receipt]) => {
      const user = userOf(origin, id);
      return user === undefined || !isObject(receipt) ? [] : [{ user, receipt }];
    });
    const nids = await membersAmong(context, origin, room, said.map(({ user }) => user));
    const told = said.flatMap(({ user, receipt }): ToldReceipt[] => {
      const user_nid = nids.get(user);
      const ids = own(receipt, "event_ids");
      const event_id = Array.isArray(ids) ? ids.at(-1) : undefined;
      if (user_nid === undefined || typeof event_id !== "string") return [];
      const data = own(receipt, "data");
      const { thread_id, ts } = isObject(data) ? { thread_id: ownString(data, "thread_id"), ts: timeOf(own(data, "ts")) } : {};
      return [{ user_nid, event_id, thread_id, ts: ts ?? context.clock.now() }];
    });
    await noteTold(context, room.nid, told);
  }
}

async function takePresence(context: InboundContext, origin: ServerName, content: JsonObject): Promise<void> {
  const push = own(content, "push");
  if (!Array.isArray(push)) return;
  const said = new Map<UserId, JsonObject>();
  for (const about of push.slice(0, MAX_USERS)) {
    const user = isObject(about) ? userOf(origin, own(about, "user_id")) : undefined;
    if (user !== undefined && isObject(about)) said.set(user, about);
  }
  let nids = await usersMet(context, said.keys());
  // Who lets us in tells us of its users at once: our user is there when the join has been written.
  if (nids.size < said.size && (await context.joins.settled(origin, JOIN_MS))) nids = await usersMet(context, said.keys());
  if (nids.size < said.size && (await isInPartialRoom(context.database, origin))) nids = await context.interning.users(said.keys());
  const now = context.clock.now();
  const presences = [...said].flatMap(([user, about]): Omit<UserPresence, "user_id">[] => {
    const user_nid = nids.get(user);
    const state = ownString(about, "presence");
    if (user_nid === undefined || !isPresenceState(state)) return [];
    const status = ownString(about, "status_msg");
    return [
      {
        user_nid,
        state,
        status_msg: status !== undefined && status.length <= MAX_STATUS ? status : null,
        last_active_ts: Math.max(0, now - (timeOf(own(about, "last_active_ago")) ?? 0)),
        currently_active: own(about, "currently_active") === true,
      },
    ];
  });
  await context.presence.told(presences);
}

/** The numbers of those of some users who are in a room of ours. */
async function usersMet({ interning, database }: InboundContext, users: Iterable<UserId>): Promise<Map<string, number>> {
  const nids = await interning.findUsers(users);
  const met = await joinedAnywhere(database, [...nids.values()]);
  return new Map([...nids].filter(([, nid]) => met.has(nid)));
}

/** A user of the server that speaks; undefined for anything else. */
function userOf(origin: ServerName, value: JsonValue | undefined): UserId | undefined {
  const user = parseUserId(value);
  return user !== undefined && serverNameOf(user) === origin ? user : undefined;
}

/** A room that we have. Throws M_FORBIDDEN if it does not let the server take part. */
async function allowedRoom(context: InboundContext, origin: ServerName, value: JsonValue | undefined): Promise<Room | undefined> {
  const id = parseRoomId(value);
  const room = id === undefined ? undefined : await findRoom(context.database, id);
  if (room !== undefined) await requireAllowedServer(context, context.database, room, origin);
  return room;
}

/** Numbers of those of some users of a server who are in the room; all of them where the server is and its members are not known yet. */
async function membersAmong(context: InboundContext, origin: ServerName, room: Room, users: readonly UserId[]): Promise<Map<string, number>> {
  if (room.whole_since === null && (await hasJoinedMembers(context.database, room.nid, origin))) return await context.interning.users(users);
  const nids = await context.interning.findUsers(users);
  const joined = await joinedUsers(context.database, room.nid, [...nids.values()]);
  return new Map([...nids].filter(([, nid]) => joined.has(nid)));
}

const timeOf = (value: JsonValue | undefined): number | undefined => {
  const number = Number(value);
  return value !== undefined && value !== null && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
};
