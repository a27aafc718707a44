// The rooms that a user's lists can show, latest activity first, and which of them a filter lets through (MSC4186, "Lists").
import { LRUCache } from "lru-cache";
import type { SlidingFilters } from "../../../spec/client/sliding-sync.js";
import type { UserId } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../../protocol/json.js";
import { membershipIn } from "../../protocol/membership.js";
import { stateTuple } from "../../protocol/state-map.js";
import { ignoredUserIds } from "../../rooms/ignored-users.js";
import { inviteFilters } from "../../rooms/membership/invite-filter.js";
import type { VisibilityServices } from "../../rooms/views/visibility.js";
import { findAccountData, NO_ROOM } from "../../storage/account-data.js";
import type { LogKind } from "../../storage/log-entry.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import { createEvents, listRooms, type ListedRoom, stateOfTuples, stateOfTypes, tagsOfRooms } from "../../storage/sliding-rooms.js";
import type { Reads } from "../../storage/statement.js";
import { stateOfSnapshots } from "../../storage/visibility.js";
import { strippedRooms } from "../stripped-rooms.js";
import { type LogMemory, recentEntries } from "./recent.js";

export const NAME = stateTuple("m.room.name", "");
const CREATE = stateTuple("m.room.create", "");
const ENCRYPTION = stateTuple("m.room.encryption", "");
const SPACE_CHILD = "m.space.child";
const DIRECT = "m.direct";

/** The types of rooms, which never change, by number. */
export type RoomTypes = LRUCache<number, { readonly type: string | null }>;

export const roomTypes = (): RoomTypes => new LRUCache({ max: 200_000 });

export interface RoomListServices extends VisibilityServices {
  readonly roomTypes: RoomTypes;
}

export interface RoomListReader {
  readonly user_id: UserId;
  readonly user_nid: number;
}

export const isJoined = ({ membership }: ListedRoom): boolean => membership === MEMBERSHIPS.join;
export const isWaiting = ({ membership }: ListedRoom): boolean => membership === MEMBERSHIPS.invite || membership === MEMBERSHIPS.knock;
export const isLeft = (room: ListedRoom): boolean => !isJoined(room) && !isWaiting(room);

/** The rooms of a user at one position. */
export interface ListedRooms {
  /** All, by their numbers, left ones included; without invitations that the user does not want to hear of. */
  readonly rooms: ReadonlyMap<number, ListedRoom>;
  /** Those that lists show, latest activity first. */
  readonly listed: readonly ListedRoom[];
  /** The ids of the rooms that the user calls direct. */
  readonly direct: ReadonlySet<string>;
  /** The ids of the users whom the user ignores. */
  readonly ignored: ReadonlySet<string>;
}

/** The rooms of a user as of a snapshot. */
export class RoomList {
  readonly #services: RoomListServices;
  readonly #reads: Reads;
  readonly #reader: RoomListReader;
  readonly rooms: ListedRooms["rooms"];
  readonly listed: ListedRooms["listed"];
  readonly direct: ListedRooms["direct"];
  readonly #facts = new Map<string, Promise<ReadonlyMap<number, string | null>>>();

  constructor(services: RoomListServices, reads: Reads, reader: RoomListReader, { rooms, listed, direct }: ListedRooms) {
    this.#services = services;
    this.#reads = reads;
    this.#reader = reader;
    this.rooms = rooms;
    this.listed = listed;
    this.direct = direct;
  }

