// Client-server API, "Listing notifications".
import type * as spec from "../../../spec/client/notifications.js";
import { notifications } from "../../push/notifications.js";
import { Reply, type Handler } from "../handler.js";

export const getNotifications: Handler<typeof spec.getNotifications> = async (services, { auth, query }) =>
  new Reply(200, await notifications(services, auth, query));
