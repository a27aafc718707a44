// What media need done now and then, by whichever process comes to it: each step does a part, and what is left over waits.
import { logger } from "../log.js";
import { deleteExpiredMedia, deleteUnusedMedia } from "../storage/media.js";
import { expireUrlPreviews } from "../storage/url-previews.js";
import { collectContents } from "./contents.js";
import type { MediaContext } from "./context.js";
import { sweepSpool } from "./spool.js";

const log = logger("media");

const EVERY_MS = 5 * 60_000;
const DAY_MS = 86_400_000;
/** Steps of one visit, of each kind. */
const ROUNDS = 10;

/** Deletes what has expired or was kept long enough, the content of what was deleted, and what broken uploads left behind. */
export async function keepMedia(context: MediaContext): Promise<void> {
  const { config, clock, database, media } = context;
  const now = clock.now();
  const { local_days, remote_days } = config.media.retention;
  await repeat(async () => (await deleteExpiredMedia(database, now)).length);
  if (local_days !== undefined) await repeat(async () => (await deleteUnusedMedia(database, "upload", now - local_days * DAY_MS)).length);
  if (remote_days !== undefined) await repeat(async () => (await deleteUnusedMedia(database, "remote", now - remote_days * DAY_MS)).length);
  await repeat(() => expireUrlPreviews(database, now));
  await repeat(() => collectContents(context));
  await sweepSpool(media.spoolFolder, now);
}

async function repeat(step: () => Promise<number>): Promise<void> {
  for (let round = 0; round < ROUNDS && (await step()) > 0; round += 1);
}

/** Keeps media until it is disposed. */
export class MediaUpkeep implements AsyncDisposable {
  readonly #timer: NodeJS.Timeout;
  #running: Promise<void> | undefined;

  constructor(context: MediaContext) {
    this.#timer = setInterval(() => {
      this.#running ??= keepMedia(context)
        .catch((error: unknown) => log.warn({ err: error }, "the upkeep of media failed"))
        .finally(() => (this.#running = undefined));
    }, EVERY_MS).unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }
}
