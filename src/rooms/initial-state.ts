// The events of a new room (client-server API, "Room Creation"): pure, from the request to the drafts.
import type { BodyOf } from "../../spec/operation.js";
import type { createRoom } from "../../spec/client/create-room.js";
import { type JsonObject, own } from "../protocol/json.js";
import type { RoomAlias, UserId } from "../protocol/identifiers.js";
import type { RoomVersion } from "../protocol/room-version.js";
import { stateTuple } from "../protocol/state-map.js";

/** What the profile of a user adds to their membership. */
export interface MemberProfile {
  readonly displayname?: string;
  readonly avatar_url?: string;
}

export interface InitialEvent {
  readonly type: string;
  readonly state_key: string;
  readonly content: JsonObject;
}

type Preset = "private_chat" | "public_chat" | "trusted_private_chat";

interface PresetState {
  readonly join_rule: string;
  readonly history_visibility: string;
  readonly guest_access: string;
  /** Who may invite: in a public room nobody needs it, and under other join rules it would be left to everyone. */
  readonly invite: number;
}

const ADMIN = 100;
const MODERATOR = 50;

const PRESETS: Readonly<Record<Preset, PresetState>> = {
  private_chat: { join_rule: "invite", history_visibility: "shared", guest_access: "can_join", invite: 0 },
  trusted_private_chat: { join_rule: "invite", history_visibility: "shared", guest_access: "can_join", invite: 0 },
  public_chat: { join_rule: "public", history_visibility: "shared", guest_access: "forbidden", invite: MODERATOR },
};

/** Above `state_default`: whoever ends a room of a version with privileged creators needs more than an administrator. */
const TOMBSTONE = 150;

/**
 * The state events of a new room in the order of the specification, the create event first. `profiles` has what is known
 * of the creator and of local invitees. The request's `room_alias_name` is given as the whole `alias`.
 */
export function initialEvents(
  version: RoomVersion,
  creator: UserId,
  request: BodyOf<typeof createRoom>,
  alias: RoomAlias | undefined,
  profiles: ReadonlyMap<UserId, MemberProfile>,
): InitialEvent[] {
  const preset: Preset = request.preset ?? (request.visibility === "public" ? "public_chat" : "private_chat");
  const trusted = preset === "trusted_private_chat";
  const invited = (request.invite ?? []).filter((user, index, all) => all.indexOf(user) === index);
  const overridden = new Set((request.initial_state ?? []).map(({ type, state_key }) => stateTuple(type, state_key ?? "")));
  const { join_rule, history_visibility, guest_access, invite } = PRESETS[preset];

  const state = (type: string, content: JsonObject): InitialEvent => ({ type, state_key: "", content });
  const member = (user: UserId, membership: string, more: JsonObject = {}): InitialEvent => ({
    type: "m.room.member",
    state_key: user,
    content: { ...more, ...profiles.get(user), membership },
  });

  return [
    // 1.
    state("m.room.create", createContent(version, creator, request.creation_content ?? {}, trusted ? invited : [])),
    // 2.
    member(creator, "join"),
    // 3.
    state("m.room.power_levels", {
      ...powerLevels(version, creator, trusted ? invited : []),
      invite,
      ...request.power_level_content_override,
    }),
    // 4.
    ...(alias === undefined ? [] : [state("m.room.canonical_alias", { alias })]),
    // 5. What initial_state sets takes precedence.
    ...[
      state("m.room.join_rules", { join_rule }),
      state("m.room.history_visibility", { history_visibility }),
      // Guests are kept out where nothing is said of them.
      ...(guest_access === "forbidden" ? [] : [state("m.room.guest_access", { guest_access })]),
    ].filter(({ type }) => !overridden.has(stateTuple(type, ""))),
    // 6.
    ...(request.initial_state ?? [])
      .map(({ type, state_key, content }) => ({ type, state_key: state_key ?? "", content }))
      .filter(({ type, state_key }) => state_key !== "" || !isSetByRequest(type, request)),
    // 7.
    ...(request.name === undefined ? [] : [state("m.room.name", { name: request.name })]),
    ...(request.topic === undefined ? [] : [state("m.room.topic", topicContent(request.topic))]),
    // 8.
    ...invited.map((user) => member(user, "invite", request.is_direct === true ? { is_direct: true } : {})),
  ];
}

/** `name` and `topic` override what initial_state says of them. */
function isSetByRequest(type: string, request: BodyOf<typeof createRoom>): boolean {
  return (
    (type === "m.room.name" && request.name !== undefined) || (type === "m.room.topic" && request.topic !== undefined)
  );
}

function createContent(
  version: RoomVersion,
  creator: UserId,
  asked: JsonObject,
  trusted: readonly UserId[],
): JsonObject {
  const { creator: _creator, room_version: _version, ...rest } = asked;
  const additional = own(asked, "additional_creators");
  const named = Array.isArray(additional) ? additional : [];
  return {
    ...rest,
    ...(version.privilegedCreators &&
      trusted.length > 0 && {
        additional_creators: [...named, ...trusted].filter((user, index, all) => all.indexOf(user) === index),
      }),
    ...(!version.implicitCreator && { creator }),
    room_version: version.id,
  };
}

function powerLevels(version: RoomVersion, creator: UserId, trusted: readonly UserId[]): JsonObject {
  return {
    // Creators stand above all levels where the version has it so, and may not be listed.
    users: version.privilegedCreators
      ? {}
      : Object.fromEntries([creator, ...trusted].map((user) => [user, ADMIN])),
    users_default: 0,
    events: {
      "m.room.name": MODERATOR,
      "m.room.avatar": MODERATOR,
      "m.room.canonical_alias": MODERATOR,
      "m.room.power_levels": ADMIN,
      "m.room.history_visibility": ADMIN,
      "m.room.encryption": ADMIN,
      "m.room.server_acl": ADMIN,
      "m.room.tombstone": version.privilegedCreators ? TOMBSTONE : ADMIN,
    },
    events_default: 0,
    state_default: MODERATOR,
    ban: MODERATOR,
    kick: MODERATOR,
    redact: MODERATOR,
    historical: ADMIN,
  };
}

/** The content of `m.room.topic` for a plain text topic. */
function topicContent(topic: string): JsonObject {
  return { topic, "m.topic": { "m.text": [{ body: topic, mimetype: "text/plain" }] } };
}

