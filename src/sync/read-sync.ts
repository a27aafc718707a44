// One answer of /sync, read from the database as of one position (client-server API, "Syncing"). Everything is read inside
// one snapshot, with a constant number of statements whatever the number of rooms.
import { unreadKey, type Met, type SideEvent, type UserRoom } from "../ephemeral/side-streams.js";
import { aggregationsOf } from "../rooms/views/aggregations.js";
import { eventContext, type EventReader, NO_CONTEXT, shownEvent } from "../rooms/views/client-event.js";
import type { ReadEvent } from "../rooms/views/event-cache.js";
import { ignoredUserIds } from "../rooms/ignored-users.js";
import { formatToken, type SyncToken } from "../rooms/token.js";
import { FLAGS, MEMBERSHIPS } from "../storage/room-rows.js";
import type { Reads } from "../storage/statement.js";
import { stickyEventsInRooms } from "../storage/sticky-events.js";
import { HEAD, MEMBERSHIPS_OF_USER, type MembershipNow } from "../storage/sync.js";
import { deviceLists, encryptionText, keysLeftText, NO_DEVICE_LISTS } from "./device-lists.js";
import { loadStates, type RoomWindow, type Timeline } from "./room-window.js";
import { joinedRoomText, timelineText } from "./room-text.js";
import { sideEvents, unreadText } from "./side-texts.js";
import { stickyByRoom } from "./sticky.js";
import { strippedRooms } from "./stripped-rooms.js";
import type { SyncAnswer, SyncReader, SyncReading, SyncRequest, SyncServices } from "./sync-request.js";
import { sectionsOf, withLazyMembers } from "./sync-states.js";
import { type RoomSection, summariesOf } from "./sync-summaries.js";
import { windowsOf } from "./sync-windows.js";
import { toDeviceSection, toDeviceText } from "./to-device.js";

/** Sticky events of one answer; the rest comes with the next, which does not wait. */
const MOST_STICKY = 500;

/** Reads an answer. */
export function readSync(services: SyncServices, reader: SyncReader, request: SyncRequest): Promise<SyncAnswer> {
  return services.database.snapshot((reads) => answer(services, reads, reader, request));
}

async function answer(services: SyncServices, reads: Reads, reader: SyncReader, request: SyncRequest): Promise<SyncAnswer> {
  const { since, filter, epoch } = request;
  const { streams } = services;
  const typing = streams.typingSerial();
  const [[head], memberships, ignored] = await Promise.all([
    reads.read(HEAD, []),
    readMemberships(reads, reader, request),
    ignoredUserIds(reads, reader.user_nid),
  ]);
  // Who wants to be told of all members is told of a room as soon as they are known.
  const told = filter.lazyLoadMembers ? memberships : memberships.filter(({ membership, whole_since }) => membership !== MEMBERSHIPS.join || whole_since !== null);
  const joined = new Set(told.flatMap(({ room_nid, membership }) => (membership === MEMBERSHIPS.join ? [room_nid] : [])));
  const after = since?.position ?? 0;
  const shownTo: EventReader = {
    ...reader,
    ignored,
    joined: (room) => joined.has(room),
    now: request.now,
    format: filter.format,
    fields: filter.fields,
  };
  const reading: SyncReading = {
    services,
    reads,
    reader,
    request,
    shownTo,
    after,
    upTo: Math.max(head?.position ?? 0, after),
    logReachesBack: after + 1 >= (head?.oldest ?? 0),
  };
  const rooms = told.filter(({ room_id }) => filter.room(room_id));
  const windows = await windowsOf(reading, rooms);
  const range = { after, upTo: reading.upTo };
  const [sections, accountData, presence, waiting, toDevice, lists, keysLeft] = await Promise.all([
    sectionsOf(reading, windows, memberships),
    streams.accountData(reads, reader.user_nid, range),
    streams.presence(reads, reader.user_nid, range, metIn(windows.windows)),
    waitingRooms(reading, rooms),
    toDeviceSection(reads, reader, since, reading.upTo),
    // Who begins asks for the devices that it needs.
    since === undefined && !request.resync ? NO_DEVICE_LISTS : deviceLists(services, reads, reader.user_nid, request.resync ? undefined : after),
    keysLeftText(reads, reader),
  ]);
  const { texts, sticky } = await roomTexts(reading, { memberships, rooms, joined, sections, accountData: accountData.rooms, typing });

  const next: SyncToken = {
    kind: "sync",
    epoch,
    position: reading.upTo,
    ephemeral: typing,
    ...(toDevice.toDevice !== undefined && { toDevice: toDevice.toDevice }),
    ...(sticky !== undefined && { sticky }),
  };
  const parts = [`"next_batch":${JSON.stringify(formatToken(next))}`];
  const roomText = membersText({ join: texts.join, invite: waiting.invite, knock: waiting.knock, leave: texts.leave });
  if (roomText !== "") parts.push(`"rooms":{${roomText}}`);
  const presenceText = sideEvents(presence, filter.presence);
  if (presenceText !== "") parts.push(`"presence":{"events":[${presenceText}]}`);
  const accountText = sideEvents(accountData.global, filter.accountData);
  if (accountText !== "") parts.push(`"account_data":{"events":[${accountText}]}`);
  const quiet = sticky === undefined && toDevice.events.length + lists.changed.length + lists.left.length === 0;
  const empty = since !== undefined && parts.length === 1 && quiet;
  parts.push(toDeviceText(toDevice), encryptionText(lists, keysLeft));
  return { text: `{${parts.join(",")}}`, empty, next };
}

