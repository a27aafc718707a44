// One answer of sliding sync, read from the database as of one position (MSC4186). Everything is read inside one snapshot,
// with a constant number of statements whatever the number of rooms.
import { type UnreadCounts, unreadKey, type UserRoom } from "../../ephemeral/side-streams.js";
import { aggregationsOf } from "../../rooms/views/aggregations.js";
import { type EventContext, eventContext, type EventReader, NO_CONTEXT, shownEvent } from "../../rooms/views/client-event.js";
import type { ReadEvent } from "../../rooms/views/event-cache.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import type { SentRoom } from "../../storage/sliding-connections.js";
import { lastOfTypes, roomsReadOn } from "../../storage/sliding-rooms.js";
import type { Reads } from "../../storage/statement.js";
import { CHANGED_ROOMS, HEAD } from "../../storage/sync.js";
import { readTimelines, type Timeline } from "../room-window.js";
import { strippedRooms } from "../stripped-rooms.js";
import type { SyncReader } from "../sync-request.js";
import { unknownPosition } from "./connection.js";
import { BEGUN, begunBy, readExtensions } from "./extensions.js";
import { type News, type PlannedRoom, planAnswer } from "./plan.js";
import { kindsOf, recentEntries } from "./recent.js";
import { isJoined, isWaiting, RoomList } from "./room-list.js";
import { namesOf, namingParts, summariesOf, waitingParts } from "./room-names.js";
import { type RoomState, statesOf, windowOf, withLazyMembers } from "./room-states.js";
import type { SlidingAnswer, SlidingRead, SlidingReading, SlidingServices } from "./sliding-reading.js";
import { stickyExtension } from "./sticky-extension.js";

/** What bumps a room in a client's list. */
const BUMPING = [
  "m.room.create", "m.room.message", "m.room.encrypted", "m.sticker", "m.call.invite", "m.poll.start", "m.beacon_info",
  "org.matrix.msc3381.poll.start", "org.matrix.msc3672.beacon_info",
];
/** Sizes by which timelines are read together. */
const TIMELINE_SIZES = [1, 5, 20, Number.MAX_SAFE_INTEGER];
/** A client with all of a timeline has as many events as it may ever ask for. */
const WHOLE_TIMELINE = 1_000_000;
const MEMBERSHIP_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(MEMBERSHIPS).map(([name, number]) => [number, name]));
const NO_TIMELINE: Timeline = { events: [], limited: false, prevBatch: undefined };

/** Reads an answer. Throws M_UNKNOWN_POS where the log does not reach back to the client's position. */
export function readSliding(services: SlidingServices, reader: SyncReader, asked: SlidingRead): Promise<SlidingAnswer> {
  return services.database.snapshot((reads) => answer(services, reads, reader, asked));
}

