// Thread subscriptions (MSC4306) and their list (MSC4308).
import type * as spec from "../../../spec/client/thread-subscriptions.js";
import { subscribeToThread, threadSubscription, threadSubscriptions, unsubscribeFromThread } from "../../rooms/thread-subscriptions.js";
import type { ListedSubscription } from "../../storage/thread-subscriptions.js";
import type { Handler } from "../handler.js";

export const putThreadSubscription: Handler<typeof spec.putThreadSubscription> = async (services, { auth, params, body }) => {
  await subscribeToThread(services, auth, params.roomId, params.eventId, body.automatic);
  return {};
};

export const deleteThreadSubscription: Handler<typeof spec.deleteThreadSubscription> = async (services, { auth, params }) => {
  await unsubscribeFromThread(services, auth, params.roomId, params.eventId);
  return {};
};

export const getThreadSubscription: Handler<typeof spec.getThreadSubscription> = async (services, { auth, params }) => {
  const { automatic } = await threadSubscription(services, auth, params.roomId, params.eventId);
  return { automatic };
};

export const getThreadSubscriptions: Handler<typeof spec.getThreadSubscriptions> = async (services, { auth, query }) => {
  const { rows, end } = await threadSubscriptions(services, auth.user_nid, query);
  const subscribed = byRoom(rows.filter((row) => row.subscribed), ({ automatic, position }) => ({ automatic, bump_stamp: position }));
  const unsubscribed = byRoom(rows.filter((row) => !row.subscribed), ({ position }) => ({ bump_stamp: position }));
  return {
    ...(subscribed !== undefined && { subscribed }),
    ...(unsubscribed !== undefined && { unsubscribed }),
    ...(end !== undefined && { end }),
  };
};

/** Rows by room and thread; undefined if there are none. */
function byRoom<Shown>(
  rows: readonly ListedSubscription[],
  shown: (row: ListedSubscription) => Shown,
): Record<string, Record<string, Shown>> | undefined {
  if (rows.length === 0) return undefined;
  const rooms: Record<string, Record<string, Shown>> = {};
  for (const row of rows) (rooms[row.room_id] ??= {})[row.event_id] = shown(row);
  return rooms;
}
