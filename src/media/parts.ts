// Puts together what media are handled with.
import { join } from "node:path";
import type { Config } from "../config.js";
import type { FetchRemote, MediaParts } from "./context.js";
import { diskStore } from "./disk-store.js";
import { SingleFlight } from "./single-flight.js";
import { Thumbnailer } from "./thumbnailer.js";

/** The parts that a configuration asks for. Whoever opens them disposes of the store. */
export async function openMedia(config: Config, fetchRemote: FetchRemote | undefined): Promise<MediaParts> {
  const { folder = join(config.data_folder, "media"), s3, max_image_pixels } = config.media;
  return {
    // The client of S3 is large; few need it.
    store: s3 === undefined ? diskStore(folder) : (await import("./s3-store.js")).s3Store(s3),
    spoolFolder: join(folder, "incoming"),
    thumbnailer: new Thumbnailer(max_image_pixels),
    making: { thumbnails: new SingleFlight(), copies: new SingleFlight(), previews: new SingleFlight() },
    fetchRemote,
  };
}
