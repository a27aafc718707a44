// Our users' memberships of rooms that only other servers are in (server-server API, "Joining Rooms"): what they give us is
// completed and checked by us, never signed as it came.
import { FederationError } from "../../federation/client.js";
import { MatrixError, notFound, unknownError } from "../../errors.js";
import { logger } from "../../log.js";
import { buildEvent, parseEvent } from "../../protocol/event-format.js";
import type { RoomEvent } from "../../protocol/event.js";
import { type EventId, parseEventId, parseServerName, type RoomId, type ServerName, serverNameOf } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../../protocol/json.js";
import type { Membership } from "../../protocol/membership.js";
import { roomVersion, type RoomVersion, roomVersions } from "../../protocol/room-version.js";
import type { SigningKey } from "../../protocol/signing.js";
import { type StateTuple, stateTuple } from "../../protocol/state-map.js";
import { eventsById } from "../../storage/events.js";
import { hasLocalMember } from "../../storage/memberships.js";
import { failEntry, startEntry } from "../../storage/partial-state.js";
import { FLAGS } from "../../storage/room-rows.js";
import { adoptRoom } from "../../storage/rooms.js";
import { askForEvents, type GivenState, listOf, OutlierWriter } from "../remote/bulk-state.js";
import type { RoomContext, RoomUser } from "../context.js";
import { findRoom, requireRoom } from "../current-state.js";
import { setOutside } from "./outside.js";
import { untilWhole } from "../views/whole-state.js";

const log = logger("federation");

const HANDSHAKE_MS = 60_000;
/** How long who joins waits for the whole state of the room, in milliseconds, where only a part of it was given. */
const BECOMES_WHOLE_MS = 500;
/** Servers of a room that are noted from an answer. */
const MAX_SERVERS = 10_000;
/** Servers that are tried for one join. */
const MAX_TRIES = 10;

/** Refusals that are of our request, not of what the client asks for. */
const OURS: readonly string[] = ["M_MISSING_PARAM", "M_INVALID_PARAM"];

/** A member event of ours, completed from what a server in the room offered. */
interface Completed {
  readonly server: ServerName;
  readonly version: RoomVersion;
  readonly event: RoomEvent;
}

/** Servers to ask for a room, never our own: those that were named; the one in the room's id where none was. */
export function serversToAsk({ servers, federation }: RoomContext, roomId: RoomId, via: readonly ServerName[]): ServerName[] {
  const usable = (names: readonly (ServerName | undefined)[]): ServerName[] =>
    [...new Set(names)].flatMap((name) => (name === undefined || servers.isLocal(name) || !federation.policy.allows(name) ? [] : [name]));
  const named = usable(via);
  return (named.length > 0 ? named : usable([serverNameOf(roomId)])).slice(0, MAX_TRIES);
}

/**
 * Lets `act` try one server after the other until one does it. Throws the refusal that says most: that of a server which
 * answered, else M_UNKNOWN 502; M_NOT_FOUND where there is nobody to ask.
 */
async function tryServers<Result>(servers: readonly ServerName[], act: (server: ServerName) => Promise<Result>): Promise<Result> {
  let refusal: MatrixError | undefined;
  for (const server of servers) {
    try {
      return await act(server);
    } catch (error) {
      if (!(error instanceof FederationError)) throw error;
      log.info({ server, reason: error.message }, "a server did not help with a membership");
      const { status, errcode, answer } = error;
      if (!error.isOutage && status !== undefined && errcode !== undefined && !errcode.startsWith("M_UNABLE") && !OURS.includes(errcode)) {
        const room_version = ownString(answer, "room_version");
        const extra = errcode === "M_INCOMPATIBLE_ROOM_VERSION" && room_version !== undefined ? { extra: { room_version } } : {};
        refusal ??= new MatrixError(status, errcode, ownString(answer, "error") ?? "Another server refused this.", extra);
      }
    }
  }
  if (servers.length === 0) throw notFound("This server does not know this room, nor a server to ask for it.");
  throw refusal ?? unknownError(502, "No server of this room could be reached.");
}

/**
 * Asks a server in a room for a member event of a user of ours, and completes and signs it: only its place in the room, and
 * who vouches for a join, are taken from the answer. Throws FederationError.
 */
