// The answer to most syncs, made without a query: something was said in rooms that the user is joined to, and all of it is
// at hand in memory. Whatever else happened is for read-sync; both say the same of what both can answer.
import { completeEvent } from "../protocol/client-event.js";
import { isState } from "../protocol/event.js";
import { eventContext, shownEvent, type EventReader } from "../rooms/views/client-event.js";
import type { ReadEvent } from "../rooms/views/event-cache.js";
import { formatToken, type SyncToken } from "../rooms/token.js";
import { isIgnored } from "../rooms/views/visibility.js";
import type { LogFollower } from "../storage/log.js";
import type { PositionedEntry } from "../storage/log-entry.js";
import type { CurrentMembers } from "./current-members.js";
import { joinedRoomText } from "./room-text.js";
import { sideEvents, unreadText } from "./side-texts.js";
import type { SyncAnswer, SyncReader, SyncRequest, SyncServices } from "./sync-request.js";
import { changesSummary } from "./sync-summaries.js";
import { followsGap } from "./room-window.js";
import { type SideEvent, type UnreadCounts, type UserRoom } from "../ephemeral/side-streams.js";
import { encryptionText, namesInOrder, type KeysLeft } from "./device-lists.js";
import { type Inboxes, toDeviceFrom, toDeviceText, type ToDeviceSection } from "./to-device.js";
import type { TurnLoader } from "../storage/turn-loader.js";
import type { WatchedUser, WatchedUsers } from "./watched-users.js";

export interface FastServices extends SyncServices {
  readonly follower: LogFollower;
  /** Unread counts of one room: of the whole room, or parted by thread. */
  readonly unread: { readonly whole: TurnLoader<UserRoom, UnreadCounts>; readonly parted: TurnLoader<UserRoom, UnreadCounts> };
  /** Presence of one user. */
  readonly presences: TurnLoader<number, SideEvent>;
  readonly users: WatchedUsers;
  readonly keysLeft: KeysLeft;
  readonly inboxes: Inboxes;
  readonly members: CurrentMembers;
}

interface News {
  readonly rooms: Map<number, RoomNews>;
  /** Users whose presence changed, whoever they are. */
  readonly presences: Set<number>;
  /** Something was sent to the reader's device. */
  toDevice: boolean;
  /** Users whose devices changed, whoever they are. */
  readonly devices: Set<number>;
}

interface RoomNews {
  readonly events: number[];
  changes: number;
  receipts: boolean;
}

const NOTHING: News = { rooms: new Map(), presences: new Set(), toDevice: false, devices: new Set() };
const NO_MESSAGES: ToDeviceSection = { events: [], toDevice: undefined };

/** Above this many entries since the token the rooms of the user are looked up one by one instead. */
const FEW_ENTRIES = 256;

/** The answer, or undefined if it takes the database to know it. */
export async function fastSync(
  services: FastServices,
  watched: WatchedUser,
  reader: SyncReader,
  request: SyncRequest,
): Promise<SyncAnswer | undefined> {
  const { since, filter } = request;
  const { follower, streams } = services;
  const { rooms } = watched;
  const upTo = follower.head;
  if (since === undefined || request.resync || request.fullState || rooms === undefined) return undefined;
  if (!filter.lazyLoadMembers && watched.partial.size > 0) return undefined;
  if (filter.related !== undefined || since.toDevice !== undefined || since.sticky !== undefined) return undefined;
  if (upTo < watched.exactFrom) return undefined;
  const position = Math.max(upTo, since.position);
  const typingSerial = streams.typingSerial();
  const news = upTo <= since.position ? NOTHING : newsOf(follower, watched, reader, rooms, since.position, upTo);
  if (news === undefined) return undefined;
  const typingRooms = since.ephemeral === typingSerial ? [] : streams.typingChanged(rooms.keys(), since.ephemeral);
  const texts: string[] = [];
  for (const room of new Set([...news.rooms.keys(), ...typingRooms])) {
    const roomId = rooms.get(room);
    if (roomId === undefined || !filter.room(roomId)) continue;
    const text = await roomText(services, watched, reader, request, room, news.rooms.get(room), typingRooms.includes(room), upTo);
    if (text === undefined) return undefined;
    if (text !== "") texts.push(`${JSON.stringify(roomId)}:${text}`);
  }
  const body = texts.length === 0 ? "" : `,"rooms":{"join":{${texts.join(",")}}}`;
  const changed = filter.wantsPresence ? news.presences : NOTHING.presences;
  const presences = changed.size === 0 ? "" : sideEvents(await presencesOf(services, watched, changed), filter.presence);
  const presence = presences === "" ? "" : `,"presence":{"events":[${presences}]}`;
  const messages = news.toDevice ? await toDeviceFrom(services.inboxes, reader, since, upTo) : NO_MESSAGES;
  const changedDevices: number[] = [];
  for (const other of news.devices) if (await services.users.shareRoom(watched, other)) changedDevices.push(other);
  const lists = { changed: await namesInOrder(services, changedDevices), left: [] };
  const keysLeft = await services.keysLeft.text(reader);
  const next: SyncToken = {
    kind: "sync",
    epoch: request.epoch,
    position,
    ephemeral: typingSerial,
    ...(messages.toDevice !== undefined && { toDevice: messages.toDevice }),
  };
  const text = `{"next_batch":${JSON.stringify(formatToken(next))}${body}${presence},${toDeviceText(messages)},${encryptionText(lists, keysLeft)}}`;
  return { text, empty: body === "" && presence === "" && messages.events.length + lists.changed.length === 0, next };
}

