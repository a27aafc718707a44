// The redaction algorithm of each room version: what of an event is essential, and so signed and kept.
import { isObject, type JsonObject, type JsonValue, own } from "./json.js";
import type { RoomVersion } from "./room-version.js";

const KEPT = [
  "event_id",
  "type",
  "room_id",
  "sender",
  "state_key",
  "content",
  "hashes",
  "signatures",
  "depth",
  "prev_events",
  "auth_events",
  "origin_server_ts",
];
const KEPT_BEFORE_V11 = [...KEPT, "prev_state", "origin", "membership"];

const POWER_LEVEL_KEYS = [
  "ban",
  "events",
  "events_default",
  "kick",
  "redact",
  "state_default",
  "users",
  "users_default",
];

/** A copy with only these keys, where the object has them. */
function pick(object: JsonObject, keys: readonly string[]): JsonObject {
  const kept: Record<string, JsonValue> = {};
  for (const key of keys) {
    const value = own(object, key);
    if (value !== undefined) kept[key] = value;
  }
  return kept;
}

/**
 * The event, in its wire form, without everything that the room version's redaction strips ("Redactions" of the version).
 * `unsigned` goes too. Takes events that nobody checked yet: content that is no object counts as empty.
 */
export function redact(version: RoomVersion, event: JsonObject): JsonObject {
  const kept = pick(event, version.revisedRedaction ? KEPT : KEPT_BEFORE_V11);
  const content = own(event, "content");
  return { ...kept, content: isObject(content) ? redactContent(version, own(event, "type"), content) : {} };
}

/** The part of an event's content that survives redaction. */
export function redactContent(version: RoomVersion, type: JsonValue | undefined, content: JsonObject): JsonObject {
  switch (type) {
    case "m.room.member": {
      const kept = pick(
        content,
        version.redactionKeepsAuthoriser ? ["membership", "join_authorised_via_users_server"] : ["membership"],
      );
      const invite = own(content, "third_party_invite");
      if (!version.revisedRedaction || !isObject(invite)) return kept;
      return { ...kept, third_party_invite: pick(invite, ["signed"]) };
    }
    case "m.room.create":
      return version.revisedRedaction ? content : pick(content, ["creator"]);
    case "m.room.join_rules":
      return pick(content, version.redactionKeepsAllow ? ["join_rule", "allow"] : ["join_rule"]);
    case "m.room.power_levels":
      return pick(content, version.revisedRedaction ? [...POWER_LEVEL_KEYS, "invite"] : POWER_LEVEL_KEYS);
    case "m.room.aliases":
      return version.specialAliases ? pick(content, ["aliases"]) : {};
    case "m.room.history_visibility":
      return pick(content, ["history_visibility"]);
    case "m.room.redaction":
      return version.redactsInContent ? pick(content, ["redacts"]) : {};
    default:
      return {};
  }
}
