// Delayed events (MSC4140).
import type * as spec from "../../../spec/client/delayed-events.js";
import { invalidParam, missingParam, notFound } from "../../errors.js";
import { isObject, type JsonObject, parseJson } from "../../protocol/json.js";
import type { DelayedAction } from "../../rooms/delayed-events.js";
import type { DelayedEvent, DelayedPlace } from "../../storage/delayed-events.js";
import type { Handler } from "../handler.js";
import { unheardEventId } from "../shadow-ban.js";

const ACTIONS: ReadonlySet<string> = new Set<DelayedAction>(["send", "cancel", "restart"]);
const isAction = (text: string): text is DelayedAction => ACTIONS.has(text);

export const scheduleDelayedEvent: Handler<typeof spec.scheduleDelayedEvent> = async (services, { auth, params, query, body }) => {
  const delay_ms = body.delay ?? body.delay_ms;
  if (delay_ms === undefined) throw missingParam('"delay" is missing.');
  if (auth.shadow_banned === true) return { delay_id: unheardEventId(auth, params.roomId, params.eventType, params.txnId) };
  const delay_id = await services.delayedEvents.schedule(auth, {
    room_id: params.roomId,
    type: params.eventType,
    state_key: body.state_key,
    content: body.content,
    delay_ms,
    txn_id: params.txnId,
    origin_server_ts: auth.appservice === undefined ? undefined : query.ts,
    sticky_duration_ms: query["org.matrix.msc4354.sticky_duration_ms"],
  });
  return { delay_id };
};

export const updateDelayedEvent: Handler<typeof spec.updateDelayedEvent> = async ({ delayedEvents }, { params }) => {
  if (!isAction(params.action)) throw notFound("There is no such action.");
  await delayedEvents.act(params.delayId, params.action);
  return {};
};

export const updateDelayedEventByBody: Handler<typeof spec.updateDelayedEventByBody> = async ({ delayedEvents }, { params, body }) => {
  await delayedEvents.act(params.delayId, body.action);
  return {};
};

export const getDelayedEvent: Handler<typeof spec.getDelayedEvent> = async ({ delayedEvents }, { auth, params }) =>
  shown(await delayedEvents.find(auth.user_nid, params.delayId));

export const getDelayedEvents: Handler<typeof spec.getDelayedEvents> = async ({ delayedEvents }, { auth, query }) => {
  const backwards = query.dir === "b";
  const { events, next } = await delayedEvents.list(auth.user_nid, query, placeOf(query.from), backwards);
  const token = next === undefined ? {} : { [backwards ? "prev_batch" : "next_batch"]: tokenOf(next) };
  return { delayed_events: events.map(shown), ...token };
};

export const getScheduledEvents: Handler<typeof spec.getScheduledEvents> = async ({ delayedEvents }, { auth, query }) => {
  const { events, next } = await delayedEvents.list(auth.user_nid, { status: "scheduled" }, placeOf(query.from));
  return { delayed_events: events.map(shown), ...(next !== undefined && { next_batch: tokenOf(next) }) };
};

/** An event as its user sees it. */
function shown({ delay_id, room_id, type, state_key, delay_ms, running_since, content, error, event_id, finalised_ts }: DelayedEvent) {
  return {
    delay_id,
    room_id,
    type,
    ...(state_key !== null && { state_key }),
    delay: delay_ms,
    running_since,
    content: objectOf(content),
    ...(error !== null && { error: objectOf(error) }),
    ...(event_id !== null && { event_id }),
    ...(finalised_ts !== null && { origin_server_ts: finalised_ts }),
  };
}

function objectOf(text: string): JsonObject {
  const value = parseJson(text);
  return isObject(value) ? value : {};
}

const tokenOf = ({ send_ts, delay_id }: DelayedPlace): string => `d${send_ts}_${delay_id}`;

function placeOf(token: string | undefined): DelayedPlace | undefined {
  if (token === undefined) return undefined;
  const [, send_ts, delay_id] = /^d(\d{1,15})_([A-Za-z0-9_-]{1,64})$/.exec(token) ?? [];
  if (send_ts === undefined || delay_id === undefined) throw invalidParam('"from" is not a token of this list.');
  return { send_ts: Number(send_ts), delay_id };
}
