// Synapse's admin API, "Room Admin API".
import { setTimeout as pause } from "node:timers/promises";
import type * as spec from "../../../spec/admin/rooms.js";
import { anyAccountOf } from "../../accounts/administration.js";
import { accountOf } from "../../accounts/moderation.js";
import type { Requester } from "../../accounts/requester.js";
import { badJson, invalidParam, MatrixError, notFound, unknownError } from "../../errors.js";
import { parseUserId, serverNameOf, type RoomId, type UserId } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import type { RoomUser } from "../../rooms/context.js";
import { requireRoom } from "../../rooms/current-state.js";
import { eventOfAnyRoom, eventByTimestamp, eventSurroundings, messages } from "../../rooms/views/history.js";
import { spaceHierarchy } from "../../rooms/directory/hierarchy.js";
import { makeRoomAdmin } from "../../rooms/administration/make-room-admin.js";
import { inviteUser, joinRoom, resolveRoom } from "../../rooms/membership/membership.js";
import type { DeletionProgress } from "../../rooms/administration/purge.js";
import { NOTHING_REDACTED, type RedactionProgress } from "../../rooms/administration/redact-user.js";
import { stateOfRoom } from "../../rooms/views/state.js";
import { blockerOf, describeRoom, dropEnds, forwardExtremities, listRooms, setBlocked, type AdminRoom } from "../../storage/admin-rooms.js";
import { listTasks, type AdminTask } from "../../storage/admin-tasks.js";
import { eventsById } from "../../storage/events.js";
import { roomsById } from "../../storage/rooms.js";
import { roomMembers } from "../../storage/state.js";
import { filterOf } from "../client/room-events.js";
import { Reply, type Handler, type Request } from "../handler.js";
import type { Services } from "../services.js";

/** How often is looked whether a deletion that somebody waits for is done. */
const LOOK_MS = 200;
const DEFAULT_REDACTIONS = 1_000;

function shown(room: AdminRoom) {
  return {
    room_id: room.room_id,
    name: room.name,
    canonical_alias: room.canonical_alias,
    joined_members: room.joined_members,
    joined_local_members: room.joined_local_members,
    version: room.version,
    creator: room.creator,
    encryption: room.encryption,
    federatable: room.federatable,
    public: room.public,
    join_rules: room.join_rules,
    guest_access: room.guest_access,
    history_visibility: room.history_visibility,
    state_events: room.state_events,
    room_type: room.room_type,
    tombstoned: room.tombstoned,
    replacement_room: room.replacement_room,
  };
}

/** The administrator as somebody who sees all that happens in rooms. */
const overseer = (auth: Requester): RoomUser => ({ ...auth, oversees: true });

export const adminListRooms: Handler<typeof spec.adminListRooms> = async ({ database }, { query }) => {
  const { from, limit, dir, order_by, search_term, public_rooms, empty_rooms } = query;
  const order = order_by === "alphabetical" ? "name" : order_by === "size" ? "joined_members" : order_by;
  // Numbers of members and events come largest first.
  const largestFirst = ["joined_members", "joined_local_members", "state_events"].includes(order);
  const direction = (dir === "f") === largestFirst ? "DESC" : "ASC";
  const { rooms, total } = await database.snapshot((reads) =>
    listRooms(reads, { search_term, public_rooms, empty_rooms }, order, { from, limit, direction }),
  );
  const next = from + rooms.length;
  return {
    rooms: rooms.map(shown),
    offset: from,
    total_rooms: total,
    ...(next < total && rooms.length > 0 && { next_batch: next }),
    ...(from > 0 && { prev_batch: Math.max(0, from - limit) }),
  };
};

export const adminGetRoom: Handler<typeof spec.adminGetRoom> = async ({ database }, { params }) => {
  const found = await describeRoom(database, (await requireRoom(database, params.roomId)).nid);
  if (found === undefined) throw notFound("This server does not know this room.");
  const { topic, avatar, joined_local_devices, forgotten } = found;
  return { ...shown(found), topic, avatar, joined_local_devices, forgotten };
};

export const adminRoomMembers: Handler<typeof spec.adminRoomMembers> = async ({ database, interning }, { params }) => {
  const { nid } = await requireRoom(database, params.roomId);
  const joined = await roomMembers(database, nid, ["join"]);
  const names = await interning.userIds(joined.map(({ user_nid }) => user_nid));
  const members = [...names.values()].flatMap((name) => parseUserId(name) ?? []).sort();
  return { members, total: members.length };
};

export const adminRoomState: Handler<typeof spec.adminRoomState> = async (services, { auth, params, query }) => {
  await requireRoom(services.database, params.roomId);
  const text = await stateOfRoom(services, overseer(auth), params.roomId);
  if (query.type === undefined) return new Reply(200, `{"state":${text}}`);
  const events = JSON.parse(text) as JsonObject[];
  return new Reply(200, JSON.stringify({ state: events.filter(({ type }) => type === query.type) }));
};