async function completeTemplate(
  context: RoomContext,
  server: ServerName,
  user: RoomUser,
  roomId: RoomId,
  membership: Membership,
  content: JsonObject,
): Promise<Completed> {
  const origin = serverNameOf(user.user_id);
  const versions = roomVersions().map(({ id }) => `ver=${encodeURIComponent(id)}`).join("&");
  const path = `make_${membership}/${encodeURIComponent(roomId)}/${encodeURIComponent(user.user_id)}`;
  const answer = await context.federation.client.request({
    origin,
    destination: server,
    method: "GET",
    uri: `/_matrix/federation/v1/${path}${membership === "leave" ? "" : `?${versions}`}`,
    timeoutMs: HANDSHAKE_MS,
    hasEvents: true,
  });
  // Old servers leave it out for rooms of version 1.
  const version = roomVersion(ownString(answer, "room_version") ?? "1");
  const template = own(answer, "event");
  if (version === undefined || !isObject(template)) throw new FederationError(server, `${server} gave no event to complete`);
  const key = context.federation.signingKey(origin);
  if (key === undefined) throw new Error("a member event of a user that is not ours");
  return { server, version, event: completed(context, server, user, roomId, version, template, { ...content, membership }, key) };
}

function completed(
  { clock }: RoomContext,
  server: ServerName,
  user: RoomUser,
  roomId: RoomId,
  version: RoomVersion,
  template: JsonObject,
  content: JsonObject,
  key: SigningKey,
): RoomEvent {
  const [previous, auth] = [referencesOf(template, "prev_events"), referencesOf(template, "auth_events")];
  const depth = own(template, "depth");
  const proposed = own(template, "content");
  const fits =
    own(template, "type") === "m.room.member" &&
    own(template, "room_id") === roomId &&
    own(template, "state_key") === user.user_id &&
    own(template, "sender") === user.user_id &&
    isObject(proposed) &&
    own(proposed, "membership") === content["membership"] &&
    typeof depth === "number";
  if (!fits || previous === undefined || auth === undefined) throw new FederationError(server, `${server} gave an event that was not asked for`);
  const voucher = isObject(proposed) ? ownString(proposed, "join_authorised_via_users_server") : undefined;
  const vouched = voucher !== undefined && content["membership"] === "join" && version.restrictedJoins;
  const origin = serverNameOf(user.user_id);
  const chosen = version.eventIds === "chosen" ? parseEventId(`$${crypto.randomUUID()}:${origin}`) : undefined;
  return buildEvent(
    version,
    {
      room_id: roomId,
      type: "m.room.member",
      state_key: user.user_id,
      sender: user.user_id,
      content: { ...content, ...(vouched && { join_authorised_via_users_server: voucher }) },
      origin_server_ts: clock.now(),
      depth,
      prev_events: [...previous.keys()],
      auth_events: [...auth.keys()],
      ...(chosen !== undefined && { event_id: chosen }),
      ...(version.referencePairs && { referenceHashes: new Map([...previous, ...auth]) }),
    },
    origin,
    key,
  );
}

/** The references of an event, with their hashes where the version has them; undefined if they are none. */
function referencesOf(template: JsonObject, key: string): Map<EventId, string> | undefined {
  const list = own(template, key);
  if (!Array.isArray(list)) return undefined;
  const references = new Map<EventId, string>();
  for (const entry of list) {
    const [first, hashes]: readonly (JsonValue | undefined)[] = Array.isArray(entry) ? entry : [entry];
    const id = parseEventId(first);
    if (id === undefined) return undefined;
    references.set(id, (isObject(hashes) ? ownString(hashes, "sha256") : undefined) ?? "");
  }
  return references;
}

/**
 * Joins a room through other servers, and takes over its state as one of them gives it. Throws M_NOT_FOUND, M_FORBIDDEN and what
 * else the servers refuse with, M_UNKNOWN 502 if none of them can be reached.
 */
