// Synapse's admin API: what it tells of the server as a whole.
import { Type } from "typebox";
import { operation } from "../operation.js";
import { RoomId, ServerName, UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";
import { paging, sortDirection } from "../types/paging.js";

const V1 = "/_synapse/admin/v1";
const time = Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }));
const NullableInteger = Type.Unsafe<number | null>({ type: ["integer", "null"] });
const NullableString = Type.Unsafe<string | null>({ type: ["string", "null"] });
const dir = Type.Unsafe<"f" | "b">({ ...sortDirection, default: "f" });
const taskStatus = Type.Optional(Type.String({ enum: ["scheduled", "active", "complete", "cancelled", "failed"] }));
const Features = Type.Object({ features: Type.Record(Type.String(), Type.Boolean()) });
const ofUser = Type.Object({ userId: UserId });

export const adminServerVersion = operation({
  operationId: "adminServerVersion",
  method: "GET",
  paths: [`${V1}/server_version`],
  auth: "admin",
  summary: "The version of Synapse whose admin API this is.",
  response: Type.Object({ server_version: Type.String() }),
});

export const adminMediaStatistics = operation({
  operationId: "adminMediaStatistics",
  method: "GET",
  paths: [`${V1}/statistics/users/media`],
  auth: "admin",
  summary: "How much media users have uploaded.",
  query: Type.Object({
    ...paging,
    order_by: Type.Unsafe<"user_id" | "displayname" | "media_length" | "media_count">({
      enum: ["user_id", "displayname", "media_length", "media_count"],
      default: "user_id",
    }),
    dir,
    from_ts: time,
    until_ts: time,
    search_term: Type.Optional(Type.String({ minLength: 1 })),
  }),
  response: Type.Object({
    users: Type.Array(
      Type.Object({ user_id: UserId, displayname: NullableString, media_count: Type.Integer(), media_length: Type.Integer() }),
    ),
    total: Type.Integer(),
    next_token: Type.Optional(Type.Integer()),
  }),
});

export const adminRoomSizes = operation({
  operationId: "adminRoomSizes",
  method: "GET",
  paths: [`${V1}/statistics/database/rooms`],
  auth: "admin",
  summary: "The ten rooms with the largest estimated size in the database.",
  response: Type.Object({ rooms: Type.Array(Type.Object({ room_id: RoomId, estimated_size: Type.Integer() })) }),
});

export const adminScheduledTasks = operation({
  operationId: "adminScheduledTasks",
  method: "GET",
  paths: [`${V1}/scheduled_tasks`],
  auth: "admin",
  summary: "The long work that administrators have asked for.",
  query: Type.Object({
    action_name: Type.Optional(Type.String()),
    resource_id: Type.Optional(Type.String()),
    // Consoles send the one name or the other.
    job_status: taskStatus,
    status: taskStatus,
    max_timestamp: time,
  }),
  response: Type.Object({
    scheduled_tasks: Type.Array(
      Type.Object({
        id: Type.String(),
        action: Type.String(),
        status: Type.String(),
        timestamp_ms: Type.Integer(),
        resource_id: NullableString,
        result: JsonObject,
        error: NullableString,
      }),
    ),
  }),
});

export const adminGetFeatures = operation({
  operationId: "adminGetFeatures",
  method: "GET",
  paths: [`${V1}/experimental_features/{userId}`],
  auth: "admin",
  summary: "The experimental features that a user alone has: none, since there are none here.",
  params: ofUser,
  response: Features,
});

export const adminSetFeatures = operation({
  operationId: "adminSetFeatures",
  method: "PUT",
  paths: [`${V1}/experimental_features/{userId}`],
  auth: "admin",
  summary: "Switches experimental features for a user: there are none here.",
  params: ofUser,
  body: Features,
  response: Type.Object({}),
});

const Destination = Type.Object({
  destination: ServerName,
  retry_last_ts: Type.Integer(),
  retry_interval: Type.Integer(),
  failure_ts: NullableInteger,
  last_successful_stream_ordering: NullableInteger,
});
const ofDestination = Type.Object({ destination: ServerName });

export const adminListDestinations = operation({
  operationId: "adminListDestinations",
  method: "GET",
  paths: [`${V1}/federation/destinations`],
  auth: "admin",
  summary: "The servers that this one sends to.",
  query: Type.Object({
    ...paging,
    destination: Type.Optional(Type.String()),
    order_by: Type.Unsafe<"destination" | "retry_last_ts" | "retry_interval" | "failure_ts" | "last_successful_stream_ordering">({
      enum: ["destination", "retry_last_ts", "retry_interval", "failure_ts", "last_successful_stream_ordering"],
      default: "destination",
    }),
    dir,
  }),
  response: Type.Object({ destinations: Type.Array(Destination), total: Type.Integer(), next_token: Type.Optional(Type.String()) }),
});

export const adminGetDestination = operation({
  operationId: "adminGetDestination",
  method: "GET",
  paths: [`${V1}/federation/destinations/{destination}`],
  auth: "admin",
  summary: "How it stands with one server.",
  params: ofDestination,
  response: Destination,
});

export const adminDestinationRooms = operation({
  operationId: "adminDestinationRooms",
  method: "GET",
  paths: [`${V1}/federation/destinations/{destination}/rooms`],
  auth: "admin",
  summary: "The rooms that one server shares with this one.",
  params: ofDestination,
  query: Type.Object({ ...paging, dir }),
  response: Type.Object({
    rooms: Type.Array(Type.Object({ room_id: RoomId, stream_ordering: Type.Integer() })),
    total: Type.Integer(),
    next_token: Type.Optional(Type.String()),
  }),
});

export const adminResetDestination = operation({
  operationId: "adminResetDestination",
  method: "POST",
  paths: [`${V1}/federation/destinations/{destination}/reset_connection`],
  auth: "admin",
  summary: "Lets a server that has failed be tried again at once.",
  params: ofDestination,
  response: Type.Object({}),
});
