// An event of any room version, as everything inside sees it.
import type { EventId, RoomId, UserId } from "./identifiers.js";
import type { JsonObject } from "./json.js";

/**
 * An event after its format was checked and its id computed. `room_id` is always set (room version 12 derives it for the
 * create event), `prev_events` and `auth_events` are always plain ids (room versions 1 and 2 carry pairs on the wire).
 * `json` is the text exactly as signed, without `unsigned`; it is what is stored and sent on.
 */
export interface RoomEvent {
  readonly event_id: EventId;
  readonly room_id: RoomId;
  readonly type: string;
  readonly state_key?: string;
  readonly sender: UserId;
  readonly content: JsonObject;
  readonly origin_server_ts: number;
  readonly depth: number;
  readonly prev_events: readonly EventId[];
  readonly auth_events: readonly EventId[];
  readonly redacts?: EventId;
  readonly json: string;
}
