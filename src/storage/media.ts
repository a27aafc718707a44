// Media: which content a URI stands for, and which content may go because nothing stands for it any longer.
import type { ServerName } from "../protocol/identifiers.js";
import { sqlState, type Database, type Tx } from "./database.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** What a row of media is. The numbers are stored: they are never given another meaning. */
const MEDIA_KINDS = { upload: 1, remote: 2, preview: 3 } as const;
export type MediaKind = keyof typeof MEDIA_KINDS;

/** How long content that was announced may take until something refers to it. */
const CLAIM_MS = 3_600_000;
/** Rows of one statement of the upkeep. */
const STEP = 500;
/** Accesses are noted to the hour. */
const ACCESS_MS = 3_600_000;

/** Content in the store: the SHA-256 of its bytes, in hexadecimal digits, and how many they are. */
export interface StoredContent {
  readonly digest: string;
  readonly size: number;
}

export interface MediaRow {
  readonly nid: number;
  readonly server_name: ServerName;
  readonly media_id: string;
  readonly kind: number;
  readonly user_nid: number | null;
  /** NULL until it is uploaded. */
  readonly digest: string | null;
  readonly size: number | null;
  readonly content_type: string | null;
  readonly file_name: string | null;
  readonly created_ts: number;
  readonly last_access_ts: number;
  readonly expires_ts: number | null;
  readonly quarantined_by: number | null;
  readonly protected: boolean;
}

const COLUMNS = `nid, server_name, media_id, kind, user_nid, encode(digest, 'hex') AS digest, size, content_type, file_name,
  created_ts, last_access_ts, expires_ts, quarantined_by, protected`;

const row = (stored: MediaRow): MediaRow => ({
  ...stored,
  file_name: stored.file_name === null ? null : fromText(stored.file_name),
});

const FIND: Statement<MediaRow> = {
  name: "media_find", // media_server_name_media_id_key
  text: `SELECT ${COLUMNS} FROM media WHERE server_name = $1 AND media_id = $2`,
};

/** The row of a URI, whatever has become of it. */
export async function findMedia(reads: Reads, serverName: string, mediaId: string): Promise<MediaRow | undefined> {
  const [found] = await reads.read(FIND, [serverName, mediaId]);
  return found && row(found);
}

const NOTE_ACCESS: Statement = {
  name: "media_note_access",
  text: "UPDATE media SET last_access_ts = $2 WHERE nid = $1",
};

/** Notes that media were asked for, if that has not been noted within the hour. */
export async function noteMediaAccess(database: Database, { nid, last_access_ts }: MediaRow, now: number): Promise<void> {
  if (last_access_ts < now - ACCESS_MS) await database.execute(NOTE_ACCESS, [nid, now]);
}

const ANNOUNCE: Statement = {
  name: "media_contents_announce",
  text: `INSERT INTO media_contents (digest, size, check_ts) VALUES (decode($1, 'hex'), $2, $3)
    ON CONFLICT (digest) DO UPDATE SET check_ts = greatest(media_contents.check_ts, excluded.check_ts)`,
};
const REFER: Statement = {
  name: "media_contents_refer",
  text: "UPDATE media_contents SET check_ts = NULL WHERE digest = decode($1, 'hex') AND check_ts IS NOT NULL",
};

const RECHECK: Statement = {
  name: "media_contents_recheck",
  text: "UPDATE media_contents SET check_ts = 0 WHERE digest = decode($1, 'hex')",
};

/** Says that what content was announced for did not come about: it goes, unless something else refers to it. */
export async function abandonContent(database: Database, digest: string): Promise<void> {
  await database.write(RECHECK, [digest]);
}

/** Says that content is about to be stored: from then on it is known, and looked after if nothing comes to refer to it. */
export async function announceContent(database: Database, { digest, size }: StoredContent, now: number): Promise<void> {
  await database.write(ANNOUNCE, [digest, size, now + CLAIM_MS]);
}

/** Whether a transaction failed because the content it refers to was deleted meanwhile: it has to be stored again. */
export function isContentGone(error: unknown): boolean {
  return sqlState(error) === "23503";
}