  /** The listed rooms that pass a filter, in their order. */
  async filtered(filters: SlidingFilters): Promise<readonly ListedRoom[]> {
    const { is_dm, is_invite, is_encrypted, room_types, not_room_types, room_name_like, tags, not_tags, spaces } = filters;
    const tests: ((room: ListedRoom) => boolean)[] = [];
    if (is_dm !== undefined) tests.push(({ room_id }) => this.direct.has(room_id) === is_dm);
    if (is_invite !== undefined) tests.push(({ membership }) => (membership === MEMBERSHIPS.invite) === is_invite);
    if (is_encrypted !== undefined) {
      const encrypted = await this.#fact("encryption", () => this.#encrypted());
      tests.push(({ room_nid }) => encrypted.has(room_nid) === is_encrypted);
    }
    if (room_types !== undefined || not_room_types !== undefined) {
      const types = await this.#fact("types", () => this.#types());
      const typeOf = ({ room_nid }: ListedRoom): string | null => types.get(room_nid) ?? null;
      if (room_types !== undefined) tests.push((room) => room_types.includes(typeOf(room)));
      if (not_room_types !== undefined) tests.push((room) => !not_room_types.includes(typeOf(room)));
    }
    if (room_name_like !== undefined && room_name_like !== "") {
      const names = await this.#fact("names", () => this.#names());
      const part = room_name_like.toLowerCase();
      tests.push(({ room_nid }) => names.get(room_nid)?.toLowerCase().includes(part) === true);
    }
    if (tags !== undefined || not_tags !== undefined) {
      const contents = await this.#fact("tags", () => tagsOfRooms(this.#reads, this.#reader.user_nid));
      const tagsOf = new Map([...contents].map(([room, text]) => [room, tagsIn(text)]));
      const hasAny = ({ room_nid }: ListedRoom, of: readonly string[]): boolean => of.some((tag) => tagsOf.get(room_nid)?.has(tag) === true);
      if (tags !== undefined) tests.push((room) => hasAny(room, tags));
      if (not_tags !== undefined) tests.push((room) => !hasAny(room, not_tags));
    }
    if (spaces !== undefined) {
      const children = await this.#children(spaces);
      tests.push(({ room_id }) => children.has(room_id));
    }
    return tests.length === 0 ? this.listed : this.listed.filter((room) => tests.every((test) => test(room)));
  }

