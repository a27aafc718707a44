// Thumbnails: which size a request gets, and how it comes to be, once for each content.
import type { Config } from "../config.js";
import { MatrixError, notFound, unknownError } from "../errors.js";
import { findThumbnail, insertThumbnail, isContentGone, type ThumbnailKey, type ThumbnailRow } from "../storage/media.js";
import { keepContent } from "./contents.js";
import type { MediaContext } from "./context.js";
import { spool } from "./spool.js";
import { ImageTooLargeError, UnreadableImageError } from "./thumbnailer.js";
import type { AvailableMedia } from "./whereabouts.js";

/** Larger files are not read for a thumbnail. */
const MAX_SOURCE_BYTES = 64 * 1024 * 1024;
const MAX_LENGTH = 4096;

/**
 * The size that a request gets: the smallest configured one of its method that is nowhere smaller, else the next powers of
 * two. So the number of different sizes has a bound.
 */
function thumbnailSize(sizes: Config["media"]["thumbnail_sizes"], wanted: ThumbnailKey): ThumbnailKey {
  const [best] = sizes
    .filter(({ width, height, method }) => method === wanted.method && width >= wanted.width && height >= wanted.height)
    .sort((a, b) => a.width * a.height - b.width * b.height);
  if (best !== undefined) return { ...best, animated: wanted.animated };
  const above = (length: number): number => Math.min(MAX_LENGTH, 2 ** Math.ceil(Math.log2(length)));
  return { ...wanted, width: above(wanted.width), height: above(wanted.height) };
}

/**
 * A thumbnail of some content, at least as large as is wanted or as the image is. Throws M_UNKNOWN for what is no image,
 * M_TOO_LARGE.
 */
export async function thumbnail(context: MediaContext, source: AvailableMedia, wanted: ThumbnailKey): Promise<ThumbnailRow> {
  const key = thumbnailSize(context.config.media.thumbnail_sizes, wanted);
  const { digest } = source;
  const known = await findThumbnail(context.database, digest, key);
  if (known !== undefined) return known;
  const { making } = context.media;
  const name = [digest, key.width, key.height, key.method, key.animated].join(" ");
  return await making.thumbnails.run(name, () => make(context, source, key)).catch((cause: unknown) => {
    if (cause instanceof UnreadableImageError) throw unknownError(400, "This server makes no thumbnails of such content.");
    if (cause instanceof ImageTooLargeError) throw tooLarge(source);
    if (isContentGone(cause)) throw notFound("These media have just been deleted.");
    throw cause;
  });
}

function tooLarge({ isRemote }: AvailableMedia): MatrixError {
  return new MatrixError(isRemote ? 502 : 413, "M_TOO_LARGE", "The image is too large for thumbnails.");
}

async function make(context: MediaContext, source: AvailableMedia, key: ThumbnailKey): Promise<ThumbnailRow> {
  if (source.size > MAX_SOURCE_BYTES) throw tooLarge(source);
  const { database, media } = context;
  const made = await media.thumbnailer.inTurn(async () => {
    const bytes = await contentOf(context, source);
    const facts = await media.thumbnailer.inspect(bytes);
    // What is not larger than wanted is given as it is, unless it moves and must not.
    const isSmall = facts.width <= key.width && facts.height <= key.height;
    if (isSmall && (facts.frames === 1 || (key.animated && media.thumbnailer.canMove(facts)))) return facts;
    return await media.thumbnailer.make(bytes, facts, key);
  });
  if (!("bytes" in made)) {
    const row = { digest: source.digest, size: source.size, content_type: made.content_type };
    await database.transaction((tx) => insertThumbnail(tx, source.digest, key, row));
    return row;
  }
  await using file = await spool(media.spoolFolder, [made.bytes]);
  const row = { digest: file.digest, size: file.size, content_type: made.content_type };
  await keepContent(context, file, (tx) => insertThumbnail(tx, source.digest, key, row));
  return row;
}

async function contentOf({ media }: MediaContext, { digest, size }: AvailableMedia): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of await media.store.open(digest)) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  if (bytes.length !== size) throw new Error("stored content has another size than it had");
  return bytes;
}
