// Client-server API, "Sending events to a room" and "Redactions".
import { randomUUID } from "node:crypto";
import type * as spec from "../../../spec/client/send.js";
import type { Requester } from "../../accounts/requester.js";
import { userSuspended } from "../../errors.js";
import type { EventId } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import { ownString } from "../../protocol/json.js";
import * as send from "../../rooms/send.js";
import { eventsById } from "../../storage/events.js";
import type { Handler } from "../handler.js";
import type { Services } from "../services.js";
import { unheardEventId } from "../shadow-ban.js";

/** Suspended users may take back what they said themselves. Throws M_USER_SUSPENDED. */
async function requireOwnEvent({ database }: Services, auth: Requester, eventId: string | undefined): Promise<void> {
  if (auth.restriction !== "suspended") return;
  const event = eventId === undefined ? undefined : (await eventsById(database, [eventId])).get(eventId);
  if (event?.sender_nid !== auth.user_nid) throw userSuspended();
}

/** What also suspended users may do. */
function isLeaving(auth: Requester, type: string, stateKey: string, content: JsonObject): boolean {
  return type === "m.room.member" && stateKey === auth.user_id && ownString(content, "membership") === "leave";
}

/** The time that an application service says an event happened at ("Timestamp massaging"), and for how long it is sticky (MSC4354). */
function asked(
  { appservice }: Requester,
  query: { readonly ts?: number; readonly "org.matrix.msc4354.sticky_duration_ms"?: number },
): { origin_server_ts: number | undefined; sticky_duration_ms: number | undefined } {
  return { origin_server_ts: appservice === undefined ? undefined : query.ts, sticky_duration_ms: query["org.matrix.msc4354.sticky_duration_ms"] };
}

/** The answer to a shadow-banned user, whom nobody hears: it looks like any other. */
function unheard(query: { readonly "org.matrix.msc4140.delay"?: number }, id: EventId): { event_id: EventId } | { delay_id: string } {
  return query["org.matrix.msc4140.delay"] === undefined ? { event_id: id } : { delay_id: id };
}

export const setRoomStateWithKey: Handler<typeof spec.setRoomStateWithKey> = async (services, { auth, params, query, body }) => {
  const { roomId, eventType, stateKey } = params;
  if (!isLeaving(auth, eventType, stateKey, body)) {
    if (auth.restriction === "suspended") throw userSuspended();
    if (auth.shadow_banned === true) return unheard(query, unheardEventId(auth, roomId, eventType, stateKey, JSON.stringify(body)));
  }
  const delay_ms = query["org.matrix.msc4140.delay"];
  if (delay_ms !== undefined) {
    const event = { room_id: roomId, type: eventType, state_key: stateKey, content: body, delay_ms };
    return { delay_id: await services.delayedEvents.schedule(auth, { ...event, ...asked(auth, query) }) };
  }
  return { event_id: await send.setState(services, auth, roomId, eventType, stateKey, body, asked(auth, query)) };
};

export const sendMessage: Handler<typeof spec.sendMessage> = async (services, { auth, params, query, body }) => {
  const redacts = params.eventType === "m.room.redaction" ? ownString(body, "redacts") : undefined;
  await requireOwnEvent(services, auth, redacts);
  const { roomId, eventType, txnId } = params;
  if (auth.shadow_banned === true) return unheard(query, unheardEventId(auth, roomId, eventType, txnId));
  const delay_ms = query["org.matrix.msc4140.delay"];
  if (delay_ms !== undefined) {
    const event = { room_id: roomId, type: eventType, content: body, delay_ms, txn_id: txnId };
    return { delay_id: await services.delayedEvents.schedule(auth, { ...event, ...asked(auth, query) }) };
  }
  await services.presence.active(auth.user_nid);
  return { event_id: await send.sendMessage(services, auth, roomId, eventType, txnId, body, asked(auth, query)) };
};

export const sendMessageOnce: Handler<typeof spec.sendMessageOnce> = (services, request) =>
  sendMessage(services, { ...request, params: { ...request.params, txnId: randomUUID() } });

export const redactEvent: Handler<typeof spec.redactEvent> = async (services, { auth, params, body }) => {
  await requireOwnEvent(services, auth, params.eventId);
  if (auth.shadow_banned === true) return { event_id: unheardEventId(auth, params.roomId, params.eventId, params.txnId) };
  return { event_id: await send.redactEvent(services, auth, params.roomId, params.eventId, params.txnId, body) };
};

export const redactEventOnce: Handler<typeof spec.redactEventOnce> = (services, request) =>
  redactEvent(services, { ...request, params: { ...request.params, txnId: randomUUID() } });
