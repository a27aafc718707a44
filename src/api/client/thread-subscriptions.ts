// Thread subscriptions (MSC4306) and their list (MSC4308).
import type * as spec from "../../../spec/client/thread-subscriptions.js";
import { subscribeToThread, subscriptionsByRoom, threadSubscription, threadSubscriptions, unsubscribeFromThread } from "../../rooms/views/thread-subscriptions.js";
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
  return { ...subscriptionsByRoom(rows), ...(end !== undefined && { end }) };
};
