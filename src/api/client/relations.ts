// Client-server API, "Relationships API" and "Querying threads in a room".
import type * as spec from "../../../spec/client/relations.js";
import { eventRelationships } from "../../rooms/views/event-relationships.js";
import { relations, type RelationsRequest } from "../../rooms/views/relations.js";
import { threads } from "../../rooms/views/threads.js";
import { Reply, type Handler } from "../handler.js";

interface Query extends Omit<RelationsRequest, "rel_type" | "event_type"> {
  readonly "org.matrix.msc3715.dir"?: "b" | "f" | undefined;
  readonly "org.matrix.msc3981.recurse"?: boolean | undefined;
}

function requestOf(query: Query): RelationsRequest {
  const { "org.matrix.msc3715.dir": dir, "org.matrix.msc3981.recurse": recurse, ...rest } = query;
  return { ...rest, dir: rest.dir ?? dir, recurse: rest.recurse ?? recurse };
}

export const getRelatingEvents: Handler<typeof spec.getRelatingEvents> = async (services, { auth, params, query }) =>
  new Reply(200, await relations(services, auth, params.roomId, params.eventId, requestOf(query)));

export const getRelatingEventsWithRelType: Handler<typeof spec.getRelatingEventsWithRelType> = async (
  services,
  { auth, params, query },
) => {
  const request = { ...requestOf(query), rel_type: params.relType };
  return new Reply(200, await relations(services, auth, params.roomId, params.eventId, request));
};

export const getRelatingEventsWithRelTypeAndEventType: Handler<typeof spec.getRelatingEventsWithRelTypeAndEventType> = async (
  services,
  { auth, params, query },
) => {
  const request = { ...requestOf(query), rel_type: params.relType, event_type: params.eventType };
  return new Reply(200, await relations(services, auth, params.roomId, params.eventId, request));
};

export const getThreadRoots: Handler<typeof spec.getThreadRoots> = async (services, { auth, params, query }) =>
  new Reply(200, await threads(services, auth, params.roomId, query));

export const getEventRelationships: Handler<typeof spec.getEventRelationships> = async (services, { auth, body }) =>
  new Reply(200, await eventRelationships(services, auth, body));
