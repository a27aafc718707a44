// Synapse's admin API, "Room Admin API".
import { Type } from "typebox";
import { ClientEvent } from "../events/client-event.js";
import { operation } from "../operation.js";
import { EventId, RoomId, RoomIdOrAlias, ServerName, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";
import { paging, sortDirection } from "../types/paging.js";

const V1 = "/_synapse/admin/v1";
const V2 = "/_synapse/admin/v2";
const ofRoom = Type.Object({ roomId: RoomId });
const ofRoomOrAlias = Type.Object({ roomIdOrAlias: RoomIdOrAlias });
const ofEvent = Type.Object({ roomId: RoomId, eventId: EventId });
const empty = Type.Object({});
const NullableString = Type.Unsafe<string | null>({ type: ["string", "null"] });
const count = Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000 }));

const room = {
  room_id: RoomId,
  name: NullableString,
  canonical_alias: NullableString,
  joined_members: Type.Integer(),
  joined_local_members: Type.Integer(),
  version: Type.String(),
  creator: NullableString,
  encryption: NullableString,
  federatable: Type.Boolean(),
  public: Type.Boolean(),
  join_rules: NullableString,
  guest_access: NullableString,
  history_visibility: NullableString,
  state_events: Type.Integer(),
  room_type: NullableString,
  tombstoned: Type.Boolean(),
  replacement_room: NullableString,
};

export const adminListRooms = operation({
  operationId: "adminListRooms",
  method: "GET",
  paths: [`${V1}/rooms`],
  auth: "admin",
  summary: "The rooms that this server knows.",
  query: Type.Object({
    ...paging,
    order_by: Type.Unsafe<
      | "alphabetical"
      | "size"
      | "name"
      | "canonical_alias"
      | "joined_members"
      | "joined_local_members"
      | "version"
      | "creator"
      | "encryption"
      | "federatable"
      | "public"
      | "join_rules"
      | "guest_access"
      | "history_visibility"
      | "state_events"
    >({
      enum: [
        "alphabetical", "size", "name", "canonical_alias", "joined_members", "joined_local_members", "version", "creator",
        "encryption", "federatable", "public", "join_rules", "guest_access", "history_visibility", "state_events",
      ],
      default: "name",
    }),
    dir: Type.Unsafe<"f" | "b">({ ...sortDirection, default: "f" }),
    search_term: Type.Optional(Type.String({ minLength: 1 })),
    public_rooms: Type.Optional(Type.Boolean()),
    empty_rooms: Type.Optional(Type.Boolean()),
  }),
  response: Type.Object({
    rooms: Type.Array(Type.Object(room)),
    offset: Type.Integer(),
    total_rooms: Type.Integer(),
    next_batch: Type.Optional(Type.Integer()),
    prev_batch: Type.Optional(Type.Integer()),
  }),
});

export const adminGetRoom = operation({
  operationId: "adminGetRoom",
  method: "GET",
  paths: [`${V1}/rooms/{roomId}`],
  auth: "admin",
  summary: "One room.",
  params: ofRoom,
  response: Type.Object({
    ...room,
    topic: NullableString,
    avatar: NullableString,
    joined_local_devices: Type.Integer(),
    forgotten: Type.Boolean(),
  }),
});

export const adminRoomMembers = operation({
  operationId: "adminRoomMembers",
  method: "GET",
  paths: [`${V1}/rooms/{roomId}/members`],
  auth: "admin",
  summary: "Who is in a room.",
  params: ofRoom,
  response: Type.Object({ members: Type.Array(UserId), total: Type.Integer() }),
});

export const adminRoomState = operation({
  operationId: "adminRoomState",
  method: "GET",
  paths: [`${V1}/rooms/{roomId}/state`],
  auth: "admin",
  summary: "The state of a room, all or of one type.",
  params: ofRoom,
  query: Type.Object({ type: Type.Optional(Type.String()) }),
  response: Type.Object({ state: Type.Array(ClientEvent) }),
});

export const adminRoomMessages = operation({
  operationId: "adminRoomMessages",
  method: "GET",
  paths: [`${V1}/rooms/{roomId}/messages`],
  auth: "admin",
  summary: "A page of a room's history.",
  params: ofRoom,
  query: Type.Object({
    dir: Type.Unsafe<"f" | "b">({ ...sortDirection, default: "f" }),
    from: Type.Optional(Type.String()),
    to: Type.Optional(Type.String()),
    limit: count,
    filter: Type.Optional(Type.String()),
  }),
  response: Type.Object({
    start: Type.String(),
    end: Type.Optional(Type.String()),
    chunk: Type.Array(ClientEvent),
    state: Type.Optional(Type.Array(ClientEvent)),
  }),
});