async function answer(services: SlidingServices, reads: Reads, reader: SyncReader, asked: SlidingRead): Promise<SlidingAnswer> {
  const { request, connection, since, epoch, now } = asked;
  const { streams, follower, roomLists } = services;
  const typingSerial = streams.typingSerial();
  const [head] = await reads.read(HEAD, []);
  const after = since?.token.position ?? 0;
  if (since !== undefined && after > 0 && after + 1 < (head?.oldest ?? 0)) throw unknownPosition();
  const upTo = Math.max(head?.position ?? 0, after);
  const range = { after, upTo };
  const recent = since === undefined ? undefined : recentEntries(follower, reader.user_nid, range);
  const found = await roomLists.read(services, reads, reader, since === undefined ? { ...range, after: Number.MAX_SAFE_INTEGER } : range);
  const list = new RoomList(services, reads, reader, found);
  const joined = (nid: number): boolean => list.rooms.get(nid)?.membership === MEMBERSHIPS.join;
  const shownTo: EventReader = { ...reader, ignored: found.ignored, joined, now, format: "client", fields: undefined };
  const reading: SlidingReading = { services, reads, reader, asked, shownTo, after, upTo, recent };
  const begun = since?.begun ?? 0;
  const accountData =
    request.extensions.account_data?.enabled === true && ((begun & BEGUN.account_data) === 0 || recent?.own.every(({ kind }) => kind !== "account_data" && kind !== "push_rule") !== true)
      ? await streams.accountData(reads, reader.user_nid, { after: begun & BEGUN.account_data ? after : 0, upTo })
      : { global: [], rooms: new Map<number, never[]>() };
  const news = await newsOf(reading, new Set(accountData.rooms.keys()));
  const plan = await planAnswer(list, request, connection.rooms, news);
  const told = plan.rooms.filter(({ changed, moreTimeline, otherState }) => changed || moreTimeline || otherState !== undefined);
  const [rooms, extensions] = await Promise.all([
    roomsOf(reading, told),
    readExtensions({ ...reading, rooms: plan.rooms, accountData, typingSerial }),
  ]);
  const sticky = await stickyExtension(reading, plan.rooms, rooms.shown);
  const sent = new Map(plan.behind);
  for (const planned of plan.rooms) {
    const row = rooms.sent.get(planned) ?? sentRow(planned, NO_TIMELINE, planned.row?.members ?? []);
    if (planned.row === undefined || !isSame(planned.row, row)) sent.set(planned.room.room_nid, row);
  }
  const counts = [...plan.counts].map(([name, count]) => `${JSON.stringify(name)}:{"count":${count}}`);
  return {
    text: `"lists":{${counts.join(",")}},"rooms":{${rooms.texts.join(",")}},"extensions":{${[...extensions.texts, ...sticky.texts].join(",")}}`,
    empty: since !== undefined && rooms.texts.length === 0 && extensions.empty && sticky.empty,
    sent,
    token: { kind: "sync", epoch, position: upTo, ephemeral: typingSerial },
    begun: begunBy(request),
  };
}

/** What happened since the client's position, as the plan of the answer needs it. */
async function newsOf({ reads, reader, asked, shownTo, after, upTo, recent }: SlidingReading, accountData: ReadonlySet<number>): Promise<News> {
  if (asked.since === undefined) return { after: undefined, kinds: new Map(), readOn: new Set(), accountData };
  const live = [...asked.connection.rooms].filter(([nid, { sent }]) => sent === undefined && shownTo.joined(nid));
  if (recent !== undefined) {
    return {
      after,
      kinds: new Map(live.map(([nid]) => [nid, kindsOf(recent.ofRoom(nid))])),
      readOn: new Set(recent.own.flatMap(({ kind, room_nid }) => (kind === "receipt" ? room_nid ?? [] : []))),
      accountData,
    };
  }
  const [changed, readOn] = await Promise.all([
    live.length === 0 ? [] : reads.read(CHANGED_ROOMS, [live.map(([nid]) => nid), after, upTo]),
    roomsReadOn(reads, reader.user_nid, after, upTo),
  ]);
  return {
    after,
    kinds: new Map(changed.map(({ room_nid, kinds }) => [room_nid, kinds])),
    readOn: new Set(readOn),
    accountData,
  };
}