/** What happened in the user's rooms; undefined if anything else happened to the user, or if memory does not reach back. */
function newsOf(
  follower: LogFollower,
  { user_nid }: WatchedUser,
  { device_id }: SyncReader,
  rooms: ReadonlyMap<number, string>,
  after: number,
  upTo: number,
): News | undefined {
  const range = { after, upTo };
  const all = follower.allEntries(range);
  if (all === undefined) return undefined;
  const own = follower.userEntries(user_nid, range) ?? [];
  if (own.some(({ kind, room_nid, device }) => !(kind === "presence" || (kind === "key" && device !== undefined) || kind === "to_device" || (room_nid !== undefined && (kind === "event" || kind === "receipt"))))) {
    return undefined;
  }
  const toDevice = own.some(({ kind, device }) => kind === "to_device" && device === device_id);
  const news: News = { rooms: new Map(), presences: new Set(), toDevice, devices: new Set() };
  const take = (entry: PositionedEntry): boolean => {
    const { room_nid, user_nid: other, kind, reference } = entry;
    if (kind === "presence" && other !== undefined) news.presences.add(other);
    if (kind === "device_list" && other !== undefined) news.devices.add(other);
    if (room_nid === undefined) return true;
    if (!rooms.has(room_nid)) return true;
    let room = news.rooms.get(room_nid);
    if (room === undefined) news.rooms.set(room_nid, (room = { events: [], changes: 0, receipts: false }));
    if (kind === "event" && reference !== undefined) room.events.push(reference);
    else if (kind === "receipt") room.receipts = true;
    else if (kind === "state_change") room.changes += 1;
    else if (kind !== "invalidation" || reference === undefined) return false;
    return true;
  };
  if (all.length <= Math.max(FEW_ENTRIES, rooms.size)) return all.every(take) ? news : undefined;
  for (const room of rooms.keys()) {
    for (const entry of follower.roomEntries(room, range) ?? []) if (!take(entry)) return undefined;
  }
  for (const { kind, user_nid: other } of all) {
    if (kind === "presence" && other !== undefined) news.presences.add(other);
    if (kind === "device_list" && other !== undefined) news.devices.add(other);
  }
  return news;
}

/** Presence events of those among these users who share a room with the reader, and of the reader. */
async function presencesOf(
  { users, presences }: FastServices,
  watched: WatchedUser,
  changed: ReadonlySet<number>,
): Promise<SideEvent[]> {
  const shown: Promise<SideEvent | undefined>[] = [];
  for (const other of changed) {
    if (other === watched.user_nid || (await users.shareRoom(watched, other))) shown.push(presences.load(other));
  }
  return (await Promise.all(shown)).filter((event) => event !== undefined);
}

