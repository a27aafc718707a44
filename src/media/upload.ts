// Uploads: at once, or into a URI that was reserved before (client-server API, "Content repository").
import { randomBytes } from "node:crypto";
import type { Requester } from "../accounts/requester.js";
import { forbidden, limitExceeded, MatrixError, notFound } from "../errors.js";
import { serverNameOf, type ServerName } from "../protocol/identifiers.js";
import {
  fillMedia,
  findMedia,
  insertMedia,
  lockUserMedia,
  mediaUsage,
  reserveMedia,
  type MediaRow,
  type NewMedia,
} from "../storage/media.js";
import type { Tx } from "../storage/database.js";
import { collectContents, keepContent } from "./contents.js";
import type { MediaContext } from "./context.js";
import { soundContentType, soundFileName } from "./media-headers.js";
import { spool } from "./spool.js";
import { uploadedChannel } from "./whereabouts.js";

/** Content as a client sends it. */
export interface Upload {
  readonly content: AsyncIterable<Uint8Array>;
  readonly content_type: string | undefined;
  readonly file_name: string | undefined;
}

export const newMediaId = (): string => randomBytes(18).toString("base64url");

export const mediaUri = (serverName: ServerName, mediaId: string): string => `mxc://${serverName}/${mediaId}`;

/** Stores content under a new URI, which it gives. Throws M_FORBIDDEN or M_USER_LIMIT_EXCEEDED, and as the content does. */
export async function upload(context: MediaContext, requester: Requester, upload: Upload): Promise<string> {
  const { database, clock } = context;
  const server_name = serverNameOf(requester.user_id);
  const media_id = newMediaId();
  const media: NewMedia = { server_name, media_id, kind: "upload", user_nid: requester.user_nid, expires_ts: undefined, ...named(upload) };
  await database.transaction((tx) => checkQuota(context, tx, requester, 0));
  await using file = await spool(context.media.spoolFolder, upload.content);
  await database.transaction((tx) => checkQuota(context, tx, requester, file.size));
  await keepContent(context, file, async (tx) => {
    await checkQuota(context, tx, requester, file.size);
    await insertMedia(tx, media, file, clock.now());
  });
  return mediaUri(server_name, media_id);
}

/** Reserves a URI for a later upload. Throws M_LIMIT_EXCEEDED if the user has reserved too many and used none of them. */
export async function reserve(context: MediaContext, requester: Requester): Promise<{ content_uri: string; unused_expires_at: number }> {
  const { config, clock, database } = context;
  const server_name = serverNameOf(requester.user_id);
  const now = clock.now();
  const { unused_seconds, max_pending_uploads } = config.media;
  const expires_ts = now + unused_seconds * 1000;
  const media = { server_name, media_id: newMediaId(), user_nid: requester.user_nid, expires_ts };
  const reserved = await database.transaction(async (tx) => {
    await checkQuota(context, tx, requester, 0);
    await lockUserMedia(tx, requester.user_nid);
    return await reserveMedia(tx, media, now, max_pending_uploads);
  });
  if (!reserved) throw limitExceeded(60_000);
  return { content_uri: mediaUri(server_name, media.media_id), unused_expires_at: expires_ts };
}

/**
 * Stores content under a URI that the same user has reserved. Throws M_NOT_FOUND, M_FORBIDDEN, M_CANNOT_OVERWRITE_MEDIA,
 * and as `upload` does.
 */
export async function uploadReserved(
  context: MediaContext,
  requester: Requester,
  { serverName, mediaId }: { serverName: string; mediaId: string },
  upload: Upload,
): Promise<void> {
  const { database, clock, bus } = context;
  const row = reservation(await findMedia(database, serverName, mediaId), requester, clock.now());
  await database.transaction((tx) => checkQuota(context, tx, requester, 0));
  await using file = await spool(context.media.spoolFolder, upload.content);
  reservation(await findMedia(database, serverName, mediaId), requester, clock.now());
  await database.transaction((tx) => checkQuota(context, tx, requester, file.size));
  const filled = await keepContent(context, file, async (tx) => {
    await checkQuota(context, tx, requester, file.size);
    return await fillMedia(tx, row.nid, named(upload), file, clock.now());
  });
  // Another upload was first, or took so long that the URI expired.
  if (!filled) {
    await collectContents(context);
    reservation(await findMedia(database, serverName, mediaId), requester, clock.now());
  }
  bus.publish(uploadedChannel(serverName, mediaId), "");
}

function reservation(row: MediaRow | undefined, requester: Requester, now: number): MediaRow {
  if (row === undefined || (row.expires_ts !== null && row.expires_ts <= now)) {
    throw notFound("This URI was not created here, or has expired. Create another one.");
  }
  if (row.user_nid !== requester.user_nid) throw forbidden("Somebody else has created this URI.");
  if (row.digest !== null) throw new MatrixError(409, "M_CANNOT_OVERWRITE_MEDIA", "This URI has its content already. Create another one.");
  return row;
}

const named = ({ content_type, file_name }: Upload): Pick<NewMedia, "content_type" | "file_name"> => ({
  content_type: soundContentType(content_type),
  file_name: soundFileName(file_name),
});

/** Throws if the user may not add so many bytes. The transaction decides alone until it ends. */
async function checkQuota({ config, clock }: MediaContext, tx: Tx, { user_nid }: Requester, bytes: number): Promise<void> {
  const { total_bytes, period_bytes, period_seconds, info_uri } = config.media.quota;
  if (total_bytes === undefined && period_bytes === undefined) return;
  await lockUserMedia(tx, user_nid);
  const used = await mediaUsage(tx, user_nid, clock.now() - period_seconds * 1000);
  // Without bytes it asks whether there is room for any.
  const isOver = (usage: number, most = Number.POSITIVE_INFINITY): boolean => usage + Math.max(bytes, 1) > most;
  const isFull = isOver(used.total, total_bytes);
  if (!isFull && !isOver(used.period, period_bytes)) return;
  const message = isFull
    ? "There is no room left for your uploads. Ask an administrator to delete some or to raise the limit."
    : "You have uploaded as much as you may for now. Try again later.";
  throw info_uri === undefined
    ? forbidden(message)
    : new MatrixError(403, "M_USER_LIMIT_EXCEEDED", message, { extra: { info_uri } });
}
