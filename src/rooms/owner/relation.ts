// How an event says that it relates to another.
import { type EventId, parseEventId } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../../protocol/json.js";

interface Relation {
  readonly rel_type: string;
  readonly event_id: EventId;
}

/** The relation in an event's content (client-server API, "Forming relationships between events"). */
export function relationOf(content: JsonObject): Relation | undefined {
  return relationIn(own(content, "m.relates_to"));
}

/** The relation of an event's content in trees of events (MSC2836), which is none of those that are aggregated. */
export function relationshipOf(content: JsonObject): Relation | undefined {
  return relationIn(own(content, "m.relationship"));
}

function relationIn(relation: JsonValue | undefined): Relation | undefined {
  if (!isObject(relation)) return undefined;
  const rel_type = ownString(relation, "rel_type");
  const event_id = parseEventId(own(relation, "event_id"));
  // An over-long relation type is no relation: it would not fit where relations are looked up.
  if (rel_type === undefined || event_id === undefined || Buffer.byteLength(rel_type) > 255) return undefined;
  return { rel_type, event_id };
}
