// Purges old messages of a room, for administrators: their content goes, and nobody is shown them any more.
import { storedEvent } from "../../protocol/event.js";
import { redactEvent } from "../../protocol/event-format.js";
import { serverNameOf, type RoomId } from "../../protocol/identifiers.js";
import { roomVersion } from "../../protocol/room-version.js";
import { LOG_CHANNEL } from "../../storage/log.js";
import { eventsByNid, type HistoryKey, type StoredEvent } from "../../storage/events.js";
import { purgeCandidates, purgeEvents, type PurgeBounds } from "../../storage/purge-history.js";
import type { RoomContext } from "../context.js";

export interface HistoryPurge extends PurgeBounds {
  readonly room_id: RoomId;
  readonly room_nid: number;
  /** Also what our own users sent, of which no other server may have a copy. */
  readonly local: boolean;
}

export interface PurgeProgress {
  readonly purged: number;
  /** Up to where the history was looked at. */
  readonly after: HistoryKey;
}

export const NOTHING_PURGED: PurgeProgress = { purged: 0, after: { depth: 0, nid: 0 } };

/** Purges from the oldest event on, as far as that has not been done yet; `note` keeps what has been. */
export async function purgeHistory(
  { database, servers, bus }: RoomContext,
  purge: HistoryPurge,
  done: PurgeProgress,
  note: (progress: PurgeProgress) => Promise<void>,
): Promise<PurgeProgress> {
  let progress = done;
  for (;;) {
    const candidates = await purgeCandidates(database, purge.room_nid, progress.after, purge);
    const last = candidates.at(-1);
    if (last === undefined) return progress;
    const events = await eventsByNid(database, candidates.filter(({ purgeable }) => purgeable).map(({ nid }) => nid));
    const chosen = [...events.values()].filter(({ sender }) => purge.local || !servers.isLocal(serverNameOf(sender)));
    let purged = 0;
    if (chosen.length > 0) {
      await database.transaction(async (tx) => {
        purged = await purgeEvents(tx, purge.room_nid, chosen.map(stripped));
        tx.afterCommit((position) => bus.publish(LOG_CHANNEL, String(position)));
      });
    }
    progress = { purged: progress.purged + purged, after: { depth: last.depth, nid: last.nid } };
    await note(progress);
  }
}

/** What is left of an event when it is redacted: so it still has its id and its signatures. */
function stripped({ nid, version, event_id, json }: StoredEvent): { nid: number; json: string } {
  const known = roomVersion(version);
  if (known === undefined) throw new Error(`event ${event_id} is of the unknown room version ${version}`);
  return { nid, json: redactEvent(known, storedEvent(known, event_id, json)).json };
}