export const adminEventContext = operation({
  operationId: "adminEventContext",
  method: "GET",
  paths: [`${V1}/rooms/{roomId}/context/{eventId}`],
  auth: "admin",
  summary: "An event with those before and after it.",
  params: ofEvent,
  query: Type.Object({ limit: count, filter: Type.Optional(Type.String()) }),
  response: Type.Object({
    start: Type.String(),
    end: Type.String(),
    event: ClientEvent,
    events_before: Type.Array(ClientEvent),
    events_after: Type.Array(ClientEvent),
    state: Type.Array(ClientEvent),
  }),
});

export const adminEventByTimestamp = operation({
  operationId: "adminEventByTimestamp",
  method: "GET",
  paths: [`${V1}/rooms/{roomId}/timestamp_to_event`],
  auth: "admin",
  summary: "The event closest to a time.",
  params: ofRoom,
  query: Type.Object({
    ts: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    dir: Type.Unsafe<"f" | "b">({ ...sortDirection, default: "f" }),
  }),
  response: Type.Object({ event_id: EventId, origin_server_ts: Type.Integer() }),
});

export const adminRoomHierarchy = operation({
  operationId: "adminRoomHierarchy",
  method: "GET",
  paths: [`${V1}/rooms/{roomId}/hierarchy`],
  auth: "admin",
  summary: "The rooms of a space, as far as the administrator may know of them.",
  params: ofRoom,
  query: Type.Object({
    from: Type.Optional(Type.String()),
    limit: Type.Optional(Type.Integer({ minimum: 1 })),
    max_depth: Type.Optional(Type.Integer({ minimum: 0 })),
  }),
  response: Type.Object({ rooms: Type.Array(JsonObject), next_batch: Type.Optional(Type.String()) }),
});

export const adminFetchEvent = operation({
  operationId: "adminFetchEvent",
  method: "GET",
  paths: [`${V1}/fetch_event/{eventId}`],
  auth: "admin",
  summary: "One event, of whatever room.",
  params: Type.Object({ eventId: EventId }),
  response: Type.Object({ event: ClientEvent }),
});

export const adminGetBlock = operation({
  operationId: "adminGetBlock",
  method: "GET",
  paths: [`${V1}/rooms/{roomId}/block`],
  auth: "admin",
  summary: "Whether a room is blocked, and by whom.",
  params: ofRoom,
  response: Type.Object({ block: Type.Boolean(), user_id: Type.Optional(UserId) }),
});

export const adminSetBlock = operation({
  operationId: "adminSetBlock",
  method: "PUT",
  paths: [`${V1}/rooms/{roomId}/block`],
  auth: "admin",
  summary: "Blocks a room, so that nobody can join it, or ends that.",
  params: ofRoom,
  body: Type.Object({ block: Type.Boolean() }),
  response: Type.Object({ block: Type.Boolean() }),
});

const Deletion = Type.Object({
  new_room_user_id: Type.Optional(UserId),
  room_name: Type.Optional(Type.String({ maxBytes: 255 })),
  message: Type.Optional(Type.String({ maxBytes: 10_000 })),
  block: Type.Optional(Type.Boolean()),
  purge: Type.Optional(Type.Boolean()),
  force_purge: Type.Optional(Type.Boolean()),
});
const Shutdown = Type.Object({
  kicked_users: Type.Array(UserId),
  failed_to_kick_users: Type.Array(UserId),
  local_aliases: Type.Array(Type.String()),
  new_room_id: NullableString,
});
const status = {
  status: Type.String(),
  error: Type.Optional(Type.String()),
  shutdown_room: Shutdown,
};

export const adminDeleteRoom = operation({
  operationId: "adminDeleteRoom",
  method: "DELETE",
  paths: [`${V2}/rooms/{roomId}`],
  auth: "admin",
  summary: "Deletes a room in the background.",
  params: ofRoom,
  body: Deletion,
  response: Type.Object({ delete_id: Type.String() }),
});

export const adminDeleteRoomNow = operation({
  operationId: "adminDeleteRoomNow",
  method: "DELETE",
  paths: [`${V1}/rooms/{roomId}`],
  auth: "admin",
  summary: "Deletes a room, and answers when that is done.",
  params: ofRoom,
  body: Deletion,
  response: Shutdown,
});

export const adminRoomDeletions = operation({
  operationId: "adminRoomDeletions",
  method: "GET",
  paths: [`${V2}/rooms/{roomId}/delete_status`],
  auth: "admin",
  summary: "How the deletions of a room go.",
  params: ofRoom,
  response: Type.Object({ results: Type.Array(Type.Object({ delete_id: Type.String(), ...status })) }),
});

