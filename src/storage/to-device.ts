// Messages to devices: to those of our users until they have them, to those of other servers until the log is read for these.
import type { DeviceId, ServerName } from "../protocol/identifiers.js";
import type { Database, Tx } from "./database.js";
import { DIRECT_TO_DEVICE, type OwedEdu } from "./destinations.js";
import type { DeviceKey } from "./devices.js";
import { type LogEntry, storedEntries } from "./log-entry.js";
import { type BoundStatement, TABLES } from "./room-rows.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { TurnLoader } from "./turn-loader.js";

/** A message to a device of one of our users. */
export interface LocalMessage extends DeviceKey {
  /** JSON text of type, sender and content. */
  readonly event: string;
}

/** A message to devices of another server. */
export interface RemoteMessages {
  readonly destination: ServerName;
  readonly message_id: string;
  readonly origin: ServerName;
  /** JSON text of the content of `m.direct_to_device`. */
  readonly content: string;
}

/** The parameters of `write_to_device` behind the position. */
function parameters(first: number): string {
  return Array.from({ length: 10 }, (_, index) => `$${first + index}`).join(", ");
}

const DEVICES: Statement<DeviceKey> = {
  name: "to_device_devices", // devices_pkey
  text: "SELECT user_nid, device_id FROM devices WHERE user_nid = ANY ($1::bigint[])",
};
const PUT: Statement = {
  name: "to_device_put",
  text: `SELECT write_to_device(currval('log_position'), ${parameters(1)})`,
};
const PUT_ALONE: Statement<{ position: number }> = {
  name: "to_device_put_alone",
  text: `SELECT write_to_device(write_changes(${TABLES.map(() => "NULL").join(", ")}, $1::json), ${parameters(2)}) AS position`,
};
const WAITING: Statement<{ nid: number; event: string }> = {
  name: "to_device_waiting", // to_device_messages_pkey
  text: `SELECT nid, event FROM to_device_messages
    WHERE user_nid = $1 AND device_id = $2 AND position > $3 AND position <= $4 AND nid > $5
    ORDER BY position, nid LIMIT $6`,
};
const WAITING_EACH: Statement<{ place: number; nid: number; event: string }> = {
  name: "to_device_waiting_each", // to_device_messages_pkey
  text: `SELECT place, nid, event
    FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) WITH ORDINALITY AS asked (user_nid, device_id, after, up_to, "limit", place)
    CROSS JOIN LATERAL (SELECT position, nid, event FROM to_device_messages m
      WHERE m.user_nid = asked.user_nid AND m.device_id = asked.device_id AND m.position > asked.after AND m.position <= asked.up_to
      ORDER BY m.position, m.nid LIMIT asked."limit") AS message
    ORDER BY place, message.position, nid`,
};
const ACKNOWLEDGE: Statement = {
  name: "to_device_acknowledge", // to_device_messages_pkey
  text: "SELECT acknowledge_to_device($1, $2, $3, $4)",
};
const DELETE_OF_DEVICES: Statement = {
  name: "to_device_delete_of_devices", // to_device_messages_pkey
  text: `DELETE FROM to_device_messages AS message USING unnest($1::bigint[], $2::text[]) AS device (user_nid, device_id)
    WHERE message.user_nid = device.user_nid AND message.device_id = device.device_id`,
};
const TAKE_OUTBOX: Statement<RemoteMessages & { position: number }> = {
  name: "to_device_take_outbox", // to_device_outbox_pkey
  text: `DELETE FROM to_device_outbox WHERE position = ANY ($1::bigint[])
    RETURNING position, message_id, destination, origin, content`,
};
const AT: Statement<DeviceKey & { nid: number; event: string }> = {
  name: "to_device_at", // to_device_messages_pkey
  text: `SELECT user_nid, device_id, nid, event
    FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS asked (user_nid, device_id, position)
    JOIN to_device_messages USING (user_nid, device_id, position) ORDER BY nid`,
};
const REMOVE: Statement = {
  name: "to_device_remove", // to_device_messages_pkey
  text: `DELETE FROM to_device_messages AS message
    USING unnest($1::bigint[], $2::text[], $3::bigint[]) AS taken (user_nid, device_id, position)
    WHERE message.user_nid = taken.user_nid AND message.device_id = taken.device_id AND message.position = taken.position`,
};
const TRIM: Statement<{ count: number }> = {
  name: "to_device_trim", // all devices are looked through; to_device_messages_pkey backwards, once per device that was not seen for long
  text: `WITH over AS MATERIALIZED (
      SELECT d.user_nid, d.device_id, last.position, last.nid FROM devices d
      CROSS JOIN LATERAL (SELECT position, nid FROM to_device_messages m WHERE m.user_nid = d.user_nid AND m.device_id = d.device_id
        ORDER BY position DESC, nid DESC OFFSET $2 LIMIT 1) last
      WHERE coalesce(d.last_seen_ts, d.created_ts) < $1 LIMIT 100),
    gone AS (DELETE FROM to_device_messages m USING over
      WHERE m.user_nid = over.user_nid AND m.device_id = over.device_id AND (m.position, m.nid) <= (over.position, over.nid))
    SELECT count(*) AS count FROM over`,
};
const EXPIRE_SENT: Statement<{ count: number }> = {
  name: "to_device_expire_sent", // to_device_sent_created
  text: `WITH old AS (SELECT key FROM to_device_sent WHERE created < now() - interval '7 days' LIMIT 10000),
      gone AS (DELETE FROM to_device_sent USING old WHERE to_device_sent.key = old.key RETURNING 1)
    SELECT count(*) AS count FROM gone`,
};

