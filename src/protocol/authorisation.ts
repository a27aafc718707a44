// The authorisation rules of every room version ("Authorisation rules" of the version). Each refusal carries the number
// under which the version's text lists the rule.
import { authEventTuples } from "./auth-events.js";
import { isState, type RoomEvent } from "./event.js";
import { createEventIdOfRoom, type EventId, parseUserId, serverNameOf, type UserId } from "./identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "./json.js";
import { joinRuleOf, membershipIn, membershipOf } from "./membership.js";
import {
  namedLevel,
  parseLevel,
  type PowerLevels,
  powerLevels,
  requiredLevel,
  roomCreators,
  userLevel,
} from "./power-levels.js";
import { type RoomVersion, roomVersion } from "./room-version.js";
import type { RuleName } from "./rule-numbers.js";
import { signaturesBy, signedText, verifyText } from "./signing.js";
import { type StateMap, stateTuple } from "./state-map.js";

/** What the rules say of an event; `rule` is the number of the rule that refuses it, as `5.2.3`. */
export type Verdict =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly rule: string; readonly reason: string };

const ALLOWED: Verdict = { allowed: true };

const REASONS: Readonly<Record<RuleName, string>> = {
  "create.prevEvents": "a create event has no previous events",
  "create.roomId": "the room id does not belong to the create event's sender",
  "create.roomVersion": "the room version is not known",
  "create.creator": "the creators are missing or malformed",
  "room.create": "the room id does not name an accepted create event",
  "authEvents.duplicate": "two auth events are for the same state",
  "authEvents.unexpected": "an auth event does not belong to the selection",
  "authEvents.rejected": "an auth event was rejected",
  "authEvents.noCreate": "the create event is not among the auth events",
  "authEvents.otherRoom": "an auth event is of another room",
  federate: "the room does not federate",
  "aliases.noStateKey": "an aliases event has a state key",
  "aliases.domain": "the aliases are of another server than the sender",
  "member.malformed": "a membership has a state key and a membership",
  "member.authoriserSignature": "the authorising user's server did not sign the join",
  "join.sender": "users join for themselves",
  "join.banned": "the user is banned",
  "join.authoriser": "the authorising user is not in the room or may not invite",
  "join.otherwise": "the join rules do not let the user in",
  "invite.thirdParty.banned": "the user is banned",
  "invite.thirdParty.noSigned": "the third-party invite is not signed",
  "invite.thirdParty.malformed": "the signed third-party invite names no user or no token",
  "invite.thirdParty.mxid": "the third-party invite is for another user",
  "invite.thirdParty.unknown": "the third-party invite is not in the room",
  "invite.thirdParty.sender": "the third-party invite was sent by another user",
  "invite.thirdParty.signature": "no key of the third-party invite signed it",
  "invite.notJoined": "the sender is not in the room",
  "invite.target": "the user is in the room already or banned",
  "invite.level": "the sender may not invite",
  "leave.self": "the user is not in the room",
  "leave.notJoined": "the sender is not in the room",
  "leave.banned": "the sender may not lift bans",
  "leave.level": "the sender may not kick this user",
  "ban.notJoined": "the sender is not in the room",
  "ban.level": "the sender may not ban this user",
  "knock.joinRule": "the room does not take knocks",
  "knock.sender": "users knock for themselves",
  "knock.membership": "the user is in the room, invited or banned",
  "member.unknown": "the membership is not known",
  "sender.notJoined": "the sender is not in the room",
  "thirdPartyInvite.level": "the sender may not invite",
  "event.level": "the sender's power level is too low for this event",
  "event.stateKey": "the state key is another user's",
  "powerLevels.integers": "a power level is not an integer",
  "powerLevels.maps": "a map of power levels is malformed",
  "powerLevels.users": "the users' power levels are malformed",
  "powerLevels.creators": "creators have no power level of their own",
  "powerLevels.namedOld": "a level above the sender's own cannot be changed",
  "powerLevels.namedNew": "a level cannot be set above the sender's own",
  "powerLevels.entriesOld": "a level above the sender's own cannot be changed",
  "powerLevels.entriesNew": "a level cannot be set above the sender's own",
  "powerLevels.usersOld": "the level of a user of the same or a higher level cannot be changed",
  "powerLevels.usersNew": "a user's level cannot be set above the sender's own",
  "redaction.level": "the sender may not redact this event",
};

function refuse(version: RoomVersion, rule: RuleName): Verdict {
  return { allowed: false, rule: version.rules[rule] ?? rule, reason: REASONS[rule] };
}