export const adminRoomMessages: Handler<typeof spec.adminRoomMessages> = async (services, { auth, params, query }) => {
  await requireRoom(services.database, params.roomId);
  return new Reply(200, await messages(services, overseer(auth), params.roomId, { ...query, filter: filterOf(query.filter) }));
};

export const adminEventContext: Handler<typeof spec.adminEventContext> = async (services, { auth, params, query }) => {
  await requireRoom(services.database, params.roomId);
  const request = { limit: query.limit, filter: filterOf(query.filter) };
  return new Reply(200, await eventSurroundings(services, overseer(auth), params.roomId, params.eventId, request));
};

export const adminEventByTimestamp: Handler<typeof spec.adminEventByTimestamp> = async (services, { auth, params, query }) => {
  await requireRoom(services.database, params.roomId);
  return await eventByTimestamp(services, overseer(auth), params.roomId, query);
};

export const adminRoomHierarchy: Handler<typeof spec.adminRoomHierarchy> = async (services, { auth, params, query }) => {
  await requireRoom(services.database, params.roomId);
  return new Reply(200, await spaceHierarchy(services, auth, params.roomId, query));
};

export const adminFetchEvent: Handler<typeof spec.adminFetchEvent> = async (services, { auth, params }) =>
  new Reply(200, `{"event":${await eventOfAnyRoom(services, overseer(auth), params.eventId)}}`);

export const adminGetBlock: Handler<typeof spec.adminGetBlock> = async ({ database }, { params }) => {
  const user_id = await blockerOf(database, params.roomId);
  return { block: user_id !== undefined, ...(user_id !== undefined && { user_id }) };
};

export const adminSetBlock: Handler<typeof spec.adminSetBlock> = async ({ database }, { auth, params, body }) => {
  await database.transaction((tx) => setBlocked(tx, params.roomId, body.block, auth.user_nid));
  return { block: body.block };
};

/** Asks for a room to be deleted, and blocks it if that is wished: then also one that is not known here. */
async function beginDeletion(services: Services, { auth, params, body }: Pick<Request<typeof spec.adminDeleteRoom>, "auth" | "params" | "body">): Promise<string> {
  const { database } = services;
  const { block = false, purge = true, force_purge = false, new_room_user_id } = body;
  const room_nid = (await roomsById(database, [params.roomId])).get(params.roomId)?.nid ?? null;
  if (room_nid === null && !block) throw notFound("This server does not know this room.");
  if (new_room_user_id !== undefined) await accountOf(services, new_room_user_id);
  if (block) await database.transaction((tx) => setBlocked(tx, params.roomId, true, auth.user_nid));
  return await services.adminTasks.deleteRoom({
    room_id: params.roomId,
    room_nid,
    purge,
    force_purge,
    new_room_user_id,
    room_name: body.room_name ?? "Content Violation Notification",
    message: body.message ?? "Sharing illegal content on this server is not permitted and rooms in violation will be blocked.",
  });
}

function statusOf({ status, result, error }: AdminTask) {
  // What was stored here is what the deletion noted of itself.
  const { kicked_users, failed_to_kick_users, local_aliases, new_room_id } = JSON.parse(result) as DeletionProgress;
  return {
    status,
    ...(error !== null && { error }),
    shutdown_room: {
      kicked_users: kicked_users as UserId[],
      failed_to_kick_users: failed_to_kick_users as UserId[],
      local_aliases: [...local_aliases],
      new_room_id,
    },
  };
}

const DELETE_ROOM = "delete_room";
const noWork = () => notFound("There is no such work, or it ended long ago.");

export const adminDeleteRoom: Handler<typeof spec.adminDeleteRoom> = async (services, request) => ({
  delete_id: await beginDeletion(services, request),
});

export const adminDeleteRoomNow: Handler<typeof spec.adminDeleteRoomNow> = async (services, request) => {
  const id = await beginDeletion(services, request);
  for (;;) {
    const [task] = await listTasks(services.database, { id });
    if (task === undefined) throw noWork();
    if (task.status === "complete") return statusOf(task).shutdown_room;
    if (task.status === "failed") throw unknownError(500, task.error ?? "The room could not be deleted.");
    await pause(LOOK_MS, undefined, { signal: request.signal });
  }
};

export const adminRoomDeletions: Handler<typeof spec.adminRoomDeletions> = async ({ database }, { params }) => {
  const tasks = await listTasks(database, { resource_id: params.roomId, action: DELETE_ROOM });
  if (tasks.length === 0) throw noWork();
  return { results: tasks.map((task) => ({ delete_id: task.id, ...statusOf(task) })) };
};

export const adminRoomDeletion: Handler<typeof spec.adminRoomDeletion> = async ({ database }, { params }) => {
  const [task] = await listTasks(database, { id: params.deleteId, action: DELETE_ROOM });
  if (task === undefined) throw noWork();
  return statusOf(task);
};

