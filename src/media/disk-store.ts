// Media in a folder of a file system: two levels of folders by the first digits of the digest.
import { link, mkdir, open, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { MediaStore } from "./store.js";

/** A store in a folder, on the file system of the spooled files. */
export function diskStore(folder: string): MediaStore {
  const pathOf = (digest: string): string => join(folder, digest.slice(0, 2), digest.slice(2, 4), digest);
  return {
    async put({ path, digest }) {
      const target = pathOf(digest);
      const parent = dirname(target);
      const made = await mkdir(parent, { recursive: true, mode: 0o700 });
      // The file is whole and on the disk; a link makes it appear as such or not at all.
      await link(path, target).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") throw error;
      });
      await syncFolder(parent);
      if (made !== undefined) for (const above of [dirname(parent), folder]) await syncFolder(above);
    },
    async open(digest, range) {
      const file = await open(pathOf(digest));
      return file.createReadStream(range);
    },
    remove: (digest) => rm(pathOf(digest), { force: true }),
    [Symbol.dispose]: () => undefined,
  };
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path);
  await folder.sync();
}