/** All devices of some of our users. */
export async function devicesOfUsers(reads: Reads, userNids: readonly number[]): Promise<DeviceKey[]> {
  return userNids.length === 0 ? [] : await reads.read(DEVICES, [userNids]);
}

/** The devices of a user: many messages are sent at a time, and each sender asks. */
export type DevicesOf = TurnLoader<number, readonly DeviceId[]>;

export function devicesLoader(reads: Reads): DevicesOf {
  return new TurnLoader((userNid) => userNid, async (userNids) => {
    const devices = new Map<number, DeviceId[]>();
    for (const { user_nid, device_id } of await devicesOfUsers(reads, userNids)) {
      const known = devices.get(user_nid);
      if (known === undefined) devices.set(user_nid, [device_id]);
      else known.push(device_id);
    }
    return devices;
  }, { oneAtATime: true });
}

/** Messages that are sent once, under a key (a digest in hexadecimal). */
export interface SentMessages {
  readonly key: string;
  readonly local: readonly LocalMessage[];
  readonly remote: readonly RemoteMessages[];
}

/** What writes messages at the position of a transaction; nothing of those under whose key some were sent before. */
export function messagesPut(sent: readonly SentMessages[]): BoundStatement {
  return { statement: PUT, values: putValues(sent), atPosition: true };
}

/** A statement that writes messages and log entries, takes their position and gives it. */
export function messagesPutAlone(
  sent: readonly SentMessages[],
  entries: readonly LogEntry[],
): { readonly statement: Statement<{ position: number }>; readonly values: readonly unknown[] } {
  return { statement: PUT_ALONE, values: [JSON.stringify(storedEntries(entries)), ...putValues(sent)] };
}

function putValues(sent: readonly SentMessages[]): unknown[] {
  // Sent twice in one transaction: the first counts.
  const byKey = new Map(sent.toReversed().map((each) => [each.key, each]));
  const local = [...byKey.values()].flatMap(({ key, local: messages }) => messages.map((message) => ({ key, ...message })));
  const remote = [...byKey.values()].flatMap(({ key, remote: messages }) => messages.map((message) => ({ key, ...message })));
  return [
    [...byKey.keys()],
    local.map(({ key }) => key),
    local.map(({ user_nid }) => user_nid),
    local.map(({ device_id }) => device_id),
    local.map(({ event }) => event),
    remote.map(({ key }) => key),
    remote.map(({ message_id }) => message_id),
    remote.map(({ destination }) => destination),
    remote.map(({ origin }) => origin),
    remote.map(({ content }) => content),
  ];
}

/** Which messages a device is to be shown: those behind a position and a number, up to another position, at most so many. */
export interface Wanted {
  readonly after: number;
  readonly upTo: number;
  readonly afterNid: number;
  readonly limit: number;
}

