// Replaces a room by one of another version (client-server API, "Room Upgrades").
import { forbidden, invalidParam } from "../errors.js";
import { logger } from "../log.js";
import { type RoomId, type UserId, parseUserId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../protocol/json.js";
import { namedLevel, parseLevel, type PowerLevels, requiredLevel, userLevel } from "../protocol/power-levels.js";
import type { RoomVersion } from "../protocol/room-version.js";
import { stateTuple } from "../protocol/state-map.js";
import { timelineBackwards } from "../storage/events.js";
import { findReplacement, isReplacedAlready, replacement } from "../storage/room-upgrades.js";
import { roomMembers } from "../storage/state.js";
import type { Reads } from "../storage/statement.js";
import { CURRENT_STATE_OF_TYPES } from "../storage/sync.js";
import { requireVersion } from "./create.js";
import type { RoomContext, RoomUser } from "./context.js";
import { CREATE, membershipAmong, memberTuple, POWER_LEVELS, powerLevelsAmong, requireRoom, type Room, stateEventsOf } from "./current-state.js";
import { accepted, type RoomDraft } from "./owner/draft.js";
import type { ReadEvent } from "./views/event-cache.js";
import { memberProfiles } from "./membership/member-profiles.js";
import { takeSettingsAlong } from "./upgrade-settings.js";

const log = logger("rooms");

const TOMBSTONE = stateTuple("m.room.tombstone", "");
const CANONICAL_ALIAS = stateTuple("m.room.canonical_alias", "");

/** What the new room takes over, in the order in which it is sent; power levels follow at the end. */
const TRANSFERRED = [
  "m.room.join_rules",
  "m.room.history_visibility",
  "m.room.guest_access",
  "m.room.server_acl",
  "m.room.encryption",
  "m.room.name",
  "m.room.avatar",
  "m.room.topic",
  "m.room.canonical_alias",
  "m.space.child",
  "m.space.parent",
];
/** Of these there are many, and those that are empty stand for nothing. */
const KEYED = ["m.space.child", "m.space.parent"];
const NAMED_LEVELS = ["ban", "invite", "kick", "redact", "events_default", "state_default", "users_default", "historical"];
const MODERATOR = 50;
const ADMIN = 100;
/** What ending a room takes where creators are above all levels: more than any administrator has. */
const END_OF_ROOM = 150;
const ALWAYS = { after: -1, upTo: Number.MAX_SAFE_INTEGER };

export interface UpgradeRequest {
  readonly new_version: string;
  readonly additional_creators?: readonly string[] | undefined;
}

/**
 * Replaces a room: gives the id of the new one. Who asks again for the same version, because no answer came or because
 * another was quicker, gets the same room; what was left undone is done then. Throws M_UNSUPPORTED_ROOM_VERSION,
 * M_INVALID_PARAM, M_NOT_FOUND for an unknown room, M_FORBIDDEN.
 */
export async function upgradeRoom(context: RoomContext, user: RoomUser, roomId: RoomId, request: UpgradeRequest): Promise<RoomId> {
  const { database } = context;
  const version = requireVersion(request.new_version);
  const additional = version.privilegedCreators ? (request.additional_creators ?? []).map(requireUserId) : [];
  const room = await requireRoom(database, roomId);
  const tuples = [CREATE, POWER_LEVELS, TOMBSTONE, CANONICAL_ALIAS, memberTuple(user.user_id)];
  const state = await stateEventsOf(context, database, room.nid, tuples);
  const levels = powerLevelsAmong(room, state);
  const may = userLevel(levels, user.user_id) >= requiredLevel(levels, "m.room.tombstone", true);
  if (membershipAmong(state, user.user_id) !== "join" || !may) throw forbidden("You may not upgrade this room.");

  const found =
    (await findReplacement(database, room.nid, version.id)) ??
    (await createReplacement(context, user, room, version, additional, state.get(CREATE)?.content ?? {}, levels));
  if (ownString(state.get(TOMBSTONE)?.content ?? {}, "replacement_room") !== found.room_id) {
    await endRoom(context, user, room, found.room_id, levels, state.has(CANONICAL_ALIAS));
  }
  await takeSettingsAlong(context, user, room, found);
  return found.room_id;
}

function requireUserId(text: string): UserId {
  const user = parseUserId(text);
  if (user === undefined) throw invalidParam('"additional_creators" must be a list of user ids.');
  return user;
}

interface Replacement {
  readonly room_id: RoomId;
  readonly nid: number;
}

/** Makes the new room with all that it takes over, our aliases and its places in our directories: all of it or nothing. */
async function createReplacement(
  context: RoomContext,
  user: RoomUser,
  room: Room,
  version: RoomVersion,
  additional: readonly UserId[],
  create: JsonObject,
  levels: PowerLevels,
): Promise<Replacement> {
  const { database, owners } = context;
  const creator = user.user_id;
  const content = createContent(version, creator, additional, create, await predecessor(database, room, version));
  const profiles = await memberProfiles(context, [creator]);
  const state = await transferred(context, database, room);
  const event = (type: string, state_key: string, fields: JsonObject): RoomDraft => ({ type, state_key, sender: creator, content: fields });
  const drafts = [
    event("m.room.member", creator, { ...profiles.get(creator), membership: "join" }),
    ...state.map(({ event: { type, state_key, content: fields } }) => event(type, state_key ?? "", fields)),
    // Last: until then the creator may do anything, whatever they may do from then on.
    event("m.room.power_levels", "", newLevels(version, [creator, ...additional], levels)),
  ];
  try {
    const { room_id, room_nid } = await owners.create({
      version,
      creator,
      content,
      drafts: () => drafts,
      alongside: ({ room_nid: nid }) => ({ statements: replacement(room.nid, version.id, nid), entries: [] }),
    });
    return { room_id, nid: room_nid };
  } catch (error) {
    const other = isReplacedAlready(error) ? await findReplacement(database, room.nid, version.id) : undefined;
    if (other === undefined) throw error;
    return other;
  }
}

function createContent(
  version: RoomVersion,
  creator: UserId,
  additional: readonly UserId[],
  before: JsonObject,
  predecessorField: JsonObject,
): JsonObject {
  const type = own(before, "type");
  const federate = own(before, "m.federate");
  return {
    ...(type !== undefined && { type }),
    ...(federate !== undefined && { "m.federate": federate }),
    ...(!version.implicitCreator && { creator }),
    ...(additional.length > 0 && { additional_creators: [...new Set(additional)] }),
    room_version: version.id,
    predecessor: predecessorField,
  };
}

/** Names the room that is replaced and, where the version's create events do so, its last event. */
async function predecessor(reads: Reads, { nid, room_id }: Room, version: RoomVersion): Promise<JsonObject> {
  if (version.hashedRoomIds) return { room_id };
  const [last] = await timelineBackwards(reads, nid, ALWAYS, 1);
  return { room_id, ...(last !== undefined && { event_id: last.event_id }) };
}

/** The state events that a new room takes over: those of the types above that say anything, and bans. */
async function transferred({ events }: RoomContext, reads: Reads, room: Room): Promise<ReadEvent[]> {
  const rows = await reads.read(CURRENT_STATE_OF_TYPES, [[room.nid], TRANSFERRED]);
  const banned = await roomMembers(reads, room.nid, ["ban"]);
  const found = await events.get(
    reads,
    [...rows, ...banned].map(({ event_nid }) => event_nid),
  );
  const rank = ({ event }: ReadEvent): number => (event.type === "m.room.member" ? TRANSFERRED.length : TRANSFERRED.indexOf(event.type));
  return [...found.values()]
    .filter(({ event: { type, state_key, content } }) => {
      if (type === "m.room.member") return true;
      return KEYED.includes(type) ? Object.keys(content).length > 0 : state_key === "";
    })
    .toSorted((a, b) => rank(a) - rank(b));
}

/** The old room's power levels as the new version takes them: all levels as integers, creators where it wants them. */
function newLevels(version: RoomVersion, creators: readonly UserId[], old: PowerLevels): JsonObject {
  const before = old.content ?? {};
  const level = (value: JsonValue | undefined): number | undefined => parseLevel(old.version, value);
  const levelsOf = (name: string): Record<string, number> => {
    const given = own(before, name);
    const found: Record<string, number> = {};
    for (const [key, value] of Object.entries(isObject(given) ? given : {})) {
      const number = level(value);
      if (number !== undefined && key !== "__proto__") found[key] = number;
    }
    return found;
  };
  const named = NAMED_LEVELS.flatMap((name) => {
    const number = level(own(before, name));
    return number === undefined ? [] : [[name, number] as const];
  });
  const users = levelsOf("users");
  const events = levelsOf("events");
  if (version.privilegedCreators) {
    for (const creator of creators) delete users[creator];
    if (!old.version.privilegedCreators) events["m.room.tombstone"] = Math.max(END_OF_ROOM, events["m.room.tombstone"] ?? 0);
  } else {
    for (const user of [...old.creators, ...creators]) {
      if (userLevel(old, user) === Infinity || old.content === undefined) users[user] = ADMIN;
    }
  }
  return { ...Object.fromEntries(named), users, events, notifications: levelsOf("notifications") };
}

/** Says in the old room where the new one is, and keeps people from going on there as far as that is possible. */
async function endRoom(
  { owners }: RoomContext,
  { user_id: sender }: RoomUser,
  room: Room,
  replacement_room: RoomId,
  levels: PowerLevels,
  hasAlias: boolean,
): Promise<void> {
  const event = (type: string, content: JsonObject): RoomDraft => ({ type, state_key: "", sender, content });
  const floor = Math.max(MODERATOR, namedLevel(levels, "users_default") + 1);
  const [tombstone, ...others] = await owners.submit(room.room_id, [
    event("m.room.tombstone", { body: "This room has been replaced.", replacement_room }),
    ...(hasAlias ? [event("m.room.canonical_alias", {})] : []),
    event("m.room.power_levels", {
      ...(levels.content ?? { users: room.rules.privilegedCreators ? {} : Object.fromEntries(levels.creators.map((user) => [user, ADMIN])) }),
      events_default: Math.max(floor, namedLevel(levels, "events_default")),
      invite: Math.max(floor, namedLevel(levels, "invite")),
    }),
  ]);
  accepted(tombstone);
  for (const result of others) {
    if ("error" in result) log.info({ room: room.room_id, err: result.error }, "an old room could not be closed altogether");
  }
}