export async function joinElsewhere(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  via: readonly ServerName[],
  content: JsonObject,
): Promise<EventId> {
  const known = await findRoom(context.database, roomId);
  // What we know whole stays so.
  const isWhole = known !== undefined && known.whole_since !== null && (await hasLocalMember(context.database, known.nid));
  return await tryServers(serversToAsk(context, roomId, via), async (server) => {
    const join = await completeTemplate(context, server, user, roomId, "join", content);
    // Who has let us in sends us events at once.
    const roomNid = await context.joins.during(roomId, server, async () => await takeOver(context, join, roomId, await sendJoin(context, join, roomId, !isWhole)));
    // Small rooms are known whole at once, and nobody sees that it was otherwise.
    await untilWhole(context.database, roomNid, BECOMES_WHOLE_MS);
    return join.event.event_id;
  });
}

/**
 * Knocks on a room that only other servers are in. Throws M_NOT_FOUND, M_FORBIDDEN and what else the servers refuse with, M_UNKNOWN
 * 502 if none of them can be reached.
 */
export async function knockElsewhere(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  via: readonly ServerName[],
  content: JsonObject,
): Promise<void> {
  await tryServers(serversToAsk(context, roomId, via), async (server) => {
    const { version, event } = await completeTemplate(context, server, user, roomId, "knock", content);
    const answer = await send(context, server, event, "v1", "send_knock");
    await setOutside(context, version, roomId, event, listOf(answer, "knock_room_state"));
  });
}

/**
 * Leaves a room that only other servers are in: declines an invitation, or takes a knock back. They are told, if they can be;
 * for the user it is over in any case.
 */
export async function leaveElsewhere(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  before: { readonly event: RoomEvent; readonly version: RoomVersion },
  content: JsonObject,
): Promise<void> {
  const via = [serverNameOf(before.event.sender)];
  try {
    await tryServers(serversToAsk(context, roomId, via), async (server) => {
      const { version, event } = await completeTemplate(context, server, user, roomId, "leave", content);
      try {
        await send(context, server, event, "v2", "send_leave");
      } catch (error) {
        if (!(error instanceof FederationError) || !error.isUnknownPath) throw error;
        await send(context, server, event, "v1", "send_leave");
      }
      await setOutside(context, version, roomId, event, undefined);
    });
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    log.info({ room: roomId, reason: error.message }, "a room could not be told that a user of ours has left");
    await setOutside(context, before.version, roomId, ownLeave(context, user, roomId, before, content), undefined);
  }
}

/** A leave that no other server has seen: it follows what it ends. */
function ownLeave(
  { clock, federation }: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  { event: before, version }: { readonly event: RoomEvent; readonly version: RoomVersion },
  content: JsonObject,
): RoomEvent {
  const origin = serverNameOf(user.user_id);
  const key = federation.signingKey(origin);
  if (key === undefined) throw new Error("a member event of a user that is not ours");
  const chosen = version.eventIds === "chosen" ? parseEventId(`$${crypto.randomUUID()}:${origin}`) : undefined;
  return buildEvent(
    version,
    {
      room_id: roomId,
      type: "m.room.member",
      state_key: user.user_id,
      sender: user.user_id,
      content: { ...content, membership: "leave" },
      origin_server_ts: clock.now(),
      depth: before.depth + 1,
      prev_events: [before.event_id],
      auth_events: [before.event_id],
      ...(chosen !== undefined && { event_id: chosen }),
    },
    origin,
    key,
  );
}

/** Sends a completed event to the server that offered it. Throws FederationError. */
async function send({ federation }: RoomContext, server: ServerName, event: RoomEvent, version: "v1" | "v2", operation: string): Promise<JsonObject> {
  return await federation.client.request({
    origin: serverNameOf(event.sender),
    destination: server,
    method: "PUT",
    uri: `/_matrix/federation/${version}/${operation}/${encodeURIComponent(event.room_id)}/${encodeURIComponent(event.event_id)}`,
    body: wireOf(event),
    timeoutMs: HANDSHAKE_MS,
    hasEvents: true,
  });
}

/** As `send`, for a join; `omits`: a part of the state will do. */
async function sendJoin(context: RoomContext, { server, version, event }: Completed, roomId: RoomId, omits: boolean): Promise<GivenState> {
  const path = `send_join/${encodeURIComponent(roomId)}/${encodeURIComponent(event.event_id)}`;
  const request = { origin: serverNameOf(event.sender), destination: server, method: "PUT" as const, body: wireOf(event) };
  const ask = (uri: string): Promise<GivenState> => askForEvents(context, { ...request, uri: `/_matrix/federation/${uri}` }, { room: { version, roomId }, lists: ["auth_chain", "state"] });
  try {
    return await ask(`v2/${path}${omits ? "?omit_members=true" : ""}`);
  } catch (error) {
    if (!(error instanceof FederationError) || !error.isUnknownPath) throw error;
    return await ask(`v1/${path}`);
  }
}

