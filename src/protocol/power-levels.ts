// Power levels: who may do what in a room (m.room.power_levels; server-server API, "Definitions").
import type { RoomEvent } from "./event.js";
import { isObject, type JsonObject, type JsonValue, own } from "./json.js";
import type { RoomVersion } from "./room-version.js";

export type NamedLevel = "ban" | "invite" | "kick" | "redact" | "events_default" | "state_default" | "users_default";

const DEFAULTS: Readonly<Record<NamedLevel, number>> = {
  ban: 50,
  invite: 0,
  kick: 50,
  redact: 50,
  events_default: 0,
  state_default: 50,
  users_default: 0,
};

/** The level of whoever created a room without power levels. */
const CREATOR_LEVEL = 100;

/** The levels in force at some point of a room. */
export interface PowerLevels {
  readonly version: RoomVersion;
  /** The content of the power levels event, if the room has one. */
  readonly content: JsonObject | undefined;
  readonly creators: readonly string[];
}

/**
 * The creators of a room: the sender of its create event, or its `creator` in versions that have one, and the
 * `additional_creators` where the version privileges them.
 */
export function roomCreators(version: RoomVersion, create: RoomEvent): readonly string[] {
  if (!version.implicitCreator) {
    const creator = own(create.content, "creator");
    return typeof creator === "string" ? [creator] : [];
  }
  const additional = version.privilegedCreators ? own(create.content, "additional_creators") : undefined;
  if (!Array.isArray(additional)) return [create.sender];
  return [create.sender, ...additional.filter((user) => typeof user === "string")];
}

/** The levels that a create event and the power levels event, if there is one, put in force. */
export function powerLevels(version: RoomVersion, create: RoomEvent, event: RoomEvent | undefined): PowerLevels {
  return { version, content: event?.content, creators: roomCreators(version, create) };
}

/**
 * A level as the version accepts it: an integer; before integer levels also a decimal, which is cut off, and a string of
 * an integer, with sign, leading zeros and white space around. Undefined for anything else.
 */
export function parseLevel(version: RoomVersion, value: JsonValue | undefined): number | undefined {
  if (typeof value === "number") {
    if (version.integerPowerLevels || version.strictNumbers) return Number.isSafeInteger(value) ? value : undefined;
    return Number.isFinite(value) ? Math.trunc(value) : undefined;
  }
  if (version.integerPowerLevels || typeof value !== "string") return undefined;
  return /^\s*[+-]?\d+\s*$/.test(value) ? Number(value) : undefined;
}

function entry(levels: PowerLevels, map: string, key: string): number | undefined {
  const entries = levels.content === undefined ? undefined : own(levels.content, map);
  return isObject(entries) ? parseLevel(levels.version, own(entries, key)) : undefined;
}

/** The level that a named action or default needs or gives. */
export function namedLevel(levels: PowerLevels, name: NamedLevel): number {
  const set = levels.content === undefined ? undefined : parseLevel(levels.version, own(levels.content, name));
  return set ?? DEFAULTS[name];
}

/** A user's level; Infinity for creators where the version privileges them. */
export function userLevel(levels: PowerLevels, user: string): number {
  if (levels.version.privilegedCreators && levels.creators.includes(user)) return Infinity;
  if (levels.content === undefined) return levels.creators.includes(user) ? CREATOR_LEVEL : 0;
  return entry(levels, "users", user) ?? namedLevel(levels, "users_default");
}

/** The level required to send an event of a type ("Required Power Level"). */
export function requiredLevel(levels: PowerLevels, type: string, state: boolean): number {
  return entry(levels, "events", type) ?? namedLevel(levels, state ? "state_default" : "events_default");
}

/** The level required for a notification such as `room`: 50 unless the room says otherwise. */
export function notificationLevel(levels: PowerLevels, name: string): number {
  return entry(levels, "notifications", name) ?? 50;
}
