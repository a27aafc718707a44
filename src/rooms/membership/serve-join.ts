// Users of other servers join our rooms (server-server API, "Joining Rooms").
import { forbidden, invalidParam, notFound } from "../../errors.js";
import { cosignEvent, parseEvent } from "../../protocol/event-format.js";
import type { RoomEvent } from "../../protocol/event.js";
import { type EventId, parseUserId, type RoomId, type ServerName, serverNameOf, type UserId } from "../../protocol/identifiers.js";
import { type JsonObject, ownString } from "../../protocol/json.js";
import { membershipIn } from "../../protocol/membership.js";
import { stateTuple } from "../../protocol/state-map.js";
import { hasLocalMember } from "../../storage/memberships.js";
import { eventsById, type StoredEvent } from "../../storage/events.js";
import { serversOfRoom } from "../../storage/room-directory.js";
import { heroesOf, stateAtSnapshot, stateWithoutMembers } from "../../storage/state.js";
import type { Reads } from "../../storage/statement.js";
import type { RoomContext } from "../context.js";
import { checkEvents, refusalOf } from "../remote/check-events.js";
import { CREATE, JOIN_RULES, memberTuple, POWER_LEVELS, requireRoom, type Room, stateEventsOf } from "../current-state.js";
import { memberTemplate, requireKnownVersion } from "./event-template.js";
import type { Sender } from "../remote/receive.js";
import { authorisedJoin } from "./restricted-join.js";
import { requireAllowedServer, stateWithAuthChain, type StateForServer } from "../views/server-view.js";

const MAX_SERVERS = 10_000;

/** A room of ours that another server's user asks to change their membership of. Throws M_NOT_FOUND, M_FORBIDDEN. */
export async function requireServedRoom(context: RoomContext, { origin }: Sender, roomId: RoomId): Promise<Room> {
  const { database } = context;
  const room = await requireRoom(database, roomId);
  if (!(await hasLocalMember(database, room.nid))) throw notFound("This server is not in this room.");
  await requireAllowedServer(context, database, room, origin);
  // Who could be let in, and into what, other servers know better.
  if (room.whole_since === null) throw notFound("This server does not know the whole room yet.");
  return room;
}

/**
 * A join to be completed by the user's server. Throws M_NOT_FOUND, M_INCOMPATIBLE_ROOM_VERSION, M_FORBIDDEN,
 * M_UNABLE_TO_AUTHORISE_JOIN, M_UNABLE_TO_GRANT_JOIN.
 */
export async function joinTemplate(
  context: RoomContext,
  sender: Sender,
  roomId: RoomId,
  userId: UserId,
  versions: readonly string[],
): Promise<{ room_version: string; event: JsonObject }> {
  const room = await requireServedRoom(context, sender, roomId);
  requireKnownVersion(room, versions);
  if (serverNameOf(userId) !== sender.origin) throw forbidden("A server joins its own users only.");
  const content = { membership: "join", ...(await authoriser(context, room, userId)) };
  const event = await memberTemplate(context, context.database, room, userId, content);
  return { room_version: room.rules.id, event };
}

async function authoriser(context: RoomContext, room: Room, userId: UserId): Promise<JsonObject> {
  const tuples = [CREATE, POWER_LEVELS, JOIN_RULES, memberTuple(userId)];
  return await authorisedJoin(context, room, userId, await stateEventsOf(context, context.database, room.nid, tuples));
}

/** A member event that another server has completed for one of its users. Throws M_INVALID_PARAM, M_FORBIDDEN. */
export async function requireMemberEvent(
  context: RoomContext,
  room: Room,
  { origin }: Sender,
  eventId: EventId,
  wire: JsonObject,
  membership: "join" | "leave" | "knock",
): Promise<RoomEvent> {
  const [checked] = await checkEvents(context.federation.keyRing, room.rules, [wire]);
  if (checked === undefined) throw invalidParam("There is no event.");
  if ("refused" in checked) throw refusalOf(`The event cannot be taken: ${checked.refused}.`, checked.because);
  const { event } = checked;
  if (event.event_id !== eventId) throw invalidParam("The event has another id than the path.");
  if (event.room_id !== room.room_id) throw invalidParam("The event is of another room.");
  if (event.type !== "m.room.member" || membershipIn(event.content) !== membership) throw invalidParam(`This is no member event with membership ${membership}.`);
  if (event.state_key !== event.sender) throw invalidParam("This is no change of a user's own membership.");
  if (serverNameOf(event.sender) !== origin) throw forbidden("A server speaks for its own users only.");
  return event;
}

