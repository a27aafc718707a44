// `hansa rebuild state|counts|search`: makes again what is derived from events.
import { rebuildCounts, type RebuildServices } from "../rooms/administration/rebuild-counts.js";
import { rebuildRooms } from "../rooms/administration/rebuild.js";
import { rebuildSearch as rebuildIndex } from "../rooms/views/search-index.js";
import { Interning } from "../storage/interning.js";
import { roomsAfter } from "../storage/rebuild.js";
import { roomsByNid } from "../storage/rooms.js";
import { withDatabase } from "./users.js";

interface Options {
  readonly config?: string;
  readonly json?: boolean;
}

/** Current state and memberships of all rooms, from the snapshots of their state. */
export async function rebuildState(options: Options): Promise<void> {
  const rooms = await withDatabase(options, ({ database, servers }) =>
    rebuildRooms({ database, interning: new Interning(database), isLocal: (server) => servers.isLocal(server) }, (done) => progress(options, done)),
  );
  tell(options, rooms);
}

/** Unread counts of all rooms, from their events, receipts and push rules. */
export async function rebuildUnread(options: Options): Promise<void> {
  const rooms = await withDatabase(options, async ({ database, servers }) => {
    const services: RebuildServices = {
      database,
      interning: new Interning(database),
      isLocal: (server) => servers.isLocal(server),
    };
    let done = 0;
    for (let page = await roomsAfter(database, 0); page.length > 0; page = await roomsAfter(database, page.at(-1) ?? 0)) {
      for (const room of (await roomsByNid(database, page)).values()) await rebuildCounts(services, room);
      progress(options, (done += page.length));
    }
    return done;
  });
  tell(options, rooms);
}

/** What is searched of all rooms, from their events. */
export async function rebuildSearch(options: Options): Promise<void> {
  const events = await withDatabase(options, ({ database }) =>
    rebuildIndex({ database, interning: new Interning(database) }, (done) => progress(options, done, "events")),
  );
  tell(options, events, "events");
}

type Counted = "rooms" | "events";

function progress({ json }: Options, done: number, what: Counted = "rooms"): void {
  if (json !== true) console.error(`${done} ${what}`);
}

function tell({ json }: Options, done: number, what: Counted = "rooms"): void {
  console.log(json === true ? JSON.stringify({ [what]: done }) : what === "rooms" ? `${done} rooms were rebuilt.` : `${done} events were looked at.`);
}
