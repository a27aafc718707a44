// What is told of a room to those who are not in it yet (client-server API, "GET /room_summary"): in its summary, in the
// directory, in the tree of a space.
import { historyVisibilityIn } from "../../protocol/history-visibility.js";
import { parseRoomAlias, type RoomAlias, type RoomId, type ServerName } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, own, ownString } from "../../protocol/json.js";
import type { Membership } from "../../protocol/membership.js";
import { type RoomVersion, roomVersion } from "../../protocol/room-version.js";
import { aclAllows, compileServerAcl } from "../../protocol/server-acl.js";
import { roomsInviting, roomsOfServers } from "../../storage/joined-servers.js";
import { type MembershipEntry, membershipsOfUser } from "../../storage/memberships.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import { type RoomNames, roomsById } from "../../storage/rooms.js";
import { memberCounts } from "../../storage/state.js";
import type { Reads } from "../../storage/statement.js";
import { CURRENT_STATE_OF_TYPES } from "../../storage/sync.js";
import type { RoomContext, RoomUser } from "../context.js";
import type { ReadEvent } from "../views/event-cache.js";
import { allowedRooms } from "./join-rules.js";

/** A room as the directory shows it. */
export interface DirectoryRoom {
  readonly room_id: RoomId;
  readonly num_joined_members: number;
  readonly world_readable: boolean;
  readonly guest_can_join: boolean;
  readonly join_rule: string;
  readonly name?: string;
  readonly topic?: string;
  readonly avatar_url?: string;
  readonly canonical_alias?: RoomAlias;
  readonly room_type?: string;
}

/** A room as its summary shows it. */
export interface RoomSummary extends DirectoryRoom {
  /** Not every other server tells it. */
  readonly room_version?: string;
  readonly encryption?: string;
  /** The rooms whose members may join this one. */
  readonly allowed_room_ids?: string[];
}

/** Pieces of a room's state with an empty state key: the contents, by type. */
export type Contents = ReadonlyMap<string, JsonObject>;

const DIRECTORY_STATE = [
  "m.room.create",
  "m.room.name",
  "m.room.topic",
  "m.room.avatar",
  "m.room.canonical_alias",
  "m.room.join_rules",
  "m.room.guest_access",
  "m.room.history_visibility",
];
const SERVER_ACL = "m.room.server_acl";
const SUMMARY_STATE = [...DIRECTORY_STATE, "m.room.encryption"];

/** What the directory says of rooms, in their order. */
export async function directoryRooms(
  context: Pick<RoomContext, "events">,
  reads: Reads,
  rooms: readonly { readonly room_nid: number; readonly room_id: RoomId; readonly joined: number }[],
): Promise<DirectoryRoom[]> {
  const state = await stateOfTypes(
    context,
    reads,
    rooms.map(({ room_nid }) => room_nid),
    DIRECTORY_STATE,
  );
  return rooms.map(({ room_nid, room_id, joined }) => describe(room_id, joined, contentsOf(state.get(room_nid) ?? [])));
}

/** The current state events of some types, by room. */
async function stateOfTypes(
  { events }: Pick<RoomContext, "events">,
  reads: Reads,
  roomNids: readonly number[],
  types: readonly string[],
): Promise<Map<number, ReadEvent[]>> {
  const rows = await reads.read(CURRENT_STATE_OF_TYPES, [roomNids, types]);
  const found = await events.get(
    reads,
    rows.map(({ event_nid }) => event_nid),
  );
  const byRoom = new Map<number, ReadEvent[]>(roomNids.map((nid) => [nid, []]));
  for (const { room_nid, event_nid } of rows) {
    const read = found.get(event_nid);
    if (read !== undefined) byRoom.get(room_nid)?.push(read);
  }
  return byRoom;
}

function contentsOf(state: readonly ReadEvent[]): Contents {
  return new Map(state.filter(({ event }) => event.state_key === "").map(({ event }) => [event.type, event.content]));
}

function describe(room_id: RoomId, joined: number, contents: Contents): DirectoryRoom {
  const content = (type: string): JsonObject => contents.get(type) ?? {};
  const name = ownString(content("m.room.name"), "name");
  const topic = plainTopic(content("m.room.topic"));
  const picture = ownString(content("m.room.avatar"), "url");
  const alias = parseRoomAlias(own(content("m.room.canonical_alias"), "alias"));
  const type = ownString(content("m.room.create"), "type");
  return {
    room_id,
    num_joined_members: joined,
    world_readable: historyVisibilityIn(content("m.room.history_visibility")) === "world_readable",
    guest_can_join: ownString(content("m.room.guest_access"), "guest_access") === "can_join",
    join_rule: joinRuleIn(contents),
    ...(name !== undefined && name !== "" && { name }),
    ...(topic !== undefined && topic !== "" && { topic }),
    ...(picture !== undefined && { avatar_url: picture }),
    ...(alias !== undefined && { canonical_alias: alias }),
    ...(type !== undefined && { room_type: type }),
  };
}

