// One answer of /sync, read from the database as of one position (client-server API, "Syncing"). Everything is read inside
// one snapshot, with a constant number of statements whatever the number of rooms.
import { completeEvent } from "../protocol/client-event.js";
import type { EventTest } from "../protocol/filter.js";
import { isState } from "../protocol/event.js";
import type { DeviceId, UserId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, ownString } from "../protocol/json.js";
import { membershipIn } from "../protocol/membership.js";
import { stateTuple, type StateTuple } from "../protocol/state-map.js";
import { aggregationsOf } from "../rooms/aggregations.js";
import { eventContext, NO_CONTEXT, shownEvent, type EventReader } from "../rooms/client-event.js";
import type { ReadEvent } from "../rooms/event-cache.js";
import { ignoredUserIds } from "../rooms/ignored-users.js";
import { formatToken, type SyncToken } from "../rooms/token.js";
import type { VisibilityServices } from "../rooms/visibility.js";
import type { Database } from "../storage/database.js";
import type { Reads } from "../storage/statement.js";
import { LOG_KINDS } from "../storage/log-entry.js";
import { FLAGS, MEMBERSHIPS } from "../storage/room-rows.js";
import { stickyEventsInRooms } from "../storage/sticky-events.js";
import { stateChanges, stateChangedSince, type StateChange } from "../storage/state.js";
import {
  CHANGED_ROOMS,
  CURRENT_MEMBERS,
  CURRENT_STATE,
  CURRENT_STATE_OF_TYPES,
  CURRENT_STATE_WITHOUT_MEMBERS,
  HEAD,
  MEMBERSHIPS_OF_USER,
  OWN_CHANGES,
  SUMMARIES,
  type MembershipNow,
  type StateRow,
  type SummaryRow,
} from "../storage/sync.js";
import { wholeSnapshots } from "../storage/visibility.js";
import {
  changedState,
  loadStates,
  readTimelines,
  stateAtStart,
  type RoomWindow,
  type Timeline,
} from "./room-window.js";
import type { SentMembers } from "./sent-members.js";
import { unreadKey, type Met, type SideEvent, type SideStreams, type UnreadCounts, type UserRoom } from "../ephemeral/side-streams.js";
import { stickyByRoom } from "./sticky.js";
import { strippedRooms } from "./stripped-rooms.js";
import type { SyncFilter } from "./sync-filter.js";
import { deviceLists, encryptionText, keysLeftText, NO_DEVICE_LISTS, type DeviceLists } from "./device-lists.js";
import { toDeviceSection, toDeviceText } from "./to-device.js";

export interface SyncServices extends VisibilityServices {
  readonly database: Database;
  readonly streams: SideStreams;
  readonly sentMembers: SentMembers;
}

export interface SyncReader {
  readonly user_id: UserId;
  readonly user_nid: number;
  readonly device_id: DeviceId | undefined;
}

/** What a client calls the state at the end of a timeline that it asked for instead of the state at its start. */
export type StateAfter = "state_after" | "org.matrix.msc4222.state_after";

export interface SyncRequest {
  /** Absent: an initial sync. */
  readonly since: SyncToken | undefined;
  /** The client's token is of a history that this database has lost: everything is told again, rooms that were left too. */
  readonly resync: boolean;
  readonly filter: SyncFilter;
  readonly fullState: boolean;
  readonly stateAfter: StateAfter | undefined;
  readonly epoch: number;
  readonly now: number;
}

export interface SyncAnswer {
  /** JSON text of the whole body. */
  readonly text: string;
  /** Nothing happened: a client that waits may wait on. */
  readonly empty: boolean;
  readonly next: SyncToken;
}

/** Reads an answer. */
export function readSync(services: SyncServices, reader: SyncReader, request: SyncRequest): Promise<SyncAnswer> {
  return services.database.snapshot((reads) => new SyncRead(services, reads, reader, request).read());
}

const MEMBER = "m.room.member";
/** What a room is called by: without either clients call it after its heroes. */
const NAMES = ["m.room.name", "m.room.canonical_alias"];
/** Sticky events of one answer; the rest comes with the next, which does not wait. */
const MOST_STICKY = 500;

/** How a room came to be joined since the token: whether all of it has to be told, and from where on its events. */
interface Join {
  readonly isNew: boolean;
  readonly after: number;
}

interface JoinedSection {
  readonly window: RoomWindow;
  readonly timeline: Timeline;
  readonly state: ReadonlyMap<number, number>;
}