const CREATE = stateTuple("m.room.create", "");
const POWER_LEVELS = stateTuple("m.room.power_levels", "");

/** An event that `auth_events` names, and whether it was rejected. */
export interface AuthEvent {
  readonly event: RoomEvent;
  readonly rejected: boolean;
}

/**
 * The rules that consider an event's `auth_events` (rule 2; from version 12 on rules 2 and 3). `known` holds all events that
 * `auth_events` names, and where the room id implies it the create event, if we have it. Throws Error if a named event is not
 * given: such an event cannot be judged yet. Create events pass: rule 1 ends for them in `authorise`.
 */
export function authoriseAuthEvents(
  version: RoomVersion,
  event: RoomEvent,
  known: ReadonlyMap<EventId, AuthEvent>,
): Verdict {
  if (event.type === "m.room.create") return ALLOWED;
  if (version.hashedRoomIds) {
    const create = known.get(createEventIdOfRoom(event.room_id));
    if (create === undefined || create.rejected || create.event.type !== "m.room.create") {
      return refuse(version, "room.create");
    }
  }
  const expected = new Set<string>(authEventTuples(version, event));
  const seen = new Set<string>();
  for (const id of event.auth_events) {
    const entry = known.get(id);
    if (entry === undefined) throw new Error(`auth event ${id} of ${event.event_id} is not given`);
    const { event: auth, rejected } = entry;
    const tuple = auth.state_key === undefined ? undefined : stateTuple(auth.type, auth.state_key);
    if (tuple !== undefined && seen.has(tuple)) return refuse(version, "authEvents.duplicate");
    if (tuple === undefined || !expected.has(tuple)) return refuse(version, "authEvents.unexpected");
    if (rejected) return refuse(version, "authEvents.rejected");
    if (auth.room_id !== event.room_id) return refuse(version, "authEvents.otherRoom");
    seen.add(tuple);
  }
  if (!version.hashedRoomIds && !seen.has(CREATE)) return refuse(version, "authEvents.noCreate");
  return ALLOWED;
}

/**
 * All other rules, against a state: the one before the event, the current one, or the one that its auth events make up. The
 * state holds at least what `authorisingTuples` names, as far as the room has it, and always the create event. That an
 * authorising server signed a restricted join is part of the signature checks (`requiredSigners`).
 */
export function authorise(version: RoomVersion, event: RoomEvent, state: StateMap<RoomEvent>): Verdict {
  if (event.type === "m.room.create") return authoriseCreate(version, event);
  const create = state.get(CREATE);
  if (create === undefined || create.room_id !== event.room_id) {
    return refuse(version, version.hashedRoomIds ? "room.create" : "authEvents.noCreate");
  }
  if (own(create.content, "m.federate") === false && serverNameOf(event.sender) !== serverNameOf(create.sender)) {
    return refuse(version, "federate");
  }
  if (event.type === "m.room.aliases" && version.specialAliases) {
    if (event.state_key === undefined) return refuse(version, "aliases.noStateKey");
    return serverNameOf(event.sender) === event.state_key ? ALLOWED : refuse(version, "aliases.domain");
  }
  const levels = powerLevels(version, create, state.get(POWER_LEVELS));
  if (event.type === "m.room.member") return authoriseMember(version, event, state, create, levels);

  if (membershipOf(state, event.sender) !== "join") return refuse(version, "sender.notJoined");
  const level = userLevel(levels, event.sender);
  if (event.type === "m.room.third_party_invite") {
    return level >= namedLevel(levels, "invite") ? ALLOWED : refuse(version, "thirdPartyInvite.level");
  }
  if (requiredLevel(levels, event.type, isState(event)) > level) return refuse(version, "event.level");
  if (event.state_key?.startsWith("@") && event.state_key !== event.sender && !mayUseStateKey(version, event, levels, level)) {
    return refuse(version, "event.stateKey");
  }
  if (event.type === "m.room.power_levels") return authorisePowerLevels(version, event, create, levels, level);
  if (event.type === "m.room.redaction" && version.redactionAuthorised) {
    return level >= namedLevel(levels, "redact") || redactsOwnServer(event)
      ? ALLOWED
      : refuse(version, "redaction.level");
  }
  return ALLOWED;
}