/** The messages that wait for a device, in their order: JSON texts with their numbers. */
export async function waitingMessages(
  reads: Reads,
  userNid: number,
  device: DeviceId,
  { after, upTo, afterNid, limit }: Wanted,
): Promise<{ nid: number; event: string }[]> {
  return await reads.read(WAITING, [userNid, device, after, upTo, afterNid, limit]);
}

/** Whose messages are wanted: those of a device behind a position up to another, at most so many. */
export interface Inbox extends DeviceKey {
  readonly after: number;
  readonly upTo: number;
  readonly limit: number;
}

/** The messages that wait in several inboxes, in the order of these: with their numbers, in their order. */
export async function waitingInInboxes(reads: Reads, asked: readonly Inbox[]): Promise<{ nid: number; event: string }[][]> {
  const rows = await reads.read(WAITING_EACH, [...columns(asked), asked.map(({ after }) => after), asked.map(({ upTo }) => upTo), asked.map(({ limit }) => limit)]);
  const found: { nid: number; event: string }[][] = asked.map(() => []);
  for (const { place, nid, event } of rows) found[place - 1]?.push({ nid, event });
  return found;
}

/** What a device has: the messages up to a position, and of these only those up to a number if one is given. */
export interface Acknowledged extends DeviceKey {
  readonly position: number;
  readonly nid: number | undefined;
}

/** Deletes what devices have. */
export async function acknowledgeMessages(database: Database, devices: readonly Acknowledged[]): Promise<void> {
  await database.execute(ACKNOWLEDGE, [...columns(devices), devices.map(({ position }) => position), devices.map(({ nid }) => nid ?? null)]);
}

/** Deletes the messages of devices that the transaction deletes. */
export function deleteMessagesOfDevices(tx: Tx, devices: readonly DeviceKey[]): void {
  // At the position: who sends to the devices does it before, and it is seen, or after, when they are no more.
  tx.atPosition(DELETE_OF_DEVICES, [devices.map(({ user_nid }) => user_nid), devices.map(({ device_id }) => device_id)]);
}

/** Takes the messages to other servers that were sent at some positions: what these servers are owed. */
export async function takeOutgoingMessages(tx: Queryable, positions: readonly number[]): Promise<OwedEdu[]> {
  const rows = positions.length === 0 ? [] : await tx.query(TAKE_OUTBOX, [positions]);
  return rows.map(({ message_id, ...row }) => ({ ...row, edu_type: DIRECT_TO_DEVICE, key: message_id }));
}

/** Where the log says that something was sent to a device. */
export interface SentTo extends DeviceKey {
  readonly position: number;
}

/** The messages that were sent to devices at some positions and still wait, in their order. */
export async function messagesAt(reads: Reads, sent: readonly SentTo[]): Promise<(DeviceKey & { nid: number; event: string })[]> {
  return sent.length === 0 ? [] : await reads.read(AT, [...columns(sent), positions(sent)]);
}

/** Removes the messages that were sent to devices at some positions: somebody else tells them. */
export async function removeMessages(tx: Queryable, sent: readonly SentTo[]): Promise<void> {
  if (sent.length > 0) await tx.query(REMOVE, [...columns(sent), positions(sent)]);
}

function columns(devices: readonly DeviceKey[]): unknown[][] {
  return [devices.map(({ user_nid }) => user_nid), devices.map(({ device_id }) => device_id)];
}

function positions(sent: readonly SentTo[]): number[] {
  return sent.map(({ position }) => position);
}

/**
 * Drops the oldest messages to devices that were not seen since a time (milliseconds), all but the latest `kept` of each: how many
 * devices, at most 100 at a time. Nobody is refused, and a device that is in use loses nothing.
 */
export async function trimMessages(database: Database, unseenSince: number, kept: number): Promise<number> {
  return (await database.write(TRIM, [unseenSince, kept]))[0]?.count ?? 0;
}

/** Forgets keys under which nobody will send again: how many, at most 10,000 at a time. */
export async function expireSentKeys(database: Database): Promise<number> {
  const [row] = await database.write(EXPIRE_SENT, []);
  return row?.count ?? 0;
}
