// Creates rooms (client-server API, "Room Creation").
import type { createRoom as createRoomSpec } from "../../spec/client/create-room.js";
import type { BodyOf } from "../../spec/operation.js";
import { invalidParam, invalidRoomState, MatrixError, roomInUse, unsupportedRoomVersion } from "../errors.js";
import { logger } from "../log.js";
import { type RoomAlias, type RoomId, parseUserId, serverNameOf, type UserId } from "../protocol/identifiers.js";
import { own } from "../protocol/json.js";
import { type RoomVersion, roomVersion } from "../protocol/room-version.js";
import { aliasInsert, findAliases, isAliasTaken } from "../storage/aliases.js";
import { publication } from "../storage/room-directory.js";
import type { BoundStatement } from "../storage/room-rows.js";
import { requireGrantable } from "./aliases.js";
import type { RoomContext, RoomUser } from "./context.js";
import { initialEvents } from "./initial-state.js";
import { requireInvitable } from "./membership/invite-filter.js";
import { memberProfiles } from "./membership/member-profiles.js";
import { inviteElsewhere } from "./membership/remote-invite.js";
import { inviteThirdPartyId, requireThirdPartyId, type ThirdPartyInviteContext, type ThirdPartyInvitee } from "./membership/third-party-invite.js";
import { followPredecessor } from "./upgrade-settings.js";

const log = logger("rooms");

/**
 * Creates a room with its first events, its alias and its directory entry, all of them or none. Throws
 * M_UNSUPPORTED_ROOM_VERSION, M_ROOM_IN_USE, M_INVALID_ROOM_STATE, M_INVALID_PARAM, M_BAD_JSON, M_FORBIDDEN.
 */
export async function createRoom(
  context: ThirdPartyInviteContext,
  creator: RoomUser,
  request: BodyOf<typeof createRoomSpec>,
): Promise<RoomId> {
  const version = requireVersion(request.room_version ?? context.config.rooms.default_version);
  await requireInvitable(context, creator.user_id, request.invite ?? []);
  for (const { medium, address } of request.invite_3pid ?? []) requireThirdPartyId(medium, address);
  requireCreators(version, request);
  requireMembers(request);
  const server = serverNameOf(creator.user_id);
  const alias = request.room_alias_name === undefined ? undefined : await freeAlias(context, `#${request.room_alias_name}:${server}`);
  const profiles = await memberProfiles(context, [creator.user_id, ...(request.invite ?? [])]);
  const local = (request.invite ?? []).filter((user) => context.servers.isLocal(serverNameOf(user)));
  const [create, ...others] = initialEvents(version, creator.user_id, { ...request, invite: local }, alias, profiles);
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
    await inviteAll(context, creator, created.room_id, request.invite_3pid ?? []);
    await followPredecessor(context, creator, created, create.content);
    for (const user of request.invite ?? []) {
      if (!local.includes(user)) await inviteFrom(context, creator, created.room_id, user, request.is_direct === true);
    }
    return created.room_id;
  } catch (error) {
    // The room's own id is new: only the alias can be taken.
    if (alias !== undefined && isAliasTaken(error)) throw roomInUse(alias);
    if (error instanceof MatrixError && error.errcode === "M_FORBIDDEN") throw invalidRoomState(error.message, error);
    throw error;
  }
}

/** Invites a user of another server to a room that has just been made, and stands also where that cannot be done. */
async function inviteFrom(context: RoomContext, creator: RoomUser, roomId: RoomId, user: UserId, isDirect: boolean): Promise<void> {
  try {
    await inviteElsewhere(context, creator.user_id, roomId, user, isDirect ? { is_direct: true } : {});
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    log.info({ room: roomId, user, reason: error.message }, "a user could not be invited to a new room");
  }
}

/** Invites by address: one that fails is for the creator to try again, the room is there. */
async function inviteAll(
  context: ThirdPartyInviteContext,
  creator: RoomUser,
  roomId: RoomId,
  invitees: readonly ThirdPartyInvitee[],
): Promise<void> {
  for (const invitee of invitees) {
    try {
      await inviteThirdPartyId(context, creator, roomId, invitee);
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error;
      log.info({ room: roomId, err: error }, "somebody could not be invited to a new room");
    }
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

/** Only users are members: the rules of rooms do not look. Throws M_INVALID_PARAM. */
function requireMembers({ initial_state = [] }: BodyOf<typeof createRoomSpec>): void {
  if (initial_state.some(({ type, state_key }) => type === "m.room.member" && parseUserId(state_key) === undefined)) {
    throw invalidParam("The state key of a membership must be a user id.");
  }
}

async function freeAlias({ database }: RoomContext, text: string): Promise<RoomAlias> {
  const alias = requireGrantable(text);
  if ((await findAliases(database, [alias])).size > 0) throw roomInUse(alias);
  return alias;
}

