// One answer of sliding sync, read from the database as of one position (MSC4186). Everything is read inside one snapshot,
// with a constant number of statements whatever the number of rooms.
import { invalidParam } from "../../errors.js";
import { isState } from "../../protocol/event.js";
import { ownString } from "../../protocol/json.js";
import { stateTuple, type StateTuple } from "../../protocol/state-map.js";
import { aggregationsOf } from "../../rooms/aggregations.js";
import { eventContext, NO_CONTEXT, shownEvent, type EventContext, type EventReader } from "../../rooms/client-event.js";
import type { ReadEvent } from "../../rooms/event-cache.js";
import type { SyncToken } from "../../rooms/token.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import type { SentRoom } from "../../storage/sliding-connections.js";
import { lastOfTypes, roomsReadOn, stateOfTuples, stateOfTypes } from "../../storage/sliding-rooms.js";
import { stateChanges, stateChangedSince, type StateChange } from "../../storage/state.js";
import type { Reads } from "../../storage/statement.js";
import { stickyEventsInRooms, type StickyPlace } from "../../storage/sticky-events.js";
import {
  CHANGED_ROOMS,
  CURRENT_MEMBERS,
  CURRENT_STATE,
  CURRENT_STATE_WITHOUT_MEMBERS,
  HEAD,
  SUMMARIES,
  type StateRow,
  type SummaryRow,
} from "../../storage/sync.js";
import { stateOfSnapshots } from "../../storage/visibility.js";
import { unreadKey, type UnreadCounts } from "../../ephemeral/side-streams.js";
import type { SyncReader, SyncServices } from "../sync-request.js";
import type { KeysLeft } from "../device-lists.js";
import { changedState, readTimelines, type RoomWindow, type Timeline } from "../room-window.js";
import { stickyByRoom } from "../sticky.js";
import { strippedRooms } from "../stripped-rooms.js";
import { type Connection, type Position, unknownPosition } from "./connection.js";
import { BEGUN, begunBy, readExtensions } from "./extensions.js";
import { type News, type PlannedRoom, planAnswer } from "./plan.js";
import { kindsOf, type LogMemory, type Recent, recentEntries } from "./recent.js";
import type { SlidingRequest } from "./request.js";
import { isJoined, isLeft, isWaiting, type KnownRoomLists, NAME, RoomList, type RoomListServices, stringIn, strippedEvents } from "./room-list.js";

const STICKY_EVENTS = "org.matrix.msc4354.sticky_events";
/** Sticky events of one answer. */
const MOST_STICKY = 100;
const FIRST_STICKY: StickyPlace = { position: 0, event_nid: 0 };

const stickyToken = ({ position, event_nid }: StickyPlace): string => `sticky_${position}_${event_nid}`;

/** The place that a token of the extension names. Throws M_INVALID_PARAM. */
function stickyPlaceIn(token: string): StickyPlace {
  const [, position, event_nid] = /^sticky_(\d{1,16})_(\d{1,16})$/.exec(token) ?? [];
  const place = { position: Number(position), event_nid: Number(event_nid) };
  if (!Number.isSafeInteger(place.position) || !Number.isSafeInteger(place.event_nid)) throw invalidParam('"since" is no token of sticky events.');
  return place;
}

export interface SlidingServices extends SyncServices, RoomListServices {
  readonly follower: LogMemory;
  readonly roomLists: KnownRoomLists;
  readonly keysLeft: KeysLeft;
}

export interface SlidingRead {
  readonly request: SlidingRequest;
  readonly connection: Connection;
  /** Absent: the beginning of a connection. */
  readonly since: Position | undefined;
  readonly toDeviceSince: SyncToken | undefined;
  readonly epoch: number;
  readonly now: number;
}

export interface SlidingAnswer {
  /** JSON text of the body behind `pos`. */
  readonly text: string;
  /** Nothing happened: a client that waits may wait on. */
  readonly empty: boolean;
  /** What the client has of rooms after this answer, where that is not what it had. */
  readonly sent: ReadonlyMap<number, SentRoom>;
  readonly token: SyncToken;
  readonly begun: number;
}

