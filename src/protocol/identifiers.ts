// Identifiers and their grammar (appendices, "Identifier Grammar"). The only place where a plain string becomes an id.
import { isIPv6 } from "node:net";
import type { DeviceId, EventId, RoomAlias, RoomId, ServerName, UserId } from "../../spec/types/identifiers.js";

export type { DeviceId, EventId, RoomAlias, RoomId, ServerName, UserId } from "../../spec/types/identifiers.js";

const MAX_BYTES = 255;

/** True if `text` takes at most 255 bytes of UTF-8 and is sound Unicode without NUL: what every identifier must be. */
function isShortText(text: string): boolean {
  return text.length <= MAX_BYTES && !/[\0\p{Surrogate}]/u.test(text) && Buffer.byteLength(text) <= MAX_BYTES;
}

// As lenient as the grammar, since names in old events are judged alike by all servers; a first dot no name has ever had.
const DNS_NAME = /^[a-zA-Z0-9][a-zA-Z0-9.-]*$/;
const DOTTED_QUAD = /^\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}$/;
const HOST_AND_PORT = /^(\[[0-9A-Fa-f:.]{2,45}\]|[^:[\]]{1,255})(?::(\d{1,5}))?$/;

/** The host and port of a server name, or undefined if it breaks the grammar (appendices, "Server Name"). */
export function splitServerName(text: string): { host: string; port: number | undefined } | undefined {
  const [, host, port] = HOST_AND_PORT.exec(text) ?? [];
  if (host === undefined || text.length > MAX_BYTES) return undefined;
  if (port !== undefined && Number(port) > 65535) return undefined;
  const sound = host.startsWith("[")
    ? isIPv6(host.slice(1, -1))
    : DOTTED_QUAD.test(host)
      ? host.split(".").every((part) => Number(part) <= 255)
      : DNS_NAME.test(host);
  return sound ? { host, port: port === undefined ? undefined : Number(port) } : undefined;
}

/** `text` as a server name, or undefined if it is none. Case is kept: server names differ by case. */
export function parseServerName(text: unknown): ServerName | undefined {
  return typeof text === "string" && splitServerName(text) !== undefined ? (text as ServerName) : undefined;
}

// The same few servers appear in almost every identifier: their names are checked once.
const knownServers = new Set<string>();
const MAX_KNOWN_SERVERS = 10_000;

function isServerName(text: string): boolean {
  if (knownServers.has(text)) return true;
  if (splitServerName(text) === undefined) return false;
  if (knownServers.size >= MAX_KNOWN_SERVERS) knownServers.clear();
  knownServers.add(text);
  return true;
}

/** True for `<sigil>localpart:server`, whatever the localpart holds. */
function hasServer(sigil: string, text: unknown): text is string {
  if (typeof text !== "string" || !text.startsWith(sigil) || !isShortText(text)) return false;
  const colon = text.indexOf(":");
  return colon > 0 && isServerName(text.slice(colon + 1));
}

/**
 * `text` as a user id, or undefined. Lenient as "Historical User IDs" asks: any localpart without `:` and NUL, also an
 * empty one; `isStrictLocalpart` is for ids that we give out.
 */
export function parseUserId(text: unknown): UserId | undefined {
  return hasServer("@", text) ? (text as UserId) : undefined;
}

/** True if a localpart may be given to a new user (appendices, "User Identifiers"). */
export function isStrictLocalpart(localpart: string): boolean {
  return /^[a-z0-9._=/+-]+$/.test(localpart);
}

/** The id of a new user of ours, or undefined if the localpart breaks the strict grammar or the id is too long. */
export function newUserId(localpart: string, server: ServerName): UserId | undefined {
  return isStrictLocalpart(localpart) ? parseUserId(`@${localpart}:${server}`) : undefined;
}

/** True for user ids that may appear outside events: no empty localpart, only U+0021 to U+007E. */
export function isCompliantUserId(id: UserId): boolean {
  return /^[\u0021-\u007e]+$/.test(localpartOf(id));
}

/** `text` as a room id of any room version, with a domain or without, or undefined. */
export function parseRoomId(text: unknown): RoomId | undefined {
  if (typeof text !== "string" || !text.startsWith("!") || text.length < 2 || !isShortText(text)) return undefined;
  const colon = text.indexOf(":");
  return colon < 0 || isServerName(text.slice(colon + 1)) ? (text as RoomId) : undefined;
}

/** `text` as an event id of any room version, with a domain or without, or undefined. */
export function parseEventId(text: unknown): EventId | undefined {
  if (typeof text !== "string" || !text.startsWith("$") || text.length < 2 || !isShortText(text)) return undefined;
  const colon = text.indexOf(":");
  return colon < 0 || isServerName(text.slice(colon + 1)) ? (text as EventId) : undefined;
}

/** `text` as a room alias, or undefined. */
export function parseRoomAlias(text: unknown): RoomAlias | undefined {
  return hasServer("#", text) ? (text as RoomAlias) : undefined;
}

/** `text` as a device id, or undefined: devices name themselves, so only length and soundness are checked. */
export function parseDeviceId(text: unknown): DeviceId | undefined {
  return typeof text === "string" && text.length > 0 && isShortText(text) ? (text as DeviceId) : undefined;
}

/** The room id of a room whose id is the hash of its create event: that event's id with the other sigil. */
export function roomIdOfCreateEvent(create: EventId): RoomId {
  return `!${create.slice(1)}` as RoomId;
}

/** The id of the create event that a room id without domain names. */
export function createEventIdOfRoom(room: RoomId): EventId {
  return `$${room.slice(1)}` as EventId;
}

/** An event id from the encoded reference hash of its event. */
export function eventIdOfHash(hash: string): EventId {
  return `$${hash}` as EventId;
}

/** The part between the sigil and the first colon. */
export function localpartOf(id: UserId | RoomAlias): string {
  return id.slice(1, id.indexOf(":"));
}

/** The server that gave out an identifier; undefined for room and event ids that carry no domain. */
export function serverNameOf(id: UserId | RoomAlias): ServerName;
export function serverNameOf(id: RoomId | EventId): ServerName | undefined;
export function serverNameOf(id: UserId | RoomAlias | RoomId | EventId): ServerName | undefined {
  const colon = id.indexOf(":");
  return colon < 0 ? undefined : (id.slice(colon + 1) as ServerName);
}
