// Client-server API, what came before "Syncing".
import type * as spec from "../../../spec/client/old-sync.js";
import * as history from "../../rooms/history.js";
import * as rooms from "../../rooms/initial-sync.js";
import * as oldSync from "../../sync/old-sync.js";
import { Reply, type Handler } from "../handler.js";

export const getEvents: Handler<typeof spec.getEvents> = async (services, { auth, query, signal }) =>
  new Reply(200, await oldSync.eventsSince(services, auth, query, signal));

export const initialSync: Handler<typeof spec.initialSync> = async (services, { auth, query, signal }) =>
  new Reply(200, await oldSync.initialSync(services, auth, query, signal));

export const roomInitialSync: Handler<typeof spec.roomInitialSync> = async (services, { auth, params, query }) =>
  new Reply(200, await rooms.roomInitialSync(services, auth, params.roomId, query.limit));

export const getOneEvent: Handler<typeof spec.getOneEvent> = async (services, { auth, params }) =>
  new Reply(200, await history.eventOfAnyRoom(services, auth, params.eventId));