const MEMBER = "m.room.member";
const AVATAR = stateTuple("m.room.avatar", "");
/** What bumps a room in a client's list. */
const BUMPING = [
  "m.room.create", "m.room.message", "m.room.encrypted", "m.sticker", "m.call.invite", "m.poll.start", "m.beacon_info",
  "org.matrix.msc3381.poll.start", "org.matrix.msc3672.beacon_info",
];
/** Sizes by which timelines are read together. */
const TIMELINE_SIZES = [1, 5, 20, Number.MAX_SAFE_INTEGER];
/** A client with all of a timeline has as many events as it may ever ask for. */
const WHOLE_TIMELINE = 1_000_000;
/** Members of one room that are remembered as sent. */
const REMEMBERED_MEMBERS = 200;

const MEMBERSHIP_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(MEMBERSHIPS).map(([name, number]) => [number, name]));
const NO_TIMELINE: Timeline = { events: [], limited: false, prevBatch: undefined };

/** Reads an answer. Throws M_UNKNOWN_POS where the log does not reach back to the client's position. */
export function readSliding(services: SlidingServices, reader: SyncReader, asked: SlidingRead): Promise<SlidingAnswer> {
  return services.database.snapshot((reads) => new Reading(services, reads, reader, asked).read());
}

/** What is told of a room's state: the events, and which of its parts are to be told anew. */
interface RoomState {
  /** Tuple to event, by number. */
  readonly events: Map<number, number>;
  name: boolean;
  avatar: boolean;
  members: boolean;
  /** Members whose state changed, by their ids. */
  readonly changedMembers: Set<string>;
}

interface Summary {
  readonly row: SummaryRow;
  readonly heroes: readonly ReadEvent[];
}

/** The reads of one answer, in the order in which they depend on each other. */
class Reading {
  readonly #services: SlidingServices;
  readonly #reads: Reads;
  readonly #reader: SyncReader;
  readonly #asked: SlidingRead;
  readonly #after: number;
  #upTo = 0;
  /** What happened since the client's position, where memory knows that. */
  #recent: Recent | undefined;
  #shownTo: EventReader;

  constructor(services: SlidingServices, reads: Reads, reader: SyncReader, asked: SlidingRead) {
    this.#services = services;
    this.#reads = reads;
    this.#reader = reader;
    this.#asked = asked;
    this.#after = asked.since?.token.position ?? 0;
    this.#shownTo = { ...reader, joined: () => false, now: asked.now, format: "client", fields: undefined };
  }