/** Whether a state key that is not the sender's id is theirs to use all the same: never, but where state is owned (MSC3757). */
function mayUseStateKey(version: RoomVersion, { sender, state_key }: RoomEvent, levels: PowerLevels, level: number): boolean {
  const owner = version.ownedState && state_key !== undefined ? stateKeyOwner(state_key) : undefined;
  return owner !== undefined && (owner === sender || level > userLevel(levels, owner));
}

/** The user whose id, alone or with `_` behind it, a state key begins with; undefined where there is none (MSC3757). */
export function stateKeyOwner(stateKey: string): UserId | undefined {
  const suffix = stateKey.indexOf("_", stateKey.indexOf(":") + 1);
  return parseUserId(suffix < 0 ? stateKey : stateKey.slice(0, suffix));
}

function redactsOwnServer(event: RoomEvent): boolean {
  const { redacts } = event;
  return redacts !== undefined && serverNameOf(redacts) === serverNameOf(event.event_id);
}

function authoriseCreate(version: RoomVersion, event: RoomEvent): Verdict {
  if (event.prev_events.length > 0) return refuse(version, "create.prevEvents");
  // Where the room id is the event's own hash, the event format refuses an event that has one.
  if (!version.hashedRoomIds && serverNameOf(event.room_id) !== serverNameOf(event.sender)) {
    return refuse(version, "create.roomId");
  }
  const named = own(event.content, "room_version");
  if (named !== undefined && (typeof named !== "string" || roomVersion(named) === undefined)) {
    return refuse(version, "create.roomVersion");
  }
  if (!version.implicitCreator && !Object.hasOwn(event.content, "creator")) return refuse(version, "create.creator");
  const additional = own(event.content, "additional_creators");
  if (version.privilegedCreators && additional !== undefined) {
    if (!Array.isArray(additional) || !additional.every((user) => parseUserId(user) !== undefined)) {
      return refuse(version, "create.creator");
    }
  }
  return ALLOWED;
}

function authoriseMember(
  version: RoomVersion,
  event: RoomEvent,
  state: StateMap<RoomEvent>,
  create: RoomEvent,
  levels: PowerLevels,
): Verdict {
  if (!isState(event) || ownString(event.content, "membership") === undefined) return refuse(version, "member.malformed");
  switch (membershipIn(event.content)) {
    case "join":
      return authoriseJoin(version, event, state, create, levels);
    case "invite":
      return authoriseInvite(version, event, event.state_key, state, levels);
    case "leave":
      return authoriseLeave(version, event, event.state_key, state, levels);
    case "ban":
      return authoriseBan(version, event, event.state_key, state, levels);
    case "knock":
      return version.knocking ? authoriseKnock(version, event, state) : refuse(version, "member.unknown");
    default:
      return refuse(version, "member.unknown");
  }
}

function authoriseJoin(
  version: RoomVersion,
  event: RoomEvent,
  state: StateMap<RoomEvent>,
  create: RoomEvent,
  levels: PowerLevels,
): Verdict {
  const [creator] = roomCreators(version, create);
  const first = event.prev_events.length === 1 && event.prev_events[0] === create.event_id;
  if (first && event.state_key === creator) return ALLOWED;
  if (event.sender !== event.state_key) return refuse(version, "join.sender");
  const current = membershipOf(state, event.sender);
  if (current === "ban") return refuse(version, "join.banned");
  const joinRule = joinRuleOf(state);
  const expected = current === "join" || current === "invite";
  if (joinRule === "public") return ALLOWED;
  if (joinRule === "invite" || (joinRule === "knock" && version.knocking)) {
    return expected ? ALLOWED : refuse(version, "join.otherwise");
  }
  const restricted =
    (joinRule === "restricted" && version.restrictedJoins) ||
    (joinRule === "knock_restricted" && version.knockRestrictedJoins);
  if (!restricted) return refuse(version, "join.otherwise");
  if (expected) return ALLOWED;
  const authoriser = ownString(event.content, "join_authorised_via_users_server");
  const mayInvite =
    authoriser !== undefined &&
    membershipOf(state, authoriser) === "join" &&
    userLevel(levels, authoriser) >= namedLevel(levels, "invite");
  return mayInvite ? ALLOWED : refuse(version, "join.authoriser");
}

