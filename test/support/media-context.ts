// Media as one process has them, with nothing uploaded yet, a folder of their own and a clock that the test sets.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Requester } from "../../src/accounts/requester.js";
import { checkConfig, localServers } from "../../src/config.js";
import { Outgoing } from "../../src/federation/outgoing.js";
import type { FetchRemote, MediaContext } from "../../src/media/context.js";
import { openMedia } from "../../src/media/parts.js";
import { upload } from "../../src/media/upload.js";
import { findContent, type AvailableMedia } from "../../src/media/whereabouts.js";
import { MemoryBus } from "../../src/storage/bus.js";
import { Database, type DatabaseAddress } from "../../src/storage/database.js";
import { Interning } from "../../src/storage/interning.js";
import { filesIn } from "./media.js";
import { freshDatabase } from "./postgres.js";
import { user } from "./rooms.js";

export interface TestMedia extends AsyncDisposable {
  readonly context: MediaContext;
  readonly folder: string;
  /** What the clock shows; a test may set it. */
  readonly time: { now: number };
  requester(name: string): Promise<Requester>;
  /** Uploads content and gives the id of the media. */
  upload(requester: Requester, content: string): Promise<string>;
  /** What is found under a URI; rejected as a reader would be. */
  find(mediaId: string, serverName?: string): Promise<AvailableMedia>;
  /** The content of a URI as text. */
  read(mediaId: string, serverName?: string): Promise<string>;
  /** Digests of what is in the folder. */
  stored(): string[];
}

let shared: Promise<DatabaseAddress> | undefined;

/** Starts with no media. Tests share a database: a new one takes most of a second. */
export async function startMedia(settings: Record<string, unknown> = {}, fetchRemote?: FetchRemote): Promise<TestMedia> {
  const folder = await mkdtemp(join(tmpdir(), "hansa-media-"));
  const config = checkConfig({ servers: [{ name: "example.org" }], media: { folder, ...settings } });
  const database = await Database.open({ address: await (shared ??= freshDatabase()), poolSize: 4 });
  for (const table of ["media_thumbnails", "media", "media_contents"]) await database.write({ name: "", text: `DELETE FROM ${table}` }, []);
  const time = { now: 1_800_000_000_000 };
  const clock = { now: () => time.now, monotonic: () => performance.now() };
  const media = await openMedia(config, fetchRemote);
  const outgoing = new Outgoing(config.outgoing);
  const context: MediaContext = { config, clock, database, servers: localServers(config), bus: new MemoryBus(), outgoing, media };
  const interning = new Interning(database);
  const find: TestMedia["find"] = (mediaId, serverName = "example.org") =>
    findContent(context, { serverName, mediaId, timeoutMs: 0, allowRemote: true, signal: new AbortController().signal });
  return {
    context,
    folder,
    time,
    find,
    async requester(name) {
      const user_id = user(name);
      const user_nid = (await interning.users([user_id])).get(user_id) ?? 0;
      return { user_id, user_nid, device_id: undefined, is_admin: false, is_guest: false };
    },
    async upload(requester, content) {
      const uri = await upload(context, requester, { content: textOf(content), content_type: "text/plain", file_name: undefined });
      return uri.split("/").at(-1) ?? "";
    },
    async read(mediaId, serverName) {
      let text = "";
      for await (const chunk of await media.store.open((await find(mediaId, serverName)).digest)) text += String(chunk);
      return text;
    },
    stored: () => filesIn(folder).map((path) => path.split("/").at(-1) ?? ""),
    async [Symbol.asyncDispose]() {
      media.store[Symbol.dispose]();
      await outgoing[Symbol.asyncDispose]();
      await database.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function* textOf(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content);
}

/** The errcode with which something is refused. */
export async function errcodeOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return "none";
  } catch (error) {
    if (error instanceof Error && "errcode" in error) return error.errcode;
    throw error;
  }
}
