// What the functions of media work with.
import type { Clock } from "../clock.js";
import type { Config, LocalServers } from "../config.js";
import type { Outgoing } from "../federation/outgoing.js";
import type { ServerName } from "../protocol/identifiers.js";
import type { Bus } from "../storage/bus.js";
import type { Database } from "../storage/database.js";
import type { MediaRow, ThumbnailRow } from "../storage/media.js";
import type { SingleFlight } from "./single-flight.js";
import type { MediaStore } from "./store.js";
import type { Thumbnailer } from "./thumbnailer.js";

/** Media as another server gives them. */
export interface RemoteMedia {
  readonly content: AsyncIterable<Uint8Array>;
  readonly content_type: string | undefined;
  readonly file_name: string | undefined;
}

/** Asks another server for media. Throws the Matrix error that the client is to see. */
export type FetchRemote = (
  serverName: ServerName,
  mediaId: string,
  options: { readonly timeoutMs: number; readonly maxBytes: number },
) => Promise<RemoteMedia>;

export interface MediaParts {
  readonly store: MediaStore;
  /** Where content is put together before it goes into the store. */
  readonly spoolFolder: string;
  readonly thumbnailer: Thumbnailer;
  /** Work that goes on, by what it will give. */
  readonly making: {
    readonly thumbnails: SingleFlight<ThumbnailRow>;
    readonly copies: SingleFlight<MediaRow>;
    readonly previews: SingleFlight<string>;
  };
  /** Absent where no other server can be asked. */
  readonly fetchRemote: FetchRemote | undefined;
}

export interface MediaContext {
  readonly config: Config;
  readonly clock: Clock;
  readonly database: Database;
  readonly servers: LocalServers;
  readonly bus: Pick<Bus, "publish" | "subscribe">;
  readonly outgoing: Outgoing;
  readonly media: MediaParts;
}