function authoriseInvite(
  version: RoomVersion,
  event: RoomEvent,
  target: string,
  state: StateMap<RoomEvent>,
  levels: PowerLevels,
): Verdict {
  const targetMembership = membershipOf(state, target);
  const thirdParty = own(event.content, "third_party_invite");
  if (thirdParty !== undefined) {
    if (targetMembership === "ban") return refuse(version, "invite.thirdParty.banned");
    return authoriseThirdPartyInvite(version, event, target, thirdParty, state);
  }
  if (membershipOf(state, event.sender) !== "join") return refuse(version, "invite.notJoined");
  if (targetMembership === "join" || targetMembership === "ban") return refuse(version, "invite.target");
  return userLevel(levels, event.sender) >= namedLevel(levels, "invite") ? ALLOWED : refuse(version, "invite.level");
}

function authoriseThirdPartyInvite(
  version: RoomVersion,
  event: RoomEvent,
  target: string,
  thirdParty: JsonValue,
  state: StateMap<RoomEvent>,
): Verdict {
  const signed = isObject(thirdParty) ? own(thirdParty, "signed") : undefined;
  if (signed === undefined) return refuse(version, "invite.thirdParty.noSigned");
  const mxid = isObject(signed) ? ownString(signed, "mxid") : undefined;
  const token = isObject(signed) ? ownString(signed, "token") : undefined;
  if (!isObject(signed) || mxid === undefined || token === undefined) {
    return refuse(version, "invite.thirdParty.malformed");
  }
  if (mxid !== target) return refuse(version, "invite.thirdParty.mxid");
  const invite = state.get(stateTuple("m.room.third_party_invite", token));
  if (invite === undefined) return refuse(version, "invite.thirdParty.unknown");
  if (invite.sender !== event.sender) return refuse(version, "invite.thirdParty.sender");
  return isSignedForInvite(version, signed, invite.content)
    ? ALLOWED
    : refuse(version, "invite.thirdParty.signature");
}

/** Whether a key of a third-party invite event, of whose content that is, signed what is to turn it into an invite. */
export function isSignedForInvite(version: RoomVersion, signed: JsonObject, content: JsonObject): boolean {
  return isSignedByAny(version, signed, thirdPartyKeys(content));
}

/** The public keys of a third-party invite event: the single one and those of the list. */
function thirdPartyKeys(content: JsonObject): readonly string[] {
  const list = own(content, "public_keys");
  const entries: readonly JsonValue[] = Array.isArray(list) ? list : [];
  return [content, ...entries].flatMap((holder) => (isObject(holder) ? (ownString(holder, "public_key") ?? []) : []));
}

function isSignedByAny(version: RoomVersion, signed: JsonObject, keys: readonly string[]): boolean {
  const signers = own(signed, "signatures");
  if (!isObject(signers)) return false;
  const signatures = Object.keys(signers).flatMap((signer) => [...signaturesBy(signed, signer).values()]);
  if (signatures.length === 0) return false;
  const text = signedText(signed, { lexemes: !version.strictNumbers });
  return keys.some((key) => signatures.some((signature) => verifyText(key, signature, text)));
}

function authoriseLeave(
  version: RoomVersion,
  event: RoomEvent,
  target: string,
  state: StateMap<RoomEvent>,
  levels: PowerLevels,
): Verdict {
  const senderMembership = membershipOf(state, event.sender);
  if (event.sender === target) {
    const mayLeave =
      senderMembership === "join" ||
      senderMembership === "invite" ||
      (senderMembership === "knock" && version.knocking);
    return mayLeave ? ALLOWED : refuse(version, "leave.self");
  }
  if (senderMembership !== "join") return refuse(version, "leave.notJoined");
  const level = userLevel(levels, event.sender);
  if (membershipOf(state, target) === "ban" && level < namedLevel(levels, "ban")) return refuse(version, "leave.banned");
  return level >= namedLevel(levels, "kick") && userLevel(levels, target) < level
    ? ALLOWED
    : refuse(version, "leave.level");
}

function authoriseBan(
  version: RoomVersion,
  event: RoomEvent,
  target: string,
  state: StateMap<RoomEvent>,
  levels: PowerLevels,
): Verdict {
  if (membershipOf(state, event.sender) !== "join") return refuse(version, "ban.notJoined");
  const level = userLevel(levels, event.sender);
  return level >= namedLevel(levels, "ban") && userLevel(levels, target) < level ? ALLOWED : refuse(version, "ban.level");
}

function authoriseKnock(version: RoomVersion, event: RoomEvent, state: StateMap<RoomEvent>): Verdict {
  const joinRule = joinRuleOf(state);
  if (joinRule !== "knock" && !(joinRule === "knock_restricted" && version.knockRestrictedJoins)) {
    return refuse(version, "knock.joinRule");
  }
  if (event.sender !== event.state_key) return refuse(version, "knock.sender");
  const current = membershipOf(state, event.sender);
  return current === "ban" || current === "invite" || current === "join"
    ? refuse(version, "knock.membership")
    : ALLOWED;
}

