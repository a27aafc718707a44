// Media as administrators look at them.
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

const ORDERS = {
  media_id: "m.media_id",
  upload_name: "m.file_name",
  created_ts: "m.created_ts",
  last_access_ts: "m.last_access_ts",
  media_length: "m.size",
  media_type: "m.content_type",
  quarantined_by: "m.quarantined_by",
  safe_from_quarantine: "m.protected",
  user_id: "u.user_id",
  displayname: "n.folded",
  media_count: "count(*)",
} as const;

export interface AdminMedia {
  readonly server_name: string;
  readonly media_id: string;
  readonly media_type: string | null;
  readonly media_length: number | null;
  readonly upload_name: string | null;
  readonly created_ts: number;
  readonly last_access_ts: number;
  readonly quarantined_by: string | null;
  readonly safe_from_quarantine: boolean;
}

interface Page {
  readonly from: number;
  readonly limit: number;
  readonly direction: "ASC" | "DESC";
}

const DIRECTIONS = ["ASC", "DESC"] as const;
const USER_ORDERS = [
  "media_id", "upload_name", "created_ts", "last_access_ts", "media_length", "media_type", "quarantined_by", "safe_from_quarantine",
] as const;
const STATISTICS_ORDERS = ["user_id", "displayname", "media_length", "media_count"] as const;

const lists = <R extends object>(name: string, orders: readonly (keyof typeof ORDERS)[], text: (order: string) => string) =>
  new Map<string, Statement<R>>(
    orders.flatMap((order) =>
      DIRECTIONS.map((direction) => [
        `${order} ${direction}`,
        { name: `${name}_${order}_${direction.toLowerCase()}`, text: text(`${order === "media_length" && name === "admin_media_by_user" ? "sum(m.size)" : ORDERS[order]} ${direction} NULLS LAST`) },
      ]),
    ),
  );

const OF_USER = lists<AdminMedia>(
  "admin_media_of_user",
  USER_ORDERS,
  (order) => `SELECT m.server_name, m.media_id, m.content_type AS media_type, m.size AS media_length, m.file_name AS upload_name,
      m.created_ts, m.last_access_ts, q.user_id AS quarantined_by, m.protected AS safe_from_quarantine
    FROM media m LEFT JOIN users q ON q.nid = m.quarantined_by
    WHERE m.user_nid = $1 AND m.digest IS NOT NULL ORDER BY ${order}, m.nid LIMIT $2 OFFSET $3`, // media_user
);
const COUNT: Statement<{ total: number }> = {
  name: "admin_media_count", // media_user
  text: "SELECT count(*) AS total FROM media WHERE user_nid = $1 AND digest IS NOT NULL",
};

const found = <R extends object>(statements: ReadonlyMap<string, Statement<R>>, order: string, { direction }: Page): Statement<R> => {
  const statement = statements.get(`${order} ${direction}`);
  if (statement === undefined) throw new RangeError(`there is no order ${order}`);
  return statement;
};

/** A page of a user's uploads, and how many there are. */
export async function listMediaOfUser(
  reads: Reads,
  userNid: number,
  order: (typeof USER_ORDERS)[number],
  page: Page,
): Promise<{ media: AdminMedia[]; total: number }> {
  const list = found(OF_USER, order, page);
  const [rows, counted] = await Promise.all([reads.read(list, [userNid, page.limit, page.from]), reads.read(COUNT, [userNid])]);
  const media = rows.map((row) => ({ ...row, upload_name: row.upload_name === null ? null : fromText(row.upload_name) }));
  return { media, total: counted[0]?.total ?? 0 };
}

const OWNERS: Statement<{ uploader: string | null; quarantined_by: string | null }> = {
  name: "admin_media_owners",
  text: `SELECT u.user_id AS uploader, q.user_id AS quarantined_by FROM media m
    LEFT JOIN users u ON u.nid = m.user_nid LEFT JOIN users q ON q.nid = m.quarantined_by WHERE m.nid = $1`,
};

/** Who uploaded media, and who took them out of circulation. */
export async function peopleOfMedia(reads: Reads, nid: number): Promise<{ uploader: string | null; quarantined_by: string | null }> {
  return (await reads.read(OWNERS, [nid]))[0] ?? { uploader: null, quarantined_by: null };
}

export interface MediaUse {
  readonly user_id: string;
  readonly displayname: string | null;
  readonly media_count: number;
  readonly media_length: number;
}

export interface MediaUseFilter {
  readonly from_ts: number | undefined;
  readonly until_ts: number | undefined;
  readonly search_term: string | undefined;
}

const USES = `FROM media m JOIN users u ON u.nid = m.user_nid
    LEFT JOIN profile_fields n ON n.user_nid = m.user_nid AND n.name = 'displayname'
  WHERE m.digest IS NOT NULL AND m.created_ts >= coalesce($1, 0) AND ($2::bigint IS NULL OR m.created_ts <= $2)
    AND ($3::text IS NULL OR strpos(lower(u.user_id), $3) > 0 OR strpos(n.folded, $3) > 0)`;
const BY_USER = lists<MediaUse>(
  "admin_media_by_user",
  STATISTICS_ORDERS,
  (order) => `SELECT u.user_id, n.value AS displayname, count(*) AS media_count, coalesce(sum(m.size), 0)::bigint AS media_length ${USES}
    GROUP BY u.user_id, n.value, n.folded ORDER BY ${order}, u.user_id LIMIT $4 OFFSET $5`,
);
const COUNT_USERS: Statement<{ total: number }> = {
  name: "admin_media_count_users",
  text: `SELECT count(DISTINCT u.user_id) AS total ${USES}`,
};

/** How much media users have uploaded: a page of them, and how many they are. */
export async function mediaUses(
  reads: Reads,
  { from_ts, until_ts, search_term }: MediaUseFilter,
  order: (typeof STATISTICS_ORDERS)[number],
  page: Page,
): Promise<{ users: MediaUse[]; total: number }> {
  const values = [from_ts ?? null, until_ts ?? null, search_term === undefined ? null : toText(search_term.toLowerCase())];
  const list = found(BY_USER, order, page);
  const [rows, counted] = await Promise.all([reads.read(list, [...values, page.limit, page.from]), reads.read(COUNT_USERS, values)]);
  const users = rows.map((row) => {
    const name: unknown = row.displayname === null ? null : JSON.parse(row.displayname);
    return { ...row, user_id: fromText(row.user_id), displayname: typeof name === "string" ? name : null };
  });
  return { users, total: counted[0]?.total ?? 0 };
}
