// Makes small images of large ones. The work runs in threads of libuv; a few at a time, since each holds a whole image.
import sharp, { type Sharp } from "sharp";
import { limitExceeded } from "../errors.js";
import type { ThumbnailKey } from "../storage/media.js";

const AT_ONCE = 2;
const MAX_WAITING = 256;
const MAX_SECONDS = 20;

// Whatever a file claims to be, only these are read. Decoders of other formats have had too many faults.
sharp.block({ operation: ["VipsForeignLoad"] });
sharp.unblock({
  operation: [
    "VipsForeignLoadJpegBuffer",
    "VipsForeignLoadPngBuffer",
    "VipsForeignLoadNsgifBuffer",
    "VipsForeignLoadWebpBuffer",
  ],
});
sharp.cache(false);
sharp.concurrency(1);

const TYPES = { jpeg: "image/jpeg", png: "image/png", gif: "image/gif", webp: "image/webp" } as const;

export interface ImageFacts {
  readonly content_type: string;
  /** As it is shown: photographs that were taken upright are turned. */
  readonly width: number;
  readonly height: number;
  /** More than one if it is animated. */
  readonly frames: number;
}

export interface Image {
  readonly bytes: Buffer;
  readonly content_type: string;
}

/** The bytes are no image that this server reads, or a broken one. */
export class UnreadableImageError extends Error {
  override name = "UnreadableImageError";
}

/** The image has more pixels than are allowed. */
export class ImageTooLargeError extends Error {
  override name = "ImageTooLargeError";
}

export class Thumbnailer {
  readonly #maxPixels: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(maxPixels: number) {
    this.#maxPixels = maxPixels;
  }

  /** Runs work that holds an image in memory as soon as there is room. Throws M_LIMIT_EXCEEDED if too many wait. */
  async inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#running >= AT_ONCE) {
      if (this.#waiting.length >= MAX_WAITING) throw limitExceeded(5_000);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // Whoever waits takes this one's place.
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  /** What an image is, as its first bytes tell. Throws UnreadableImageError, ImageTooLargeError. */
  async inspect(source: Buffer): Promise<ImageFacts> {
    const facts = await readable(() => sharp(source, { limitInputPixels: false }).metadata());
    const content_type = Object.entries(TYPES).find(([format]) => format === facts.format)?.[1];
    if (content_type === undefined) throw new UnreadableImageError("no image of a known format");
    const { width, height } = facts.autoOrient;
    if (width * height > this.#maxPixels) throw new ImageTooLargeError("too many pixels");
    return { content_type, width, height, frames: facts.pages ?? 1 };
  }

  /** A thumbnail that is nowhere larger than the image. Throws UnreadableImageError. */
  async make(source: Buffer, facts: ImageFacts, { width, height, method, animated }: ThumbnailKey): Promise<Image> {
    const moves = animated && this.canMove(facts);
    const options = { limitInputPixels: this.#maxPixels, animated: moves };
    const image = sharp(source, options).timeout({ seconds: MAX_SECONDS }).autoOrient();
    if (method === "scale") image.resize({ width, height, fit: "inside", withoutEnlargement: true });
    else image.resize({ ...cropBox(facts, { width, height }), fit: "cover" });
    return moves ? await finish(image.webp({ effort: 2 }), TYPES.webp) : await this.#still(source, image);
  }

  /** Whether an image is animated, with few enough pixels in all its frames. */
  canMove({ width, height, frames }: ImageFacts): boolean {
    return frames > 1 && width * height * frames <= this.#maxPixels;
  }

  async #still(source: Buffer, image: Sharp): Promise<Image> {
    const { hasAlpha, format } = await readable(() => sharp(source).metadata());
    // Drawings are PNG, whose sharp edges JPEG would smear.
    return hasAlpha || format === "png" ? await finish(image.png(), TYPES.png) : await finish(image.jpeg({ quality: 80 }), TYPES.jpeg);
  }
}

interface Box {
  readonly width: number;
  readonly height: number;
}

/** The largest box of the wanted one's shape that the image covers without being enlarged. */
function cropBox(image: Box, wanted: Box): Box {
  const factor = Math.min(1, image.width / wanted.width, image.height / wanted.height);
  const shrunk = (length: number): number => Math.max(1, Math.floor(length * factor));
  return { width: shrunk(wanted.width), height: shrunk(wanted.height) };
}

async function finish(image: Sharp, content_type: string): Promise<Image> {
  return { bytes: await readable(() => image.toBuffer()), content_type };
}

async function readable<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    throw new UnreadableImageError("the image cannot be read", { cause });
  }
}
