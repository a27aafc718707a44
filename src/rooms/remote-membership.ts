// Our users' memberships of rooms that only other servers are in (server-server API, "Joining Rooms"): what they give us is
// completed and checked by us, never signed as it came.
import { FederationError } from "../federation/client.js";
import { MatrixError, notFound, unknownError } from "../errors.js";
import { logger } from "../log.js";
import { buildEvent, type ParsedEvent, parseEvent } from "../protocol/event-format.js";
import type { RoomEvent } from "../protocol/event.js";
import { type EventId, parseEventId, type RoomId, type ServerName, serverNameOf } from "../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../protocol/json.js";
import type { Membership } from "../protocol/membership.js";
import { roomVersion, type RoomVersion, roomVersions } from "../protocol/room-version.js";
import type { SigningKey } from "../protocol/signing.js";
import { type StateTuple, stateTuple } from "../protocol/state-map.js";
import { eventsById } from "../storage/events.js";
import { FLAGS } from "../storage/room-rows.js";
import { adoptRoom } from "../storage/rooms.js";
import { type CheckedEvent, checkSignatures } from "./check-events.js";
import type { RoomContext, RoomUser } from "./context.js";
import { findRoom } from "./current-state.js";
import { inOrder } from "./event-order.js";
import { setOutside } from "./outside.js";

const log = logger("federation");

const HANDSHAKE_MS = 60_000;
/** What a server gives of a large room takes its time. */
const STATE_MS = 300_000;
const STATE_BYTES = 512 * 1024 * 1024;
/** Servers that are tried for one join. */
const MAX_TRIES = 10;
/** Events that are read, or checked and written, at once: between them others have their turn. */
const READ_AT_ONCE = 200;
const WRITE_AT_ONCE = 500;

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
      if (!error.isOutage && status !== undefined && errcode !== undefined && !errcode.startsWith("M_UNABLE")) {
        refusal ??= new MatrixError(status, errcode, ownString(answer, "error") ?? "Another server refused this.");
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
  return await tryServers(serversToAsk(context, roomId, via), async (server) => {
    const join = await completeTemplate(context, server, user, roomId, "join", content);
    // Who has let us in sends us events at once.
    await context.joins.during(roomId, async () => await takeOver(context, join, roomId, await sendJoin(context, join, roomId)));
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
        if (!(error instanceof FederationError) || error.errcode !== "M_UNRECOGNIZED") throw error;
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
  });
}

async function sendJoin({ federation }: RoomContext, { server, event }: Completed, roomId: RoomId): Promise<JsonObject> {
  const path = `send_join/${encodeURIComponent(roomId)}/${encodeURIComponent(event.event_id)}`;
  const request = {
    origin: serverNameOf(event.sender),
    destination: server,
    method: "PUT" as const,
    body: wireOf(event),
    timeoutMs: STATE_MS,
    maxBytes: STATE_BYTES,
  };
  try {
    return await federation.client.request({ ...request, uri: `/_matrix/federation/v2/${path}` });
  } catch (error) {
    if (!(error instanceof FederationError) || error.errcode !== "M_UNRECOGNIZED") throw error;
    return await federation.client.request({ ...request, uri: `/_matrix/federation/v1/${path}` });
  }
}

/** An event of ours as other servers are sent it. */
function wireOf(event: RoomEvent): JsonObject {
  const json: unknown = JSON.parse(event.json);
  return json as JsonObject;
}