function joinRuleIn(contents: Contents): string {
  return ownString(contents.get("m.room.join_rules") ?? {}, "join_rule") ?? "invite";
}

/** The plain text of a topic ("m.room.topic"). */
function plainTopic(content: JsonObject): string | undefined {
  const block = own(content, "m.topic");
  const texts = isObject(block) ? own(block, "m.text") : undefined;
  for (const text of Array.isArray(texts) ? texts : []) {
    if (isObject(text) && (ownString(text, "mimetype") ?? "text/plain") === "text/plain") return ownString(text, "body");
  }
  return ownString(content, "topic");
}

/** The memberships that decide what a reader is told. */
export type MembershipsByRoom = ReadonlyMap<string, MembershipEntry>;

/** A user's memberships by room id; none for who has not told who they are. */
export async function membershipsByRoom(reads: Reads, user: RoomUser | undefined): Promise<MembershipsByRoom> {
  const entries = user === undefined ? [] : await membershipsOfUser(reads, user.user_nid);
  return new Map(entries.map((entry) => [entry.room_id, entry]));
}

/** A room with its summary, and the state events of the further types that were asked for. */
export interface SummarisedRoom {
  readonly summary: RoomSummary;
  readonly further: readonly ReadEvent[];
  /** None of ours is in the room, and others are: they know better. */
  readonly outdated: boolean;
}

interface DescribedRoom extends SummarisedRoom {
  readonly nid: number;
  readonly version: RoomVersion;
  readonly contents: Contents;
}

/** Rooms that we have, by their ids, with their state of some further types. A constant number of statements. */
async function described(
  context: SummaryContext,
  reads: Reads,
  roomIds: readonly string[],
  further: readonly string[],
): Promise<Map<string, DescribedRoom>> {
  const rooms = await roomsById(reads, roomIds);
  const nids = [...rooms.values()].map(({ nid }) => nid);
  const found = new Map<string, DescribedRoom>();
  if (nids.length === 0) return found;
  const [state, counts, ours] = await Promise.all([
    stateOfTypes(context, reads, nids, [...SUMMARY_STATE, ...further]),
    memberCounts(reads, nids),
    roomsOfServers(reads, nids, context.servers.names),
  ]);
  for (const [id, room] of rooms) {
    const events = state.get(room.nid) ?? [];
    const contents = contentsOf(events);
    const version = roomVersion(room.version);
    if (version === undefined) continue;
    const joined = counts.get(room.nid)?.get(MEMBERSHIPS.join) ?? 0;
    found.set(id, {
      nid: room.nid,
      version,
      contents,
      summary: summaryOf(room, joined, contents),
      further: events.filter(({ event }) => further.includes(event.type)),
      outdated: !ours.has(room.nid) && (joined > 0 || !contents.has("m.room.create")),
    });
  }
  return found;
}

type SummaryContext = Pick<RoomContext, "events" | "servers">;

/** Rooms as somebody is told of them: those that they may know of, by their ids, and the ids of others of which we know best. */
export interface Summaries {
  readonly shown: ReadonlyMap<string, SummarisedRoom>;
  readonly hidden: ReadonlySet<string>;
}

/** The summaries of some rooms for a reader, with their state of some further types. A constant number of statements. */
export async function summaries(
  context: SummaryContext,
  reads: Reads,
  memberships: MembershipsByRoom,
  roomIds: readonly string[],
  further: readonly string[] = [],
): Promise<Summaries> {
  const rooms = await described(context, reads, roomIds, further);
  const hidden = new Set<string>();
  for (const [id, { version, contents, outdated }] of rooms) {
    if (mayKnow(version, contents, memberships, id)) continue;
    rooms.delete(id);
    if (!outdated) hidden.add(id);
  }
  return { shown: rooms, hidden };
}

/**
 * The summaries of those of some rooms that ours are in and that somebody of another server may look at or join, with their state
 * of some further types (server-server API, "GET /hierarchy"). A constant number of statements.
 */
