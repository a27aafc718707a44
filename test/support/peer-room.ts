// A room of ours that a peer of a test is in: its user joins as another server would, and builds whatever events it likes.
import { buildEvent, type EventDraft, parseEvent } from "../../src/protocol/event-format.js";
import { contentHash, essentialText } from "../../src/protocol/event-hash.js";
import type { EventId, RoomId, UserId } from "../../src/protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own } from "../../src/protocol/json.js";
import { type RoomVersion, roomVersion } from "../../src/protocol/room-version.js";
import { signText } from "../../src/protocol/signing.js";
import { objectAt, objectsAt, stringAt } from "./json-path.js";
import type { Peer, PeerAnswer } from "./peer.js";

export interface PeerRoom {
  readonly room: RoomId;
  readonly version: RoomVersion;
  readonly mallory: UserId;
  /** The join by which the peer is in the room. */
  readonly join: EventId;
  /** The events that authorise what the peer's user sends. */
  readonly auth: readonly EventId[];
  /** The state before the join, by type (and state key, where it is not empty). */
  readonly state: ReadonlyMap<string, EventId>;
  /** A sound message that follows the join, changed by `change` before it is hashed and signed. */
  event(change?: Partial<EventDraft>): { readonly id: EventId; readonly wire: JsonObject };
  /** Hashes and signs an event in wire form, whatever it says. */
  sign(wire: JsonObject): JsonObject;
  /** Sends events in a transaction. */
  send(pdus: readonly JsonValue[], edus?: readonly JsonObject[]): Promise<PeerAnswer>;
}

let serial = 0;

/** Lets a user of the peer join a room of a server. */
export async function joinAsPeer(peer: Peer, server: { readonly name: string; readonly federationUrl: string }, room: string): Promise<PeerRoom> {
  const mallory = `@mallory:${peer.name}` as UserId;
  const ask = (method: "GET" | "PUT", uri: string, body?: JsonObject): Promise<PeerAnswer> => peer.request(server.federationUrl, server.name, method, `/_matrix/federation/${uri}`, body);
  const of = encodeURIComponent(room);
  const template = await ask("GET", `v1/make_join/${of}/${encodeURIComponent(mallory)}?ver=6&ver=10&ver=11&ver=12`);
  const version = roomVersion(stringAt(template.body, "room_version") ?? "");
  if (version === undefined) throw new Error(`make_join: ${template.status} ${JSON.stringify(template.body)}`);
  const draft = { ...objectAt(template.body, "event"), content: { membership: "join" }, origin_server_ts: Date.now() } as unknown as EventDraft;
  const join = buildEvent(version, draft, peer.name, peer.key);
  const answer = await ask("PUT", `v2/send_join/${of}/${encodeURIComponent(join.event_id)}`, JSON.parse(join.json) as JsonObject);
  if (answer.status !== 200) throw new Error(`send_join: ${answer.status} ${JSON.stringify(answer.body)}`);
  const state = new Map<string, EventId>();
  for (const wire of objectsAt(answer.body, "state")) {
    const parsed = parseEvent(version, wire as JsonObject);
    if ("event" in parsed) state.set(`${parsed.event.type}${parsed.event.state_key ?? ""}`, parsed.event.event_id);
  }
  const named = ["m.room.power_levels", ...(version.hashedRoomIds ? [] : ["m.room.create"])];
  const auth = [join.event_id, ...named.flatMap((type) => state.get(type) ?? [])];
  const sign = (wire: JsonObject): JsonObject => {
    const hashed = { ...wire, hashes: { sha256: contentHash(version, wire) } };
    return { ...hashed, signatures: { [peer.name]: { [peer.key.id]: signText(peer.key, essentialText(version, hashed)) } } };
  };
  return {
    room: room as RoomId,
    version,
    mallory,
    join: join.event_id,
    auth,
    state,
    sign,
    event(change = {}) {
      const built = buildEvent(
        version,
        {
          room_id: room as RoomId,
          type: "m.room.message",
          sender: mallory,
          content: { msgtype: "m.text", body: `event ${++serial}` },
          origin_server_ts: Date.now(),
          depth: join.depth + 1,
          prev_events: [join.event_id],
          auth_events: auth,
          ...change,
        },
        peer.name,
        peer.key,
      );
      const wire: unknown = JSON.parse(built.json);
      return { id: built.event_id, wire: wire as JsonObject };
    },
    send: (pdus, edus = []) => {
      const body = { origin: peer.name, origin_server_ts: Date.now(), pdus, edus: [...edus] } as JsonObject;
      return peer.request(server.federationUrl, server.name, "PUT", `/_matrix/federation/v1/send/hostile${++serial}`, body);
    },
  };
}

/** What a transaction's answer says of an event: undefined if it does not name it, empty text if it was taken. */
export function resultOf(answer: PeerAnswer, id: EventId): string | undefined {
  const pdus = own(answer.body, "pdus");
  const result = isObject(pdus) ? own(pdus, id) : undefined;
  return isObject(result) ? (stringAt(result, "error") ?? "") : undefined;
}
