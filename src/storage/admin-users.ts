// Accounts as administrators look at them.
import { foldLetters } from "../protocol/search-text.js";
import type { UserId } from "../protocol/identifiers.js";
import type { AccountDataEntry } from "./account-data.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** What a list of accounts can be sorted by, and the column. */
const ORDERS = {
  name: "u.user_id",
  is_guest: "a.is_guest",
  admin: "a.is_admin",
  user_type: "a.user_type",
  deactivated: "a.deactivated_ts IS NOT NULL",
  // Nobody is.
  shadow_banned: "a.shadow_banned",
  displayname: "n.folded",
  avatar_url: "p.value",
  creation_ts: "a.created_ts",
  last_seen_ts: "seen.last_seen_ts",
  locked: "a.locked",
  suspended: "a.suspended",
} as const;

export type UserOrder = keyof typeof ORDERS;

export interface UserFilter {
  /** Part of the user id. */
  readonly user_id?: string | undefined;
  /** Part of the user id or the display name. */
  readonly name?: string | undefined;
  readonly guests: boolean;
  /** Absent: administrators and others. */
  readonly admins?: boolean | undefined;
  /** Absent: accounts that have ended and others. */
  readonly deactivated?: boolean | undefined;
  /** Whether locked ones are shown too. */
  readonly locked: boolean;
  readonly not_user_type?: readonly string[] | undefined;
  /** Only this user. */
  readonly user_nid?: number | undefined;
}

export interface AdminUser {
  readonly user_nid: number;
  readonly user_id: UserId;
  readonly is_admin: boolean;
  readonly is_guest: boolean;
  readonly shadow_banned: boolean;
  readonly user_type: string | null;
  readonly deactivated: boolean;
  readonly erased: boolean;
  readonly locked: boolean;
  readonly suspended: boolean;
  readonly created_ts: number;
  readonly last_seen_ts: number | null;
  readonly displayname: string | null;
  readonly avatar_url: string | null;
}

const FROM = `FROM accounts a JOIN users u ON u.nid = a.user_nid
    LEFT JOIN profile_fields n ON n.user_nid = a.user_nid AND n.name = 'displayname'
    LEFT JOIN profile_fields p ON p.user_nid = a.user_nid AND p.name = 'avatar_url'
    LEFT JOIN LATERAL (SELECT max(d.last_seen_ts) AS last_seen_ts FROM devices d WHERE d.user_nid = a.user_nid) seen ON true`;
// A server has so many accounts as one reads through now and then.
const WHERE = `WHERE ($1::text IS NULL OR strpos(lower(u.user_id), $1) > 0)
      AND ($2::text IS NULL OR strpos(lower(u.user_id), $2) > 0 OR strpos(n.folded, $3) > 0)
      AND ($4::boolean OR NOT a.is_guest)
      AND ($5::boolean IS NULL OR a.is_admin = $5)
      AND ($6::boolean IS NULL OR (a.deactivated_ts IS NOT NULL) = $6)
      AND ($7::boolean OR NOT a.locked)
      AND ($8::text[] IS NULL OR coalesce(a.user_type, '') <> ALL ($8))
      AND ($9::bigint IS NULL OR a.user_nid = $9)`;

const COUNT: Statement<{ total: number }> = { name: "admin_users_count", text: `SELECT count(*) AS total ${FROM} ${WHERE}` };
const LISTS = new Map<string, Statement<AdminUser>>(
  Object.entries(ORDERS).flatMap(([order, column]) =>
    (["ASC", "DESC"] as const).map((direction) => [
      `${order} ${direction}`,
      {
        name: `admin_users_by_${order}_${direction.toLowerCase()}`,
        text: `SELECT a.user_nid, u.user_id, a.is_admin, a.is_guest, a.user_type, a.deactivated_ts IS NOT NULL AS deactivated, a.erased,
            a.locked, a.suspended, a.shadow_banned, a.created_ts, seen.last_seen_ts, n.value AS displayname, p.value AS avatar_url
          ${FROM} ${WHERE}
          ORDER BY ${column} ${direction} NULLS LAST, u.user_id LIMIT $10 OFFSET $11`,
      },
    ]),
  ),
);