/** The user's rooms. That a room was left is news for other devices also where it was forgotten at once. */
async function readMemberships(reads: Reads, { user_nid }: SyncReader, { since, resync }: SyncRequest): Promise<MembershipNow[]> {
  const news = since === undefined || resync ? Number.MAX_SAFE_INTEGER : since.position;
  return await reads.read(MEMBERSHIPS_OF_USER, [user_nid, news]);
}

/** The rooms of an answer in which the user may have met others. */
function metIn(windows: readonly RoomWindow[]): Met {
  const joined = windows.filter(({ section }) => section === "join");
  const nids = (isNew: boolean): number[] => joined.filter((window) => window.isNew === isNew).map(({ room_nid }) => room_nid);
  return { fresh: nids(true), changed: nids(false) };
}

/** JSON text of an object's members, of those that have any. */
function membersText(sections: Readonly<Record<string, readonly string[]>>): string {
  return Object.entries(sections)
    .flatMap(([name, texts]) => (texts.length === 0 ? [] : [`"${name}":{${texts.join(",")}}`]))
    .join(",");
}

/** The rooms of the invite and knock sections, each as JSON text. */
async function waitingRooms(
  { services, reads, reader, request, after }: SyncReading,
  rooms: readonly MembershipNow[],
): Promise<{ readonly invite: readonly string[]; readonly knock: readonly string[] }> {
  const waiting = rooms.filter(
    ({ membership, position }) =>
      (membership === MEMBERSHIPS.invite || membership === MEMBERSHIPS.knock) && (request.fullState || request.resync || position > after),
  );
  const texts = { invite: [] as string[], knock: [] as string[] };
  if (waiting.length === 0) return texts;
  const stripped = await strippedRooms(services, reads, reader.user_nid, waiting);
  for (const { room_nid, room_id, membership } of waiting) {
    const events = stripped.get(room_nid);
    if (events === undefined) continue;
    const key = membership === MEMBERSHIPS.invite ? "invite" : "knock";
    texts[key].push(`${JSON.stringify(room_id)}:{"${key}_state":{"events":[${events.join(",")}]}}`);
  }
  return texts;
}

/** What the texts of rooms are made from. */
interface RoomParts {
  /** All of the user's, and those that the filter lets through. */
  readonly memberships: readonly MembershipNow[];
  readonly rooms: readonly MembershipNow[];
  readonly joined: ReadonlySet<number>;
  readonly sections: readonly RoomSection[];
  readonly accountData: ReadonlyMap<number, readonly SideEvent[]>;
  /** The serial of what is known of who types. */
  readonly typing: number;
}