/** Ends what announcing content began: something refers to it now, or somebody has to look whether anything does. */
async function settle(tx: Queryable, digest: string, isReferred: boolean): Promise<boolean> {
  await tx.query(isReferred ? REFER : RECHECK, [digest]);
  return isReferred;
}

export interface NewMedia {
  readonly server_name: ServerName;
  readonly media_id: string;
  readonly kind: MediaKind;
  readonly user_nid: number | undefined;
  readonly content_type: string | undefined;
  readonly file_name: string | undefined;
  readonly expires_ts: number | undefined;
}

const INSERT: Statement<{ nid: number }> = {
  name: "media_insert", // media_digest: what is quarantined stays so under every further name
  text: `INSERT INTO media (server_name, media_id, kind, user_nid, digest, size, content_type, file_name, created_ts,
      last_access_ts, expires_ts, quarantined_by)
    VALUES ($1, $2, $3, $4, decode($5, 'hex'), $6, $7, $8, $9, $9, $10,
      (SELECT quarantined_by FROM media WHERE digest = decode($5, 'hex') AND quarantined_by IS NOT NULL LIMIT 1))
    ON CONFLICT (server_name, media_id) DO NOTHING RETURNING nid`,
};

/** Stores a row for content that is in the store; false if the URI is in use. Fails as `isContentGone` says. */
export async function insertMedia(tx: Queryable, media: NewMedia, content: StoredContent, now: number): Promise<boolean> {
  const { server_name, media_id, kind, user_nid, content_type, file_name, expires_ts } = media;
  const name = file_name === undefined ? null : toText(file_name);
  const values = [server_name, media_id, MEDIA_KINDS[kind], user_nid ?? null, content.digest, content.size, content_type ?? null];
  const inserted = await tx.query(INSERT, [...values, name, now, expires_ts ?? null]);
  return await settle(tx, content.digest, inserted.length > 0);
}

const PENDING: Statement<{ pending: number }> = {
  name: "media_pending", // media_pending
  text: "SELECT count(*) AS pending FROM media WHERE user_nid = $1 AND digest IS NULL AND expires_ts > $2",
};
const RESERVE: Statement = {
  name: "media_reserve",
  text: `INSERT INTO media (server_name, media_id, kind, user_nid, created_ts, last_access_ts, expires_ts)
    VALUES ($1, $2, ${MEDIA_KINDS.upload}, $3, $4, $4, $5)`,
};

/** Reserves a URI for a later upload; false if the user has as many as they may. Call it with the user's lock. */
export async function reserveMedia(
  tx: Queryable,
  media: { server_name: ServerName; media_id: string; user_nid: number; expires_ts: number },
  now: number,
  most: number,
): Promise<boolean> {
  const [found] = await tx.query(PENDING, [media.user_nid, now]);
  if ((found?.pending ?? 0) >= most) return false;
  await tx.query(RESERVE, [media.server_name, media.media_id, media.user_nid, now, media.expires_ts]);
  return true;
}

const FILL: Statement<{ nid: number }> = {
  name: "media_fill",
  text: `UPDATE media SET digest = decode($2, 'hex'), size = $3, content_type = $4, file_name = $5, created_ts = $6,
      last_access_ts = $6, expires_ts = NULL,
      quarantined_by = (SELECT quarantined_by FROM media WHERE digest = decode($2, 'hex') AND quarantined_by IS NOT NULL LIMIT 1)
    WHERE nid = $1 AND digest IS NULL RETURNING nid`,
};

/** Gives a reserved URI its content; false if it has some, or has expired and gone. Fails as `isContentGone` says. */
export async function fillMedia(
  tx: Queryable,
  nid: number,
  { content_type, file_name }: Pick<NewMedia, "content_type" | "file_name">,
  content: StoredContent,
  now: number,
): Promise<boolean> {
  const name = file_name === undefined ? null : toText(file_name);
  const filled = await tx.query(FILL, [nid, content.digest, content.size, content_type ?? null, name, now]);
  return await settle(tx, content.digest, filled.length > 0);
}

