// Client-server API, "Receipts" and "Fully read markers".
import type * as spec from "../../../spec/client/receipts.js";
import { markRead, type ReadUpTo } from "../../ephemeral/receipts.js";
import type { Handler } from "../handler.js";

export const postReceipt: Handler<typeof spec.postReceipt> = async (services, { auth, params, body }) => {
  const { receiptType, eventId, roomId } = params;
  await markRead(services, auth, roomId, [{ type: receiptType, event_id: eventId, thread_id: body.thread_id }]);
  return {};
};

export const setReadMarker: Handler<typeof spec.setReadMarker> = async (services, { auth, params, body }) => {
  const types = ["m.fully_read", "m.read", "m.read.private"] as const;
  const marks = types.flatMap((type): ReadUpTo[] => {
    const event_id = body[type];
    return event_id === undefined ? [] : [{ type, event_id }];
  });
  await markRead(services, auth, params.roomId, marks);
  return {};
};