/** A page of the accounts that pass a filter, and how many pass it. */
export async function listUsers(
  reads: Reads,
  filter: UserFilter,
  order: UserOrder,
  direction: "ASC" | "DESC",
  page: { readonly from: number; readonly limit: number },
): Promise<{ users: AdminUser[]; total: number }> {
  const list = LISTS.get(`${order} ${direction}`);
  if (list === undefined) throw new RangeError(`there is no order ${order}`);
  const { user_id, name, guests, admins, deactivated, locked, not_user_type, user_nid } = filter;
  const values = [
    user_id === undefined ? null : toText(user_id.toLowerCase()),
    name === undefined ? null : toText(name.toLowerCase()),
    name === undefined ? null : toText(foldLetters(name)),
    guests,
    admins ?? null,
    deactivated ?? null,
    locked,
    not_user_type ?? null,
    user_nid ?? null,
  ];
  const [rows, counted] = await Promise.all([reads.read(list, [...values, page.limit, page.from]), reads.read(COUNT, values)]);
  return { users: rows.map(toUser), total: counted[0]?.total ?? 0 };
}

function toUser(row: AdminUser): AdminUser {
  return {
    ...row,
    user_id: fromText(row.user_id) as UserId,
    user_type: row.user_type === null ? null : fromText(row.user_type),
    displayname: textIn(row.displayname),
    avatar_url: textIn(row.avatar_url),
  };
}

/** The string that JSON text is. */
function textIn(json: string | null): string | null {
  const value: unknown = json === null ? null : JSON.parse(json);
  return typeof value === "string" ? value : null;
}

const SET_TYPE: Statement = { name: "admin_users_set_type", text: "UPDATE accounts SET user_type = $2 WHERE user_nid = $1" };

export async function setUserType(tx: Queryable, userNid: number, userType: string | null): Promise<void> {
  await tx.query(SET_TYPE, [userNid, userType === null ? null : toText(userType)]);
}

const SHADOW_BAN: Statement = { name: "admin_users_shadow_ban", text: "UPDATE accounts SET shadow_banned = $2 WHERE user_nid = $1" };

export async function setShadowBanned(tx: Queryable, userNid: number, banned: boolean): Promise<void> {
  await tx.query(SHADOW_BAN, [userNid, banned]);
}

export interface ExternalId {
  readonly auth_provider: string;
  readonly external_id: string;
}

const EXTERNAL_IDS: Statement<ExternalId> = {
  name: "external_ids_of_user", // external_ids_user
  text: "SELECT auth_provider, external_id FROM external_ids WHERE user_nid = $1 ORDER BY auth_provider, external_id",
};
const DELETE_EXTERNAL_IDS: Statement = { name: "external_ids_delete", text: "DELETE FROM external_ids WHERE user_nid = $1" };
const ADD_EXTERNAL_IDS: Statement = {
  name: "external_ids_add",
  text: `INSERT INTO external_ids (server_name, auth_provider, external_id, user_nid)
    SELECT $1, provider, id, $4 FROM unnest($2::text[], $3::text[]) AS given (provider, id) ON CONFLICT DO NOTHING RETURNING user_nid`,
};
const EXTERNAL_OWNER: Statement<{ user_id: string }> = {
  name: "external_ids_owner", // external_ids_pkey
  text: `SELECT u.user_id FROM external_ids e JOIN users u ON u.nid = e.user_nid
    WHERE e.server_name = $1 AND e.auth_provider = $2 AND e.external_id = $3`,
};

/** Under which ids identity providers know a user. */
export async function externalIdsOf(reads: Reads, userNid: number): Promise<ExternalId[]> {
  const rows = await reads.read(EXTERNAL_IDS, [userNid]);
  return rows.map(({ auth_provider, external_id }) => ({ auth_provider: fromText(auth_provider), external_id: fromText(external_id) }));
}

/** Gives a user these external ids and no others; false if another user of the server has one of them. */
export async function setExternalIds(
  tx: Queryable,
  owner: { readonly user_nid: number; readonly server: string },
  ids: readonly ExternalId[],
): Promise<boolean> {
  await tx.query(DELETE_EXTERNAL_IDS, [owner.user_nid]);
  const providers = ids.map(({ auth_provider }) => toText(auth_provider));
  const names = ids.map(({ external_id }) => toText(external_id));
  const added = await tx.query(ADD_EXTERNAL_IDS, [owner.server, providers, names, owner.user_nid]);
  return added.length === new Set(ids.map(({ auth_provider, external_id }) => JSON.stringify([auth_provider, external_id]))).size;
}