/** Takes the state of a room over from the server that let us in. Throws FederationError for what does not fit together. */
async function takeOver(context: RoomContext, { server, version, event }: Completed, roomId: RoomId, answer: JsonObject): Promise<void> {
  const { database, numbers, owners } = context;
  const unfit = (reason: string): FederationError => new FederationError(server, `the state of ${server} cannot be taken over: ${reason}`);
  const joined = signedBack(version, event, answer);
  const events = new Map<EventId, ParsedEvent>();
  await readInto(events, version, roomId, listOf(answer, "auth_chain"));
  const stateIds = await readInto(events, version, roomId, listOf(answer, "state"));
  const state = stateIds.flatMap((id) => events.get(id)?.event ?? []);
  const create = state.find(({ type, state_key }) => type === "m.room.create" && state_key === "");
  if (create === undefined) throw unfit("there is no create event");
  if ((ownString(create.content, "room_version") ?? "1") !== version.id) throw unfit("the room has another version than was said");
  if (version.hashedRoomIds && create.event_id.slice(1) !== roomId.slice(1)) throw unfit("the create event is of another room");

  const known = await findRoom(database, roomId);
  if (known === undefined) await adoptRoom(database, (await numbers.allot("room_nids", 1)).take(), roomId, version.id);
  await writeOutliers(context, { server, version, roomId, create: create.event_id }, events);
  // What the rules do not allow is no state, whoever says so.
  const rows = await eventsById(database, state.map(({ event_id }) => event_id));
  const stateBefore = new Map<StateTuple, EventId>();
  for (const { type, state_key, event_id } of state) {
    const row = rows.get(event_id);
    if (state_key !== undefined && row !== undefined && (row.flags & FLAGS.rejected) === 0) stateBefore.set(stateTuple(type, state_key), event_id);
  }
  const { outcomes } = await owners.receive(version, roomId, [{ event: joined, as: "live", stateBefore, entry: true }]);
  if (outcomes.get(joined.event_id) !== "live") throw unfit("it does not allow the join");
}

/** The join as the other server gives it back, with the signature of who vouches for it; ours if it gives none, or another. */
function signedBack(version: RoomVersion, event: RoomEvent, answer: JsonObject): RoomEvent {
  const parsed = parseEvent(version, own(answer, "event") ?? null);
  return "malformed" in parsed || parsed.redacted || parsed.event.event_id !== event.event_id ? event : parsed.event;
}

/**
 * Reads those of many events that are well formed and of the room: their ids, in their order. Between some of them others have
 * their turn.
 */
async function readInto(events: Map<EventId, ParsedEvent>, version: RoomVersion, roomId: RoomId, wire: readonly JsonValue[]): Promise<EventId[]> {
  const ids: EventId[] = [];
  for (const [index, json] of wire.entries()) {
    if (index % READ_AT_ONCE === READ_AT_ONCE - 1) await new Promise((resolve) => setImmediate(resolve));
    const parsed = parseEvent(version, json);
    if ("malformed" in parsed || parsed.event.room_id !== roomId) continue;
    const { event_id } = parsed.event;
    ids.push(event_id);
    if (!events.has(event_id)) events.set(event_id, parsed);
  }
  return ids;
}

interface Source {
  readonly server: ServerName;
  readonly version: RoomVersion;
  readonly roomId: RoomId;
  readonly create: EventId;
}

/**
 * Writes those of many events whose signatures hold, each after those that authorise it. While some are written, the next are
 * checked: the one is PostgreSQL's work, the other that of the thread pool.
 */
async function writeOutliers({ federation, owners }: RoomContext, { server, version, roomId, create }: Source, events: ReadonlyMap<EventId, ParsedEvent>): Promise<void> {
  // Where the room id implies the create event, nothing names it, and everything needs it.
  const order = inOrder([...events.values()].map(({ event }) => event), ({ auth_events }) => [...auth_events, create]);
  const check = (start: number): Promise<CheckedEvent[]> =>
    checkSignatures(federation.keyRing, version, order.slice(start, start + WRITE_AT_ONCE).flatMap(({ event_id }) => events.get(event_id) ?? []));
  let next = check(0);
  for (let start = 0; start < order.length; start += WRITE_AT_ONCE) {
    const checked = await next;
    next = check(start + WRITE_AT_ONCE);
    // Whatever becomes of the writing, somebody has heard of this.
    next.catch(() => undefined);
    const outliers = checked.flatMap((result) => ("event" in result ? { event: result.event, as: "outlier" as const } : []));
    await owners.receive(version, roomId, outliers);
    log.info({ room: roomId, server, written: Math.min(start + WRITE_AT_ONCE, order.length), of: order.length }, "a room is being joined");
  }
}

function listOf(answer: JsonObject, key: string): readonly JsonValue[] {
  const list = own(answer, key);
  return Array.isArray(list) ? list : [];
}
