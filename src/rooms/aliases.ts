// Room aliases of our servers (client-server API, "Room aliases").
import { FederationError } from "../federation/client.js";
import { forbidden, invalidParam, MatrixError, notFound, unknownError } from "../errors.js";
import { logger } from "../log.js";
import { historyVisibilityIn } from "../protocol/history-visibility.js";
import { localpartOf, parseRoomAlias, parseRoomId, parseServerName, type RoomAlias, type RoomId, serverNameOf, type ServerName } from "../protocol/identifiers.js";
import { type JsonObject, own } from "../protocol/json.js";
import { requiredLevel, userLevel } from "../protocol/power-levels.js";
import { stateTuple } from "../protocol/state-map.js";
import { aliasesOfRoom, aliasInsert, deleteAlias, findAliases, isAliasTaken } from "../storage/aliases.js";
import { serversOfRoom } from "../storage/room-directory.js";
import { requireOpenRoom } from "./administration/blocked-rooms.js";
import type { RoomContext, RoomUser } from "./context.js";
import {
  CREATE,
  HISTORY_VISIBILITY,
  membershipAmong,
  memberTuple,
  POWER_LEVELS,
  powerLevelsAmong,
  requireRoom,
  type Room,
  stateEventsOf,
} from "./current-state.js";
import { accepted } from "./owner/draft.js";

const log = logger("rooms");

const CANONICAL_ALIAS = stateTuple("m.room.canonical_alias", "");
/** How many servers are named that could let someone into a room. */
const MAX_SERVERS = 20;

/** A room alias that can be given out. Throws M_INVALID_PARAM. */
export function requireGrantable(text: string): RoomAlias {
  const alias = parseRoomAlias(text);
  if (alias === undefined || localpartOf(alias) === "") throw invalidParam(`${text} is no room alias.`);
  return alias;
}

const unknownAlias = (alias: RoomAlias): MatrixError => notFound(`The room alias ${alias} is not known.`);

/** The room that an alias of ours points to. Throws M_NOT_FOUND. */
async function roomOfAlias({ database }: RoomContext, alias: RoomAlias): Promise<{ room_id: RoomId; room_nid: number }> {
  const found = (await findAliases(database, [alias])).get(alias);
  if (found === undefined) throw unknownAlias(alias);
  return found;
}

/** The room of an alias, of ours or of another server, and servers that are in it. Throws M_NOT_FOUND. */
export async function lookUpAlias(
  context: RoomContext,
  alias: RoomAlias,
): Promise<{ room_id: RoomId; servers: ServerName[] }> {
  const own = serverNameOf(alias);
  if (!context.servers.isLocal(own)) return await askForAlias(context, own, alias);
  const { room_id, room_nid } = await roomOfAlias(context, alias);
  const others = await serversOfRoom(context.database, room_nid, MAX_SERVERS);
  return { room_id, servers: [own, ...others.filter((server) => server !== own)] };
}

/** What another server says of its alias ("Querying for information"). Throws M_NOT_FOUND, M_UNKNOWN 502 if it cannot be reached. */
async function askForAlias({ federation, servers }: RoomContext, server: ServerName, alias: RoomAlias): Promise<{ room_id: RoomId; servers: ServerName[] }> {
  const uri = `/_matrix/federation/v1/query/directory?room_alias=${encodeURIComponent(alias)}`;
  try {
    const answer = await federation.client.request({ origin: servers.names[0], destination: server, method: "GET", uri });
    const room_id = parseRoomId(own(answer, "room_id"));
    const named = own(answer, "servers");
    if (room_id === undefined) throw unknownAlias(alias);
    const others = (Array.isArray(named) ? named : []).flatMap((name) => parseServerName(name) ?? []);
    return { room_id, servers: [...new Set([server, ...others])].slice(0, MAX_SERVERS) };
  } catch (error) {
    if (!(error instanceof FederationError)) throw error;
    if (error.isOutage) throw unknownError(502, `${server} could not be reached.`, error);
    throw unknownAlias(alias);
  }
}

/**
 * Lets a new alias of the user's server point to a room that the user is in, or to any room where the alias is `reserved` for
 * the user's application service. Throws M_INVALID_PARAM, M_UNKNOWN 409 if it exists, M_NOT_FOUND for an unknown room,
 * M_FORBIDDEN.
 */