const NAMED_LEVELS = ["users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"] as const;

function authorisePowerLevels(
  version: RoomVersion,
  event: RoomEvent,
  create: RoomEvent,
  levels: PowerLevels,
  level: number,
): Verdict {
  const malformed = malformedPowerLevels(version, event.content, create);
  if (malformed !== undefined) return refuse(version, malformed);
  const { content: old } = levels;
  if (old === undefined) return ALLOWED;

  for (const name of NAMED_LEVELS) {
    const before = parseLevel(version, own(old, name));
    const after = parseLevel(version, own(event.content, name));
    if (before === after) continue;
    if (before !== undefined && before > level) return refuse(version, "powerLevels.namedOld");
    if (after !== undefined && after > level) return refuse(version, "powerLevels.namedNew");
  }
  for (const map of version.limitNotificationLevels ? ["events", "notifications"] : ["events"]) {
    for (const [, before, after] of changes(version, own(old, map), own(event.content, map))) {
      if (before !== undefined && before > level) return refuse(version, "powerLevels.entriesOld");
      if (after !== undefined && after > level) return refuse(version, "powerLevels.entriesNew");
    }
  }
  for (const [user, before, after] of changes(version, own(old, "users"), own(event.content, "users"))) {
    if (user !== event.sender && before !== undefined && before >= level) return refuse(version, "powerLevels.usersOld");
    if (after !== undefined && after > level) return refuse(version, "powerLevels.usersNew");
  }
  return ALLOWED;
}

/** The entries that differ between two maps of levels, with the level before and after. */
function* changes(
  version: RoomVersion,
  before: JsonValue | undefined,
  after: JsonValue | undefined,
): Generator<readonly [key: string, before: number | undefined, after: number | undefined]> {
  const [old, changed] = [isObject(before) ? before : {}, isObject(after) ? after : {}];
  for (const key of new Set([...Object.keys(old), ...Object.keys(changed)])) {
    const [from, to] = [parseLevel(version, own(old, key)), parseLevel(version, own(changed, key))];
    if (from !== to) yield [key, from, to];
  }
}

/**
 * The rule that a malformed power levels event breaks. Versions before integer levels only speak of `users`; a level
 * elsewhere that is no level at all is refused there too, since no two servers would read it alike.
 */
function malformedPowerLevels(version: RoomVersion, content: JsonObject, create: RoomEvent): RuleName | undefined {
  const isLevel = (value: JsonValue): boolean => parseLevel(version, value) !== undefined;
  const isLevelMap = (value: JsonValue | undefined): boolean =>
    value === undefined || (isObject(value) && Object.values(value).every(isLevel));
  for (const name of NAMED_LEVELS) {
    const value = own(content, name);
    if (value !== undefined && !isLevel(value)) {
      return version.integerPowerLevels ? "powerLevels.integers" : "powerLevels.users";
    }
  }
  for (const map of version.limitNotificationLevels ? ["events", "notifications"] : ["events"]) {
    if (!isLevelMap(own(content, map))) return version.integerPowerLevels ? "powerLevels.maps" : "powerLevels.users";
  }
  const users = own(content, "users");
  if (!isLevelMap(users)) return "powerLevels.users";
  if (!isObject(users)) return undefined;
  if (Object.keys(users).some((user) => parseUserId(user) === undefined)) return "powerLevels.users";
  if (version.privilegedCreators && roomCreators(version, create).some((user) => Object.hasOwn(users, user))) {
    return "powerLevels.creators";
  }
  return undefined;
}

/**
 * Whether a redaction takes effect on the event it names ("Handling redactions", room versions 3 and later; before,
 * the authorisation rules have said so): the sender has the redact level, or is of the same server as the event's sender.
 */
export function mayRedact(version: RoomVersion, redaction: RoomEvent, target: RoomEvent, levels: PowerLevels): boolean {
  if (redaction.room_id !== target.room_id || redaction.redacts !== target.event_id) return false;
  if (target.type === "m.room.create") return false; // nothing of a room would hold without it
  if (version.redactionAuthorised) return true;
  return (
    userLevel(levels, redaction.sender) >= namedLevel(levels, "redact") ||
    serverNameOf(redaction.sender) === serverNameOf(target.sender)
  );
}
