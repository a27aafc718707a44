// Content and what refers to it: bytes come into the store before a row refers to them, and go after the last one has gone.
import type { Tx } from "../storage/database.js";
import { abandonContent, announceContent, collectContent, contentsToCheck, isContentGone } from "../storage/media.js";
import type { MediaContext } from "./context.js";
import type { SpooledFile } from "./spool.js";

type ContentContext = Pick<MediaContext, "clock" | "database" | "media">;

const ATTEMPTS = 3;

/** Stores a file's content, then lets `refer` write the row that refers to it. Gives what `refer` gives. */
export async function keepContent<Result>(
  { clock, database, media }: ContentContext,
  file: SpooledFile,
  refer: (tx: Tx) => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    await announceContent(database, file, clock.now());
    await media.store.put(file);
    try {
      return await database.transaction(refer);
    } catch (error) {
      // The last other row of the same content went in between, and took it along.
      if (isContentGone(error) && attempt < ATTEMPTS) continue;
      // If this fails as well, the upkeep comes to it later.
      await abandonContent(database, file.digest).catch(() => undefined);
      throw error;
    }
  }
}

/** Deletes content that nothing refers to any longer; a part of what is due, more at the next call. Gives how many it looked at. */
export async function collectContents({ clock, database, media }: ContentContext): Promise<number> {
  const now = clock.now();
  const due = await contentsToCheck(database, now);
  for (const digest of due) {
    await database.transaction((tx) => collectContent(tx, digest, now, () => media.store.remove(digest)));
  }
  return due.length;
}
