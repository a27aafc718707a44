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
}

/**
 * Makes a room that somebody lives in with `members` users, each of whom was invited; `peer` lets everybody join it. `change` alters
 * events on their way.
 */
export function residentRoom(peer: Peer, members: number, change: (event: JsonObject) => JsonObject = (event) => event): ResidentRoom {
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
  for (let number = 0; number < members; number += 1) {
    const user = userOf(`member${number}`);
    const invited = add("m.room.member", user, owner, { membership: "invite" }, [create, levels, joined, rules]);
    chain.push(invited);
    state.push(add("m.room.member", user, user, { membership: "join", displayname: `Member ${number}` }, [create, levels, rules, invited]));
  }
  const wire = (event: RoomEvent): JsonValue => change(JSON.parse(event.json) as JsonObject);
  const answer = { state: state.map(wire), auth_chain: chain.map(wire), origin: peer.name, servers_in_room: [peer.name], members_omitted: false };
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
  peer.answer(`/_matrix/federation/v2/send_join/${encodeURIComponent(roomId)}`, ({ body }) => ({ status: 200, body: { ...answer, event: body ?? null } }));
  return { roomId, events: new Set([...state, ...chain]).size };
}
