// The servers that we send to and the sizes of rooms, as administrators look at them.
import type { RoomId, ServerName } from "../protocol/identifiers.js";
import type { Reads, Statement } from "./statement.js";
import { toText } from "./text.js";

const ORDERS = {
  destination: "server_name",
  retry_last_ts: "retry_ts",
  retry_interval: "failures",
  failure_ts: "first_failure_ts",
  last_successful_stream_ordering: "CASE WHEN due THEN NULL ELSE owed_position END",
} as const;
export type DestinationOrder = keyof typeof ORDERS;

export interface AdminDestination {
  readonly server_name: ServerName;
  readonly failures: number;
  readonly first_failure_ts: number | null;
  readonly retry_ts: number;
  /** The last position up to which it has been sent everything; NULL while something is owed. */
  readonly sent_position: number | null;
}

interface Page {
  readonly from: number;
  readonly limit: number;
  readonly direction: "ASC" | "DESC";
}

const SELECTED = "FROM destinations WHERE ($1::text IS NULL OR strpos(server_name, $1) > 0) AND ($2::text IS NULL OR server_name = $2)";
const LISTS = new Map<string, Statement<AdminDestination>>(
  Object.entries(ORDERS).flatMap(([order, column]) =>
    (["ASC", "DESC"] as const).map((direction) => [
      `${order} ${direction}`,
      {
        name: `admin_destinations_by_${order}_${direction.toLowerCase()}`,
        text: `SELECT server_name, failures, first_failure_ts, retry_ts, CASE WHEN due THEN NULL ELSE owed_position END AS sent_position
          ${SELECTED} ORDER BY ${column} ${direction} NULLS LAST, server_name LIMIT $3 OFFSET $4`,
      },
    ]),
  ),
);
const COUNT: Statement<{ total: number }> = { name: "admin_destinations_count", text: `SELECT count(*) AS total ${SELECTED}` };

/** A page of the servers that we send to, and how many they are; of this name, or with this in their name. */
export async function listDestinations(
  reads: Reads,
  filter: { readonly part?: string | undefined; readonly name?: string | undefined },
  order: DestinationOrder,
  page: Page,
): Promise<{ destinations: AdminDestination[]; total: number }> {
  const list = LISTS.get(`${order} ${page.direction}`);
  if (list === undefined) throw new RangeError(`there is no order ${order}`);
  const values = [filter.part === undefined ? null : toText(filter.part), filter.name ?? null];
  const [destinations, counted] = await Promise.all([reads.read(list, [...values, page.limit, page.from]), reads.read(COUNT, values)]);
  return { destinations, total: counted[0]?.total ?? 0 };
}

type SharedRoom = { readonly room_id: RoomId; readonly position: number };
const roomsSorted = (direction: "ASC" | "DESC"): Statement<SharedRoom> => ({
  name: `admin_destinations_rooms_${direction.toLowerCase()}`, // joined_servers_server, events_ordinal
  text: `SELECT r.room_id, coalesce(e.position, 0) AS position FROM joined_servers j JOIN rooms r ON r.nid = j.room_nid
      LEFT JOIN events e ON e.room_nid = r.nid AND e.ordinal = r.ordinal
    WHERE j.server_name = $1 AND j.members > 0 ORDER BY r.room_id ${direction} LIMIT $2 OFFSET $3`,
});
const ROOMS = { ASC: roomsSorted("ASC"), DESC: roomsSorted("DESC") };
const COUNT_ROOMS: Statement<{ total: number }> = {
  name: "admin_destinations_count_rooms", // joined_servers_server
  text: "SELECT count(*) AS total FROM joined_servers j JOIN rooms r ON r.nid = j.room_nid WHERE j.server_name = $1 AND j.members > 0",
};

/** A page of the rooms that a server has members in, with the position of the last event of each, and how many they are. */
export async function roomsOfServer(reads: Reads, server: ServerName, page: Page): Promise<{ rooms: SharedRoom[]; total: number }> {
  const [rooms, counted] = await Promise.all([
    reads.read(ROOMS[page.direction], [server, page.limit, page.from]),
    reads.read(COUNT_ROOMS, [server]),
  ]);
  return { rooms, total: counted[0]?.total ?? 0 };
}

const SIZES: Statement<{ room_id: RoomId; estimated_size: number }> = {
  name: "admin_room_sizes",
  // Events of all rooms are of much the same size: what one takes is what the tables take divided by how many they are.
  text: `WITH events_of AS (SELECT room_nid, count(*) AS events FROM events GROUP BY room_nid),
      bytes AS (SELECT (pg_total_relation_size('events') + pg_total_relation_size('state_event_json')
        + (SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0) FROM pg_inherits WHERE inhparent = 'message_json'::regclass))::numeric AS total)
    SELECT r.room_id, (bytes.total * o.events / (SELECT sum(events) FROM events_of))::bigint AS estimated_size
    FROM events_of o JOIN rooms r ON r.nid = o.room_nid CROSS JOIN bytes ORDER BY o.events DESC, r.room_id LIMIT 10`,
};

/** The ten rooms with most events, and about how many bytes they take. */
export async function largestRooms(reads: Reads): Promise<{ room_id: RoomId; estimated_size: number }[]> {
  return await reads.read(SIZES, []);
}
