// Client-server API, "Sending events to a room" and "Redactions".
import type * as spec from "../../../spec/client/send.js";
import * as send from "../../rooms/send.js";
import type { Handler } from "../handler.js";

export const setRoomStateWithKey: Handler<typeof spec.setRoomStateWithKey> = async (services, { auth, params, body }) => ({
  event_id: await send.setState(services, auth, params.roomId, params.eventType, params.stateKey, body),
});

export const sendMessage: Handler<typeof spec.sendMessage> = async (services, { auth, params, body }) => {
  await services.presence.active(auth.user_nid);
  return { event_id: await send.sendMessage(services, auth, params.roomId, params.eventType, params.txnId, body) };
};

export const redactEvent: Handler<typeof spec.redactEvent> = async (services, { auth, params, body }) => ({
  event_id: await send.redactEvent(services, auth, params.roomId, params.eventId, params.txnId, body),
});
