// What connections of sliding sync were sent: states of a connection, each kept as what differs from the one before.
import type { DeviceId } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** What a client was sent of a room. */
export interface SentRoom {
  /** Up to which position it was sent; undefined: everything up to the client's token. */
  readonly sent: number | undefined;
  /** How many of the latest events the client has at least. */
  readonly timeline_limit: number;
  /** The set of required state that it is kept up to date with, as text. */
  readonly config: string;
  /** A number of MEMBERSHIPS. */
  readonly membership: number;
  /** Bits of the extensions that it is kept up to date with. */
  readonly extensions: number;
  readonly is_dm: boolean;
  /** The numbers of users whose member events were sent because they were seen. */
  readonly members: readonly number[];
}

/** Whose a connection is. */
export interface ConnectionOwner {
  readonly user_nid: number;
  readonly device_id: DeviceId | undefined;
  readonly conn_id: string;
}

/** A connection in one of its states. */
export interface StoredConnection {
  readonly user_nid: number;
  readonly device_id: string | undefined;
  readonly conn_id: string;
  readonly rooms: Map<number, SentRoom>;
}

/** Connections of one device, and such of one name: the least lately used beyond these go. */
const PER_DEVICE = 20;
const PER_NAME = 2;

const OPEN: Statement<{ nid: number }> = {
  name: "sliding_open",
  // The lock waits for whoever is deleting the device.
  text: `INSERT INTO sliding_connections (user_nid, device_id, conn_id) SELECT $1, $2, $3
    WHERE $2::text IS NULL OR EXISTS (SELECT FROM devices WHERE user_nid = $1 AND device_id = $2 FOR KEY SHARE) RETURNING nid`,
};
const DROP_OTHERS: Statement = {
  name: "sliding_drop_others", // sliding_connections_device
  // A client that began twice at once may go on with either answer.
  text: `DELETE FROM sliding_connections WHERE nid IN (
      SELECT nid FROM (SELECT nid, row_number() OVER (PARTITION BY conn_id ORDER BY nid DESC) AS of_name,
          row_number() OVER (ORDER BY used DESC, nid DESC) AS of_device
        FROM sliding_connections WHERE user_nid = $1 AND device_id IS NOT DISTINCT FROM $2) AS ranked
      WHERE of_name > ${PER_NAME} OR of_device > ${PER_DEVICE})`,
};
const STORE: Statement<{ state: number | null }> = {
  name: "sliding_store",
  text: "SELECT store_sliding_state($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS state",
};

interface ConnectionRow {
  readonly user_nid: number;
  readonly device_id: string | null;
  readonly conn_id: string;
  readonly configs: readonly string[];
}

const FIND: Statement<ConnectionRow> = {
  name: "sliding_find", // sliding_connections_pkey
  text: `SELECT user_nid, device_id, conn_id, configs FROM sliding_connections
    WHERE nid = $1 AND (base = $2 OR $2 = ANY (tips))`,
};

interface RoomRow {
  readonly room_nid: number;
  readonly sent: number | null;
  readonly timeline_limit: number;
  readonly config: number;
  readonly membership: number;
  readonly extensions: number;
  readonly is_dm: boolean;
  readonly members: readonly number[];
}

const ROOMS: Statement<RoomRow> = {
  name: "sliding_rooms", // sliding_rooms_pkey
  text: `SELECT DISTINCT ON (r.room_nid) r.room_nid, sent, timeline_limit, config, membership, extensions, is_dm, members
    FROM sliding_connections c JOIN sliding_rooms r ON r.connection = c.nid
    WHERE c.nid = $1 AND (state = $2 OR NOT state = ANY (tips)) ORDER BY r.room_nid, state DESC`,
};
const TOUCH: Statement<{ nid: number }> = {
  name: "sliding_touch", // sliding_connections_pkey
  text: "UPDATE sliding_connections SET used = now() WHERE nid = $1 RETURNING nid",
};
const EXPIRE: Statement<{ one: number }> = {
  name: "sliding_expire", // sliding_connections_used
  text: `DELETE FROM sliding_connections WHERE nid = ANY (ARRAY (
      SELECT nid FROM sliding_connections WHERE used < now() - interval '7 days' ORDER BY used LIMIT 200)) RETURNING 1 AS one`,
};

/** Makes a connection, in state 0, in which nothing was sent, and gives its number; undefined if its device has gone. The oldest of too many go. */
export async function openConnection(database: Database, { user_nid, device_id, conn_id }: ConnectionOwner): Promise<number | undefined> {
  return await database.transaction(async (tx) => {
    const device = device_id ?? null;
    const [[row]] = await Promise.all([tx.query(OPEN, [user_nid, device, toText(conn_id)]), tx.query(DROP_OTHERS, [user_nid, device])]);
    return row?.nid;
  });
}

/**
 * Writes what a connection was sent of some rooms beyond a state of it, as its next state, whose number it gives; undefined if
 * that state is kept no longer.
 */
export async function storeState(
  database: Database,
  connection: number,
  from: number,
  rooms: ReadonlyMap<number, SentRoom>,
): Promise<number | undefined> {
  const texts = [...new Set([...rooms.values()].map(({ config }) => toText(config)))];
  const places = new Map(texts.map((text, index) => [text, index + 1]));
  const sent = [...rooms.values()];
  const [row] = await database.execute(STORE, [
    connection,
    from,
    texts,
    [...rooms.keys()],
    sent.map((room) => room.sent ?? null),
    sent.map(({ timeline_limit }) => timeline_limit),
    sent.map(({ config }) => places.get(toText(config))),
    sent.map(({ membership }) => membership),
    sent.map(({ extensions }) => extensions),
    sent.map(({ is_dm }) => is_dm),
    sent.map(({ members }) => `{${members.join(",")}}`),
  ]);
  return row?.state ?? undefined;
}

/** A connection in a state; undefined if there is none, or if that state is kept no longer. */
export async function findConnection(reads: Reads, connection: number, state: number): Promise<StoredConnection | undefined> {
  const [[row], rooms] = await Promise.all([reads.read(FIND, [connection, state]), reads.read(ROOMS, [connection, state])]);
  if (row === undefined) return undefined;
  const found = new Map<number, SentRoom>();
  for (const { room_nid, sent, config, ...rest } of rooms) {
    found.set(room_nid, { ...rest, sent: sent ?? undefined, config: fromText(row.configs[config - 1] ?? "") });
  }
  return { user_nid: row.user_nid, device_id: row.device_id ?? undefined, conn_id: fromText(row.conn_id), rooms: found };
}

/** Notes that a connection is in use; false if there is none. */
export async function touchConnection(database: Database, connection: number): Promise<boolean> {
  return (await database.execute(TOUCH, [connection])).length > 0;
}

/** Deletes connections that nobody has used for a week: how many, at most 200 at a time. */
export async function expireConnections(database: Database): Promise<number> {
  return (await database.write(EXPIRE, [])).length;
}