/** JSON text of a joined room; undefined if the database is needed, empty if the filter leaves nothing. */
async function roomText(
  services: FastServices,
  watched: WatchedUser,
  reader: SyncReader,
  request: SyncRequest,
  room_nid: number,
  news: RoomNews | undefined,
  typing: boolean,
  upTo: number,
): Promise<string | undefined> {
  const { filter, since, stateAfter } = request;
  const { streams, database, events: cache } = services;
  const nids = news?.events ?? [];
  if (nids.length > filter.timelineLimit) return undefined;
  const loaded = nids.length === 0 ? undefined : await cache.load(database, nids);
  const shownTo: EventReader = {
    ...reader,
    joined: () => true,
    now: request.now,
    format: filter.format,
    fields: filter.fields,
  };
  const reads = nids.map((nid) => loaded?.get(nid)).filter((read) => read !== undefined);
  if (reads.some(followsGap)) return undefined;
  // Members and names change the summary, state that no event here brings has to be looked for, and so has the end of a thread.
  const states = reads.filter(({ event }) => isState(event));
  if (states.some(changesSummary) || states.length !== (news?.changes ?? 0)) return undefined;
  const shown = reads.filter(
    (read) =>
      read.row.ordinal !== null &&
      !isIgnored({ user_id: reader.user_id, ignored: watched.ignored }, read) &&
      filter.timeline?.({ ...read.event, room_id: read.room_id }) !== false,
  );
  // What is sticky and not in the timeline has a section of its own.
  if (reads.some((read) => read.event.sticky_duration_ms !== undefined && !shown.includes(read))) return undefined;
  const context = await eventContext(cache, database, shownTo, shown);
  const [first] = shown;
  const prevBatch =
    first === undefined
      ? undefined
      : formatToken({ kind: "history", depth: first.row.depth, nid: first.row.nid, position: Math.max(0, first.row.position - 1) });
  const timeline = { events: shown.map((read) => shownEvent({ read, membership: "join" }, shownTo, context, false)).join(","), limited: false, prevBatch };
  const range = { after: since?.position ?? 0, upTo };
  const receipts =
    news?.receipts === true ? (await streams.receipts(database, [room_nid], reader.user_nid, range)).get(room_nid) : undefined;
  const sideEventsHere: SideEvent[] = [];
  if (receipts !== undefined) sideEventsHere.push({ type: "m.receipt", content: receipts });
  const typingContent = typing ? streams.typing(room_nid) : undefined;
  if (typingContent !== undefined) sideEventsHere.push({ type: "m.typing", content: typingContent });
  const ephemeral = sideEvents(sideEventsHere, filter.ephemeral);
  const stateTexts = states
    .filter(({ event, room_id }) => (stateAfter !== undefined || !shown.some((read) => read.event === event)) && filter.state?.({ ...event, room_id }) !== false)
    .map((read) => completeEvent(read.head, { unsigned: `{"age":${Math.max(0, request.now - read.event.origin_server_ts)}}` }));
  if (filter.lazyLoadMembers) stateTexts.push(...(await lazyMembers(services, reader, request, room_nid, shown, upTo)));
  if (shown.length === 0 && ephemeral === "" && stateTexts.length === 0) return "";
  const counts = await (filter.threadNotifications ? services.unread.parted : services.unread.whole).load({ user_nid: reader.user_nid, room_nid });
  return joinedRoomText({
    timeline,
    state: stateTexts.join(","),
    stateAfter,
    accountData: "",
    ephemeral,
    sticky: "",
    summary: undefined,
    unread: unreadText(counts, filter.threadNotifications),
  });
}

/** JSON texts of the member events of those who sent the events, as far as the device does not have them. */
async function lazyMembers(
  { members, sentMembers, events: cache, database }: FastServices,
  { user_id, device_id }: SyncReader,
  { filter, since, now }: SyncRequest,
  room_nid: number,
  shown: readonly ReadEvent[],
  upTo: number,
): Promise<string[]> {
  const device = `${user_id} ${device_id ?? ""}`;
  const missing: number[] = [];
  for (const sender of new Set(shown.map(({ row }) => row.sender_nid))) {
    const nid = await members.get(room_nid, sender);
    if (nid === undefined) continue;
    const known =
      !filter.includeRedundantMembers &&
      device_id !== undefined &&
      sentMembers.has(device, room_nid, sender, nid, since?.position ?? 0);
    if (!known) missing.push(nid);
    if (device_id !== undefined) sentMembers.add(device, room_nid, sender, nid, upTo);
  }
  if (missing.length === 0) return [];
  return [...(await cache.load(database, missing)).values()]
    .filter(({ event, room_id }) => filter.state?.({ ...event, room_id }) !== false)
    .map((read) => completeEvent(read.head, { unsigned: `{"age":${Math.max(0, now - read.event.origin_server_ts)}}` }));
}
