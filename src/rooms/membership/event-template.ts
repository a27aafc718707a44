// Member events that another server's user is to have: made by us, completed and signed by their server (server-server API,
// "Joining Rooms", "Knocking upon a room", "Leaving Rooms").
import { forbidden, MatrixError } from "../../errors.js";
import { authEventTuples, authorisingTuples } from "../../protocol/auth-events.js";
import { authorise } from "../../protocol/authorisation.js";
import { buildEvent, draftJson, type EventDraft, referenceHashOf } from "../../protocol/event-format.js";
import { MAX_PREV_EVENTS, type RoomEvent, storedEvent } from "../../protocol/event.js";
import { type EventId, parseEventId, type ServerName, type UserId } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import type { RoomVersion } from "../../protocol/room-version.js";
import { eventsById } from "../../storage/events.js";
import { roomEnds } from "../../storage/rooms.js";
import type { Reads } from "../../storage/statement.js";
import type { RoomContext } from "../context.js";
import { type Room, stateEventsOf } from "../current-state.js";

/** Throws M_INCOMPATIBLE_ROOM_VERSION unless the other server knows the room's version. */
export function requireKnownVersion(room: Room, known: readonly string[]): void {
  if (known.includes(room.rules.id)) return;
  throw new MatrixError(400, "M_INCOMPATIBLE_ROOM_VERSION", `Your server does not know room version ${room.rules.id}.`, {
    extra: { room_version: room.rules.id },
  });
}

/**
 * A member event as it would follow the room's last events now. Throws M_FORBIDDEN where the room's rules refuse it.
 */
export async function nextMemberEvent(
  context: RoomContext,
  reads: Reads,
  room: Room,
  { sender, target, content }: { readonly sender: UserId; readonly target: UserId; readonly content: JsonObject },
): Promise<EventDraft> {
  const version = room.rules;
  const member = { type: "m.room.member", state_key: target, sender, content };
  const ends = [...(await eventsById(reads, await roomEnds(reads, room.nid))).values()]
    .map((row) => storedEvent(version, row.event_id, row.json))
    .toSorted((a, b) => b.depth - a.depth)
    .slice(0, MAX_PREV_EVENTS);
  const state = await stateEventsOf(context, reads, room.nid, authorisingTuples(version, member));
  const auth = authEventTuples(version, member).flatMap((tuple) => state.get(tuple) ?? []);
  const draft = {
    room_id: room.room_id,
    ...member,
    origin_server_ts: context.clock.now(),
    depth: Math.max(0, ...ends.map(({ depth }) => depth)) + 1,
    prev_events: ends.map(({ event_id }) => event_id),
    auth_events: auth.map(({ event_id }) => event_id),
    referenceHashes: new Map([...ends, ...auth].map((event) => [event.event_id, referenceHashOf(version, event)])),
  };
  // Of an event to be only the id is not known yet, and the rules do not look at it.
  const event: RoomEvent = { ...draft, event_id: "$" as EventId, json: "" };
  const verdict = authorise(version, event, state);
  if (!verdict.allowed) throw forbidden(`The room does not allow this: ${verdict.reason}.`);
  return draft;
}

/** A draft as one of our servers signs it. */
export function signDraft({ federation }: RoomContext, version: RoomVersion, draft: EventDraft, server: ServerName): RoomEvent {
  const key = federation.signingKey(server);
  if (key === undefined) throw new Error("an event was to be signed for a server that is not ours");
  const chosen = version.eventIds === "chosen" ? parseEventId(`$${crypto.randomUUID()}:${server}`) : undefined;
  return buildEvent(version, { ...draft, ...(chosen !== undefined && { event_id: chosen }) }, server, key);
}

/** A change of a user's own membership, for the user's server to complete: without hashes and signatures. Throws M_FORBIDDEN. */
export async function memberTemplate(context: RoomContext, reads: Reads, room: Room, userId: UserId, content: JsonObject): Promise<JsonObject> {
  return draftJson(room.rules, await nextMemberEvent(context, reads, room, { sender: userId, target: userId, content }));
}
