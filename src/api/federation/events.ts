// Server-server API, "Retrieving events", "Backfilling and retrieving missing events", "Retrieving event authorization information".
import type * as spec from "../../../spec/federation/events.js";
import type { ServerName } from "../../protocol/identifiers.js";
import { eventRelationshipsForServer } from "../../rooms/views/event-relationships.js";
import * as view from "../../rooms/views/server-view.js";
import { Reply, type Handler } from "../handler.js";
import type { Services } from "../services.js";

/** Events are sent as they were signed: their texts, put together. */
const list = (texts: readonly string[]): string => `[${texts.join(",")}]`;

function transaction({ clock }: Services, origin: ServerName, texts: readonly string[]): Reply {
  return new Reply(200, `{"origin":${JSON.stringify(origin)},"origin_server_ts":${clock.now()},"pdus":${list(texts)}}`);
}

export const getEvent: Handler<typeof spec.getEvent> = async (services, { auth, params }) =>
  transaction(services, auth.destination, [await view.eventForServer(services, auth.origin, params.eventId)]);

export const getRoomState: Handler<typeof spec.getRoomState> = async (services, { auth, params, query }) => {
  const { pdus, authChain } = await view.stateForServer(services, auth.origin, params.roomId, query.event_id);
  return new Reply(200, `{"pdus":${list(pdus.map(({ event }) => event.json))},"auth_chain":${list(authChain.map(({ event }) => event.json))}}`);
};

export const getRoomStateIds: Handler<typeof spec.getRoomStateIds> = async (services, { auth, params, query }) => {
  const { pdus, authChain } = await view.stateForServer(services, auth.origin, params.roomId, query.event_id);
  return { pdu_ids: pdus.map(({ event }) => event.event_id), auth_chain_ids: authChain.map(({ event }) => event.event_id) };
};

export const getEventAuth: Handler<typeof spec.getEventAuth> = async (services, { auth, params }) =>
  new Reply(200, `{"auth_chain":${list(await view.authChainForServer(services, auth.origin, params.roomId, params.eventId))}}`);

export const backfillRoom: Handler<typeof spec.backfillRoom> = async (services, { auth, params, query }) =>
  transaction(services, auth.destination, await view.backfillForServer(services, auth.origin, params.roomId, query.v, query.limit));

export const getMissingPreviousEvents: Handler<typeof spec.getMissingPreviousEvents> = async (services, { auth, params, body }) =>
  new Reply(200, `{"events":${list(await view.missingForServer(services, auth.origin, params.roomId, body))}}`);

export const getEventByTimestamp: Handler<typeof spec.getEventByTimestamp> = async (services, { auth, params, query }) =>
  await view.eventByTimestampForServer(services, auth.origin, params.roomId, query);

export const getEventRelationshipsForServer: Handler<typeof spec.getEventRelationshipsForServer> = async (services, { auth, body }) =>
  new Reply(200, await eventRelationshipsForServer(services, auth.origin, body));