const LOCK_USER: Statement = {
  name: "media_lock_user",
  text: "SELECT FROM users WHERE nid = $1 FOR NO KEY UPDATE",
};
const USAGE: Statement<{ total: number; period: number }> = {
  name: "media_usage", // media_user
  text: `SELECT coalesce(sum(size), 0)::bigint AS total, coalesce(sum(size) FILTER (WHERE created_ts > $2), 0)::bigint AS period
    FROM media WHERE user_nid = $1`,
};

/** Lets one transaction at a time decide about what a user may add. */
export async function lockUserMedia(tx: Queryable, userNid: number): Promise<void> {
  await tx.query(LOCK_USER, [userNid]);
}

/** The bytes of a user's media, all and those since a time. */
export async function mediaUsage(tx: Queryable, userNid: number, since: number): Promise<{ total: number; period: number }> {
  return (await tx.query(USAGE, [userNid, since]))[0] ?? { total: 0, period: 0 };
}

/** How a thumbnail was made. */
export interface ThumbnailKey {
  readonly width: number;
  readonly height: number;
  readonly method: "crop" | "scale";
  readonly animated: boolean;
}

export interface ThumbnailRow extends StoredContent {
  readonly content_type: string;
}

const METHODS = { crop: 1, scale: 2 } as const;
const keyValues = (source: string, { width, height, method, animated }: ThumbnailKey): unknown[] => [
  source,
  width,
  height,
  METHODS[method],
  animated,
];

const FIND_THUMBNAIL: Statement<ThumbnailRow> = {
  name: "media_thumbnails_find", // media_thumbnails_pkey
  text: `SELECT encode(digest, 'hex') AS digest, size, content_type FROM media_thumbnails
    WHERE source = decode($1, 'hex') AND width = $2 AND height = $3 AND method = $4 AND animated = $5`,
};
const INSERT_THUMBNAIL: Statement = {
  name: "media_thumbnails_insert",
  text: `INSERT INTO media_thumbnails (source, width, height, method, animated, digest, size, content_type)
    VALUES (decode($1, 'hex'), $2, $3, $4, $5, decode($6, 'hex'), $7, $8) ON CONFLICT DO NOTHING RETURNING width`,
};

/** A thumbnail of some content, if it was made before. */
export async function findThumbnail(reads: Reads, source: string, key: ThumbnailKey): Promise<ThumbnailRow | undefined> {
  return (await reads.read(FIND_THUMBNAIL, keyValues(source, key)))[0];
}

/**
 * Stores a thumbnail whose content is in the store; that of a small image is the image itself.
 * Fails as `isContentGone` says, also for that which it was made of.
 */
export async function insertThumbnail(tx: Queryable, source: string, key: ThumbnailKey, thumbnail: ThumbnailRow): Promise<void> {
  const { digest, size, content_type } = thumbnail;
  const inserted = await tx.query(INSERT_THUMBNAIL, [...keyValues(source, key), digest, size, content_type]);
  // A thumbnail alone does not keep the content that it is made of.
  if (digest !== source) await settle(tx, digest, inserted.length > 0);
}

// What is deleted here only leaves its content to be looked at. `gone` is the condition of the rows that go.
const deletion = (gone: string): string => `
    WITH gone AS (DELETE FROM media WHERE nid = ANY (ARRAY(SELECT nid FROM media WHERE ${gone} LIMIT ${STEP}))
        RETURNING server_name, media_id, digest),
      looked_at AS (UPDATE media_contents c SET check_ts = 0 FROM (SELECT DISTINCT digest FROM gone) g WHERE c.digest = g.digest)
    SELECT server_name, media_id FROM gone`;

export interface MediaName {
  readonly server_name: string;
  readonly media_id: string;
}