/** The user of a server whom an identity provider knows under an id. */
export async function ownerOfExternalId(reads: Reads, server: string, id: ExternalId): Promise<UserId | undefined> {
  const [row] = await reads.read(EXTERNAL_OWNER, [server, toText(id.auth_provider), toText(id.external_id)]);
  return row && (fromText(row.user_id) as UserId);
}

/** A rate limit for one user: 0 a second is none. */
export interface RateLimitOverride {
  readonly messages_per_second: number;
  readonly burst_count: number;
}

const RATE_LIMIT: Statement<{ messages_per_second: number | null; burst_count: number | null }> = {
  name: "admin_users_rate_limit",
  text: "SELECT messages_per_second, burst_count FROM accounts WHERE user_nid = $1",
};
const SET_RATE_LIMIT: Statement = {
  name: "admin_users_set_rate_limit",
  text: "UPDATE accounts SET messages_per_second = $2, burst_count = $3 WHERE user_nid = $1",
};

/** The rate limit that a user has of their own. */
export async function rateLimitOf(reads: Reads, userNid: number): Promise<RateLimitOverride | undefined> {
  const [row] = await reads.read(RATE_LIMIT, [userNid]);
  if (row === undefined || row.messages_per_second === null) return undefined;
  return { messages_per_second: row.messages_per_second, burst_count: row.burst_count ?? 0 };
}

/** Gives a user a rate limit of their own, or with `undefined` that of everybody. */
export async function setRateLimit(tx: Queryable, userNid: number, limit: RateLimitOverride | undefined): Promise<void> {
  await tx.query(SET_RATE_LIMIT, [userNid, limit?.messages_per_second ?? null, limit?.burst_count ?? null]);
}

const INVITES: Statement<{ count: number }> = {
  name: "admin_users_sent_invites",
  // memberships_pkey, events_state: only who is in a room can invite others to it.
  text: `SELECT count(*) AS count FROM memberships m JOIN events e ON e.room_nid = m.room_nid AND e.tuple_nid IS NOT NULL
    JOIN state_event_json s ON s.nid = e.nid
    WHERE m.user_nid = $1 AND e.type_nid = (SELECT nid FROM event_types WHERE type = 'm.room.member') AND e.sender_nid = $1
      AND e.origin_server_ts >= $2 AND e.flags = 0 AND s.json LIKE '%"membership":"invite"%'`,
};
const JOINED_SINCE: Statement<{ count: number }> = {
  name: "admin_users_joined_rooms_since", // memberships_pkey, events_timestamp
  text: `SELECT count(DISTINCT e.room_nid) AS count FROM memberships m JOIN events e ON e.room_nid = m.room_nid
      AND e.origin_server_ts >= $2 AND e.sender_nid = m.user_nid
      AND e.tuple_nid = (SELECT t.nid FROM state_tuples t JOIN users u ON u.user_id = t.state_key WHERE t.type = 'm.room.member' AND u.nid = $1)
    JOIN state_event_json s ON s.nid = e.nid
    WHERE m.user_nid = $1 AND e.flags = 0 AND s.json LIKE '%"membership":"join"%'`,
};

/** How many invitations a user has sent since a time. */
export async function countSentInvites(reads: Reads, userNid: number, since: number): Promise<number> {
  return (await reads.read(INVITES, [userNid, since]))[0]?.count ?? 0;
}

/** How many rooms a user has joined since a time. */
export async function countRoomsJoinedSince(reads: Reads, userNid: number, since: number): Promise<number> {
  return (await reads.read(JOINED_SINCE, [userNid, since]))[0]?.count ?? 0;
}

const ACCOUNT_DATA: Statement<AccountDataEntry & { room_id: string | null }> = {
  name: "admin_users_account_data", // account_data_pkey
  text: `SELECT d.room_nid, r.room_id, d.type, d.content FROM account_data d LEFT JOIN rooms r ON r.nid = d.room_nid
    WHERE d.user_nid = $1 ORDER BY d.room_nid, d.type`,
};

/** All account data of a user; without room id it belongs to the account as a whole. */
export async function allAccountData(reads: Reads, userNid: number): Promise<{ room_id: string | undefined; type: string; content: string }[]> {
  const rows = await reads.read(ACCOUNT_DATA, [userNid]);
  return rows
    .filter(({ room_nid, room_id }) => room_nid === 0 || room_id !== null)
    .map(({ room_id, type, content }) => ({ room_id: room_id === null ? undefined : fromText(room_id), type: fromText(type), content }));
}