  async read(): Promise<SlidingAnswer> {
    const { request, connection, since, epoch } = this.#asked;
    const { streams } = this.#services;
    const typingSerial = streams.typingSerial();
    const [head] = await this.#reads.read(HEAD, []);
    if (since !== undefined && this.#after > 0 && this.#after + 1 < (head?.oldest ?? 0)) throw unknownPosition();
    this.#upTo = Math.max(head?.position ?? 0, this.#after);
    const range = { after: this.#after, upTo: this.#upTo };
    if (since !== undefined) this.#recent = recentEntries(this.#services.follower, this.#reader.user_nid, range);
    const found = await this.#services.roomLists.read(this.#services, this.#reads, this.#reader, since === undefined ? { ...range, after: Number.MAX_SAFE_INTEGER } : range);
    const list = new RoomList(this.#services, this.#reads, this.#reader, found);
    this.#shownTo = {
      ...this.#shownTo,
      ignored: found.ignored,
      joined: (nid) => list.rooms.get(nid)?.membership === MEMBERSHIPS.join,
    };
    const begun = since?.begun ?? 0;
    const accountData =
      request.extensions.account_data?.enabled === true && ((begun & BEGUN.account_data) === 0 || this.#recent?.own.every(({ kind }) => kind !== "account_data" && kind !== "push_rule") !== true)
        ? await streams.accountData(this.#reads, this.#reader.user_nid, { after: begun & BEGUN.account_data ? this.#after : 0, upTo: this.#upTo })
        : { global: [], rooms: new Map<number, never[]>() };
    const news = await this.#news(since === undefined, new Set(accountData.rooms.keys()));
    const plan = await planAnswer(list, request, connection.rooms, news);
    const told = plan.rooms.filter(({ changed, moreTimeline, otherState }) => changed || moreTimeline || otherState !== undefined);
    const [rooms, extensions] = await Promise.all([
      this.#rooms(told),
      readExtensions({
        reads: this.#reads,
        interning: this.#services.interning,
        streams,
        reader: this.#reader,
        request,
        rooms: plan.rooms,
        since,
        toDeviceSince: this.#asked.toDeviceSince,
        accountData,
        epoch,
        upTo: this.#upTo,
        typingSerial,
        recent: this.#recent,
        follower: this.#services.follower,
        keysLeft: this.#services.keysLeft,
      }),
    ]);
    const sticky = await this.#sticky(plan.rooms, rooms.shown);
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
      token: { kind: "sync", epoch, position: this.#upTo, ephemeral: typingSerial },
      begun: begunBy(request),
    };
  }

  async #news(isFirst: boolean, accountData: ReadonlySet<number>): Promise<News> {
    if (isFirst) return { after: undefined, kinds: new Map(), readOn: new Set(), accountData };
    const live = [...this.#asked.connection.rooms].filter(([nid, { sent }]) => sent === undefined && this.#shownTo.joined(nid));
    const recent = this.#recent;
    if (recent !== undefined) {
      return {
        after: this.#after,
        kinds: new Map(live.map(([nid]) => [nid, kindsOf(recent.ofRoom(nid))])),
        readOn: new Set(recent.own.flatMap(({ kind, room_nid }) => (kind === "receipt" ? room_nid ?? [] : []))),
        accountData,
      };
    }
    const [changed, readOn] = await Promise.all([
      live.length === 0 ? [] : this.#reads.read(CHANGED_ROOMS, [live.map(([nid]) => nid), this.#after, this.#upTo]),
      roomsReadOn(this.#reads, this.#reader.user_nid, this.#after, this.#upTo),
    ]);
    return {
      after: this.#after,
      kinds: new Map(changed.map(({ room_nid, kinds }) => [room_nid, kinds])),
      readOn: new Set(readOn),
      accountData,
    };
  }

  /** The extension of sticky events (MSC4480): it has tokens of its own, by which the client says what it has. */
  async #sticky(rooms: readonly PlannedRoom[], shown: ReadonlySet<number>): Promise<{ texts: string[]; empty: boolean }> {
    const asked = this.#asked.request.extensions[STICKY_EVENTS];
    if (asked?.enabled !== true) return { texts: [], empty: true };
    const since = asked.since === undefined ? FIRST_STICKY : stickyPlaceIn(asked.since);
    // Whoever comes to a room is told those from before, too.
    const { follower } = this.#services;
    const recent = recentEntries(follower, this.#reader.user_nid, { after: since.position, upTo: this.#upTo });
    const mayHave = ({ room, initial }: PlannedRoom): boolean => initial || recent?.ofRoom(room.room_nid).some(({ kind }) => kind === "event") !== false;
    const places = rooms.filter((planned) => isJoined(planned.room) && mayHave(planned)).map(({ room, initial }) => ({ room_nid: room.room_nid, after: initial ? FIRST_STICKY : since }));
    const limit = Math.max(1, Math.min(asked.limit ?? MOST_STICKY, MOST_STICKY));
    const found = await stickyEventsInRooms(this.#reads, places, { upTo: this.#upTo, now: this.#asked.now, limit: limit + 1 });
    const rows = found.slice(0, limit);
    const next = (found.length > limit ? rows.at(-1) : undefined) ?? { position: Math.max(this.#upTo, since.position), event_nid: Number.MAX_SAFE_INTEGER };
    const byRoom = await stickyByRoom(this.#services.events, this.#reads, this.#shownTo, rows.filter(({ event_nid }) => !shown.has(event_nid)));
    const context = await eventContext(this.#services.events, this.#reads, this.#shownTo, [...byRoom.values()].flat());
    const texts = rooms.flatMap(({ room }) => {
      const events = (byRoom.get(room.room_nid) ?? []).map((read) => shownEvent({ read, membership: undefined }, this.#shownTo, context, false));
      return events.length === 0 ? [] : [`${JSON.stringify(room.room_id)}:{"events":[${events.join(",")}]}`];
    });
    return { texts: [`"${STICKY_EVENTS}":{"rooms":{${texts.join(",")}},"next_batch":"${stickyToken(next)}"}`], empty: texts.length === 0 };
  }

  /** The texts of rooms, the events in their timelines, and what the client then has of them. */
  async #rooms(told: readonly PlannedRoom[]): Promise<{ texts: string[]; shown: Set<number>; sent: Map<PlannedRoom, SentRoom> }> {
    const waiting = told.filter(({ room }) => isWaiting(room));
    const shown = told.filter(({ room }) => !isWaiting(room));
    const timelines = await this.#timelines(shown);
    const timelineOf = ({ room }: PlannedRoom): Timeline => timelines.get(room.room_nid) ?? NO_TIMELINE;
    const states = await this.#states(shown, timelineOf);
    const joined = shown.filter(({ room }) => isJoined(room));
    const members = await this.#lazyMembers(joined, states, timelineOf);
    const [summaries, names, unread, bumps, stripped, contents, context] = await Promise.all([
      this.#summaries(joined.filter(({ room }) => needsSummary(states.get(room.room_nid)))),
      this.#names(joined.filter(({ room }) => hasNews(states.get(room.room_nid)))),
      this.#services.streams.unread(this.#reads, joined.map(({ room }) => this.#pair(room.room_nid)), false),
      this.#bumps(joined.filter((planned) => planned.initial || timelineOf(planned).events.length > 0)),
      strippedRooms(this.#services, this.#reads, this.#reader.user_nid, waiting.map(({ room }) => room)),
      this.#services.events.get(this.#reads, [...states.values()].flatMap(({ events }) => [...events.values()])),
      this.#context(shown, timelineOf),
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
        parts.push(...this.#timelineParts(planned, timeline, context));
        parts.push(...this.#stateParts(state, contents));
        const naming = names.get(nid);
        const summary = summaries.get(nid);
        if (state !== undefined && naming !== undefined) parts.push(...namingParts(planned, state, naming, summary));
        if (summary !== undefined) parts.push(`"joined_count":${summary.row.joined},"invited_count":${summary.row.invited}`);
        const bump = isJoined(room) ? bumps.get(nid) : room.position;
        if (parts.length > 0 && bump !== undefined) parts.push(`"bump_stamp":${bump}`);
        if (isJoined(room) && planned.changed) parts.push(unreadPart(unread.get(unreadKey(this.#pair(nid)))));
        sent.set(planned, sentRow(planned, timeline, members.get(nid) ?? row?.members ?? []));
      }
      if (parts.length > 0) texts.push(`${JSON.stringify(room.room_id)}:{${parts.join(",")}}`);
    }
    const events = [...timelines.values()].flatMap((timeline) => timeline.events);
    return { texts, shown: new Set(events.map(({ read }) => read.row.nid)), sent };
  }

  /** The timelines of rooms, those of like limits read together. */
  async #timelines(rooms: readonly PlannedRoom[]): Promise<Map<number, Timeline>> {
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
        const windows = group.map((planned) => this.#window(planned));
        const read = await readTimelines(this.#services, this.#reads, this.#shownTo, windows, { limit, limits, test: undefined, related: undefined });
        for (const [nid, timeline] of read) timelines.set(nid, timeline);
      }),
    );
    return timelines;
  }

  #window({ room, initial, moreTimeline, from }: PlannedRoom): RoomWindow {
    const whole = initial || moreTimeline;
    const left = isLeft(room);
    return {
      room_nid: room.room_nid,
      room_id: room.room_id,
      section: left ? "leave" : "join",
      after: whole ? 0 : from,
      upTo: left ? room.position : this.#upTo,
      fullState: false,
      isNew: false,
      joinedThroughout: !whole && !left && room.position <= from,
    };
  }

  /** The required state that the client does not have. */
  async #states(rooms: readonly PlannedRoom[], timelineOf: (planned: PlannedRoom) => Timeline): Promise<Map<number, RoomState>> {
    const states = new Map<number, RoomState>();
    for (const { room, initial } of rooms) {
      states.set(room.room_nid, { events: new Map(), name: initial, avatar: initial, members: initial && isJoined(room), changedMembers: new Set() });
    }
    await Promise.all([
      this.#wholeStates(rooms.filter(({ room, initial, otherState }) => isJoined(room) && (initial || otherState !== undefined)), states),
      this.#statesAtLeaving(rooms.filter(({ room, initial }) => isLeft(room) && initial), states),
    ]);
    const old = rooms.filter(({ initial, changed }) => !initial && changed);
    const changes = await this.#changes(old);
    for (const planned of old) {
      const { room, config } = planned;
      const state = states.get(room.room_nid);
      if (state === undefined) continue;
      const window = { ...this.#window(planned), after: planned.from };
      const of = changes.get(room.room_nid) ?? [];
      const timeline = timelineOf(planned);
      const named = new Map(of.map((change) => [change.tuple_nid, change]));
      for (const [tuple, nid] of changedState(of, window, timeline, true)) {
        const { type, state_key } = named.get(tuple) ?? { type: "", state_key: "" };
        const isMember = type === MEMBER;
        // Of lazily loaded members all changes are told, but for those in a gap, after which clients ask anew.
        const lazy = isMember && config.required.lazy && !timeline.limited && isJoined(room);
        if (lazy || config.required.has(type, state_key)) state.events.set(tuple, nid);
        if (isMember) state.changedMembers.add(state_key);
        noteParts(state, type, state_key);
      }
      for (const { position, type, state_key, event_nid } of of) {
        if (event_nid === null && position > window.after && position <= window.upTo) noteParts(state, type, state_key);
      }
      if (isLeft(room)) await this.#addOwnMember(planned, state);
    }
    return states;
  }

  /** That a room was left is told whatever is asked for: how else would the client know? */
  async #addOwnMember({ room }: PlannedRoom, state: RoomState): Promise<void> {
    const tuple = stateTuple(MEMBER, this.#reader.user_id);
    const nid = (await this.#services.interning.findTuples([tuple])).get(tuple);
    if (nid !== undefined) state.events.set(nid, room.event_nid);
  }

  async #changes(rooms: readonly PlannedRoom[]): Promise<Map<number, StateChange[]>> {
    const live = rooms.filter(({ row }) => row?.sent === undefined);
    const behind = rooms.filter(({ row }) => row?.sent !== undefined);
    const nids = (of: readonly PlannedRoom[]): number[] => of.map(({ room }) => room.room_nid);
    const since = behind.reduce((least, { from }) => Math.min(least, from), Number.MAX_SAFE_INTEGER);
    const found = await Promise.all([
      live.length === 0 ? [] : stateChanges(this.#reads, nids(live), { after: this.#after, upTo: this.#upTo }),
      behind.length === 0 ? [] : stateChangedSince(this.#reads, nids(behind), since),
    ]);
    const byRoom = new Map<number, StateChange[]>();
    for (const change of found.flat()) {
      const list = byRoom.get(change.room_nid);
      if (list === undefined) byRoom.set(change.room_nid, [change]);
      else list.push(change);
    }
    return byRoom;
  }

  /** The whole required state of joined rooms, but for what was required before. */
  async #wholeStates(rooms: readonly PlannedRoom[], states: ReadonlyMap<number, RoomState>): Promise<void> {
    if (rooms.length === 0) return;
    const { interning, events: cache } = this.#services;
    const pairs = rooms.flatMap(({ room, config: { required } }) =>
      required.anyType ? [] : required.pairs.map(([type, key]) => [room.room_nid, stateTuple(type, key)] as const),
    );
    const types = rooms.flatMap(({ room, config: { required } }) =>
      required.anyType ? [] : required.wholeTypes.map((type) => [room.room_nid, type] as const),
    );
    const everything = rooms.filter(({ config: { required } }) => required.anyType);
    const own = everything.flatMap(({ room, config: { required } }) =>
      required.anyMember ? [] : required.pairs.filter(([type]) => type === MEMBER).map(([type, key]) => [room.room_nid, stateTuple(type, key)] as const),
    );
    const [tupleNids, typeNids] = await Promise.all([
      interning.findTuples(new Set([...pairs, ...own].map(([, tuple]) => tuple))),
      interning.findTypes(new Set(types.map(([, type]) => type))),
    ]);
    const numbered = (of: readonly (readonly [number, string])[], nids: ReadonlyMap<string, number>): (readonly [number, number])[] =>
      of.flatMap(([room, name]) => {
        const nid = nids.get(name);
        return nid === undefined ? [] : [[room, nid] as const];
      });
    const whole = (withMembers: boolean): Promise<StateRow[]> => {
      const nids = everything.filter(({ config }) => config.required.anyMember === withMembers).map(({ room }) => room.room_nid);
      return nids.length === 0 ? Promise.resolve([]) : this.#reads.read(withMembers ? CURRENT_STATE : CURRENT_STATE_WITHOUT_MEMBERS, [nids]);
    };
    const rows = (
      await Promise.all([
        stateOfTuples(this.#reads, numbered([...pairs, ...own], tupleNids)),
        stateOfTypes(this.#reads, numbered(types, typeNids)),
        whole(true),
        whole(false),
      ])
    ).flat();
    const contents = await cache.get(this.#reads, rows.map(({ event_nid }) => event_nid));
    const byRoom = new Map(rooms.map((planned) => [planned.room.room_nid, planned]));
    for (const { room_nid, tuple_nid, event_nid } of rows) {
      const planned = byRoom.get(room_nid);
      const event = contents.get(event_nid)?.event;
      if (planned === undefined || event === undefined || !isState(event)) continue;
      const { config, otherState } = planned;
      if (!config.required.has(event.type, event.state_key) || otherState?.has(event.type, event.state_key) === true) continue;
      states.get(room_nid)?.events.set(tuple_nid, event_nid);
    }
  }

  /** The required state, as far as single pieces are named, of rooms that the user was sent away from, as of then. */
  async #statesAtLeaving(rooms: readonly PlannedRoom[], states: ReadonlyMap<number, RoomState>): Promise<void> {
    if (rooms.length === 0) return;
    const { interning, events: cache } = this.#services;
    const names = new Set<StateTuple>(rooms.flatMap(({ config }) => config.required.pairs.map(([type, key]) => stateTuple(type, key))));
    const [leavings, tuples] = await Promise.all([
      cache.get(this.#reads, rooms.map(({ room }) => room.event_nid)),
      interning.findTuples(names),
    ]);
    const snapshots = rooms.flatMap(({ room }) => leavings.get(room.event_nid)?.row.state_before ?? []);
    const found = await stateOfSnapshots(this.#reads, snapshots, [...tuples.values()]);
    for (const planned of rooms) {
      const state = states.get(planned.room.room_nid);
      if (state === undefined) continue;
      const snapshot = leavings.get(planned.room.event_nid)?.row.state_before ?? -1;
      for (const [type, key] of planned.config.required.pairs) {
        const tuple = tuples.get(stateTuple(type, key));
        const nid = tuple === undefined ? undefined : found.get(snapshot)?.get(tuple);
        if (tuple !== undefined && nid !== undefined) state.events.set(tuple, nid);
      }
      await this.#addOwnMember(planned, state);
    }
  }

  /** Adds the members whom timelines show to the states; gives those that the client then has, of rooms that ask for it. */
  async #lazyMembers(
    rooms: readonly PlannedRoom[],
    states: ReadonlyMap<number, RoomState>,
    timelineOf: (planned: PlannedRoom) => Timeline,
  ): Promise<Map<number, number[]>> {
    const lazy = rooms.filter(({ config }) => config.required.lazy);
    const keys = new Set<string>();
    for (const planned of lazy) {
      for (const { read } of timelineOf(planned).events) if (read.event.type === MEMBER) keys.add(read.event.state_key ?? "");
      for (const id of states.get(planned.room.room_nid)?.changedMembers ?? []) keys.add(id);
    }
    const nids = keys.size === 0 ? new Map<string, number>() : await this.#services.interning.findUsers(keys);
    const known = new Map<number, number[]>();
    const pairs: (readonly [number, number])[] = [];
    for (const planned of lazy) {
      const { room, initial, row, otherState } = planned;
      const timeline = timelineOf(planned);
      const seen = new Set<number>();
      for (const { read } of timeline.events) {
        seen.add(read.row.sender_nid);
        const target = read.event.type === MEMBER ? nids.get(read.event.state_key ?? "") : undefined;
        if (target !== undefined) seen.add(target);
      }
      // After a gap the client asks for members anew.
      const had = initial || timeline.limited || otherState?.lazy === false ? [] : (row?.members ?? []);
      for (const user of seen) if (!had.includes(user)) pairs.push([room.room_nid, user]);
      const changed = timeline.limited ? [] : [...(states.get(room.room_nid)?.changedMembers ?? [])].flatMap((id) => nids.get(id) ?? []);
      known.set(room.room_nid, [...new Set([...had, ...changed, ...seen])].slice(-REMEMBERED_MEMBERS));
    }
    if (pairs.length === 0) return known;
    for (const { room_nid, tuple_nid, event_nid } of await this.#members(pairs)) states.get(room_nid)?.events.set(tuple_nid, event_nid);
    return known;
  }

  #members(pairs: readonly (readonly [room: number, user: number])[]): Promise<StateRow[]> {
    if (pairs.length === 0) return Promise.resolve([]);
    return this.#reads.read(CURRENT_MEMBERS, [pairs.map(([room]) => room), pairs.map(([, user]) => user)]);
  }

  async #summaries(rooms: readonly PlannedRoom[]): Promise<Map<number, Summary>> {
    if (rooms.length === 0) return new Map();
    const rows = await this.#reads.read(SUMMARIES, [rooms.map(({ room }) => room.room_nid), this.#reader.user_nid]);
    const members = await this.#members(rows.flatMap(({ room_nid, heroes }) => heroes.map((user) => [room_nid, user] as const)));
    const events = await this.#services.events.get(this.#reads, members.map(({ event_nid }) => event_nid));
    const eventOf = new Map(members.map(({ room_nid, user_nid, event_nid }) => [`${room_nid} ${user_nid}`, events.get(event_nid)]));
    return new Map(
      rows.map((row) => [
        row.room_nid,
        { row, heroes: row.heroes.map((user) => eventOf.get(`${row.room_nid} ${user}`)).filter((event) => event !== undefined) },
      ]),
    );
  }

  /** The names and avatars of rooms. */
  async #names(rooms: readonly PlannedRoom[]): Promise<Map<number, { name: string | null; avatar: string | null }>> {
    const found = new Map<number, { name: string | null; avatar: string | null }>();
    if (rooms.length === 0) return found;
    for (const { room } of rooms) found.set(room.room_nid, { name: null, avatar: null });
    const tuples = await this.#services.interning.findTuples([NAME, AVATAR]);
    const rows = await stateOfTuples(this.#reads, rooms.flatMap(({ room }) => [...tuples.values()].map((tuple) => [room.room_nid, tuple] as const)));
    const events = await this.#services.events.get(this.#reads, rows.map(({ event_nid }) => event_nid));
    for (const { room_nid, tuple_nid, event_nid } of rows) {
      const naming = found.get(room_nid);
      const content = events.get(event_nid)?.event.content ?? {};
      if (naming === undefined) continue;
      if (tuple_nid === tuples.get(NAME)) naming.name = ownString(content, "name") || null;
      else naming.avatar = ownString(content, "url") || null;
    }
    return found;
  }

  async #bumps(rooms: readonly PlannedRoom[]): Promise<Map<number, number>> {
    if (rooms.length === 0) return new Map();
    const types = await this.#services.interning.findTypes(BUMPING);
    const found = await lastOfTypes(this.#reads, rooms.map(({ room }) => room.room_nid), [...types.values()]);
    return new Map(rooms.map(({ room }) => [room.room_nid, found.get(room.room_nid) ?? room.position]));
  }

  async #context(rooms: readonly PlannedRoom[], timelineOf: (planned: PlannedRoom) => Timeline): Promise<EventContext> {
    const readsOf = (of: readonly PlannedRoom[]): ReadEvent[] => of.flatMap((planned) => timelineOf(planned).events.map(({ read }) => read));
    // Where nothing is left out the client is told of all relations themselves.
    const limited = readsOf(rooms.filter((planned) => planned.initial || timelineOf(planned).limited));
    const aggregations = await aggregationsOf(this.#services, this.#reads, this.#shownTo, limited);
    return await eventContext(this.#services.events, this.#reads, this.#shownTo, readsOf(rooms), aggregations);
  }

  #timelineParts({ initial, moreTimeline }: PlannedRoom, timeline: Timeline, context: EventContext): string[] {
    const { events, limited, prevBatch } = timeline;
    if (events.length === 0 && !limited && !initial) return [];
    const texts = events.map((event) => shownEvent(event, this.#shownTo, context, false));
    const live = this.#asked.since === undefined ? 0 : events.filter(({ read }) => read.row.position > this.#after).length;
    return [
      `"timeline":[${texts.join(",")}],"limited":${limited},"num_live":${live}`,
      ...(prevBatch === undefined ? [] : [`"prev_batch":${JSON.stringify(prevBatch)}`]),
      ...(moreTimeline ? ['"unstable_expanded_timeline":true'] : []),
    ];
  }

  #stateParts(state: RoomState | undefined, contents: ReadonlyMap<number, ReadEvent>): string[] {
    const texts: string[] = [];
    for (const nid of state?.events.values() ?? []) {
      const read = contents.get(nid);
      if (read !== undefined) texts.push(shownEvent({ read, membership: undefined }, this.#shownTo, NO_CONTEXT, false));
    }
    return texts.length === 0 ? [] : [`"required_state":[${texts.join(",")}]`];
  }

  #pair(room_nid: number): { readonly user_nid: number; readonly room_nid: number } {
    return { user_nid: this.#reader.user_nid, room_nid };
  }
}

function noteParts(state: RoomState, type: string, stateKey: string): void {
  if (type === MEMBER) state.members = true;
  if (stateKey !== "") return;
  if (type === "m.room.name") state.name = true;
  if (type === "m.room.avatar") state.avatar = true;
}

function needsSummary(state: RoomState | undefined): boolean {
  return state !== undefined && (state.members || state.name);
}

function hasNews(state: RoomState | undefined): boolean {
  return state !== undefined && (state.name || state.avatar || state.members);
}

/** JSON of name, avatar and, where there is no name, of those who make one up. */
function namingParts(
  { initial }: PlannedRoom,
  state: RoomState,
  { name, avatar }: { readonly name: string | null; readonly avatar: string | null },
  summary: Summary | undefined,
): string[] {
  const parts: string[] = [];
  if (state.name && (name !== null || !initial)) parts.push(`"name":${JSON.stringify(name)}`);
  if (state.avatar && (avatar !== null || !initial)) parts.push(`"avatar":${JSON.stringify(avatar)}`);
  if (name !== null || summary === undefined) return parts;
  const heroes = summary.heroes.map(({ event }) => {
    const displayname = ownString(event.content, "displayname");
    const avatar_url = ownString(event.content, "avatar_url");
    return { user_id: event.state_key, ...(displayname !== undefined && { displayname }), ...(avatar_url !== undefined && { avatar_url }) };
  });
  return [...parts, `"heroes":${JSON.stringify(heroes)}`];
}

/** JSON of what is told of a room that the user waits for. */
function waitingParts(stripped: readonly string[]): string[] {
  const parts = [`"invite_state":[${stripped.join(",")}]`, `"stripped_state":[${stripped.join(",")}]`];
  for (const event of strippedEvents(stripped)) {
    const name = event["type"] === "m.room.name" ? stringIn(event, "name") : null;
    const avatar = event["type"] === "m.room.avatar" ? stringIn(event, "url") : null;
    if (name !== null && name !== "") parts.push(`"name":${JSON.stringify(name)}`);
    if (avatar !== null && avatar !== "") parts.push(`"avatar":${JSON.stringify(avatar)}`);
  }
  return parts;
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
