// Creates rooms (client-server API, "Room Creation").
import type { createRoom as createRoomSpec } from "../../spec/client/create-room.js";
import type { BodyOf } from "../../spec/operation.js";
import { forbidden, invalidParam, invalidRoomState, MatrixError, roomInUse, unsupportedRoomVersion } from "../errors.js";
import { type RoomAlias, type RoomId, parseUserId, serverNameOf } from "../protocol/identifiers.js";
import { own } from "../protocol/json.js";
import { type RoomVersion, roomVersion } from "../protocol/room-version.js";
import { aliasInsert, findAliases, isAliasTaken } from "../storage/aliases.js";
import { publication } from "../storage/room-directory.js";
import type { BoundStatement } from "../storage/room-rows.js";
import { requireGrantable } from "./aliases.js";
import type { RoomContext, RoomUser } from "./context.js";
import { initialEvents } from "./initial-state.js";
import { requireInvitable } from "./invite-filter.js";
import { memberProfiles } from "./member-profiles.js";
import { followPredecessor } from "./upgrade-settings.js";

/**
 * Creates a room with its first events, its alias and its directory entry, all of them or none. Throws
 * M_UNSUPPORTED_ROOM_VERSION, M_ROOM_IN_USE, M_INVALID_ROOM_STATE, M_INVALID_PARAM, M_BAD_JSON, M_FORBIDDEN.
 */
export async function createRoom(
  context: RoomContext,
  creator: RoomUser,
  request: BodyOf<typeof createRoomSpec>,
): Promise<RoomId> {
  const version = requireVersion(request.room_version ?? context.config.rooms.default_version);
  if ((request.invite_3pid ?? []).length > 0) throw forbidden("This server cannot invite by e-mail address or telephone number.");
  await requireInvitable(context, creator.user_id, request.invite ?? []);
  requireCreators(version, request);
  const server = serverNameOf(creator.user_id);
  const alias = request.room_alias_name === undefined ? undefined : await freeAlias(context, `#${request.room_alias_name}:${server}`);
  const profiles = await memberProfiles(context, [creator.user_id, ...(request.invite ?? [])]);
  const [create, ...others] = initialEvents(version, creator.user_id, request, alias, profiles);
  if (create === undefined) throw new Error("a room has no create event");
  try {
    const created = await context.owners.create({
      version,
      creator: creator.user_id,
      content: create.content,
      drafts: () => others.map((event) => ({ ...event, sender: creator.user_id })),
      alongside: ({ room_nid }) => {
        const statements: BoundStatement[] = [];
        if (alias !== undefined) statements.push(aliasInsert(alias, room_nid, creator.user_nid));
        if (request.visibility === "public") statements.push(publication(server, room_nid, true));
        return { statements, entries: [] };
      },
    });
    await followPredecessor(context, creator, created, create.content);
    return created.room_id;
  } catch (error) {
    // The room's own id is new: only the alias can be taken.
    if (alias !== undefined && isAliasTaken(error)) throw roomInUse(alias);
    if (error instanceof MatrixError && error.errcode === "M_FORBIDDEN") throw invalidRoomState(error.message, error);
    throw error;
  }
}

/** The room version of an id. Throws M_UNSUPPORTED_ROOM_VERSION. */
export function requireVersion(id: string): RoomVersion {
  const version = roomVersion(id);
  if (version === undefined) throw unsupportedRoomVersion();
  return version;
}

/** Where creators are privileged, nobody but users may be one: refused here, so that the caller hears what is wrong. */
function requireCreators(version: RoomVersion, { creation_content }: BodyOf<typeof createRoomSpec>): void {
  if (!version.privilegedCreators || creation_content === undefined) return;
  const additional: unknown = own(creation_content, "additional_creators");
  if (additional === undefined) return;
  if (!Array.isArray(additional) || !additional.every((user) => parseUserId(user) !== undefined)) {
    throw invalidParam('"additional_creators" must be a list of user ids.');
  }
}

async function freeAlias({ database }: RoomContext, text: string): Promise<RoomAlias> {
  const alias = requireGrantable(text);
  if ((await findAliases(database, [alias])).size > 0) throw roomInUse(alias);
  return alias;
}

