// Synapse's admin API: what it tells of the server as a whole.
import type * as spec from "../../../spec/admin/server.js";
import { anyAccountOf } from "../../accounts/administration.js";
import { invalidParam, notFound } from "../../errors.js";
import type { UserId } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import { mediaUses } from "../../storage/admin-media.js";
import { largestRooms, listDestinations, roomsOfServer, type AdminDestination } from "../../storage/admin-server.js";
import { listTasks } from "../../storage/admin-tasks.js";
import { wakeDestinations } from "../../storage/destinations.js";
import type { Handler } from "../handler.js";
import type { Services } from "../services.js";

/** Consoles decide by it what they may ask for: the version whose admin API this is, not that of this program. */
const SYNAPSE_VERSION = "1.153.0";

export const adminServerVersion: Handler<typeof spec.adminServerVersion> = () => Promise.resolve({ server_version: SYNAPSE_VERSION });

const directionOf = (dir: "f" | "b"): "ASC" | "DESC" => (dir === "b" ? "DESC" : "ASC");

export const adminMediaStatistics: Handler<typeof spec.adminMediaStatistics> = async ({ database }, { query }) => {
  const { from, limit, order_by, dir, from_ts, until_ts, search_term } = query;
  const page = { from, limit, direction: directionOf(dir) };
  const { users, total } = await mediaUses(database, { from_ts, until_ts, search_term }, order_by, page);
  const next = from + users.length;
  return {
    users: users.map((user) => ({ ...user, user_id: user.user_id as UserId })),
    total,
    ...(next < total && users.length > 0 && { next_token: next }),
  };
};

export const adminRoomSizes: Handler<typeof spec.adminRoomSizes> = async ({ database }) => ({ rooms: await largestRooms(database) });

export const adminScheduledTasks: Handler<typeof spec.adminScheduledTasks> = async ({ database }, { query }) => {
  const { action_name: action, resource_id, job_status, status = job_status, max_timestamp: until } = query;
  const tasks = await listTasks(database, { action, resource_id, status, until });
  return {
    scheduled_tasks: tasks.map((task) => ({
      id: task.id,
      action: task.action,
      status: task.status,
      timestamp_ms: task.created_ts,
      resource_id: task.resource_id,
      result: JSON.parse(task.result) as JsonObject,
      error: task.error,
    })),
  };
};

export const adminGetFeatures: Handler<typeof spec.adminGetFeatures> = async (services, { params }) => {
  await anyAccountOf(services, params.userId);
  return { features: {} };
};

export const adminSetFeatures: Handler<typeof spec.adminSetFeatures> = async (services, { params, body }) => {
  await anyAccountOf(services, params.userId);
  const [name] = Object.keys(body.features);
  if (name !== undefined) throw invalidParam(`This server has no experimental feature ${name}.`);
  return {};
};

const shown = ({ server_name, first_failure_ts, retry_ts, sent_position }: AdminDestination) => ({
  destination: server_name,
  retry_last_ts: first_failure_ts ?? 0,
  retry_interval: first_failure_ts === null ? 0 : Math.max(0, retry_ts - first_failure_ts),
  failure_ts: first_failure_ts,
  last_successful_stream_ordering: sent_position,
});

const nextToken = (from: number, found: number, total: number) =>
  from + found < total && found > 0 ? { next_token: String(from + found) } : {};

export const adminListDestinations: Handler<typeof spec.adminListDestinations> = async ({ database }, { query }) => {
  const { from, limit, order_by, dir, destination } = query;
  const page = { from, limit, direction: directionOf(dir) };
  const { destinations, total } = await listDestinations(database, { part: destination }, order_by, page);
  return { destinations: destinations.map(shown), total, ...nextToken(from, destinations.length, total) };
};

/** How it stands with a server. Throws M_NOT_FOUND for one that nothing was ever sent to. */
async function requireDestination({ database }: Services, name: string): Promise<AdminDestination> {
  const { destinations } = await listDestinations(database, { name }, "destination", { from: 0, limit: 1, direction: "ASC" });
  const [found] = destinations;
  if (found === undefined) throw notFound("Nothing was ever sent to this server.");
  return found;
}

export const adminGetDestination: Handler<typeof spec.adminGetDestination> = async (services, { params }) =>
  shown(await requireDestination(services, params.destination));

export const adminDestinationRooms: Handler<typeof spec.adminDestinationRooms> = async (services, { params, query }) => {
  const { server_name } = await requireDestination(services, params.destination);
  const { from, limit, dir } = query;
  const { rooms, total } = await roomsOfServer(services.database, server_name, { from, limit, direction: directionOf(dir) });
  const shownRooms = rooms.map(({ room_id, position }) => ({ room_id, stream_ordering: position }));
  return { rooms: shownRooms, total, ...nextToken(from, rooms.length, total) };
};

export const adminResetDestination: Handler<typeof spec.adminResetDestination> = async (services, { params }) => {
  const { server_name, failures } = await requireDestination(services, params.destination);
  if (failures === 0) throw invalidParam("This server has not failed: there is nothing to reset.");
  await wakeDestinations(services.database, [server_name]);
  return {};
};
