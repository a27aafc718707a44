// Pushers: where and how users want to be notified.
import type { DeviceId, UserId } from "../protocol/identifiers.js";
import type { JsonObject } from "../protocol/json.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

export type PusherKind = "http" | "email";

export interface PusherFields {
  readonly app_id: string;
  readonly pushkey: string;
  readonly kind: PusherKind;
  readonly app_display_name: string;
  readonly device_display_name: string;
  readonly profile_tag: string | undefined;
  readonly lang: string;
  readonly data: JsonObject;
  readonly enabled: boolean;
}

export interface Pusher extends PusherFields {
  readonly nid: number;
  readonly user_nid: number;
  readonly device_id: DeviceId | undefined;
  /** When a client last set it. */
  readonly set_ts: number;
}

export interface PusherRow {
  readonly nid: number;
  readonly user_nid: number;
  readonly device_id: string | null;
  readonly app_id: string;
  readonly pushkey: string;
  readonly kind: PusherKind;
  readonly app_display_name: string;
  readonly device_display_name: string;
  readonly profile_tag: string | null;
  readonly lang: string;
  readonly data: string;
  readonly enabled: boolean;
  readonly set_ts: number;
}

/** The columns that `toPusher` reads. */
export const PUSHER_COLUMNS = `pushers.nid, user_nid, device_id, app_id, pushkey, kind, app_display_name, device_display_name,
  profile_tag, lang, data, enabled, set_ts`;

/** A row as a pusher. */
export function toPusher(row: PusherRow): Pusher {
  return {
    ...row,
    device_id: row.device_id === null ? undefined : (row.device_id as DeviceId),
    app_id: fromText(row.app_id),
    pushkey: fromText(row.pushkey),
    app_display_name: fromText(row.app_display_name),
    device_display_name: fromText(row.device_display_name),
    profile_tag: row.profile_tag === null ? undefined : fromText(row.profile_tag),
    lang: fromText(row.lang),
    data: JSON.parse(row.data) as JsonObject,
  };
}

const OF_USER: Statement<PusherRow> = {
  name: "pushers_of_user", // pushers_user_nid_app_id_pushkey_key
  text: `SELECT ${PUSHER_COLUMNS} FROM pushers WHERE user_nid = $1 ORDER BY nid`,
};
const FIND: Statement<PusherRow> = { name: "pushers_find", text: `SELECT ${PUSHER_COLUMNS} FROM pushers WHERE nid = $1` };
const SET: Statement = {
  name: "pushers_set",
  // What another device of the user switches on or off stays with the device that it belongs to.
  text: `INSERT INTO pushers (user_nid, device_id, app_id, pushkey, kind, app_display_name, device_display_name, profile_tag, lang,
      data, enabled, set_ts, gateway)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (user_nid, app_id, pushkey) DO UPDATE SET device_id = CASE WHEN $14 THEN pushers.device_id ELSE excluded.device_id END,
      kind = excluded.kind, app_display_name = excluded.app_display_name, device_display_name = excluded.device_display_name,
      profile_tag = excluded.profile_tag, lang = excluded.lang, data = excluded.data, enabled = excluded.enabled,
      set_ts = excluded.set_ts, gateway = excluded.gateway, retry_ts = 0, failures = 0, failing_since = NULL, badge = NULL`,
};
const DELETE: Statement<{ nid: number }> = {
  name: "pushers_delete",
  text: "DELETE FROM pushers WHERE user_nid = $1 AND app_id = $2 AND pushkey = $3 RETURNING nid",
};
const DELETE_OF_OTHERS: Statement = {
  name: "pushers_delete_of_others", // pushers_key
  text: "DELETE FROM pushers WHERE app_id = $2 AND pushkey = $3 AND user_nid <> $1",
};
const DELETE_ONE: Statement = { name: "pushers_delete_one", text: "DELETE FROM pushers WHERE nid = $1" };
const DELETE_MAIL: Statement = {
  name: "pushers_delete_mail",
  text: "DELETE FROM pushers WHERE user_nid = $1 AND kind = 'email' AND pushkey = $2",
};
interface UserRow {
  readonly user_nid: number;
  readonly user_id: string;
}