const DELETE_ONE: Statement<MediaName> = {
  name: "media_delete_one", // media_server_name_media_id_key
  text: deletion("server_name = $1 AND media_id = $2"),
};
const DELETE_EXPIRED: Statement<MediaName> = {
  name: "media_delete_expired", // media_expires
  text: deletion("expires_ts <= $1"),
};
const DELETE_UNUSED: Statement<MediaName> = {
  name: "media_delete_unused", // media_last_access
  text: deletion("kind = $1 AND last_access_ts < $2 AND digest IS NOT NULL AND NOT protected AND quarantined_by IS NULL"),
};
const DELETE_OLD: Statement<MediaName> = {
  name: "media_delete_old", // media_last_access
  text: deletion(`kind = ${MEDIA_KINDS.upload} AND server_name = $1 AND last_access_ts < $2 AND size > $3
    AND digest IS NOT NULL AND NOT protected AND quarantined_by IS NULL`),
};
const DELETE_OF_USER: Statement<MediaName> = {
  name: "media_delete_of_user", // media_user
  text: deletion("user_nid = $1 AND digest IS NOT NULL"),
};

/** Deletes one; false if there is none. */
export async function deleteMedia(database: Database, serverName: string, mediaId: string): Promise<boolean> {
  return (await database.write(DELETE_ONE, [serverName, mediaId])).length > 0;
}

/** Deletes some of what goes by itself. */
export async function deleteExpiredMedia(database: Database, now: number): Promise<MediaName[]> {
  return await database.write(DELETE_EXPIRED, [now]);
}

/** Deletes some of what nobody has asked for since a time and nobody protects. */
export async function deleteUnusedMedia(database: Database, kind: MediaKind, before: number): Promise<MediaName[]> {
  return await database.write(DELETE_UNUSED, [MEDIA_KINDS[kind], before]);
}

/** Deletes some of a server's uploads that are larger than a size and that nobody has asked for since a time. */
export async function deleteOldMedia(
  database: Database,
  serverName: ServerName,
  before: number,
  largerThan: number,
): Promise<MediaName[]> {
  return await database.write(DELETE_OLD, [serverName, before, largerThan]);
}

/** Deletes some of a user's uploads. */
export async function deleteMediaOfUser(database: Database, userNid: number): Promise<MediaName[]> {
  return await database.write(DELETE_OF_USER, [userNid]);
}

const TO_CHECK: Statement<{ digest: string }> = {
  name: "media_contents_to_check", // media_contents_check
  text: `SELECT encode(digest, 'hex') AS digest FROM media_contents WHERE check_ts <= $1 ORDER BY check_ts LIMIT ${STEP}`,
};
const LOCK_CONTENT: Statement = {
  name: "media_contents_lock",
  text: "SELECT FROM media_contents WHERE digest = decode($1, 'hex') AND check_ts <= $2 FOR UPDATE SKIP LOCKED",
};
const KEEP_REFERRED: Statement = {
  name: "media_contents_keep", // media_digest, media_thumbnails_digest
  text: `UPDATE media_contents c SET check_ts = NULL WHERE digest = decode($1, 'hex')
      AND (EXISTS (SELECT FROM media m WHERE m.digest = c.digest)
        OR EXISTS (SELECT FROM media_thumbnails t WHERE t.digest = c.digest AND t.source <> c.digest))
    RETURNING size`,
};
const FORGET_CONTENT: Statement = {
  name: "media_contents_forget",
  text: `WITH thumbnails AS (SELECT digest FROM media_thumbnails WHERE source = decode($1, 'hex')),
      looked_at AS (UPDATE media_contents c SET check_ts = 0 FROM thumbnails t WHERE c.digest = t.digest AND c.digest <> decode($1, 'hex'))
    DELETE FROM media_contents WHERE digest = decode($1, 'hex')`,
};

/** Content whose references have to be counted now, the oldest first. */
export async function contentsToCheck(reads: Reads, now: number): Promise<string[]> {
  return (await reads.read(TO_CHECK, [now])).map(({ digest }) => digest);
}

/**
 * Takes content away if nothing refers to it: `remove` takes the bytes away, and may be called again for bytes that are not
 * there. Uploads of the same content wait for it.
 */
export async function collectContent(tx: Tx, digest: string, now: number, remove: () => Promise<void>): Promise<void> {
  if ((await tx.query(LOCK_CONTENT, [digest, now])).length === 0) return;
  if ((await tx.query(KEEP_REFERRED, [digest])).length > 0) return;
  await tx.query(FORGET_CONTENT, [digest]);
  await remove();
}

