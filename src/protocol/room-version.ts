// A room version is a plain object of named flags; no code compares version numbers.
import { type RuleNumbers, RULES_V1, RULES_V10, RULES_V12, RULES_V3, RULES_V6, RULES_V7, RULES_V8 } from "./rule-numbers.js";

export interface RoomVersion {
  readonly id: string;
  readonly stable: boolean;
  /** How event ids come about: chosen by the sender, or the reference hash in one of two alphabets. */
  readonly eventIds: "chosen" | "hash" | "url-safe-hash";
  /** prev_events and auth_events are pairs of id and hashes on the wire. */
  readonly referencePairs: boolean;
  /** The room id is the create event's id; neither that event nor any auth_events carry it. */
  readonly hashedRoomIds: boolean;
  readonly stateResolution: "v1" | "v2" | "v2.1";
  /** Canonical JSON is enforced on events. */
  readonly strictNumbers: boolean;
  /** A signing key must have been valid at the event's time. */
  readonly enforceKeyValidity: boolean;

  /** `m.room.aliases` has a rule of its own and keeps `aliases` when redacted. */
  readonly specialAliases: boolean;
  /** The redact level is part of the authorisation rules; later it is checked when a redaction is applied. */
  readonly redactionAuthorised: boolean;
  /** Changes of `notifications` in power levels are limited like those of `events`. */
  readonly limitNotificationLevels: boolean;
  readonly knocking: boolean;
  readonly restrictedJoins: boolean;
  readonly knockRestrictedJoins: boolean;
  /** Power levels must be integers; before, strings of integers passed too. */
  readonly integerPowerLevels: boolean;
  /** The creator is the sender of the create event, not its `content.creator`. */
  readonly implicitCreator: boolean;
  /** Creators, `additional_creators` among them, stand above all power levels. */
  readonly privilegedCreators: boolean;
  /** State keys that begin with a user's id are that user's, also with `_` and more behind it, and of those above them (MSC3757). */
  readonly ownedState: boolean;

  /** `m.room.join_rules` keeps `allow` when redacted. */
  readonly redactionKeepsAllow: boolean;
  /** `m.room.member` keeps `join_authorised_via_users_server` when redacted. */
  readonly redactionKeepsAuthoriser: boolean;
  /** The revised redaction of version 11. */
  readonly revisedRedaction: boolean;
  /** `redacts` is in the content of `m.room.redaction`. */
  readonly redactsInContent: boolean;
  /** Types and state keys have at most 255 bytes; before, other servers counted characters, and rooms hold such events. */
  readonly fieldsInBytes: boolean;

  /** The numbers under which this version's text lists the authorisation rules. */
  readonly rules: RuleNumbers;
}

export const V1: RoomVersion = {
  id: "1",
  stable: true,
  eventIds: "chosen",
  referencePairs: true,
  hashedRoomIds: false,
  stateResolution: "v1",
  strictNumbers: false,
  enforceKeyValidity: false,
  specialAliases: true,
  redactionAuthorised: true,
  limitNotificationLevels: false,
  knocking: false,
  restrictedJoins: false,
  knockRestrictedJoins: false,
  integerPowerLevels: false,
  implicitCreator: false,
  privilegedCreators: false,
  ownedState: false,
  redactionKeepsAllow: false,
  redactionKeepsAuthoriser: false,
  revisedRedaction: false,
  fieldsInBytes: false,
  redactsInContent: false,
  rules: RULES_V1,
};
export const V2: RoomVersion = { ...V1, id: "2", stateResolution: "v2" };
export const V3: RoomVersion = {
  ...V2,
  id: "3",
  eventIds: "hash",
  referencePairs: false,
  redactionAuthorised: false,
  rules: RULES_V3,
};
export const V4: RoomVersion = { ...V3, id: "4", eventIds: "url-safe-hash" };
export const V5: RoomVersion = { ...V4, id: "5", enforceKeyValidity: true };
export const V6: RoomVersion = {
  ...V5,
  id: "6",
  strictNumbers: true,
  specialAliases: false,
  limitNotificationLevels: true,
  rules: RULES_V6,
};
export const V7: RoomVersion = { ...V6, id: "7", knocking: true, rules: RULES_V7 };
export const V8: RoomVersion = { ...V7, id: "8", restrictedJoins: true, redactionKeepsAllow: true, rules: RULES_V8 };
export const V9: RoomVersion = { ...V8, id: "9", redactionKeepsAuthoriser: true };
export const V10: RoomVersion = {
  ...V9,
  id: "10",
  knockRestrictedJoins: true,
  integerPowerLevels: true,
  rules: RULES_V10,
};
export const V11: RoomVersion = {
  ...V10,
  fieldsInBytes: true,
  id: "11",
  implicitCreator: true,
  revisedRedaction: true,
  redactsInContent: true,
};
export const V12: RoomVersion = {
  ...V11,
  id: "12",
  hashedRoomIds: true,
  stateResolution: "v2.1",
  privilegedCreators: true,
  rules: RULES_V12,
};

const V10_OWNED_STATE: RoomVersion = { ...V10, id: "org.matrix.msc3757.10", stable: false, ownedState: true };
const V11_OWNED_STATE: RoomVersion = { ...V11, id: "org.matrix.msc3757.11", stable: false, ownedState: true };

export const DEFAULT_ROOM_VERSION = V12;

const versions: ReadonlyMap<string, RoomVersion> = new Map(
  [V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V10_OWNED_STATE, V11_OWNED_STATE, V12].map((version) => [version.id, version]),
);

/** The room version with this id, or undefined if we do not know it. */
export function roomVersion(id: string): RoomVersion | undefined {
  return versions.get(id);
}

/** All room versions that we know, oldest first. */
export function roomVersions(): readonly RoomVersion[] {
  return [...versions.values()];
}
