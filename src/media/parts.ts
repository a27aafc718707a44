// Puts together what media are handled with.
import { join } from "node:path";
import type { Config } from "../config.js";
import { requireFolder } from "../storage/folder.js";
import type { FetchRemote, MediaParts } from "./context.js";
import { diskStore } from "./disk-store.js";
import { SingleFlight } from "./single-flight.js";
import { Thumbnailer } from "./thumbnailer.js";

/** The parts that a configuration asks for. Whoever opens them disposes of the store. Throws ConfigError for a folder that cannot be used. */
export async function openMedia(config: Config, fetchRemote: FetchRemote | undefined): Promise<MediaParts> {
  const { folder = join(config.data_folder, "media"), s3, max_image_pixels } = config.media;
  const spoolFolder = join(folder, "incoming");
  requireFolder(spoolFolder, config.media.folder === undefined ? "data_folder" : "media.folder");
  return {
    // The client of S3 is large; few need it.
    store: s3 === undefined ? diskStore(folder) : (await import("./s3-store.js")).s3Store(s3),
    spoolFolder,
    thumbnailer: new Thumbnailer(max_image_pixels),
    making: { thumbnails: new SingleFlight(), copies: new SingleFlight(), previews: new SingleFlight() },
    fetchRemote,
  };
}