export const adminRoomDeletion = operation({
  operationId: "adminRoomDeletion",
  method: "GET",
  paths: [`${V2}/rooms/delete_status/{deleteId}`],
  auth: "admin",
  summary: "How a deletion goes.",
  params: Type.Object({ deleteId: Type.String() }),
  response: Type.Object(status),
});

export const adminMakeRoomAdmin = operation({
  operationId: "adminMakeRoomAdmin",
  method: "POST",
  paths: [`${V1}/rooms/{roomIdOrAlias}/make_room_admin`],
  auth: "admin",
  summary: "Gives a user the highest power that one of our users has in a room, and invites them.",
  params: ofRoomOrAlias,
  body: Type.Object({ user_id: Type.Optional(UserId) }),
  response: empty,
});

export const adminJoinRoom = operation({
  operationId: "adminJoinRoom",
  method: "POST",
  paths: [`${V1}/join/{roomIdOrAlias}`],
  auth: "admin",
  summary: "Brings one of our users into a room that they may join, or that the administrator may invite them to.",
  params: ofRoomOrAlias,
  query: Type.Object({ server_name: Type.Optional(Type.Array(ServerName, { maxItems: 50 })) }),
  body: Type.Object({ user_id: UserId }),
  response: Type.Object({ room_id: RoomId }),
});

export const adminForwardExtremities = operation({
  operationId: "adminForwardExtremities",
  method: "GET",
  paths: [`${V1}/rooms/{roomIdOrAlias}/forward_extremities`],
  auth: "admin",
  summary: "The ends of a room's history.",
  params: ofRoomOrAlias,
  response: Type.Object({
    count: Type.Integer(),
    results: Type.Array(
      Type.Object({
        event_id: EventId,
        depth: Type.Integer(),
        received_ts: Type.Integer(),
        state_group: Type.Unsafe<number | null>({ type: ["integer", "null"] }),
      }),
    ),
  }),
});

export const adminDropForwardExtremities = operation({
  operationId: "adminDropForwardExtremities",
  method: "DELETE",
  paths: [`${V1}/rooms/{roomIdOrAlias}/forward_extremities`],
  auth: "admin",
  summary: "Takes all ends of a room's history away but the one that is farthest on.",
  params: ofRoomOrAlias,
  response: Type.Object({ deleted: Type.Integer() }),
});

const purge = Type.Object({
  /** Also what this server's own users sent, of which there may be no other copy. */
  delete_local_events: Type.Optional(Type.Boolean()),
  purge_up_to_event_id: Type.Optional(EventId),
  purge_up_to_ts: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
});

export const adminPurgeHistory = operation({
  operationId: "adminPurgeHistory",
  method: "POST",
  paths: [`${V1}/purge_history/{roomId}`, `${V1}/purge_history/{roomId}/{eventId}`],
  auth: "admin",
  summary: "Purges messages before an event or up to a time, in the background: never state, never the newest.",
  params: Type.Object({ roomId: RoomId, eventId: Type.Optional(EventId) }),
  body: purge,
  response: Type.Object({ purge_id: Type.String() }),
});

export const adminPurgeStatus = operation({
  operationId: "adminPurgeStatus",
  method: "GET",
  paths: [`${V1}/purge_history_status/{purgeId}`],
  auth: "admin",
  summary: "How the purge of a room's history goes.",
  params: Type.Object({ purgeId: Type.String() }),
  response: Type.Object({ status: Type.String(), error: Type.Optional(Type.String()) }),
});

export const adminRedactUser = operation({
  operationId: "adminRedactUser",
  method: "POST",
  paths: [`${V1}/user/{userId}/redact`],
  auth: "admin",
  summary: "Redacts what a user has sent, in the background.",
  params: Type.Object({ userId: UserId }),
  body: Type.Object({
    rooms: Type.Array(RoomId, { maxItems: 10_000 }),
    reason: Type.Optional(Type.String({ maxBytes: 1_000 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
    use_admin: Type.Optional(Type.Boolean()),
  }),
  response: Type.Object({ redact_id: Type.String() }),
});

export const adminRedactStatus = operation({
  operationId: "adminRedactStatus",
  method: "GET",
  paths: [`${V1}/user/redact_status/{redactId}`],
  auth: "admin",
  summary: "How the redaction of what a user has sent goes.",
  params: Type.Object({ redactId: Type.String() }),
  response: Type.Object({ status: Type.String(), failed_redactions: Type.Record(Type.String(), Type.String()) }),
});
