// What a room's join rule says of who may come in ("m.room.join_rules").
import { isObject, type JsonObject, own, ownString } from "../../protocol/json.js";

/** The rooms whose members a join rule admits (`allow`). */
export function allowedRooms(rules: JsonObject): Set<string> {
  const allow = own(rules, "allow");
  const rooms = new Set<string>();
  for (const condition of Array.isArray(allow) ? allow : []) {
    if (!isObject(condition) || ownString(condition, "type") !== "m.room_membership") continue;
    const room = ownString(condition, "room_id");
    if (room !== undefined) rooms.add(room);
  }
  return rooms;
}