const OF_USER: Statement<MediaRow> = {
  name: "media_of_user", // media_user
  text: `SELECT ${COLUMNS} FROM media WHERE user_nid = $1 AND digest IS NOT NULL AND nid > $2 ORDER BY nid LIMIT $3`,
};
const IN_ROOM: Statement<{ nid: number; uris: string[] }> = {
  name: "media_in_room", // events_depth
  text: `WITH page AS (SELECT nid, tuple_nid, type_nid FROM events WHERE room_nid = $1 AND nid > $2 ORDER BY nid LIMIT $3)
    SELECT p.nid, ARRAY(SELECT DISTINCT found[1] FROM regexp_matches(
        -- The pictures of members are not the room's: they are theirs everywhere.
        CASE WHEN p.type_nid = (SELECT nid FROM event_types WHERE type = 'm.room.member') THEN NULL
          WHEN p.tuple_nid IS NULL THEN (SELECT json FROM message_json m WHERE m.nid = p.nid)
          ELSE (SELECT json FROM state_event_json s WHERE s.nid = p.nid) END,
        'mxc://([^"/\\\\]+/[A-Za-z0-9_-]+)', 'g') AS found) AS uris
    FROM page p ORDER BY p.nid`,
};
const QUARANTINE: Statement<MediaName> = {
  name: "media_quarantine", // media_server_name_media_id_key, media_digest
  text: `UPDATE media SET quarantined_by = $3 WHERE quarantined_by IS NULL AND NOT protected AND (
      (server_name, media_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
      OR digest = ANY (ARRAY(SELECT m.digest FROM media m JOIN unnest($1::text[], $2::text[]) AS n (server_name, media_id)
        USING (server_name, media_id) WHERE m.digest IS NOT NULL AND NOT m.protected)))
    RETURNING server_name, media_id`,
};
const RELEASE: Statement<{ nid: number }> = {
  name: "media_release", // media_server_name_media_id_key, media_digest
  text: `UPDATE media SET quarantined_by = NULL WHERE quarantined_by IS NOT NULL AND (
      (server_name = $1 AND media_id = $2)
      OR digest = (SELECT digest FROM media WHERE server_name = $1 AND media_id = $2))
    RETURNING nid`,
};
const PROTECT: Statement<{ nid: number }> = {
  name: "media_protect", // media_server_name_media_id_key
  text: "UPDATE media SET protected = $3 WHERE server_name = $1 AND media_id = $2 RETURNING nid",
};

/** A page of a user's uploads, in the order they were made, after a row's number. */
export async function mediaOfUser(reads: Reads, userNid: number, after: number, limit: number): Promise<MediaRow[]> {
  return (await reads.read(OF_USER, [userNid, after, limit])).map(row);
}

/** The media that a page of a room's events speaks of, and the number of the last event of the page. */
export async function mediaInRoom(
  reads: Reads,
  roomNid: number,
  after: number,
  limit: number,
): Promise<{ media: MediaName[]; last: number | undefined }> {
  const rows = await reads.read(IN_ROOM, [roomNid, after, limit]);
  const uris = [...new Set(rows.flatMap(({ uris }) => uris))];
  const media = uris.map((uri) => uri.split("/")).map(([server_name = "", media_id = ""]) => ({ server_name, media_id }));
  return { media, last: rows.at(-1)?.nid };
}

/** Takes media out of circulation, with all that have the same content; gives those that were in it. */
export async function quarantineMedia(database: Database, media: readonly MediaName[], by: number): Promise<MediaName[]> {
  const names = [media.map(({ server_name }) => server_name), media.map(({ media_id }) => media_id)];
  return await database.write(QUARANTINE, [...names, by]);
}

/** Puts media back into circulation, with all that have the same content: how many. */
export async function releaseMedia(database: Database, serverName: string, mediaId: string): Promise<number> {
  return (await database.write(RELEASE, [serverName, mediaId])).length;
}

/** Protects media or ends that; false if there are none of the name. */
export async function protectMedia(database: Database, serverName: string, mediaId: string, protect: boolean): Promise<boolean> {
  return (await database.write(PROTECT, [serverName, mediaId, protect])).length > 0;
}
