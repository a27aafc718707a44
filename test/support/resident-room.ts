// A public room of another server with many members, whose events are built and signed once.
import { buildEvent } from "../../src/protocol/event-format.js";
import type { RoomEvent } from "../../src/protocol/event.js";
import { type EventId, parseRoomId, parseUserId, type RoomId, type UserId } from "../../src/protocol/identifiers.js";
import type { JsonObject, JsonValue } from "../../src/protocol/json.js";
import { roomVersion } from "../../src/protocol/room-version.js";
import type { Peer } from "./peer.js";

const VERSION = "11";

export interface ResidentRoom {
  readonly roomId: RoomId;
  /** All of its events: its state, and the invitations that let its members in. */
  readonly events: number;
  /** Its state by type and state key. */
  readonly state: ReadonlyMap<string, RoomEvent>;
  /** By which its members came, in their order; also those who have left. */
  readonly joins: readonly RoomEvent[];
  /** Builds and signs an event after others, without adding it to the room. */
  readonly event: (draft: { readonly type: string; readonly state_key?: string; readonly sender: UserId; readonly content: JsonObject }, previous: readonly EventId[], auth: readonly RoomEvent[]) => RoomEvent;
  /** An event of the room by its encoded id, as it travels. */
  readonly find: (id: string) => JsonValue | undefined;
  /** Lets a server answer for the room's state before its last event, once `ready` holds. */
  readonly giveState: (server: Peer, ready?: Promise<unknown>) => void;
}

export interface ResidentOptions {
  /** Alters events on their way. */
  readonly change?: (event: JsonObject) => JsonObject;
  /** The servers that are said to be in the room, where the members are left out since that was asked for. */
  readonly omitted?: readonly string[];
  /** Members who have left again. */
  readonly left?: readonly number[];
}

/**
 * Makes a room that somebody lives in with `members` users, each of whom was invited; `peer` lets everybody join it.
 */
export function residentRoom(peer: Peer, members: number, { change = (event) => event, omitted, left = [] }: ResidentOptions = {}): ResidentRoom {
  const version = roomVersion(VERSION);
  const roomId = parseRoomId(`!resident${members}:${peer.name}`);
  if (version === undefined || roomId === undefined) throw new Error("no such room");
  const start = Date.now() - 1_000_000;
  let depth = 0;
  let last: EventId | undefined;
  const userOf = (name: string): UserId => {
    const user = parseUserId(`@${name}:${peer.name}`);
    if (user === undefined) throw new Error("no such user");
    return user;
  };
  const add = (type: string, state_key: string, sender: UserId, content: JsonObject, auth: readonly RoomEvent[]): RoomEvent => {
    const event = buildEvent(
      version,
      {
        room_id: roomId,
        type,
        state_key,
        sender,
        content,
        origin_server_ts: start + depth,
        depth: (depth += 1),
        prev_events: last === undefined ? [] : [last],
        auth_events: auth.map(({ event_id }) => event_id),
      },
      peer.name,
      peer.key,
    );
    last = event.event_id;
    return event;
  };
  const owner = userOf("owner");
  const create = add("m.room.create", "", owner, { room_version: VERSION }, []);
  const joined = add("m.room.member", owner, owner, { membership: "join" }, [create]);
  const levels = add("m.room.power_levels", "", owner, { users: { [owner]: 100 } }, [create, joined]);
  const rules = add("m.room.join_rules", "", owner, { join_rule: "public" }, [create, levels, joined]);
  const state = [create, joined, levels, rules];
  const chain = [...state];
  const joins: RoomEvent[] = [];
  for (let number = 0; number < members; number += 1) {
    const user = userOf(`member${number}`);
    const invited = add("m.room.member", user, owner, { membership: "invite" }, [create, levels, joined, rules]);
    chain.push(invited);
    const join = add("m.room.member", user, user, { membership: "join", displayname: `Member ${number}` }, [create, levels, rules, invited]);
    joins.push(join);
    if (left.includes(number)) chain.push(join);
    state.push(left.includes(number) ? add("m.room.member", user, user, { membership: "leave" }, [create, levels, join]) : join);
  }
  const all = new Map([...chain, ...state].map((event) => [event.event_id, event]));
  // Before the last event its user was invited.
  const before = [...state.slice(0, -1), ...chain.slice(-1)];
  const wire = (event: RoomEvent): JsonValue => change(JSON.parse(event.json) as JsonObject);
  const textOf = (event: RoomEvent): string => JSON.stringify(wire(event));
  // What has all of the members is long: it is written before anybody asks for it.
  const whole = {
    state: state.map(textOf).join(),
    before: before.map(textOf).join(),
    chain: chain.map(textOf).join(),
    ids: Buffer.from(JSON.stringify({ pdu_ids: before.map(({ event_id }) => event_id), auth_chain_ids: chain.map(({ event_id }) => event_id) })),
  };
  peer.answer(`/_matrix/federation/v1/make_join/${encodeURIComponent(roomId)}`, ({ path }) => {
    const user = decodeURIComponent(path.split("?")[0]?.split("/").at(-1) ?? "");
    const event = {
      type: "m.room.member",
      room_id: roomId,
      sender: user,
      state_key: user,
      content: { membership: "join" },
      depth: depth + 1,
      origin_server_ts: start,
      prev_events: last === undefined ? [] : [last],
      auth_events: [create, levels, rules].map(({ event_id }) => event_id),
    };
    return { status: 200, body: { room_version: VERSION, event } };
  });
  peer.answer(`/_matrix/federation/v2/send_join/${encodeURIComponent(roomId)}`, ({ body, path }) => {
    const beside = { origin: peer.name, event: body ?? null };
    if (omitted !== undefined && path.includes("omit_members=true")) {
      const without = { state: [create, levels, rules].map(wire), auth_chain: [joined].map(wire), members_omitted: true, servers_in_room: [...omitted] };
      return { status: 200, body: { ...beside, ...without } };
    }
    const rest = JSON.stringify({ ...beside, servers_in_room: [peer.name], members_omitted: false }).slice(1);
    return { status: 200, bytes: Buffer.from(`{"state":[${whole.state}],"auth_chain":[${whole.chain}],${rest}`) };
  });
  const find = (id: string): JsonValue | undefined => {
    const event = all.get(decodeURIComponent(id) as EventId);
    return event === undefined ? undefined : wire(event);
  };
  return {
    roomId,
    events: all.size,
    find,
    joins,
    state: new Map(state.map((event) => [`${event.type}${event.state_key ?? ""}`, event])),
    event: (draft, previous, auth) =>
      buildEvent(
        version,
        { room_id: roomId, ...draft, origin_server_ts: Date.now(), depth: (depth += 1), prev_events: [...previous], auth_events: auth.map(({ event_id }) => event_id) },
        peer.name,
        peer.key,
      ),
    giveState: (server, ready) => {
      server.answer(`/_matrix/federation/v1/state_ids/${encodeURIComponent(roomId)}`, async () => {
        await ready;
        return { status: 200, bytes: whole.ids };
      });
      server.answer(`/_matrix/federation/v1/state/${encodeURIComponent(roomId)}`, () => ({ status: 200, bytes: Buffer.from(`{"pdus":[${whole.before}],"auth_chain":[${whole.chain}]}`) }));
      server.answer("/_matrix/federation/v1/event/", ({ path }) => {
        const event = find(path.split("/").at(-1) ?? "");
        return event === undefined ? { status: 404, body: { errcode: "M_NOT_FOUND" } } : { status: 200, body: { origin: peer.name, pdus: [event] } };
      });
    },
  };
}
