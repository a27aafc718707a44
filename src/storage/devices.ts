// Devices of our users. Deleting one deletes all that hangs on it: tokens, and whatever else refers to it by foreign key.
import type { DeviceId } from "../protocol/identifiers.js";
import type { Database, Tx } from "./database.js";
import type { Row, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

export interface Device {
  readonly device_id: DeviceId;
  readonly display_name: string | undefined;
  readonly last_seen_ip: string | undefined;
  readonly last_seen_ts: number | undefined;
  readonly last_seen_user_agent: string | undefined;
}

export interface DeviceKey {
  readonly user_nid: number;
  readonly device_id: DeviceId;
}

/** When and from where a device was last used. */
export interface Sighting {
  readonly user_nid: number;
  readonly device_id: DeviceId;
  readonly ts: number;
  readonly ip: string;
  readonly user_agent: string;
}

const COLUMNS = "device_id, display_name, last_seen_ip, last_seen_ts, last_seen_user_agent";

const LIST: Statement = {
  name: "devices_list",
  text: `SELECT ${COLUMNS} FROM devices WHERE user_nid = $1 ORDER BY created_ts, device_id`,
};
const FIND: Statement = {
  name: "devices_find",
  text: `SELECT ${COLUMNS} FROM devices WHERE user_nid = $1 AND device_id = $2`,
};
const ENSURE: Statement = {
  name: "devices_ensure",
  // A device that exists keeps its name.
  text: `INSERT INTO devices (user_nid, device_id, display_name, created_ts, last_seen_ts, last_seen_ip)
    VALUES ($1, $2, $3, $4, CASE WHEN $5::text IS NOT NULL THEN $4::bigint END, $5::text)
    ON CONFLICT (user_nid, device_id) DO NOTHING RETURNING device_id`,
};
const RENAME: Statement = {
  name: "devices_rename",
  text: "UPDATE devices SET display_name = $3 WHERE user_nid = $1 AND device_id = $2 RETURNING device_id",
};
const DELETE_SOME: Statement<DeviceKey> = {
  name: "devices_delete",
  text: "DELETE FROM devices WHERE user_nid = $1 AND device_id = ANY ($2::text[]) RETURNING user_nid, device_id",
};
const DELETE_ALL: Statement<DeviceKey> = {
  name: "devices_delete_all",
  text: "DELETE FROM devices WHERE user_nid = $1 AND device_id IS DISTINCT FROM $2 RETURNING user_nid, device_id",
};
const DELETE_UNUSED: Statement<DeviceKey> = {
  name: "devices_delete_unused",
  // All devices are looked through: an index on what changes with each use would cost more than this now and then.
  text: `DELETE FROM devices WHERE (user_nid, device_id) IN (
      SELECT user_nid, device_id FROM devices WHERE coalesce(last_seen_ts, created_ts) < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING user_nid, device_id`,
};
const SAW: Statement = {
  name: "devices_saw",
  text: `UPDATE devices SET last_seen_ts = seen.ts, last_seen_ip = seen.ip, last_seen_user_agent = seen.user_agent
    FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[]) AS seen (user_nid, device_id, ts, ip, user_agent)
    WHERE devices.user_nid = seen.user_nid AND devices.device_id = seen.device_id
      AND coalesce(devices.last_seen_ts, 0) < seen.ts`,
};

function toDevice(row: Row): Device {
  const { device_id, display_name, last_seen_ip, last_seen_ts, last_seen_user_agent } = row;
  return {
    device_id: device_id as DeviceId,
    display_name: typeof display_name === "string" ? fromText(display_name) : undefined,
    last_seen_ip: typeof last_seen_ip === "string" ? last_seen_ip : undefined,
    last_seen_ts: typeof last_seen_ts === "number" ? last_seen_ts : undefined,
    last_seen_user_agent: typeof last_seen_user_agent === "string" ? fromText(last_seen_user_agent) : undefined,
  };
}

/** All devices of a user, oldest first. */
export async function listDevices(database: Database, userNid: number): Promise<Device[]> {
  return (await database.read(LIST, [userNid])).map(toDevice);
}

export async function findDevice(database: Database, userNid: number, deviceId: DeviceId): Promise<Device | undefined> {
  const [row] = await database.read(FIND, [userNid, deviceId]);
  return row && toDevice(row);
}

export interface NewDevice {
  readonly user_nid: number;
  readonly device_id: DeviceId;
  readonly display_name: string | undefined;
  readonly created_ts: number;
  /** Where it was made from, if it was made by being used. */
  readonly ip: string | undefined;
}

/** Makes a device if there is none of this id; false if there is. */
export async function ensureDevice(tx: Tx, { user_nid, device_id, display_name, created_ts, ip }: NewDevice): Promise<boolean> {
  const name = display_name === undefined ? null : toText(display_name);
  return (await tx.query(ENSURE, [user_nid, device_id, name, created_ts, ip ?? null])).length > 0;
}

/** Names a device; false if there is none. */
export async function renameDevice(tx: Tx, userNid: number, deviceId: DeviceId, name: string): Promise<boolean> {
  return (await tx.query(RENAME, [userNid, deviceId, toText(name)])).length > 0;
}

/** Deletes devices and gives those that existed. */
export async function deleteDevices(tx: Tx, userNid: number, deviceIds: readonly DeviceId[]): Promise<DeviceKey[]> {
  return await tx.query(DELETE_SOME, [userNid, deviceIds]);
}

/** Deletes all devices of a user but one, and gives them. */
export async function deleteAllDevices(tx: Tx, userNid: number, except: DeviceId | undefined): Promise<DeviceKey[]> {
  return await tx.query(DELETE_ALL, [userNid, except ?? null]);
}

/** Deletes devices that were last used before a time, at most `most`, and gives them. */
export async function deleteUnusedDevices(tx: Tx, before: number, most: number): Promise<DeviceKey[]> {
  return await tx.query(DELETE_UNUSED, [before, most]);
}

/** Notes when devices were used. */
export async function noteSightings(tx: Tx, sightings: readonly Sighting[]): Promise<void> {
  await tx.query(SAW, [
    sightings.map(({ user_nid }) => user_nid),
    sightings.map(({ device_id }) => device_id),
    sightings.map(({ ts }) => ts),
    sightings.map(({ ip }) => ip),
    sightings.map(({ user_agent }) => toText(user_agent)),
  ]);
}