/** The texts of rooms, the events in their timelines, and what the client then has of them. */
async function roomsOf(reading: SlidingReading, told: readonly PlannedRoom[]): Promise<{ texts: string[]; shown: Set<number>; sent: Map<PlannedRoom, SentRoom> }> {
  const { services, reads, reader } = reading;
  const pairOf = (room_nid: number): UserRoom => ({ user_nid: reader.user_nid, room_nid });
  const waiting = told.filter(({ room }) => isWaiting(room));
  const shown = told.filter(({ room }) => !isWaiting(room));
  const timelines = await timelinesOf(reading, shown);
  const timelineOf = ({ room }: PlannedRoom): Timeline => timelines.get(room.room_nid) ?? NO_TIMELINE;
  const states = await statesOf(reading, shown, timelineOf);
  const joined = shown.filter(({ room }) => isJoined(room));
  const members = await withLazyMembers(reading, joined, states, timelineOf);
  const [summaries, names, unread, bumps, stripped, contents, context] = await Promise.all([
    summariesOf(reading, joined.filter(({ room }) => needsSummary(states.get(room.room_nid)))),
    namesOf(reading, joined.filter(({ room }) => hasNews(states.get(room.room_nid)))),
    services.streams.unread(reads, joined.map(({ room }) => pairOf(room.room_nid)), false),
    bumpsOf(reading, joined.filter((planned) => planned.initial || timelineOf(planned).events.length > 0)),
    strippedRooms(services, reads, reader.user_nid, waiting.map(({ room }) => room)),
    services.events.get(reads, [...states.values()].flatMap(({ events }) => [...events.values()])),
    contextOf(reading, shown, timelineOf),
  ]);
  const texts: string[] = [];
  const sent = new Map<PlannedRoom, SentRoom>();
  for (const planned of told) {
    const { room, initial, is_dm, row } = planned;
    const nid = room.room_nid;
    const parts: string[] = [];
    if (initial) parts.push('"initial":true');
    if (row?.membership !== room.membership) parts.push(`"membership":"${MEMBERSHIP_NAMES.get(room.membership) ?? "leave"}"`);
    if (initial ? is_dm : row?.is_dm !== is_dm) parts.push(`"is_dm":${is_dm}`);
    if (isWaiting(room)) {
      parts.push(...waitingParts(stripped.get(nid) ?? []), `"bump_stamp":${room.position}`);
    } else {
      const timeline = timelineOf(planned);
      const state = states.get(nid);
      parts.push(...timelineParts(reading, planned, timeline, context));
      parts.push(...stateParts(reading, state, contents));
      const naming = names.get(nid);
      const summary = summaries.get(nid);
      if (state !== undefined && naming !== undefined) parts.push(...namingParts(planned, state, naming, summary));
      if (summary !== undefined) parts.push(`"joined_count":${summary.row.joined},"invited_count":${summary.row.invited}`);
      const bump = isJoined(room) ? bumps.get(nid) : room.position;
      if (parts.length > 0 && bump !== undefined) parts.push(`"bump_stamp":${bump}`);
      if (isJoined(room) && planned.changed) parts.push(unreadPart(unread.get(unreadKey(pairOf(nid)))));
      sent.set(planned, sentRow(planned, timeline, members.get(nid) ?? row?.members ?? []));
    }
    if (parts.length > 0) texts.push(`${JSON.stringify(room.room_id)}:{${parts.join(",")}}`);
  }
  const events = [...timelines.values()].flatMap((timeline) => timeline.events);
  return { texts, shown: new Set(events.map(({ read }) => read.row.nid)), sent };
}

/** The timelines of rooms, those of like limits read together. */
async function timelinesOf(reading: SlidingReading, rooms: readonly PlannedRoom[]): Promise<Map<number, Timeline>> {
  const groups = new Map<number, PlannedRoom[]>();
  for (const planned of rooms) {
    const size = TIMELINE_SIZES.find((most) => planned.config.timelineLimit <= most) ?? Number.MAX_SAFE_INTEGER;
    const group = groups.get(size);
    if (group === undefined) groups.set(size, [planned]);
    else group.push(planned);
  }
  const timelines = new Map<number, Timeline>();
  await Promise.all(
    [...groups.values()].map(async (group) => {
      const limits = new Map(group.map(({ room, config }) => [room.room_nid, config.timelineLimit]));
      const limit = Math.max(...limits.values());
      const windows = group.map((planned) => windowOf(reading, planned));
      const read = await readTimelines(reading.services, reading.reads, reading.shownTo, windows, { limit, limits, test: undefined, related: undefined });
      for (const [nid, timeline] of read) timelines.set(nid, timeline);
    }),
  );
  return timelines;
}

