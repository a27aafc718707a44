// Sends events (client-server API, "Sending events to a room" and "Redactions").
import { isDeepStrictEqual } from "node:util";
import { badAlias, badJson, forbidden, invalidParam } from "../errors.js";
import { stateKeyOwner } from "../protocol/authorisation.js";
import { type EventId, parseEventId, parseRoomAlias, parseUserId, type RoomId, serverNameOf } from "../protocol/identifiers.js";
import { isObject, type JsonObject, own, ownString } from "../protocol/json.js";
import { type Membership, membershipIn } from "../protocol/membership.js";
import { roomCreators } from "../protocol/power-levels.js";
import { stateTuple } from "../protocol/state-map.js";
import { findAliases } from "../storage/aliases.js";
import { DELAYED } from "../storage/transaction-ids.js";
import { namedAliases } from "./aliases.js";
import { requireNewAnnotation } from "./annotations.js";
import type { RoomContext, RoomUser } from "./context.js";
import { CREATE, findRoom, type Room, stateEventsOf } from "./current-state.js";
import { accepted, type DraftTransaction, type RoomDraft } from "./owner/draft.js";
import { requireInvitable } from "./membership/invite-filter.js";
import { joinRoom } from "./membership/membership.js";
import { inviteElsewhere } from "./membership/remote-invite.js";
import { requireDeclinable } from "./administration/server-notices.js";

/** What else is asked of an event: the time that it says it happened at, now if absent, and for how long it is sticky (MSC4354); as which delayed event it was scheduled (MSC4140), under whose id it is sent once. */
interface SendOptions {
  readonly origin_server_ts?: number | undefined;
  readonly sticky_duration_ms?: number | undefined;
  readonly delay_id?: string | undefined;
}

/** What of a draft the options say. */
function given({ origin_server_ts, sticky_duration_ms, delay_id }: SendOptions): Partial<Pick<RoomDraft, "origin_server_ts" | "sticky_duration_ms" | "transaction">> {
  return {
    ...(origin_server_ts !== undefined && { origin_server_ts }),
    ...(sticky_duration_ms !== undefined && { sticky_duration_ms }),
    ...(delay_id !== undefined && { transaction: { device_id: DELAYED, endpoint: "delayed", txn_id: delay_id } }),
  };
}

/**
 * Sends a message event; the same transaction id of the same device again gives the same event. Throws M_FORBIDDEN,
 * M_NOT_FOUND, M_TOO_LARGE, M_BAD_JSON, M_DUPLICATE_ANNOTATION.
 */
export async function sendMessage(
  context: RoomContext,
  sender: RoomUser,
  roomId: RoomId,
  type: string,
  txnId: string,
  content: JsonObject,
  options: SendOptions = {},
): Promise<EventId> {
  // A redaction that a client builds itself names its target in its content, as newer room versions have it.
  const redacts = type === "m.room.redaction" ? parseEventId(own(content, "redacts")) : undefined;
  const device_id = options.delay_id === undefined ? sender.device_id : DELAYED;
  await requireNewAnnotation(context, { user_nid: sender.user_nid, device_id }, type, content, txnId);
  const [result] = await context.owners.submit(roomId, [
    {
      type,
      sender: sender.user_id,
      content,
      ...(redacts !== undefined && { redacts }),
      transaction: transactionOf(sender, `send/${roomId}/${type}`, txnId),
      ...given(options),
    },
  ]);
  return accepted(result).event_id;
}

/** Redacts an event. Throws M_FORBIDDEN, M_NOT_FOUND. */
export async function redactEvent(
  { owners }: RoomContext,
  sender: RoomUser,
  roomId: RoomId,
  redacts: EventId,
  txnId: string,
  content: JsonObject,
): Promise<EventId> {
  const { redacts: _named, ...rest } = content;
  const [result] = await owners.submit(roomId, [
    {
      type: "m.room.redaction",
      sender: sender.user_id,
      content: rest,
      redacts,
      transaction: transactionOf(sender, `redact/${roomId}/${redacts}`, txnId),
    },
  ]);
  return accepted(result).event_id;
}

function transactionOf({ device_id }: RoomUser, endpoint: string, txn_id: string): DraftTransaction {
  return { device_id: device_id ?? "", endpoint, txn_id };
}

/**
 * Sets a piece of state; setting what the same sender has set already gives the event that did. Throws M_FORBIDDEN,
 * M_NOT_FOUND, M_BAD_ALIAS, M_INVALID_PARAM, M_TOO_LARGE, M_BAD_JSON.
 */
