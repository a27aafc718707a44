// Client-server API, what came before "Syncing".
import type * as spec from "../../../spec/client/old-sync.js";
import type { Requester } from "../../accounts/requester.js";
import * as history from "../../rooms/views/history.js";
import * as rooms from "../../rooms/views/initial-sync.js";
import * as oldSync from "../../sync/old-sync.js";
import { Reply, type Handler } from "../handler.js";
import type { Services } from "../services.js";

/** The user is there while a client asks, as with /sync. */
async function whileThere<T>({ presence }: Services, auth: Requester, answer: () => Promise<T>): Promise<T> {
  const gone = await presence.syncing(auth.user_nid, auth.device_id ?? "", "online");
  try {
    return await answer();
  } finally {
    gone();
  }
}

export const getEvents: Handler<typeof spec.getEvents> = async (services, { auth, query, signal }) =>
  new Reply(200, await whileThere(services, auth, () => oldSync.eventsSince(services, auth, query, signal)));

export const initialSync: Handler<typeof spec.initialSync> = async (services, { auth, query, signal }) =>
  new Reply(200, await whileThere(services, auth, () => oldSync.initialSync(services, auth, query, signal)));

export const roomInitialSync: Handler<typeof spec.roomInitialSync> = async (services, { auth, params, query }) =>
  new Reply(200, await rooms.roomInitialSync(services, auth, params.roomId, query.limit));

export const getOneEvent: Handler<typeof spec.getOneEvent> = async (services, { auth, params }) =>
  new Reply(200, await history.eventOfAnyRoom(services, auth, params.eventId));