export interface JoinAnswer extends StateForServer {
  readonly event: RoomEvent;
  readonly servers: readonly ServerName[];
  readonly membersOmitted: boolean;
}

/**
 * Takes a join that another server has completed: what it needs to go on; with `omitMembers` without the memberships, but for
 * those after whom the room is called, and without what would be told twice. Throws M_NOT_FOUND, M_INVALID_PARAM,
 * M_FORBIDDEN.
 */
export async function takeJoin(
  context: RoomContext,
  sender: Sender,
  roomId: RoomId,
  eventId: EventId,
  wire: JsonObject,
  omitMembers: boolean,
): Promise<JoinAnswer> {
  const { database, owners } = context;
  const room = await requireServedRoom(context, sender, roomId);
  const event = await requireMemberEvent(context, room, sender, eventId, await vouchedFor(context, room, wire), "join");
  const known = (await eventsById(database, [eventId])).get(eventId);
  const { outcomes } = known === undefined ? await owners.receive(room.rules, roomId, [{ event, as: "live", passOn: true }]) : { outcomes: new Map([[eventId, "live"]]) };
  if (outcomes.get(eventId) !== "live") throw forbidden("The room does not allow this join, or not any more.");
  return await database.snapshot(async (reads) => {
    const row = (await eventsById(reads, [eventId])).get(eventId);
    if (row === undefined) throw new Error("a join was written and is not there");
    const servers = await serversOfRoom(reads, room.nid, MAX_SERVERS, row.sender_nid);
    if (omitMembers) return { ...(await stateForNewcomer(context, reads, room, row)), event, servers, membersOmitted: true };
    const state = await stateAtSnapshot(reads, row.state_before);
    const whole = await stateWithAuthChain(context, reads, state.map(({ event_nid }) => event_nid));
    return { ...whole, event, servers, membersOmitted: false };
  });
}

/** The state before a join as little as does for a beginning, and what authorises it and the join that is not among it. */
async function stateForNewcomer(context: RoomContext, reads: Reads, room: Room, join: StoredEvent): Promise<StateForServer> {
  const names = await stateEventsOf(context, reads, room.nid, [stateTuple("m.room.name", ""), stateTuple("m.room.canonical_alias", "")]);
  const heroes = names.size > 0 ? [] : await heroesOf(reads, room.nid, join.sender_nid);
  const nids = await stateWithoutMembers(reads, join.state_before, heroes);
  const { pdus, authChain } = await stateWithAuthChain(context, reads, nids, join.auth_nids);
  const given = new Set(nids);
  return { pdus, authChain: authChain.filter(({ row }) => !given.has(row.nid)) };
}

/** A join into a restricted room, with the signature of our user's server who vouches for it, if the user fulfils a condition. */
async function vouchedFor(context: RoomContext, room: Room, wire: JsonObject): Promise<JsonObject> {
  const parsed = parseEvent(room.rules, wire);
  if ("malformed" in parsed) return wire;
  const { event } = parsed;
  const voucher = parseUserId(ownString(event.content, "join_authorised_via_users_server"));
  const key = voucher === undefined ? undefined : context.federation.signingKey(serverNameOf(voucher));
  if (voucher === undefined || key === undefined || !room.rules.restrictedJoins) return wire;
  // What was true for the template has to be true still: nobody gets our signature by leaving the first step out.
  await authoriser(context, room, event.sender);
  const signed: unknown = JSON.parse(cosignEvent(room.rules, event, serverNameOf(voucher), key).json);
  return signed as JsonObject;
}