export const adminMakeRoomAdmin: Handler<typeof spec.adminMakeRoomAdmin> = async (services, { auth, params, body }) => {
  const { room_id } = await resolveRoom(services, params.roomIdOrAlias);
  await makeRoomAdmin(services, room_id, body.user_id ?? auth.user_id);
  return {};
};

async function joinAs(services: Services, auth: Requester, user: RoomUser, roomId: RoomId, via: Parameters<typeof joinRoom>[3]): Promise<void> {
  try {
    await joinRoom(services, user, roomId, via);
  } catch (error) {
    if (!(error instanceof MatrixError) || error.errcode !== "M_FORBIDDEN" || user.user_id === auth.user_id) throw error;
    // Where an invitation is needed, the administrator may be able to give it.
    await inviteUser(services, auth, roomId, user.user_id, {});
    await joinRoom(services, user, roomId, via);
  }
}

export const adminJoinRoom: Handler<typeof spec.adminJoinRoom> = async (services, { auth, params, query, body }) => {
  const { user_id, user_nid, is_guest } = await accountOf(services, body.user_id);
  const { room_id, via } = await resolveRoom(services, params.roomIdOrAlias);
  const user = { user_id, user_nid, device_id: undefined, is_guest, is_admin: false };
  await joinAs(services, auth, user, room_id, { via: query.server_name ?? via });
  return { room_id };
};

export const adminForwardExtremities: Handler<typeof spec.adminForwardExtremities> = async (services, { params }) => {
  const { room_id } = await resolveRoom(services, params.roomIdOrAlias);
  const results = await forwardExtremities(services.database, (await requireRoom(services.database, room_id)).nid);
  return { count: results.length, results };
};

export const adminDropForwardExtremities: Handler<typeof spec.adminDropForwardExtremities> = async (services, { params }) => {
  const { database } = services;
  const { nid } = await requireRoom(database, (await resolveRoom(services, params.roomIdOrAlias)).room_id);
  return { deleted: await database.transaction((tx) => dropEnds(tx, nid)) };
};

const PURGE_HISTORY = "purge_history";

export const adminPurgeHistory: Handler<typeof spec.adminPurgeHistory> = async (services, { params, body }) => {
  const { database } = services;
  const { nid: room_nid } = await requireRoom(database, params.roomId);
  const eventId = params.eventId ?? body.purge_up_to_event_id;
  const until = body.purge_up_to_ts;
  if (eventId === undefined && until === undefined) throw badJson('"purge_up_to_event_id" or "purge_up_to_ts" must say how far.');
  const event = eventId === undefined ? undefined : (await eventsById(database, [eventId])).get(eventId);
  if (eventId !== undefined && event?.room_nid !== room_nid) throw notFound("There is no such event in this room.");
  const others = await listTasks(database, { resource_id: params.roomId, action: PURGE_HISTORY });
  if (others.some(({ status }) => status === "scheduled" || status === "active")) {
    throw unknownError(400, "The history of this room is being purged already.");
  }
  const purge_id = await services.adminTasks.purgeHistory({
    room_id: params.roomId,
    room_nid,
    local: body.delete_local_events ?? false,
    ...(event === undefined ? { until } : { before: { depth: event.depth, nid: event.nid } }),
  });
  return { purge_id };
};

export const adminPurgeStatus: Handler<typeof spec.adminPurgeStatus> = async ({ database }, { params }) => {
  const [task] = await listTasks(database, { id: params.purgeId, action: PURGE_HISTORY });
  if (task === undefined) throw noWork();
  const status = task.status === "scheduled" ? "active" : task.status;
  return { status, ...(task.error !== null && { error: task.error }) };
};

export const adminRedactUser: Handler<typeof spec.adminRedactUser> = async (services, { auth, params, body }) => {
  const { userId: user_id } = params;
  const local = services.servers.isLocal(serverNameOf(user_id));
  const user_nid = local ? (await anyAccountOf(services, user_id)).user_nid : (await services.interning.findUsers([user_id])).get(user_id);
  if (user_nid === undefined) throw notFound("This user is not known here.");
  if (!local && body.rooms.length === 0) throw invalidParam('"rooms" must name the rooms for a user of another server.');
  // Only whose account is in use can still say something; for all others the administrator does.
  const usable = local && !(await anyAccountOf(services, user_id)).deactivated;
  const redact_id = await services.adminTasks.redactUser({
    user_id,
    user_nid,
    sender: usable && body.use_admin !== true ? user_id : auth.user_id,
    rooms: body.rooms,
    reason: body.reason,
    limit: body.limit ?? DEFAULT_REDACTIONS,
  });
  return { redact_id };
};

export const adminRedactStatus: Handler<typeof spec.adminRedactStatus> = async ({ database }, { params }) => {
  const [task] = await listTasks(database, { id: params.redactId, action: "redact_all_events" });
  if (task === undefined) throw noWork();
  const { failed_redactions } = { ...NOTHING_REDACTED, ...(JSON.parse(task.result) as RedactionProgress) };
  return { status: task.status === "complete" ? "completed" : task.status, failed_redactions: { ...failed_redactions } };
};
