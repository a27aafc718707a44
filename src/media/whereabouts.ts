// What a URI stands for: content of ours, content that is yet to be uploaded, or another server's, which is fetched.
import { setTimeout as sleep } from "node:timers/promises";
import { invalidParam, MatrixError, notFound } from "../errors.js";
import { parseServerName } from "../protocol/identifiers.js";
import { findMedia, insertMedia, noteMediaAccess, type MediaRow, type StoredContent } from "../storage/media.js";
import { keepContent } from "./contents.js";
import type { FetchRemote, MediaContext } from "./context.js";
import { soundContentType, soundFileName } from "./media-headers.js";
import { spool } from "./spool.js";

/** How often a reader looks whether what it waits for is there, if no process says so. */
const LOOK_EVERY_MS = 1_000;
const MAX_WAIT_MS = 60_000;

export interface Sought {
  readonly serverName: string;
  readonly mediaId: string;
  /** How long to wait for content that is yet to come. */
  readonly timeoutMs: number;
  /** Whether another server may be asked. */
  readonly allowRemote: boolean;
  readonly signal: AbortSignal;
}

/** Content that can be served. */
export interface AvailableMedia extends StoredContent {
  readonly content_type: string;
  readonly file_name: string | undefined;
  readonly isRemote: boolean;
}

/** Where it is said that a reserved URI has got its content. */
export const uploadedChannel = (serverName: string, mediaId: string): string => `media:${serverName}/${mediaId}`;

const notThere = (): MatrixError => notFound("There are no media under this URI.");

/** The content of a URI. Throws M_NOT_FOUND, M_NOT_YET_UPLOADED, or what the other server's answer comes to. */
export async function findContent(context: MediaContext, sought: Sought): Promise<AvailableMedia> {
  const { clock, database, servers } = context;
  const isRemote = !servers.isLocal(sought.serverName);
  const row = isRemote ? await remoteRow(context, sought) : await localRow(context, sought);
  if (row.quarantined_by !== null || row.digest === null || row.size === null) throw notThere();
  await noteMediaAccess(database, row, clock.now());
  return {
    digest: row.digest,
    size: row.size,
    content_type: soundContentType(row.content_type ?? undefined),
    file_name: row.file_name ?? undefined,
    isRemote,
  };
}

/** The row of a URI of ours, as soon as it has content. */
async function localRow({ bus, clock, database }: MediaContext, sought: Sought): Promise<MediaRow> {
  const { serverName, mediaId, signal } = sought;
  const deadline = clock.monotonic() + Math.min(sought.timeoutMs, MAX_WAIT_MS);
  let wake = (): void => undefined;
  const unsubscribe = bus.subscribe(uploadedChannel(serverName, mediaId), () => wake());
  try {
    for (;;) {
      const hint = new Promise<void>((resolve) => (wake = resolve));
      const row = await findMedia(database, serverName, mediaId);
      if (row === undefined || (row.expires_ts !== null && row.expires_ts <= clock.now())) throw notThere();
      if (row.digest !== null) return row;
      const left = deadline - clock.monotonic();
      if (left <= 0 || signal.aborted) {
        throw new MatrixError(504, "M_NOT_YET_UPLOADED", "The content of this URI is yet to be uploaded. Try again later.");
      }
      const look = sleep(Math.min(left, LOOK_EVERY_MS), undefined, { signal, ref: false }).catch(() => undefined);
      await Promise.race([hint, look]);
    }
  } finally {
    unsubscribe();
  }
}

/** The row of our copy of another server's media, which is fetched if there is none. */
async function remoteRow(context: MediaContext, sought: Sought): Promise<MediaRow> {
  const { serverName, mediaId, allowRemote } = sought;
  const { fetchRemote, making } = context.media;
  const known = await findMedia(context.database, serverName, mediaId);
  if (known !== undefined) return known;
  if (!allowRemote || fetchRemote === undefined) throw notThere();
  return await making.copies.run(`${serverName}/${mediaId}`, () => fetchCopy(context, sought, fetchRemote));
}

async function fetchCopy(context: MediaContext, { serverName, mediaId, timeoutMs }: Sought, fetchRemote: FetchRemote): Promise<MediaRow> {
  const { config, clock, database } = context;
  const server_name = parseServerName(serverName);
  if (server_name === undefined) throw invalidParam("This is no server name.");
  const maxBytes = config.media.max_upload_bytes;
  const remote = await fetchRemote(server_name, mediaId, { timeoutMs: Math.min(timeoutMs, MAX_WAIT_MS), maxBytes });
  await using file = await spool(context.media.spoolFolder, remote.content);
  if (file.size > maxBytes) throw new MatrixError(502, "M_TOO_LARGE", "The other server's media are too large for this one.");
  const media = {
    server_name,
    media_id: mediaId,
    kind: "remote",
    user_nid: undefined,
    content_type: soundContentType(remote.content_type),
    file_name: soundFileName(remote.file_name),
    expires_ts: undefined,
  } as const;
  await keepContent(context, file, (tx) => insertMedia(tx, media, file, clock.now()));
  // Another process may have been first; then its copy counts.
  const row = await findMedia(database, serverName, mediaId);
  if (row === undefined) throw notThere();
  return row;
}