export async function createAlias(context: RoomContext, user: RoomUser, text: string, roomId: RoomId, reserved = false): Promise<void> {
  const alias = requireGrantable(text);
  if (serverNameOf(alias) !== serverNameOf(user.user_id)) throw invalidParam("Aliases are made on their own server only.");
  const { database, committer } = context;
  await requireOpenRoom(context, roomId);
  const room = await requireRoom(database, roomId);
  const state = await stateEventsOf(context, database, room.nid, [memberTuple(user.user_id)]);
  if (membershipAmong(state, user.user_id) !== "join" && !user.is_admin && !reserved) throw forbidden("You are not in this room.");
  if ((await findAliases(database, [alias])).size > 0) throw taken(alias);
  try {
    await committer.submit({ statements: [aliasInsert(alias, room.nid, user.user_nid)], entries: [] });
  } catch (error) {
    if (isAliasTaken(error)) throw taken(alias);
    throw error;
  }
}

const taken = (alias: RoomAlias): MatrixError => new MatrixError(409, "M_UNKNOWN", `The room alias ${alias} exists already.`);

/**
 * Deletes an alias: for who made it, for who may set the room's canonical alias, and for administrators. The canonical alias
 * event stops to name it if the user may change that event. Throws M_NOT_FOUND, M_FORBIDDEN.
 */
export async function removeAlias(context: RoomContext, user: RoomUser, alias: RoomAlias): Promise<void> {
  const { database } = context;
  const found = (await findAliases(database, [alias])).get(alias);
  if (found === undefined) throw unknownAlias(alias);
  const room = await requireRoom(database, found.room_id);
  const tuples = [CREATE, POWER_LEVELS, CANONICAL_ALIAS, memberTuple(user.user_id)];
  const state = await stateEventsOf(context, database, room.nid, tuples);
  const joined = membershipAmong(state, user.user_id) === "join";
  const levels = powerLevelsAmong(room, state);
  const may = joined && userLevel(levels, user.user_id) >= requiredLevel(levels, "m.room.canonical_alias", true);
  if (!may && found.creator_nid !== user.user_nid && !user.is_admin) throw forbidden("This alias is not yours to delete.");
  if (!(await database.transaction((tx) => deleteAlias(tx, alias, room.nid)))) throw unknownAlias(alias);
  const content = state.get(CANONICAL_ALIAS)?.content;
  if (may && content !== undefined) await stopNaming(context, user, room, alias, content);
}

async function stopNaming(
  { owners }: RoomContext,
  { user_id }: RoomUser,
  room: Room,
  alias: RoomAlias,
  content: JsonObject,
): Promise<void> {
  const { alias: main, alt_aliases: others, ...rest } = content;
  const kept = Array.isArray(others) ? others.filter((other) => other !== alias) : undefined;
  if (main !== alias && (kept === undefined || kept.length === (Array.isArray(others) ? others.length : 0))) return;
  const [result] = await owners.submit(room.room_id, [
    {
      type: "m.room.canonical_alias",
      state_key: "",
      sender: user_id,
      content: {
        ...rest,
        ...(main !== undefined && main !== alias && { alias: main }),
        ...(kept !== undefined && { alt_aliases: kept }),
      },
    },
  ]);
  try {
    accepted(result);
  } catch (error) {
    // The alias is gone either way ("DELETE /directory/room/{roomAlias}").
    if (!(error instanceof MatrixError)) throw error;
    log.info({ room: room.room_id, err: error }, "the canonical alias still names an alias that was deleted");
  }
}

/** The aliases of our servers for a room, for who is in it or if all the world may read it. Throws M_FORBIDDEN. */
export async function aliasesFor(context: RoomContext, user: RoomUser, roomId: RoomId): Promise<RoomAlias[]> {
  const { database } = context;
  const refusal = forbidden("You are not in this room.");
  const room = await requireRoom(database, roomId, refusal);
  const state = await stateEventsOf(context, database, room.nid, [HISTORY_VISIBILITY, memberTuple(user.user_id)]);
  const readable = historyVisibilityIn(state.get(HISTORY_VISIBILITY)?.content) === "world_readable";
  if (!readable && membershipAmong(state, user.user_id) !== "join") throw refusal;
  return await aliasesOfRoom(database, room.nid);
}

/** The aliases that a canonical alias event names. */
export function namedAliases(content: JsonObject): unknown[] {
  const alias = own(content, "alias");
  const others = own(content, "alt_aliases");
  return [...(alias === undefined || alias === null || alias === "" ? [] : [alias]), ...(Array.isArray(others) ? others : [])];
}
