// A room to check rules against: events of any room version, made without signing, and the state they leave.
import { selectAuthEvents } from "../../src/protocol/auth-events.js";
import type { RoomEvent } from "../../src/protocol/event.js";
import { type EventId, type RoomId, roomIdOfCreateEvent, type UserId } from "../../src/protocol/identifiers.js";
import type { JsonObject } from "../../src/protocol/json.js";
import type { RoomVersion } from "../../src/protocol/room-version.js";
import { type StateMap, type StateTuple, stateTuple } from "../../src/protocol/state-map.js";

export interface FixtureEvent {
  readonly type: string;
  readonly state_key?: string;
  readonly sender?: string;
  readonly content?: JsonObject;
  readonly prev_events?: readonly string[];
  readonly auth_events?: readonly string[];
  readonly origin_server_ts?: number;
  readonly redacts?: string;
  readonly event_id?: string;
  readonly room_id?: string;
}

export const ALICE = "@alice:a.example"; // created the room
export const BOB = "@bob:b.example"; // joined, level 50
export const CAROL = "@carol:c.example"; // joined, level 0
export const DAVE = "@dave:d.example"; // never seen
export const EVE = "@eve:e.example"; // banned
export const FRANK = "@frank:f.example"; // invited
export const GRACE = "@grace:g.example"; // joined, level 100

/** A room of a version with the people above, and a maker of events in it. */
export class RoomFixture {
  readonly version: RoomVersion;
  readonly create: RoomEvent;
  readonly state = new Map<StateTuple, RoomEvent>();
  #count = 0;

  constructor(version: RoomVersion, createContent: JsonObject = {}) {
    this.version = version;
    const creator = version.implicitCreator ? {} : { creator: ALICE };
    this.create = this.event({ type: "m.room.create", state_key: "", content: { room_version: version.id, ...creator, ...createContent } });
    this.put(this.create);
    this.member(ALICE, "join");
    this.set("m.room.power_levels", "", {
      users: { ...(!version.privilegedCreators && { [ALICE]: 100 }), [BOB]: 50, [GRACE]: 100 },
      events: { "m.room.name": 50, "org.example.high": 75 },
      notifications: { room: 75 },
      invite: 25,
      ban: 50,
      kick: 50,
    });
    this.set("m.room.join_rules", "", { join_rule: "invite" });
    for (const user of [BOB, CAROL, GRACE]) this.member(user, "join");
    this.member(EVE, "ban");
    this.member(FRANK, "invite");
  }

  /** An event of this room that is not part of its state. */
  event(fields: FixtureEvent): RoomEvent {
    this.#count++;
    const domain = this.version.eventIds === "chosen" ? ":a.example" : "";
    const event_id = (fields.event_id ?? `$event${this.#count}${domain}`) as EventId;
    const unnamed = this.version.hashedRoomIds && fields.type === "m.room.create";
    const room = this.version.hashedRoomIds ? roomIdOfCreateEvent(unnamed ? event_id : this.create.event_id) : "!room:a.example";
    return {
      event_id,
      room_id: (fields.room_id ?? room) as RoomId,
      type: fields.type,
      ...(fields.state_key !== undefined && { state_key: fields.state_key }),
      sender: (fields.sender ?? ALICE) as UserId,
      content: fields.content ?? {},
      origin_server_ts: fields.origin_server_ts ?? this.#count,
      depth: this.#count,
      prev_events: (fields.prev_events ?? (fields.type === "m.room.create" ? [] : ["$x", "$y"])) as EventId[],
      auth_events: (fields.auth_events ?? []) as EventId[],
      ...(fields.redacts !== undefined && { redacts: fields.redacts as EventId }),
      json: "",
    };
  }

  put(event: RoomEvent): RoomEvent {
    this.state.set(stateTuple(event.type, event.state_key ?? ""), event);
    return event;
  }

  set(type: string, state_key: string, content: JsonObject): RoomEvent {
    return this.put(this.citing({ type, state_key, content }, this.state));
  }

  member(user: string, membership: string, content: JsonObject = {}): RoomEvent {
    return this.put(this.citing({ type: "m.room.member", state_key: user, sender: user, content: { ...content, membership } }, this.state));
  }

  /** An event whose auth events are those of a state. */
  citing(fields: FixtureEvent, state: StateMap<RoomEvent>): RoomEvent {
    const auth = selectAuthEvents(this.version, this.event(fields), state);
    return this.event({ ...fields, auth_events: auth.map((event) => event.event_id) });
  }

  joinRule(join_rule: string): void {
    this.set("m.room.join_rules", "", { join_rule });
  }

  without(type: string, stateKey = ""): StateMap<RoomEvent> {
    const rest = new Map(this.state);
    rest.delete(stateTuple(type, stateKey));
    return rest;
  }

  get(type: string, stateKey = ""): RoomEvent {
    const event = this.state.get(stateTuple(type, stateKey));
    if (event === undefined) throw new Error(`the room has no ${type} ${stateKey}`);
    return event;
  }
}
