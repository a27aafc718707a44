// How much a user has not read (client-server API, "Receiving notifications").
import { type UnreadCounts, unreadKey, type UserRoom } from "../ephemeral/side-streams.js";
import { unreadByScope } from "../storage/counts.js";
import type { Reads } from "../storage/statement.js";
import { MAIN_TIMELINE } from "../storage/threads.js";

interface Counts {
  notification_count: number;
  highlight_count: number;
}

/**
 * The unread counts of (user, room) pairs by `unreadKey`; pairs without any are left out. With `perThread` those of threads
 * are given apart from those of the main timeline, else all together.
 */
export async function unreadCounts(
  reads: Reads,
  pairs: readonly UserRoom[],
  perThread: boolean,
): Promise<Map<string, UnreadCounts>> {
  const found = new Map<string, Counts & { readonly threads: Map<string, Counts> }>();
  for (const { user_nid, room_nid, thread, root, notification_count, highlight_count } of await unreadByScope(reads, pairs)) {
    if (notification_count === 0 && highlight_count === 0) continue;
    const key = unreadKey({ user_nid, room_nid });
    let counts = found.get(key);
    if (counts === undefined) found.set(key, (counts = { notification_count: 0, highlight_count: 0, threads: new Map() }));
    if (perThread && thread !== MAIN_TIMELINE) {
      if (root !== null) counts.threads.set(root, { notification_count, highlight_count });
    } else {
      counts.notification_count += notification_count;
      counts.highlight_count += highlight_count;
    }
  }
  return found;
}
