// What administrators do with media: look at those of a user or a room, take them out of circulation, delete them for good.
import { notFound } from "../errors.js";
import type { ServerName } from "../protocol/identifiers.js";
import {
  deleteMedia as deleteRow,
  deleteMediaOfUser,
  deleteOldMedia,
  deleteUnusedMedia,
  mediaInRoom,
  mediaOfUser,
  protectMedia,
  quarantineMedia,
  releaseMedia,
  type MediaName,
} from "../storage/media.js";
import { collectContents } from "./contents.js";
import type { MediaContext } from "./context.js";

const PAGE = 500;

/** All media that the events of a room speak of in the clear, each once. */
export async function mediaOfRoom({ database }: MediaContext, roomNid: number): Promise<MediaName[]> {
  const found = new Map<string, MediaName>();
  let after = 0;
  for (;;) {
    const { media, last } = await mediaInRoom(database, roomNid, after, PAGE);
    for (const name of media) found.set(`${name.server_name}/${name.media_id}`, name);
    if (last === undefined) return [...found.values()];
    after = last;
  }
}

/**
 * Takes media out of circulation, together with all others of the same content, also later ones; protected ones stay.
 * Gives those that it took.
 */
export async function quarantine({ database }: MediaContext, media: readonly MediaName[], by: number): Promise<MediaName[]> {
  return await quarantineMedia(database, media, by);
}

/** Takes all of a user's uploads out of circulation, and gives them. */
export async function quarantineMediaOfUser({ database }: MediaContext, userNid: number, by: number): Promise<MediaName[]> {
  const taken: MediaName[] = [];
  for (let after = 0; ; ) {
    const page = await mediaOfUser(database, userNid, after, PAGE);
    const last = page.at(-1);
    if (last === undefined) return taken;
    taken.push(...(await quarantineMedia(database, page, by)));
    after = last.nid;
  }
}

/** Puts media back into circulation, with all others of the same content; gives how many. */
export async function unquarantine({ database }: MediaContext, serverName: string, mediaId: string): Promise<number> {
  return await releaseMedia(database, serverName, mediaId);
}

/** Keeps media from being quarantined with others and from being deleted for their age, or ends that. Throws M_NOT_FOUND. */
export async function protect({ database }: MediaContext, serverName: string, mediaId: string, protect: boolean): Promise<void> {
  if (!(await protectMedia(database, serverName, mediaId, protect))) throw notFound("There are no such media.");
}

/** Deletes media, and their content if nothing else has the same. Throws M_NOT_FOUND. */
export async function deleteMedia(context: MediaContext, serverName: string, mediaId: string): Promise<void> {
  if (!(await deleteRow(context.database, serverName, mediaId))) throw notFound("There are no such media.");
  await collectContents(context);
}

/** Deletes all of a user's uploads, and gives them. */
export async function deleteAllOfUser(context: MediaContext, userNid: number): Promise<MediaName[]> {
  return await deleteAll(context, () => deleteMediaOfUser(context.database, userNid));
}

/** Deletes a server's uploads that nobody has asked for since a time and that are larger than so many bytes. */
export async function deleteByDate(
  context: MediaContext,
  serverName: ServerName,
  { before, largerThan }: { readonly before: number; readonly largerThan: number },
): Promise<MediaName[]> {
  return await deleteAll(context, () => deleteOldMedia(context.database, serverName, before, largerThan));
}

/** Deletes copies of other servers' media that nobody has asked for since a time: they are fetched again when needed. */
export async function purgeRemoteMedia(context: MediaContext, before: number): Promise<MediaName[]> {
  return await deleteAll(context, () => deleteUnusedMedia(context.database, "remote", before));
}

async function deleteAll(context: MediaContext, step: () => Promise<MediaName[]>): Promise<MediaName[]> {
  const deleted: MediaName[] = [];
  for (let page = await step(); page.length > 0; page = await step()) {
    deleted.push(...page);
    await collectContents(context);
  }
  return deleted;
}