  /** What several lists may ask for is read once. */
  #fact(name: string, read: () => Promise<ReadonlyMap<number, string | null>>): Promise<ReadonlyMap<number, string | null>> {
    let fact = this.#facts.get(name);
    if (fact === undefined) this.#facts.set(name, (fact = read()));
    return fact;
  }

  async #types(): Promise<ReadonlyMap<number, string | null>> {
    const { roomTypes: known, interning } = this.#services;
    const types = new Map<number, string | null>();
    const missing: number[] = [];
    for (const { room_nid } of this.listed) {
      const type = known.get(room_nid);
      if (type === undefined) missing.push(room_nid);
      else types.set(room_nid, type.type);
    }
    const tuple = missing.length === 0 ? undefined : (await interning.findTuples([CREATE])).get(CREATE);
    if (tuple !== undefined) {
      for (const [room, json] of await createEvents(this.#reads, missing, tuple)) {
        const type = stringIn(JSON.parse(json), "type");
        known.set(room, { type });
        types.set(room, type);
      }
    }
    for (const [room, event] of await this.#offered("m.room.create")) if (!types.has(room)) types.set(room, stringIn(event, "type"));
    return types;
  }

  async #encrypted(): Promise<ReadonlyMap<number, string | null>> {
    const events = await this.#state(ENCRYPTION);
    const encrypted = new Map<number, string | null>([...events.keys()].map((room) => [room, null]));
    for (const room of (await this.#offered("m.room.encryption")).keys()) encrypted.set(room, null);
    return encrypted;
  }

  async #names(): Promise<ReadonlyMap<number, string | null>> {
    const events = await this.#state(NAME);
    const contents = await this.#services.events.get(this.#reads, events.values());
    const names = new Map<number, string | null>();
    for (const [room, nid] of events) names.set(room, ownString(contents.get(nid)?.event.content ?? {}, "name") ?? null);
    for (const [room, event] of await this.#offered("m.room.name")) names.set(room, stringIn(event, "name"));
    return names;
  }

  /** Events that are a piece of state of joined rooms now, and of rooms that were left as of then. */
  async #state(tuple: ReturnType<typeof stateTuple>): Promise<Map<number, number>> {
    const nid = (await this.#services.interning.findTuples([tuple])).get(tuple);
    if (nid === undefined) return new Map();
    const joined = this.listed.filter(isJoined);
    const rows = await stateOfTuples(this.#reads, joined.map(({ room_nid }) => [room_nid, nid] as const));
    const events = new Map(rows.map(({ room_nid, event_nid }) => [room_nid, event_nid]));
    const left = this.listed.filter(isLeft);
    const leavings = left.length === 0 ? new Map() : await this.#services.events.get(this.#reads, left.map(({ event_nid }) => event_nid));
    const before = new Map<number, number>();
    for (const { room_nid, event_nid } of left) {
      const snapshot = leavings.get(event_nid)?.row.state_before ?? null;
      if (snapshot !== null) before.set(room_nid, snapshot);
    }
    const states = await stateOfSnapshots(this.#reads, [...before.values()], [nid]);
    for (const [room, snapshot] of before) {
      const event = states.get(snapshot)?.get(nid);
      if (event !== undefined) events.set(room, event);
    }
    return events;
  }

  /** The events of a type among what the user was told of rooms that they wait for. */
  async #offered(type: string): Promise<Map<number, JsonObject>> {
    const waiting = this.listed.filter(isWaiting);
    const found = new Map<number, JsonObject>();
    for (const [room, texts] of await strippedRooms(this.#services, this.#reads, this.#reader.user_nid, waiting)) {
      for (const event of strippedEvents(texts)) if (ownString(event, "type") === type) found.set(room, event);
    }
    return found;
  }

  /** The ids of the rooms that are children of those of these spaces that the user is in. */
  async #children(spaces: readonly string[]): Promise<Set<string>> {
    const inside = [...this.rooms.values()].filter((room) => isJoined(room) && spaces.includes(room.room_id));
    const type = (await this.#services.interning.findTypes([SPACE_CHILD])).get(SPACE_CHILD);
    if (type === undefined || inside.length === 0) return new Set();
    const rows = await stateOfTypes(this.#reads, inside.map(({ room_nid }) => [room_nid, type] as const));
    const events = await this.#services.events.get(this.#reads, rows.map(({ event_nid }) => event_nid));
    const children = [...events.values()].filter(({ event }) => {
      const via = own(event.content, "via");
      return Array.isArray(via) && via.length > 0;
    });
    return new Set(children.map(({ event }) => event.state_key ?? ""));
  }
}

/** Reads the rooms of a user; those that were left before a position and forgotten are left out. */
async function readRooms(services: RoomListServices, reads: Reads, reader: RoomListReader, after: number): Promise<ListedRooms> {
  const [all, direct, ignored] = await Promise.all([
    listRooms(reads, reader.user_nid, after),
    findAccountData(reads, reader.user_nid, NO_ROOM, DIRECT),
    ignoredUserIds(reads, reader.user_nid),
  ]);
  const [wanted, expelled] = await Promise.all([
    withoutUnwanted(services, reads, reader, all),
    roomsExpelledFrom(services, reads, reader, all),
  ]);
  const listed = inOrder(wanted.filter((room) => !isLeft(room) || expelled.has(room.room_nid)));
  return { rooms: new Map(wanted.map((room) => [room.room_nid, room])), listed, direct: directRooms(direct), ignored };
}

function inOrder(rooms: readonly ListedRoom[]): readonly ListedRoom[] {
  return rooms.toSorted((a, b) => b.activity - a.activity || b.room_nid - a.room_nid);
}

interface KnownRooms {
  readonly list: ListedRooms;
  /** As of which position. */
  readonly position: number;
  /** Rooms that were left later than this and forgotten would be shown to who comes from before: there is none in it. */
  readonly least: number;
}

/** Rooms in all lists that are kept. */
const KEPT_ROOMS = 500_000;
const KEPT_MS = 10 * 60_000;
/** What the log may say of a user without their list of rooms being another. */
const OF_USER: ReadonlySet<LogKind> = new Set(["event", "receipt", "presence", "to_device", "key", "device_list", "thread_subscription", "push_rule"]);
/** As much, of rooms. */
const OF_ROOM: ReadonlySet<LogKind> = new Set(["event", "receipt", "state_change", "server_membership"]);

/** The lists of rooms of users who asked lately, brought up to date from the log as long as only something was said in rooms. */
export class KnownRoomLists {
  readonly #follower: LogMemory;
  readonly #kept = new LRUCache<number, KnownRooms>({ maxSize: KEPT_ROOMS, ttl: KEPT_MS, sizeCalculation: ({ list }) => 1 + list.rooms.size });

  constructor(follower: LogMemory) {
    this.#follower = follower;
  }

  /** The rooms of a user as of the position of a snapshot; those that were left before `after` and forgotten are left out. */
  async read(services: RoomListServices, reads: Reads, reader: RoomListReader, { after, upTo }: { readonly after: number; readonly upTo: number }): Promise<ListedRooms> {
    const known = this.#kept.get(reader.user_nid);
    const later = known === undefined || after < known.least ? undefined : await this.#later(services, reads, reader, known, upTo);
    const list = later ?? (await readRooms(services, reads, reader, after));
    const isNew = later === undefined ? [...list.rooms.values()].every(({ forgotten }) => !forgotten) : later !== known?.list || upTo > known.position;
    if (isNew && upTo >= (this.#kept.peek(reader.user_nid)?.position ?? 0)) {
      const least = later === undefined ? Math.min(after, upTo) : (known?.least ?? upTo);
      this.#kept.set(reader.user_nid, { list, position: upTo, least });
    }
    return list;
  }

  /** A list as of a later position; undefined where it takes the database to know it. */
  async #later({ events }: RoomListServices, reads: Reads, { user_nid }: RoomListReader, { list, position }: KnownRooms, upTo: number): Promise<ListedRooms | undefined> {
    const recent = recentEntries(this.#follower, user_nid, { after: position, upTo });
    if (recent === undefined || recent.own.some(({ kind }) => !OF_USER.has(kind))) return undefined;
    const said: number[] = [];
    for (const room of list.rooms.keys()) {
      for (const { kind, reference } of recent.ofRoom(room)) {
        if (!OF_ROOM.has(kind)) return undefined;
        if (kind === "event" && reference !== undefined) said.push(reference);
      }
    }
    if (said.length === 0) return list;
    const activity = new Map<number, number>();
    for (const { row } of (await events.get(reads, said)).values()) {
      if (row.ordinal !== null) activity.set(row.room_nid, Math.max(row.position, activity.get(row.room_nid) ?? 0));
    }
    const moved = (room: ListedRoom): ListedRoom => {
      const latest = isJoined(room) ? activity.get(room.room_nid) : undefined;
      return latest === undefined ? room : { ...room, activity: latest };
    };
    const rooms = new Map([...list.rooms].map(([nid, room]) => [nid, moved(room)]));
    return { ...list, rooms, listed: inOrder(list.listed.map(({ room_nid }) => rooms.get(room_nid)).filter((room) => room !== undefined)) };
  }

  /** Forgets everything: the database may have another history than before. */
  forgetAll(): void {
    this.#kept.clear();
  }
}

/** The events of stripped state, each text of which may hold several, parted by commas. */
export function strippedEvents(texts: readonly string[]): JsonObject[] {
  const parsed: JsonValue = JSON.parse(`[${texts.join(",")}]`);
  return Array.isArray(parsed) ? parsed.filter(isObject) : [];
}

/** A string of an event's content. */
export function stringIn(event: JsonValue | undefined, name: string): string | null {
  const content = isObject(event) ? own(event, "content") : undefined;
  return (isObject(content) ? ownString(content, name) : undefined) ?? null;
}

function tagsIn(text: string | null): Set<string> {
  const content: JsonValue = text === null ? null : JSON.parse(text);
  const tags = isObject(content) ? own(content, "tags") : undefined;
  return new Set(isObject(tags) ? Object.keys(tags) : []);
}

function directRooms(text: string | undefined): Set<string> {
  const content: JsonValue = text === undefined ? null : JSON.parse(text);
  const rooms = isObject(content) ? Object.values(content).flatMap((of) => (Array.isArray(of) ? of : [])) : [];
  return new Set(rooms.filter((room) => typeof room === "string"));
}

/** The rooms but for those to which someone invites of whom the user does not want to hear. */
async function withoutUnwanted(
  { interning }: RoomListServices,
  reads: Reads,
  { user_nid }: RoomListReader,
  rooms: readonly ListedRoom[],
): Promise<readonly ListedRoom[]> {
  const invites = rooms.filter(({ membership }) => membership === MEMBERSHIPS.invite);
  if (invites.length === 0) return rooms;
  const [verdict, names] = await Promise.all([
    inviteFilters(reads, [user_nid]),
    interning.userIds(new Set(invites.map(({ sender_nid }) => sender_nid))),
  ]);
  return rooms.filter(({ membership, sender_nid }) => {
    const inviter = membership === MEMBERSHIPS.invite ? names.get(sender_nid) : undefined;
    return inviter === undefined || verdict(user_nid, userIdFrom(inviter)) === "allow";
  });
}

/** The numbers hold user ids as plain strings; they came in as UserId. */
function userIdFrom(id: string): UserId {
  return id as UserId;
}

/** The rooms that the user was in and was sent away from by others. */
async function roomsExpelledFrom(
  { events: cache }: RoomListServices,
  reads: Reads,
  { user_nid }: RoomListReader,
  rooms: readonly ListedRoom[],
): Promise<Set<number>> {
  const left = rooms.filter((room) => isLeft(room) && room.sender_nid !== user_nid);
  if (left.length === 0) return new Set();
  const leavings = await cache.get(reads, left.map(({ event_nid }) => event_nid));
  const replaced = await cache.get(reads, [...leavings.values()].flatMap(({ row }) => row.replaces ?? []));
  return new Set(
    left.flatMap(({ room_nid, event_nid }) => {
      const before = replaced.get(leavings.get(event_nid)?.row.replaces ?? -1);
      return before !== undefined && membershipIn(before.event.content) === "join" ? [room_nid] : [];
    }),
  );
}