/** The reads of one answer, in the order in which they depend on each other. */
class SyncRead {
  readonly #services: SyncServices;
  readonly #reads: Reads;
  readonly #reader: SyncReader;
  readonly #request: SyncRequest;
  #shownTo: EventReader;
  #after = 0;
  #upTo = 0;
  #oldest = 0;
  #joined = new Set<number>();
  /** Where the sticky events of the answer end, if there are more. */
  #stickyTold: SyncToken["sticky"];
  /** The rooms whose members became known since the token, and when. */
  readonly #completed = new Map<number, number>();

  constructor(services: SyncServices, reads: Reads, reader: SyncReader, request: SyncRequest) {
    this.#services = services;
    this.#reads = reads;
    this.#reader = reader;
    this.#request = request;
    this.#after = request.since?.position ?? 0;
    this.#shownTo = {
      ...reader,
      joined: (room) => this.#joined.has(room),
      now: request.now,
      format: request.filter.format,
      fields: request.filter.fields,
    };
  }

  async read(): Promise<SyncAnswer> {
    const { since, filter, epoch } = this.#request;
    const { streams } = this.#services;
    const typingSerial = streams.typingSerial();
    const [[head], memberships, ignored] = await Promise.all([
      this.#reads.read(HEAD, []),
      this.#memberships(),
      ignoredUserIds(this.#reads, this.#reader.user_nid),
    ]);
    this.#shownTo = { ...this.#shownTo, ignored };
    this.#upTo = Math.max(head?.position ?? 0, this.#after);
    this.#oldest = head?.oldest ?? 0;
    // Who wants to be told of all members is told of a room as soon as they are known.
    const told = filter.lazyLoadMembers ? memberships : memberships.filter(({ membership, whole_since }) => membership !== MEMBERSHIPS.join || whole_since !== null);
    const rooms = told.filter(({ room_id }) => filter.room(room_id));
    for (const { room_nid, membership } of told) if (membership === MEMBERSHIPS.join) this.#joined.add(room_nid);

    const windows = await this.#windows(rooms);
    const range = { after: this.#after, upTo: this.#upTo };
    const [sections, accountData, presence, waiting, toDevice, lists, keysLeft] = await Promise.all([
      this.#sections(windows),
      streams.accountData(this.#reads, this.#reader.user_nid, range),
      streams.presence(this.#reads, this.#reader.user_nid, range, metIn(windows)),
      this.#invitesAndKnocks(rooms),
      toDeviceSection(this.#reads, this.#reader, since, this.#upTo),
      this.#deviceLists(),
      keysLeftText(this.#reads, this.#reader),
    ]);
    const roomText = await this.#rooms(rooms, sections, accountData.rooms, typingSerial, waiting);

    const next: SyncToken = {
      kind: "sync",
      epoch,
      position: this.#upTo,
      ephemeral: typingSerial,
      ...(toDevice.toDevice !== undefined && { toDevice: toDevice.toDevice }),
      ...(this.#stickyTold !== undefined && { sticky: this.#stickyTold }),
    };
    const parts = [`"next_batch":${JSON.stringify(formatToken(next))}`];
    if (roomText !== "") parts.push(`"rooms":{${roomText}}`);
    const presenceText = sideEvents(presence, filter.presence);
    if (presenceText !== "") parts.push(`"presence":{"events":[${presenceText}]}`);
    const accountText = sideEvents(accountData.global, filter.accountData);
    if (accountText !== "") parts.push(`"account_data":{"events":[${accountText}]}`);
    const quiet = this.#stickyTold === undefined && toDevice.events.length + lists.changed.length + lists.left.length === 0;
    const empty = since !== undefined && parts.length === 1 && quiet;
    parts.push(toDeviceText(toDevice), encryptionText(lists, keysLeft));
    return { text: `{${parts.join(",")}}`, empty, next };
  }

  /** Whose devices the reader has to look at again. Who begins asks for what it needs. */
  async #deviceLists(): Promise<DeviceLists> {
    const { since, resync } = this.#request;
    if (since === undefined && !resync) return NO_DEVICE_LISTS;
    return await deviceLists(this.#services, this.#reads, this.#reader.user_nid, resync ? undefined : this.#after);
  }

  /** The user's rooms. That a room was left is news for other devices also where it was forgotten at once. */
  async #memberships(): Promise<MembershipNow[]> {
    const { since, resync } = this.#request;
    const news = since === undefined || resync ? Number.MAX_SAFE_INTEGER : this.#after;
    return await this.#reads.read(MEMBERSHIPS_OF_USER, [this.#reader.user_nid, news]);
  }

  /** The rooms to be shown as joined or left, and how. */
  async #windows(rooms: readonly MembershipNow[]): Promise<RoomWindow[]> {
    const { since, resync, fullState, filter } = this.#request;
    const incremental = since !== undefined && !resync;
    const joins = incremental ? await this.#joins(rooms) : new Map<number, Join>();
    for (const { room_nid, membership, whole_since } of rooms) {
      if (membership !== MEMBERSHIPS.join || whole_since === null || whole_since <= this.#after) continue;
      this.#completed.set(room_nid, whole_since);
      if (incremental && !filter.lazyLoadMembers) joins.set(room_nid, { isNew: true, after: joins.get(room_nid)?.after ?? 0 });
    }
    const windows: RoomWindow[] = [];
    for (const { room_nid, room_id, membership, position } of rooms) {
      if (membership === MEMBERSHIPS.join) {
        const join = joins.get(room_nid);
        const isNew = join?.isNew === true;
        windows.push({
          room_nid,
          room_id,
          section: "join",
          after: incremental ? (join?.after ?? this.#after) : 0,
          upTo: this.#upTo,
          fullState: !incremental || isNew || fullState,
          isNew: isNew || resync,
          joinedThroughout: incremental && join === undefined,
        });
      } else if (membership === MEMBERSHIPS.leave || membership === MEMBERSHIPS.ban) {
        const isNews = incremental && position > this.#after;
        if (!isNews && !resync && (incremental || !filter.includeLeave)) continue;
        // Who came and went since the token sees the room for the first time.
        const join = isNews ? joins.get(room_nid) : undefined;
        const isNew = join?.isNew === true;
        windows.push({
          room_nid,
          room_id,
          section: "leave",
          after: incremental ? (join?.after ?? this.#after) : 0,
          upTo: position,
          fullState: !incremental || isNew || fullState,
          isNew: isNew || resync,
          joinedThroughout: false,
        });
      }
    }
    return incremental && !fullState ? this.#changed(windows, joins) : windows;
  }

  /** Of joined rooms only those in which something happened. The log knows, as far as it reaches back. */
  async #changed(windows: readonly RoomWindow[], joins: ReadonlyMap<number, Join>): Promise<RoomWindow[]> {
    const joined = windows.filter(({ section }) => section === "join").map(({ room_nid }) => room_nid);
    if (joined.length === 0 || !this.#logReachesBack() || this.#request.since?.sticky !== undefined) return [...windows];
    const changed = new Set(
      (await this.#reads.read(CHANGED_ROOMS, [joined, this.#after, this.#upTo])).map(({ room_nid }) => room_nid),
    );
    return windows.filter(
      ({ section, room_nid }) => section === "leave" || changed.has(room_nid) || joins.has(room_nid),
    );
  }

  #logReachesBack(): boolean {
    return this.#after + 1 >= this.#oldest;
  }

  /** The rooms in which the user was joined and not joined, each at some time since the token. */
  async #joins(rooms: readonly MembershipNow[]): Promise<Map<number, Join>> {
    const moved = rooms.filter(({ membership, position }) => position > this.#after && membership !== MEMBERSHIPS.invite && membership !== MEMBERSHIPS.knock);
    const joins = new Map<number, Join>();
    if (moved.length === 0) return joins;
    if (!this.#logReachesBack()) {
      for (const { room_nid } of moved) joins.set(room_nid, { isNew: true, after: 0 });
      return joins;
    }
    const changes = await this.#reads.read(OWN_CHANGES, [
      this.#reader.user_nid,
      this.#after,
      this.#upTo,
      LOG_KINDS.state_change,
    ]);
    const nids = changes.flatMap(({ reference, previous }) => [reference, previous]).filter((nid) => nid !== null);
    const events = await this.#services.events.get(this.#reads, nids);
    const membership = (nid: number | null): string | undefined =>
      nid === null ? undefined : membershipIn(events.get(nid)?.event.content ?? {});
    const firsts = new Map<number, number | null>();
    const [there, away] = [new Set<number>(), new Set<number>()];
    for (const { room_nid, reference, previous } of changes) {
      if (!firsts.has(room_nid)) firsts.set(room_nid, previous);
      for (const nid of [reference, previous]) (membership(nid) === "join" ? there : away).add(room_nid);
    }
    for (const room of away) {
      if (!there.has(room)) continue;
      const first = firsts.get(room) ?? null;
      const before = membership(first);
      // Who was joined at the token and came back knows the room up to there; who had left it, up to the leaving.
      if (before === "join") joins.set(room, { isNew: false, after: this.#after });
      else {
        const left = before === "leave" || before === "ban" ? events.get(first ?? -1) : undefined;
        joins.set(room, { isNew: true, after: left?.row.position ?? 0 });
      }
    }
    return joins;
  }

  /** Timelines and states of the windows. */
  async #sections(windows: readonly RoomWindow[]): Promise<JoinedSection[]> {
    const { filter, stateAfter } = this.#request;
    const timelines = await readTimelines(this.#services, this.#reads, this.#shownTo, windows, {
      limit: filter.timelineLimit,
      test: filter.timeline,
      related: filter.related,
    });
    const timelineOf = (window: RoomWindow): Timeline =>
      timelines.get(window.room_nid) ?? { events: [], limited: false, prevBatch: undefined };

    const whole = windows.filter(({ fullState }) => fullState);
    const partial = windows.filter(({ fullState }) => !fullState);
    const [wholeStates, changes] = await Promise.all([
      this.#wholeStates(whole, timelineOf),
      this.#changes(partial.map(({ room_nid }) => room_nid)),
    ]);
    const tuples = await this.#tuples(windows, timelineOf);
    return windows.map((window) => {
      const timeline = timelineOf(window);
      const state = window.fullState
        ? wholeStates.get(window.room_nid) ?? new Map<number, number>()
        : changedState(changes.get(window.room_nid) ?? [], window, timeline, stateAfter !== undefined);
      const atStart = window.fullState && stateAfter === undefined ? stateAtStart(state, timeline, tuples) : state;
      return { window, timeline, state: atStart };
    });
  }

  async #changes(rooms: readonly number[]): Promise<Map<number, StateChange[]>> {
    const byRoom = new Map<number, StateChange[]>();
    if (rooms.length === 0) return byRoom;
    const range = { after: this.#after, upTo: this.#upTo };
    const changes = this.#logReachesBack()
      ? await stateChanges(this.#reads, rooms, range)
      : await stateChangedSince(this.#reads, rooms, this.#after);
    for (const change of changes) {
      // With lazy loading, who was there all the time is shown when it matters.
      if (change.type === MEMBER && this.#completed.get(change.room_nid) === change.position && this.#request.filter.lazyLoadMembers) continue;
      const list = byRoom.get(change.room_nid);
      if (list === undefined) byRoom.set(change.room_nid, [change]);
      else list.push(change);
    }
    return byRoom;
  }

  /** The numbers of the state keys of the timelines' state events. */
  async #tuples(
    windows: readonly RoomWindow[],
    timelineOf: (window: RoomWindow) => Timeline,
  ): Promise<(read: ReadEvent) => number | undefined> {
    const names = new Set<StateTuple>();
    for (const window of windows) {
      for (const { read } of timelineOf(window).events) {
        if (isState(read.event)) names.add(stateTuple(read.event.type, read.event.state_key));
      }
    }
    const nids = await this.#services.interning.findTuples(names);
    return ({ event }) => (isState(event) ? nids.get(stateTuple(event.type, event.state_key)) : undefined);
  }

  /** The whole state of rooms at the end of their windows; with lazy loading only those members that matter. */
  async #wholeStates(
    windows: readonly RoomWindow[],
    timelineOf: (window: RoomWindow) => Timeline,
  ): Promise<Map<number, Map<number, number>>> {
    const { lazyLoadMembers } = this.#request.filter;
    const joined = windows.filter(({ section }) => section === "join");
    const rooms = joined.map(({ room_nid }) => room_nid);
    const states = new Map<number, Map<number, number>>(windows.map(({ room_nid }) => [room_nid, new Map()]));
    const put = ({ room_nid, tuple_nid, event_nid }: StateRow): void => void states.get(room_nid)?.set(tuple_nid, event_nid);
    if (rooms.length > 0) {
      const rows = await this.#reads.read(lazyLoadMembers ? CURRENT_STATE_WITHOUT_MEMBERS : CURRENT_STATE, [rooms]);
      rows.forEach(put);
      if (lazyLoadMembers) {
        const pairs = joined.flatMap((window) => {
          const senders = timelineOf(window).events.map(({ read }) => read.row.sender_nid);
          return [...new Set([this.#reader.user_nid, ...senders])].map((user) => [window.room_nid, user] as const);
        });
        const members = await this.#members(pairs);
        members.forEach(put);
        this.#noteSent(members);
      }
    }
    await this.#leftStates(windows, states);
    return states;
  }

  /** Notes that the device has these members with this answer: in the state, or where they changed in the timeline. */
  #noteSent(members: readonly StateRow[]): void {
    const { user_id, device_id } = this.#reader;
    if (device_id === undefined) return;
    for (const { room_nid, user_nid, event_nid } of members) {
      if (user_nid !== null) this.#services.sentMembers.add(`${user_id} ${device_id}`, room_nid, user_nid, event_nid, this.#upTo);
    }
  }

  #members(pairs: readonly (readonly [room: number, user: number])[]): Promise<StateRow[]> {
    if (pairs.length === 0) return Promise.resolve([]);
    return this.#reads.read(CURRENT_MEMBERS, [pairs.map(([room]) => room), pairs.map(([, user]) => user)]);
  }

  /** The whole state of rooms that the user has left, as of then: before the leaving, and the leaving itself. */
  async #leftStates(windows: readonly RoomWindow[], states: Map<number, Map<number, number>>): Promise<void> {
    const left = windows.filter(({ section }) => section === "leave");
    if (left.length === 0) return;
    const memberships = await this.#memberships();
    const leaving = new Map(memberships.map(({ room_nid, event_nid }) => [room_nid, event_nid]));
    const events = await this.#services.events.get(this.#reads, leaving.values());
    const tuple = stateTuple(MEMBER, this.#reader.user_id);
    const own = (await this.#services.interning.findTuples([tuple])).get(tuple);
    const before = new Map<number, number>();
    for (const { room_nid } of left) {
      const read = events.get(leaving.get(room_nid) ?? -1);
      if (read === undefined || own === undefined) continue;
      states.get(room_nid)?.set(own, read.row.nid);
      if (await this.#mayReadState(read) && read.row.state_before !== null) before.set(room_nid, read.row.state_before);
    }
    const snapshots = await wholeSnapshots(this.#reads, [...before.values()]);
    for (const [room, snapshot] of before) {
      const state = states.get(room);
      for (const [key, nid] of snapshots.get(snapshot) ?? []) if (state && !state.has(key)) state.set(key, nid);
    }
  }

  /** The ends of invitations and knocks to rooms that none of ours is in: those rooms have no timeline here. */
  async #outsideLeaves(all: readonly { readonly window: RoomWindow; readonly timeline: Timeline }[]): Promise<Map<number, ReadEvent>> {
    const bare = new Set(
      all.filter(({ window, timeline }) => window.section === "leave" && timeline.events.length === 0).map(({ window }) => window.room_nid),
    );
    if (bare.size === 0) return new Map();
    const ended = (await this.#memberships()).filter(({ room_nid }) => bare.has(room_nid));
    const events = await this.#services.events.get(this.#reads, ended.map(({ event_nid }) => event_nid));
    return new Map([...events.values()].filter(({ row }) => (row.flags & FLAGS.outlier) !== 0).map((read) => [read.row.room_nid, read]));
  }

  /** Whoever was only invited or knocked learns nothing of a room's state by being turned away. */
  async #mayReadState({ row }: ReadEvent): Promise<boolean> {
    if (row.replaces === null) return false;
    const replaced = (await this.#services.events.get(this.#reads, [row.replaces])).get(row.replaces);
    const membership = replaced && membershipIn(replaced.event.content);
    return membership === "join";
  }

  /** JSON text of the invite and knock sections' rooms. */
  async #invitesAndKnocks(rooms: readonly MembershipNow[]): Promise<{ invite: string; knock: string }> {
    const waiting = rooms.filter(
      ({ membership, position }) =>
        (membership === MEMBERSHIPS.invite || membership === MEMBERSHIPS.knock) &&
        (this.#request.fullState || this.#request.resync || position > this.#after),
    );
    if (waiting.length === 0) return { invite: "", knock: "" };
    const stripped = await strippedRooms(this.#services, this.#reads, this.#reader.user_nid, waiting);
    const texts = { invite: [] as string[], knock: [] as string[] };
    for (const { room_nid, room_id, membership } of waiting) {
      const events = stripped.get(room_nid);
      if (events === undefined) continue;
      const key = membership === MEMBERSHIPS.invite ? "invite" : "knock";
      texts[key].push(`${JSON.stringify(room_id)}:{"${key}_state":{"events":[${events.join(",")}]}}`);
    }
    return { invite: texts.invite.join(","), knock: texts.knock.join(",") };
  }

  /** JSON text of what is inside `rooms`. */
  async #rooms(
    memberships: readonly MembershipNow[],
    sections: readonly JoinedSection[],
    accountData: ReadonlyMap<number, readonly SideEvent[]>,
    typingSerial: number,
    waiting: { readonly invite: string; readonly knock: string },
  ): Promise<string> {
    const { filter, since } = this.#request;
    const { streams, events: cache } = this.#services;
    const joinedRooms = [...this.#joined];
    const range = { after: this.#after, upTo: this.#upTo };
    const typingRooms = new Set(
      since?.ephemeral === typingSerial ? [] : streams.typingChanged(joinedRooms, since?.ephemeral ?? 0),
    );
    // A room shows up for its account data or its typing alone, too.
    const present = new Set(sections.map(({ window }) => window.room_nid));
    const all = [...sections];
    for (const { room_nid, room_id, membership } of memberships) {
      if (present.has(room_nid) || membership !== MEMBERSHIPS.join) continue;
      if (!typingRooms.has(room_nid) && !accountData.has(room_nid)) continue;
      all.push({ window: quietWindow(room_nid, room_id, this.#after, this.#upTo), timeline: QUIET, state: new Map() });
    }
    const joined = all.filter(({ window }) => window.section === "join");
    const nids = joined.map(({ window }) => window.room_nid);
    const fresh = joined.filter(({ window }) => window.fullState).map(({ window }) => window.room_nid);
    const old = nids.filter((nid) => !fresh.includes(nid));
    const [receipts, freshReceipts, unread, summaries] = await Promise.all([
      streams.receipts(this.#reads, old, this.#reader.user_nid, range),
      streams.receipts(this.#reads, fresh, this.#reader.user_nid, { after: 0, upTo: this.#upTo }),
      streams.unread(this.#reads, nids.map((room_nid) => this.#pair(room_nid)), filter.threadNotifications),
      this.#summaries(joined),
    ]);
    const states = await this.#withLazyMembers(all, summaries);
    const contents = await loadStates(cache, this.#reads, states.values());
    const readsOf = (of: readonly JoinedSection[]): ReadEvent[] => of.flatMap(({ timeline }) => timeline.events.map(({ read }) => read));
    // Where nothing is left out the client is told of all relations themselves.
    const limited = readsOf(all.filter(({ timeline }) => timeline.limited));
    const aggregations = await aggregationsOf(this.#services, this.#reads, this.#shownTo, limited);
    const sticky = await this.#sticky(joined);
    const context = await eventContext(cache, this.#reads, this.#shownTo, [...readsOf(all), ...[...sticky.values()].flat()], aggregations);

    const join: string[] = [];
    const leave: string[] = [];
    const outside = await this.#outsideLeaves(all);
    for (const { window, timeline } of all) {
      const { room_nid, section } = window;
      const parts: string[] = [];
      const own = outside.get(room_nid);
      const shown = own === undefined ? timeline.events : [...timeline.events, { read: own, membership: "leave" as const }];
      const timelineText = shown.map((event) => shownEvent(event, this.#shownTo, context, false));
      const hasTimeline = timelineText.length > 0 || timeline.limited;
      const prev = timeline.prevBatch === undefined ? "" : `,"prev_batch":${JSON.stringify(timeline.prevBatch)}`;
      const timelinePart = `"timeline":{"events":[${timelineText.join(",")}],"limited":${timeline.limited}${prev}}`;
      if (hasTimeline) parts.push(timelinePart);
      const stateText = this.#stateText(states.get(room_nid) ?? new Map(), contents);
      const name = this.#request.stateAfter ?? "state";
      const noState = stateText === "" && this.#request.stateAfter === undefined;
      const account = sideEvents(accountData.get(room_nid) ?? [], filter.roomAccountData);
      // A client that begins has nothing to compare with: it is told where there is none.
      if (account !== "" || (section === "join" && this.#after === 0)) parts.push(`"account_data":{"events":[${account}]}`);
      if (section === "leave") {
        if (parts.length === 0 && noState) continue;
        // Libraries read both of a room that was left without asking whether they are there.
        if (!hasTimeline) parts.push(timelinePart);
        parts.push(`"${name}":{"events":[${stateText}]}`);
        leave.push(`${JSON.stringify(window.room_id)}:{${parts.join(",")}}`);
        continue;
      }
      const ephemeral = this.#ephemeral(
        receipts.get(room_nid) ?? freshReceipts.get(room_nid),
        typingRooms.has(room_nid) ? streams.typing(room_nid) : undefined,
      );
      if (ephemeral !== "" || this.#after === 0) parts.push(`"ephemeral":{"events":[${ephemeral}]}`);
      const stickyText = (sticky.get(room_nid) ?? []).map((read) => shownEvent({ read, membership: undefined }, this.#shownTo, context, false));
      if (stickyText.length > 0) parts.push(`"msc4354_sticky":{"events":[${stickyText.join(",")}]}`);
      if (stateText !== "" || (parts.length > 0 && this.#request.stateAfter !== undefined)) {
        parts.push(`"${name}":{"events":[${stateText}]}`);
      }
      const summary = summaries.get(room_nid);
      // Who is told of all members needs no summary where the filter leaves nothing of what happened.
      if (parts.length === 0 && !window.fullState && (summary === undefined || !filter.lazyLoadMembers)) continue;
      if (summary !== undefined) parts.push(`"summary":${summary.text}`);
      parts.push(unreadText(unread.get(unreadKey(this.#pair(room_nid))), filter.threadNotifications));
      join.push(`${JSON.stringify(window.room_id)}:{${parts.join(",")}}`);
    }
    return [
      join.length > 0 ? `"join":{${join.join(",")}}` : "",
      waiting.invite === "" ? "" : `"invite":{${waiting.invite}}`,
      waiting.knock === "" ? "" : `"knock":{${waiting.knock}}`,
      leave.length > 0 ? `"leave":{${leave.join(",")}}` : "",
    ]
      .filter((text) => text !== "")
      .join(",");
  }

  /**
   * Events of joined rooms that are sticky and not in the timelines, whoever was to see them when they were sent (MSC4354): those
   * that came since the token, and of rooms that are new to the client all.
   */
  async #sticky(joined: readonly JoinedSection[]): Promise<Map<number, ReadEvent[]>> {
    const { since, now, resync } = this.#request;
    const asked = joined.map(({ window }) => {
      const until = { position: window.isNew ? 0 : window.after, event_nid: Number.MAX_SAFE_INTEGER };
      return { room_nid: window.room_nid, after: window.isNew || resync ? until : (since?.sticky ?? until) };
    });
    const found = await stickyEventsInRooms(this.#reads, asked, { upTo: this.#upTo, now, limit: MOST_STICKY + 1 });
    const rows = found.slice(0, MOST_STICKY);
    const last = found.length > MOST_STICKY ? rows.at(-1) : undefined;
    this.#stickyTold = last === undefined ? undefined : { position: last.position, event_nid: last.event_nid };
    const timelines = new Set(joined.flatMap(({ timeline }) => timeline.events.map(({ read }) => read.row.nid)));
    return await stickyByRoom(this.#services.events, this.#reads, this.#shownTo, rows.filter(({ event_nid }) => !timelines.has(event_nid)));
  }

  /** Summaries of rooms that are new to the client or whose members or names changed. */
  async #summaries(
    sections: readonly JoinedSection[],
  ): Promise<Map<number, { readonly text: string; readonly heroes: readonly number[] }>> {
    const changed: number[] = [];
    const contents = await loadStates(
      this.#services.events,
      this.#reads,
      sections.filter(({ window }) => !window.fullState).map(({ state }) => state),
    );
    for (const { window, timeline, state } of sections) {
      if (
        window.fullState ||
        timeline.events.some(({ read }) => changesSummary(read)) ||
        [...state.values()].some((nid) => changesSummary(contents.get(nid)))
      ) {
        changed.push(window.room_nid);
      }
    }
    if (changed.length === 0) return new Map();
    const [summaries, named] = await Promise.all([this.#reads.read(SUMMARIES, [changed, this.#reader.user_nid]), this.#named(changed)]);
    const unnamed = summaries.filter(({ room_nid }) => !named.has(room_nid));
    const names = await this.#services.interning.userIds(unnamed.flatMap(({ heroes }) => heroes));
    return new Map(
      summaries.map((row) => {
        const heroes = named.has(row.room_nid) ? undefined : row.heroes;
        return [row.room_nid, { text: summaryText(row, heroes?.map((nid) => names.get(nid))), heroes: heroes ?? [] }];
      }),
    );
  }

  /** Those of some rooms that have a name or an alias to be called by. */
  async #named(rooms: readonly number[]): Promise<Set<number>> {
    const state = await this.#reads.read(CURRENT_STATE_OF_TYPES, [rooms, NAMES]);
    const events = await this.#services.events.get(this.#reads, state.map(({ event_nid }) => event_nid));
    const isName = (content: JsonObject): boolean => (ownString(content, "name") ?? ownString(content, "alias") ?? "") !== "";
    return new Set(state.flatMap(({ room_nid, event_nid }) => (isName(events.get(event_nid)?.event.content ?? {}) ? [room_nid] : [])));
  }

  /** The states with what lazy loading adds: the members who sent the timeline's events, and the heroes. */
  async #withLazyMembers(
    sections: readonly JoinedSection[],
    summaries: ReadonlyMap<number, { readonly heroes: readonly number[] }>,
  ): Promise<Map<number, Map<number, number>>> {
    const { filter, since } = this.#request;
    const states = new Map(sections.map(({ window, state }) => [window.room_nid, new Map(state)]));
    const { device_id } = this.#reader;
    if (!filter.lazyLoadMembers) return states;
    const device = `${this.#reader.user_id} ${device_id ?? ""}`;
    const pairs = sections.flatMap(({ window, timeline }) => {
      const senders = window.fullState ? [] : timeline.events.map(({ read }) => read.row.sender_nid);
      const heroes = summaries.get(window.room_nid)?.heroes ?? [];
      return [...new Set([...senders, ...heroes])].map((user) => [window.room_nid, user] as const);
    });
    const shown = new Map(sections.map(({ window, timeline }) => [window.room_nid, timeline]));
    for (const { room_nid, tuple_nid, event_nid, user_nid } of await this.#members(pairs)) {
      const state = states.get(room_nid);
      const timeline = shown.get(room_nid);
      if (state === undefined || timeline === undefined || user_nid === null || state.has(tuple_nid)) continue;
      const inTimeline = timeline.events.find(({ read }) => read.event.type === MEMBER && read.row.nid === event_nid);
      // A member event that the timeline shows is not shown before; what it replaced is, so that names are right.
      const nid = inTimeline === undefined || this.#request.stateAfter !== undefined ? event_nid : inTimeline.read.row.replaces;
      if (nid === null) continue;
      const known =
        !filter.includeRedundantMembers &&
        since !== undefined &&
        device_id !== undefined &&
        this.#services.sentMembers.has(device, room_nid, user_nid, nid, this.#after);
      if (!known) state.set(tuple_nid, nid);
      if (device_id !== undefined) this.#services.sentMembers.add(device, room_nid, user_nid, nid, this.#upTo);
    }
    return states;
  }

  #pair(room_nid: number): UserRoom {
    return { user_nid: this.#reader.user_nid, room_nid };
  }

  #stateText(state: ReadonlyMap<number, number>, contents: ReadonlyMap<number, ReadEvent>): string {
    const test = this.#request.filter.state;
    const texts: string[] = [];
    for (const nid of state.values()) {
      const read = contents.get(nid);
      if (read === undefined || test?.({ ...read.event, room_id: read.room_id }) === false) continue;
      texts.push(shownEvent({ read, membership: undefined }, this.#shownTo, NO_CONTEXT, false));
    }
    return texts.join(",");
  }

  #ephemeral(receipts: string | undefined, typing: string | undefined): string {
    const events: SideEvent[] = [];
    if (receipts !== undefined) events.push({ type: "m.receipt", content: receipts });
    if (typing !== undefined) events.push({ type: "m.typing", content: typing });
    return sideEvents(events, this.#request.filter.ephemeral);
  }
}

/** The rooms of an answer in which the user may have met others. */
function metIn(windows: readonly RoomWindow[]): Met {
  const joined = windows.filter(({ section }) => section === "join");
  const nids = (isNew: boolean): number[] =>
    joined.filter((window) => window.isNew === isNew).map(({ room_nid }) => room_nid);
  return { fresh: nids(true), changed: nids(false) };
}

const QUIET: Timeline = { events: [], limited: false, prevBatch: undefined };

function quietWindow(room_nid: number, room_id: string, after: number, upTo: number): RoomWindow {
  return {
    room_nid,
    room_id,
    section: "join",
    after,
    upTo,
    fullState: false,
    isNew: false,
    joinedThroughout: true,
  };
}

export function sideEvents(events: readonly SideEvent[], test: EventTest | undefined): string {
  return events
    .filter(({ type, content, sender }) => {
      if (test === undefined) return true;
      const parsed: JsonValue = JSON.parse(content);
      return test({ type, content: isObject(parsed) ? parsed : {}, ...(sender !== undefined && { sender }) });
    })
    .map(({ type, content, sender }) => {
      const from = sender === undefined ? "" : `,"sender":${JSON.stringify(sender)}`;
      return completeEvent(`{"type":${JSON.stringify(type)},"content":${content}${from}`, {});
    })
    .join(",");
}

/** Whether an event changes what a room's summary says. */
export function changesSummary(read: ReadEvent | undefined): boolean {
  return read !== undefined && (read.event.type === MEMBER || NAMES.includes(read.event.type));
}

function summaryText({ joined, invited }: SummaryRow, heroes: readonly (string | undefined)[] | undefined): string {
  return JSON.stringify({
    ...(heroes !== undefined && { "m.heroes": heroes.filter((name) => name !== undefined) }),
    "m.joined_member_count": joined,
    "m.invited_member_count": invited,
  });
}

export function unreadText(counts: UnreadCounts | undefined, threads: boolean): string {
  const { notification_count = 0, highlight_count = 0 } = counts ?? {};
  const text = `"unread_notifications":{"notification_count":${notification_count},"highlight_count":${highlight_count}}`;
  if (!threads) return text;
  const perThread = Object.fromEntries(counts?.threads ?? []);
  if (Object.keys(perThread).length === 0) return text;
  return `${text},"unread_thread_notifications":${JSON.stringify(perThread)}`;
}