/** By what the rooms are sorted: the position of the last event of those that bump them. */
async function bumpsOf({ reads, services }: SlidingReading, rooms: readonly PlannedRoom[]): Promise<Map<number, number>> {
  if (rooms.length === 0) return new Map();
  const types = await services.interning.findTypes(BUMPING);
  const found = await lastOfTypes(reads, rooms.map(({ room }) => room.room_nid), [...types.values()]);
  return new Map(rooms.map(({ room }) => [room.room_nid, found.get(room.room_nid) ?? room.position]));
}

async function contextOf(
  { services, reads, shownTo }: SlidingReading,
  rooms: readonly PlannedRoom[],
  timelineOf: (planned: PlannedRoom) => Timeline,
): Promise<EventContext> {
  const readsOf = (of: readonly PlannedRoom[]): ReadEvent[] => of.flatMap((planned) => timelineOf(planned).events.map(({ read }) => read));
  // Where nothing is left out the client is told of all relations themselves.
  const limited = readsOf(rooms.filter((planned) => planned.initial || timelineOf(planned).limited));
  const aggregations = await aggregationsOf(services, reads, shownTo, limited);
  return await eventContext(services.events, reads, shownTo, readsOf(rooms), aggregations);
}

function timelineParts({ asked, shownTo, after }: SlidingReading, { initial, moreTimeline }: PlannedRoom, timeline: Timeline, context: EventContext): string[] {
  const { events, limited, prevBatch } = timeline;
  if (events.length === 0 && !limited && !initial) return [];
  const texts = events.map((event) => shownEvent(event, shownTo, context, false));
  const live = asked.since === undefined ? 0 : events.filter(({ read }) => read.row.position > after).length;
  return [
    `"timeline":[${texts.join(",")}],"limited":${limited},"num_live":${live}`,
    ...(prevBatch === undefined ? [] : [`"prev_batch":${JSON.stringify(prevBatch)}`]),
    ...(moreTimeline ? ['"unstable_expanded_timeline":true'] : []),
  ];
}

function stateParts({ shownTo }: SlidingReading, state: RoomState | undefined, contents: ReadonlyMap<number, ReadEvent>): string[] {
  const texts: string[] = [];
  for (const nid of state?.events.values() ?? []) {
    const read = contents.get(nid);
    if (read !== undefined) texts.push(shownEvent({ read, membership: undefined }, shownTo, NO_CONTEXT, false));
  }
  return texts.length === 0 ? [] : [`"required_state":[${texts.join(",")}]`];
}

function needsSummary(state: RoomState | undefined): boolean {
  return state !== undefined && (state.members || state.name);
}

function hasNews(state: RoomState | undefined): boolean {
  return state !== undefined && (state.name || state.avatar || state.members);
}

/** JSON of the unread counts. */
function unreadPart(counts: UnreadCounts | undefined): string {
  return `"notification_count":${counts?.notification_count ?? 0},"highlight_count":${counts?.highlight_count ?? 0}`;
}

/** What the client has of a room after it was told of it. */
function sentRow(planned: PlannedRoom, timeline: Timeline, members: readonly number[]): SentRoom {
  const { room, initial, moreTimeline, config, row, follows, is_dm } = planned;
  const anew = initial || moreTimeline || timeline.limited;
  const wanted = timeline.limited || config.timelineLimit === 0 ? config.timelineLimit : WHOLE_TIMELINE;
  return {
    sent: undefined,
    timeline_limit: isWaiting(room) ? 0 : anew ? wanted : (row?.timeline_limit ?? 0),
    config: config.required.text,
    membership: room.membership,
    extensions: follows,
    is_dm,
    members: config.required.lazy ? members : [],
  };
}

function isSame(one: SentRoom, other: SentRoom): boolean {
  return (
    one.sent === other.sent &&
    one.timeline_limit === other.timeline_limit &&
    one.config === other.config &&
    one.membership === other.membership &&
    one.extensions === other.extensions &&
    one.is_dm === other.is_dm &&
    one.members.length === other.members.length &&
    one.members.every((user, index) => user === other.members[index])
  );
}
