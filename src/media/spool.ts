// Content on its way into the store: a temporary file, whose bytes are counted and hashed while they come.
import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { StoredContent } from "../storage/media.js";

/** What is older was left behind by a process that has ended. */
const LEFT_BEHIND_MS = 86_400_000;

/** A temporary file, which goes when it is disposed. */
export interface SpooledFile extends StoredContent, AsyncDisposable {
  readonly path: string;
}

/** Writes content into a temporary file of the folder. Fails as the content does, and leaves no file then. */
export async function spool(folder: string, content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<SpooledFile> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, randomUUID());
  const remove = (): Promise<void> => rm(path, { force: true });
  const hash = createHash("sha256");
  let size = 0;
  try {
    await using file = await open(path, "wx", 0o600);
    for await (const chunk of content) {
      hash.update(chunk);
      size += chunk.length;
      await file.writeFile(chunk);
    }
    await file.sync();
  } catch (error) {
    await remove();
    throw error;
  }
  return { path, size, digest: hash.digest("hex"), [Symbol.asyncDispose]: remove };
}

/** Removes the temporary files that nobody will come back for. */
export async function sweepSpool(folder: string, now: number): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && found.mtimeMs < now - LEFT_BEHIND_MS) await rm(path, { force: true });
  }
}