export async function summariesForServer(
  context: SummaryContext,
  reads: Reads,
  server: ServerName,
  roomIds: readonly string[],
  further: readonly string[] = [],
): Promise<Summaries> {
  const rooms = await described(context, reads, roomIds, [...further, SERVER_ACL]);
  for (const [id, { outdated }] of rooms) if (outdated) rooms.delete(id);
  const allowing = await roomsById(reads, [...rooms.values()].flatMap(({ contents }) => [...allowedRooms(contents.get("m.room.join_rules") ?? {})]));
  const nids = [...rooms.values()].map(({ nid }) => nid);
  const [present, inviting] = await Promise.all([
    roomsOfServers(reads, [...nids, ...[...allowing.values()].map(({ nid }) => nid)], [server]),
    roomsInviting(reads, nids, server),
  ]);
  const isIn = (id: string): boolean => present.has(allowing.get(id)?.nid ?? 0);
  const hidden = new Set<string>();
  for (const [id, { nid, version, contents, further: events }] of rooms) {
    const acl = events.find(({ event }) => event.type === SERVER_ACL && event.state_key === "")?.event.content;
    const allowed = acl === undefined || aclAllows(compileServerAcl(acl), server);
    if (allowed && (present.has(nid) || inviting.has(nid) || isOpen(version, contents, isIn))) continue;
    rooms.delete(id);
    hidden.add(id);
  }
  return { shown: rooms, hidden };
}

function summaryOf({ room_id, version }: RoomNames, joined: number, contents: Contents): RoomSummary {
  const description = describe(room_id, joined, contents);
  const encryption = ownString(contents.get("m.room.encryption") ?? {}, "algorithm");
  const restricted = description.join_rule === "restricted" || description.join_rule === "knock_restricted";
  return {
    ...description,
    room_version: version,
    ...(encryption !== undefined && { encryption }),
    ...(restricted && { allowed_room_ids: [...allowedRooms(contents.get("m.room.join_rules") ?? {})] }),
  };
}

/** Whether a room is shown: to its members, to who may join or ask to be let in, and to anybody if the world may read it. */
function mayKnow(version: RoomVersion, contents: Contents, memberships: MembershipsByRoom, roomId: string): boolean {
  const membership = memberships.get(roomId)?.membership;
  if (membership === MEMBERSHIPS.join || membership === MEMBERSHIPS.invite) return true;
  if (membership === MEMBERSHIPS.ban) return false;
  return isOpen(version, contents, (id) => memberships.get(id)?.membership === MEMBERSHIPS.join);
}

/** Whether a room is open to who is neither in it nor invited; `isIn`: to who is in which other rooms. */
function isOpen(version: RoomVersion, contents: Contents, isIn: (roomId: string) => boolean): boolean {
  if (historyVisibilityIn(contents.get("m.room.history_visibility")) === "world_readable") return true;
  switch (joinRuleIn(contents)) {
    case "public":
      return true;
    case "knock":
      return version.knocking;
    case "knock_restricted":
      return version.knockRestrictedJoins;
    case "restricted":
      return version.restrictedJoins && [...allowedRooms(contents.get("m.room.join_rules") ?? {})].some(isIn);
    default:
      return false;
  }
}

/** Whether a room of which another server tells is shown to a reader. */
export function mayKnowRemote({ room_id, world_readable, join_rule, allowed_room_ids = [] }: RoomSummary, memberships: MembershipsByRoom): boolean {
  const membership = memberships.get(room_id)?.membership;
  if (membership === MEMBERSHIPS.join || membership === MEMBERSHIPS.invite) return true;
  if (membership === MEMBERSHIPS.ban) return false;
  if (world_readable || join_rule === "public" || join_rule === "knock" || join_rule === "knock_restricted") return true;
  return join_rule === "restricted" && allowed_room_ids.some((id) => memberships.get(id)?.membership === MEMBERSHIPS.join);
}

const MEMBERSHIP_NAMES = new Map<number, Membership>(
  (["join", "invite", "knock", "leave", "ban"] as const).map((name) => [MEMBERSHIPS[name], name]),
);

/** The membership of a reader as a summary says it; nothing for who has not told who they are. */
export function membershipFor(user: RoomUser | undefined, memberships: MembershipsByRoom, roomId: RoomId): { readonly membership?: Membership } {
  if (user === undefined) return {};
  return { membership: MEMBERSHIP_NAMES.get(memberships.get(roomId)?.membership ?? MEMBERSHIPS.leave) ?? "leave" };
}