const USERS = "SELECT DISTINCT user_nid, user_id FROM pushers JOIN users ON users.nid = user_nid";
const IN_ROOM = "JOIN current_state USING (user_nid) WHERE enabled AND room_nid = $1 AND membership = 1";
const OF_ROOM: Statement<UserRow> = {
  name: "pushers_of_room", // current_state_membership, pushers_user_nid_app_id_pushkey_key
  text: `${USERS} ${IN_ROOM}`,
};
const OF_ROOM_USERS: Statement<UserRow> = {
  name: "pushers_of_room_users", // pushers_user_nid_app_id_pushkey_key, current_state_user
  text: `${USERS} ${IN_ROOM} AND user_nid = ANY($2)`,
};
const OF_USERS: Statement<UserRow> = {
  name: "pushers_of_users", // pushers_user_nid_app_id_pushkey_key
  text: `${USERS} WHERE enabled AND user_nid = ANY($1)`,
};

/** The pushers of a user. */
export async function pushersOfUser(reads: Reads, userNid: number): Promise<Pusher[]> {
  return (await reads.read(OF_USER, [userNid])).map(toPusher);
}

/** The pusher of this number. */
export async function findPusher(reads: Reads, nid: number): Promise<Pusher | undefined> {
  const [row] = await reads.read(FIND, [nid]);
  return row && toPusher(row);
}

export interface PusherToSet extends PusherFields {
  readonly user_nid: number;
  readonly device_id: DeviceId | undefined;
  readonly set_ts: number;
  readonly gateway: string;
  /** Whether one that exists stays with the device that it belongs to. */
  readonly keepDevice: boolean;
}

/** Adds a pusher, or changes the one of the user with this app id and pushkey. */
export async function setPusher(tx: Queryable, pusher: PusherToSet): Promise<void> {
  await tx.query(SET, [
    pusher.user_nid,
    pusher.device_id ?? null,
    toText(pusher.app_id),
    toText(pusher.pushkey),
    pusher.kind,
    toText(pusher.app_display_name),
    toText(pusher.device_display_name),
    pusher.profile_tag === undefined ? null : toText(pusher.profile_tag),
    toText(pusher.lang),
    JSON.stringify(pusher.data),
    pusher.enabled,
    pusher.set_ts,
    pusher.gateway,
    pusher.keepDevice,
  ]);
}

/** Deletes a pusher of a user, if there is one. */
export async function deletePusher(tx: Queryable, userNid: number, appId: string, pushkey: string): Promise<void> {
  await tx.query(DELETE, [userNid, toText(appId), toText(pushkey)]);
}

/** Deletes the pushers of this app id and pushkey that other users have. */
export async function deletePushersOfOthers(tx: Queryable, userNid: number, appId: string, pushkey: string): Promise<void> {
  await tx.query(DELETE_OF_OTHERS, [userNid, toText(appId), toText(pushkey)]);
}

/** Deletes a pusher, and what it is owed. */
export async function deletePusherByNid(tx: Queryable, nid: number): Promise<void> {
  await tx.query(DELETE_ONE, [nid]);
}

/** Deletes the pusher that mails to an address of a user. */
export async function deleteMailPusher(tx: Queryable, userNid: number, address: string): Promise<void> {
  await tx.query(DELETE_MAIL, [userNid, toText(address)]);
}

/** Those users who have a pusher that is switched on: of all members of a room, of these members of it, or of any users. */
export async function usersWithPushers(
  reads: Reads,
  { room, among }: { readonly room: number; readonly among: readonly number[] | undefined } | { readonly room?: never; readonly among: readonly number[] },
): Promise<Map<number, UserId>> {
  const rows = await (room === undefined
    ? reads.read(OF_USERS, [among])
    : among === undefined
      ? reads.read(OF_ROOM, [room])
      : reads.read(OF_ROOM_USERS, [room, among]));
  return new Map(rows.map(({ user_nid, user_id }) => [user_nid, fromText(user_id) as UserId]));
}