export async function setState(
  context: RoomContext,
  sender: RoomUser,
  roomId: RoomId,
  type: string,
  stateKey: string,
  content: JsonObject,
  options: SendOptions = {},
): Promise<EventId> {
  const room = await findRoom(context.database, roomId);
  if (room === undefined) throw forbidden("You are not in this room.");
  if (room.rules.ownedState && stateKey.startsWith("@") && stateKeyOwner(stateKey) === undefined) {
    throw badJson("A state key that begins with @ must be a user's id, or begin with one and _.");
  }
  const tuple = stateTuple(type, stateKey);
  const before = (await stateEventsOf(context, context.database, room.nid, [tuple])).get(tuple);
  // What is sticky is sent again before it expires.
  const isNew = options.sticky_duration_ms !== undefined || before?.sender !== sender.user_id || !isDeepStrictEqual(before.content, content);
  if (!isNew) return before.event_id;
  if (type === "m.room.member") {
    return await setMember(context, sender, roomId, stateKey, content, before && membershipIn(before.content), options);
  }
  if (type === "m.room.create") throw invalidParam("A room is created once.");
  if (type === "m.room.power_levels" && room.rules.privilegedCreators) await requireNoCreators(context, room, content);
  if (type === "m.room.canonical_alias") await requireGoodAliases(context, roomId, content, before?.content ?? {});
  return await submitState(context, sender, roomId, type, stateKey, content, options);
}

/** Creators stand above all power levels: to name one is a mistake that no right of the sender's could mend. Throws M_INVALID_PARAM. */
async function requireNoCreators(context: RoomContext, room: Room, content: JsonObject): Promise<void> {
  const create = (await stateEventsOf(context, context.database, room.nid, [CREATE])).get(CREATE);
  const users = own(content, "users");
  const named = create === undefined || !isObject(users) ? undefined : roomCreators(room.rules, create).find((id) => Object.hasOwn(users, id));
  if (named !== undefined) throw invalidParam(`${named} is a creator of the room and has no power level.`);
}

/**
 * A membership that a client sends as state. Who authorises a join into a restricted room is for us to find out and to sign:
 * never for the client to say.
 */
async function setMember(
  context: RoomContext,
  sender: RoomUser,
  roomId: RoomId,
  stateKey: string,
  content: JsonObject,
  before: Membership | undefined,
  options: SendOptions,
): Promise<EventId> {
  const target = parseUserId(stateKey);
  // The rules of rooms let others' servers do it; what is there may be taken out.
  if (target === undefined && before === undefined) throw invalidParam("The state key of a membership must be a user id.");
  const membership = ownString(content, "membership");
  if (before === "invite" && membership === "leave" && stateKey === sender.user_id) {
    await requireDeclinable(context, sender.user_nid, roomId);
  }
  if (membership === "join" && stateKey === sender.user_id) return await joinRoom(context, sender, roomId, { content, origin_server_ts: options.origin_server_ts });
  if (membership === "invite" && target !== undefined) await requireInvitable(context, sender.user_id, [target]);
  const { join_authorised_via_users_server: _ours, ...rest } = content;
  if (membership === "invite" && target !== undefined && !context.servers.isLocal(serverNameOf(target))) {
    return await inviteElsewhere(context, sender.user_id, roomId, target, rest);
  }
  return await submitState(context, sender, roomId, "m.room.member", stateKey, rest, options);
}

async function submitState(
  { owners }: RoomContext,
  sender: RoomUser,
  roomId: RoomId,
  type: string,
  stateKey: string,
  content: JsonObject,
  options: SendOptions,
): Promise<EventId> {
  const draft = { type, state_key: stateKey, sender: sender.user_id, content };
  const [result] = await owners.submit(roomId, [{ ...draft, ...given(options) }]);
  return accepted(result).event_id;
}

/** Throws M_INVALID_PARAM for new aliases that are none, M_BAD_ALIAS for those that do not point to this room. */
async function requireGoodAliases(
  { database, servers }: RoomContext,
  roomId: RoomId,
  content: JsonObject,
  before: JsonObject,
): Promise<void> {
  const known = new Set(namedAliases(before));
  const added = namedAliases(content).filter((alias) => !known.has(alias));
  const aliases = added.map((text) => {
    const alias = parseRoomAlias(text);
    if (alias === undefined) throw invalidParam(`${JSON.stringify(text)} is no room alias.`);
    return alias;
  });
  const local = aliases.filter((alias) => servers.isLocal(serverNameOf(alias)));
  const found = await findAliases(database, local);
  for (const alias of aliases) {
    if (found.get(alias)?.room_id !== roomId) throw badAlias(`The alias ${alias} does not point to this room.`);
  }
}