/** The rooms of the join and leave sections, each as JSON text, and where the sticky events end if there are more. */
async function roomTexts(
  reading: SyncReading,
  { memberships, rooms, joined, sections, accountData, typing }: RoomParts,
): Promise<{ readonly texts: { readonly join: readonly string[]; readonly leave: readonly string[] }; readonly sticky: SyncToken["sticky"] }> {
  const { services, reads, reader, request, shownTo, after, upTo } = reading;
  const { streams, events: cache } = services;
  const { filter, since } = request;
  const typingRooms = new Set(since?.ephemeral === typing ? [] : streams.typingChanged([...joined], since?.ephemeral ?? 0));
  const all = [...sections, ...quietSections(reading, rooms, sections, (nid) => typingRooms.has(nid) || accountData.has(nid))];
  const shownAsJoined = all.filter(({ window }) => window.section === "join");
  const nids = shownAsJoined.map(({ window }) => window.room_nid);
  const fresh = new Set(shownAsJoined.filter(({ window }) => window.fullState).map(({ window }) => window.room_nid));
  const pair = (room_nid: number): UserRoom => ({ user_nid: reader.user_nid, room_nid });
  const [receipts, freshReceipts, unread, summaries] = await Promise.all([
    streams.receipts(reads, nids.filter((nid) => !fresh.has(nid)), reader.user_nid, { after, upTo }),
    streams.receipts(reads, [...fresh], reader.user_nid, { after: 0, upTo }),
    streams.unread(reads, nids.map(pair), filter.threadNotifications),
    summariesOf(reading, shownAsJoined),
  ]);
  const states = await withLazyMembers(reading, all, summaries);
  const contents = await loadStates(cache, reads, states.values());
  const readsOf = (of: readonly RoomSection[]): ReadEvent[] => of.flatMap(({ timeline }) => timeline.events.map(({ read }) => read));
  // Where nothing is left out the client is told of all relations themselves.
  const limited = readsOf(all.filter(({ timeline }) => timeline.limited));
  const aggregations = await aggregationsOf(services, reads, shownTo, limited);
  const sticky = await stickyOf(reading, shownAsJoined);
  const context = await eventContext(cache, reads, shownTo, [...readsOf(all), ...[...sticky.rooms.values()].flat()], aggregations);

  const join: string[] = [];
  const leave: string[] = [];
  const outside = await outsideLeaves(reading, memberships, all);
  for (const { window, timeline } of all) {
    const { room_nid, section } = window;
    const own = outside.get(room_nid);
    const shown = own === undefined ? timeline.events : [...timeline.events, { read: own, membership: "leave" as const }];
    const events = shown.map((event) => shownEvent(event, shownTo, context, false)).join(",");
    const shownTimeline = { events, limited: timeline.limited, prevBatch: timeline.prevBatch };
    const state = stateTextOf(reading, states.get(room_nid) ?? new Map(), contents);
    const account = sideEvents(accountData.get(room_nid) ?? [], filter.roomAccountData);
    const isQuiet = events === "" && !timeline.limited && account === "" && state === "";
    if (section === "leave") {
      if (isQuiet && request.stateAfter === undefined) continue;
      const parts = [`"timeline":${timelineText(shownTimeline)}`, `"${request.stateAfter ?? "state"}":{"events":[${state}]}`, `"account_data":{"events":[${account}]}`];
      leave.push(`${JSON.stringify(window.room_id)}:{${parts.join(",")}}`);
      continue;
    }
    const sideEventsHere: SideEvent[] = [];
    const receipt = receipts.get(room_nid) ?? freshReceipts.get(room_nid);
    if (receipt !== undefined) sideEventsHere.push({ type: "m.receipt", content: receipt });
    const typingNow = typingRooms.has(room_nid) ? streams.typing(room_nid) : undefined;
    if (typingNow !== undefined) sideEventsHere.push({ type: "m.typing", content: typingNow });
    const ephemeral = sideEvents(sideEventsHere, filter.ephemeral);
    const stickyText = (sticky.rooms.get(room_nid) ?? []).map((read) => shownEvent({ read, membership: undefined }, shownTo, context, false)).join(",");
    const summary = summaries.get(room_nid)?.text;
    // Who is told of all members needs no summary where the filter leaves nothing of what happened.
    const isTold = !isQuiet || ephemeral !== "" || stickyText !== "" || window.fullState || after === 0 || (summary !== undefined && filter.lazyLoadMembers);
    if (!isTold) continue;
    const text = joinedRoomText({
      timeline: shownTimeline,
      state,
      stateAfter: request.stateAfter,
      accountData: account,
      ephemeral,
      sticky: stickyText,
      summary,
      unread: unreadText(unread.get(unreadKey(pair(room_nid))), filter.threadNotifications),
    });
    join.push(`${JSON.stringify(window.room_id)}:${text}`);
  }
  return { texts: { join, leave }, sticky: sticky.told };
}