/** An event of ours as other servers are sent it. */
function wireOf(event: RoomEvent): JsonObject {
  const json: unknown = JSON.parse(event.json);
  return json as JsonObject;
}

/**
 * Takes the state of a room over from the server that let us in, or the part of it that was given: the number of the room. Throws
 * FederationError for what does not fit together.
 */
async function takeOver(context: RoomContext, { server, version, event }: Completed, roomId: RoomId, { answer, ids, events }: GivenState): Promise<number> {
  const { database, numbers, owners, clock } = context;
  const unfit = (reason: string): FederationError => new FederationError(server, `the state of ${server} cannot be taken over: ${reason}`);
  const joined = signedBack(version, event, answer);
  const state = ids("state").flatMap((id) => events.get(id) ?? []);
  const create = state.find(({ type, state_key }) => type === "m.room.create" && state_key === "");
  if (create === undefined) throw unfit("there is no create event");
  if ((ownString(create.content, "room_version") ?? "1") !== version.id) throw unfit("the room has another version than was said");
  if (version.hashedRoomIds && create.event_id.slice(1) !== roomId.slice(1)) throw unfit("the create event is of another room");

  if ((await findRoom(database, roomId)) === undefined) await adoptRoom(database, (await numbers.allot("room_nids", 1)).take(), roomId, version.id);
  const { nid: roomNid } = await requireRoom(database, roomId);
  await startEntry(database, roomNid, { user_id: event.sender, asked: server, expected: events.size, process: owners.process }, clock.now());
  try {
    const writer = new OutlierWriter(context, { server, version, roomId, roomNid, create: version.hashedRoomIds ? create.event_id : undefined }, [], events.size);
    writer.add(events.values());
    await writer.end();
    const beside = await hasLocalMember(database, roomNid);
    const partial = own(answer, "members_omitted") === true ? { partial: { servers: serversIn(context, server, answer) } } : {};
    // What the rules do not allow is no state, whoever says so.
    const rows = await eventsById(database, state.map(({ event_id }) => event_id));
    const stateBefore = new Map<StateTuple, EventId>();
    for (const { type, state_key, event_id } of state) {
      const row = rows.get(event_id);
      if (state_key !== undefined && row !== undefined && (row.flags & FLAGS.rejected) === 0) stateBefore.set(stateTuple(type, state_key), event_id);
    }
    const { outcomes } = await owners.receive(version, roomId, [{ event: joined, as: "live", stateBefore, entry: true, beside, ...partial }]);
    if (outcomes.get(joined.event_id) !== "live") {
      const refusal = { errcode: "M_FORBIDDEN", error: "The rules of the room do not allow this join." };
      throw new FederationError(server, `the state of ${server} does not allow the join`, { status: 403, answer: refusal });
    }
    log.info({ room: roomId, server, partial: "partial" in partial }, "a room was joined");
  } catch (error) {
    await failEntry(database, roomNid, error instanceof Error ? error.message : String(error), clock.now());
    throw error;
  }
  return roomNid;
}

/** The other servers in a room by the account of the one that let us in, itself among them. */
function serversIn({ servers }: RoomContext, server: ServerName, answer: JsonObject): ServerName[] {
  const given = listOf(answer, "servers_in_room").slice(0, MAX_SERVERS).flatMap((name) => parseServerName(name) ?? []);
  return [...new Set([server, ...given])].filter((name) => !servers.isLocal(name));
}

/** The join as the other server gives it back, with the signature of who vouches for it; ours if it gives none, or another. */
function signedBack(version: RoomVersion, event: RoomEvent, answer: JsonObject): RoomEvent {
  const parsed = parseEvent(version, own(answer, "event") ?? null);
  return "malformed" in parsed || parsed.redacted || parsed.event.event_id !== event.event_id ? event : parsed.event;
}