const QUIET: Timeline = { events: [], limited: false, prevBatch: undefined };

/** Joined rooms that show up without anything in their histories: for their account data or their typing alone. */
function quietSections(
  { after, upTo }: SyncReading,
  rooms: readonly MembershipNow[],
  sections: readonly RoomSection[],
  isNews: (room_nid: number) => boolean,
): RoomSection[] {
  const present = new Set(sections.map(({ window }) => window.room_nid));
  return rooms
    .filter(({ room_nid, membership }) => membership === MEMBERSHIPS.join && !present.has(room_nid) && isNews(room_nid))
    .map(({ room_nid, room_id }) => ({
      window: { room_nid, room_id, section: "join", after, upTo, fullState: false, isNew: false, joinedThroughout: true },
      timeline: QUIET,
      state: new Map(),
    }));
}

/** The ends of invitations and knocks to rooms that none of ours is in: those rooms have no timeline here. */
async function outsideLeaves(
  { services, reads }: SyncReading,
  memberships: readonly MembershipNow[],
  all: readonly RoomSection[],
): Promise<Map<number, ReadEvent>> {
  const bare = new Set(
    all.filter(({ window, timeline }) => window.section === "leave" && timeline.events.length === 0).map(({ window }) => window.room_nid),
  );
  if (bare.size === 0) return new Map();
  const ended = memberships.filter(({ room_nid }) => bare.has(room_nid));
  const events = await services.events.get(reads, ended.map(({ event_nid }) => event_nid));
  return new Map([...events.values()].filter(({ row }) => (row.flags & FLAGS.outlier) !== 0).map((read) => [read.row.room_nid, read]));
}

/**
 * Events of joined rooms that are sticky and not in the timelines, whoever was to see them when they were sent (MSC4354): those
 * that came since the token, and of rooms that are new to the client all; and where they end, if there are more.
 */
async function stickyOf(
  { services, reads, request: { since, now, resync }, shownTo, upTo }: SyncReading,
  joined: readonly RoomSection[],
): Promise<{ readonly rooms: ReadonlyMap<number, readonly ReadEvent[]>; readonly told: SyncToken["sticky"] }> {
  const asked = joined.map(({ window }) => {
    const until = { position: window.isNew ? 0 : window.after, event_nid: Number.MAX_SAFE_INTEGER };
    return { room_nid: window.room_nid, after: window.isNew || resync ? until : (since?.sticky ?? until) };
  });
  const found = await stickyEventsInRooms(reads, asked, { upTo, now, limit: MOST_STICKY + 1 });
  const rows = found.slice(0, MOST_STICKY);
  const last = found.length > MOST_STICKY ? rows.at(-1) : undefined;
  const told = last === undefined ? undefined : { position: last.position, event_nid: last.event_nid };
  const timelines = new Set(joined.flatMap(({ timeline }) => timeline.events.map(({ read }) => read.row.nid)));
  return { rooms: await stickyByRoom(services.events, reads, shownTo, rows.filter(({ event_nid }) => !timelines.has(event_nid))), told };
}

function stateTextOf({ request, shownTo }: SyncReading, state: ReadonlyMap<number, number>, contents: ReadonlyMap<number, ReadEvent>): string {
  const test = request.filter.state;
  const texts: string[] = [];
  for (const nid of state.values()) {
    const read = contents.get(nid);
    if (read === undefined || test?.({ ...read.event, room_id: read.room_id }) === false) continue;
    texts.push(shownEvent({ read, membership: undefined }, shownTo, NO_CONTEXT, false));
  }
  return texts.join(",");
}
