// Searching what was said (client-server API, "Server Side Search").
import { invalidParam } from "../../errors.js";
import { compileFilter, compileRooms, type RoomEventFilter } from "../../protocol/filter.js";
import { ownString } from "../../protocol/json.js";
import { parseSearchTerm, type SearchTerm, wordsOf } from "../../protocol/search-text.js";
import { stateTuple } from "../../protocol/state-map.js";
import { eventsAround } from "../../storage/events.js";
import { type MembershipEntry, membershipsOfUser } from "../../storage/memberships.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import { matchingWords, roomsHaving, SEARCH_KEYS, type SearchKey, searchMatches, type SearchMatch, type SearchQuery } from "../../storage/search.js";
import type { Reads } from "../../storage/statement.js";
import { CURRENT_STATE } from "../../storage/sync.js";
import { stateOfSnapshots, wholeSnapshots } from "../../storage/visibility.js";
import { aggregationsOf } from "./aggregations.js";
import { eventContext, type EventReader, shownEvent, type ShownEvent } from "./client-event.js";
import type { RoomContext, RoomUser } from "../context.js";
import type { ReadEvent } from "./event-cache.js";
import { ignoredUserIds, ignoredUsers } from "../ignored-users.js";
import { placeAfter, placeBefore, tokenOf } from "./place.js";
import { relatedTest } from "./related-filter.js";
import { departures } from "./room-view.js";
import { ENCRYPTION, newContent, searchedText, type SearchIndex } from "./search-index.js";
import { visibleEvents } from "./visibility.js";

const DEFAULT_LIMIT = 10;
const MAX_LIMIT = 50;
const DEFAULT_CONTEXT = 5;
const MAX_CONTEXT = 20;
/** The newest matches are ranked and counted, so many of them. */
const RANKED = 2_000;
/** Matches that are read at once to see whether the searcher may see them. */
const CHUNK = 50;
/** Different words of results that are looked at for those to be highlighted. */
const MAX_WORDS = 500;

export interface SearchContext extends RoomContext {
  readonly searchIndex: SearchIndex;
}

export interface SearchRequest {
  readonly search_term: string;
  readonly keys?: readonly SearchKey[] | undefined;
  readonly filter?: RoomEventFilter | undefined;
  readonly order_by?: "recent" | "rank" | undefined;
  readonly event_context?:
    | { readonly before_limit?: number | undefined; readonly after_limit?: number | undefined; readonly include_profile?: boolean | undefined }
    | undefined;
  readonly include_state?: boolean | undefined;
  readonly groupings?: { readonly group_by?: readonly { readonly key: GroupKey }[] | undefined } | undefined;
}

type GroupKey = "room_id" | "sender";

/** What one search works with. */
interface Search {
  readonly context: SearchContext;
  readonly reads: Reads;
  readonly user: RoomUser;
  readonly reader: EventReader;
  readonly request: SearchRequest;
  readonly term: SearchTerm;
  readonly rooms: ReadonlyMap<number, MembershipEntry>;
}

/**
 * The matches of a search: JSON text of its room_events. The newest are ranked; `next_batch` leads past them. Throws
 * M_INVALID_PARAM for a token.
 */
export async function searchRoomEvents(
  context: SearchContext,
  user: RoomUser,
  request: SearchRequest,
  nextBatch: string | undefined,
): Promise<string> {
  const place = nextBatch === undefined ? FIRST : parsePlace(nextBatch);
  const term = parseSearchTerm(request.search_term);
  if (term === undefined) return '{"count":0,"highlights":[],"results":[]}';
  await context.searchIndex.bringUpToDate();
  return await context.database.snapshot(async (reads) => {
    const rooms = await searchedRooms(context, reads, user, request.filter ?? {});
    const { user_id, user_nid, device_id } = user;
    const joined = (room: number): boolean => rooms.get(room)?.membership === MEMBERSHIPS.join;
    const ignored = await ignoredUserIds(reads, user_nid);
    const reader: EventReader = { user_id, user_nid, device_id, joined, ignored, now: context.clock.now(), format: "client", fields: undefined };
    const search: Search = { context, reads, user, reader, request, term, rooms };
    return await answer(search, await pageOf(search, place));
  });
}

/** The rooms that a user is or was in and has not forgotten, without encrypted ones. */
async function searchedRooms(
  { interning }: SearchContext,
  reads: Reads,
  { user_nid }: RoomUser,
  filter: RoomEventFilter,
): Promise<Map<number, MembershipEntry>> {
  const wanted = compileRooms(filter);
  const been: readonly number[] = [MEMBERSHIPS.join, MEMBERSHIPS.leave, MEMBERSHIPS.ban];
  const entries = (await membershipsOfUser(reads, user_nid)).filter(
    ({ room_id, membership, forgotten }) => !forgotten && been.includes(membership) && wanted(room_id),
  );
  const encryption = (await interning.findTuples([ENCRYPTION])).get(ENCRYPTION);
  const encrypted = await roomsHaving(reads, entries.map(({ room_nid }) => room_nid), encryption);
  return new Map(entries.filter(({ room_nid }) => !encrypted.has(room_nid)).map((entry) => [entry.room_nid, entry]));
}

/** Where a page begins: in the window of matches before a moment, after so many; and of which group it is. */
interface SearchPlace {
  readonly sent_ts: number;
  readonly nid: number;
  readonly skip: number;
  readonly room: number | undefined;
  readonly sender: number | undefined;
}

const FIRST: SearchPlace = { sent_ts: Number.MAX_SAFE_INTEGER, nid: 0, skip: 0, room: undefined, sender: undefined };

function formatPlace({ sent_ts, nid, skip, room, sender }: SearchPlace): string {
  return `q${sent_ts}_${nid}_${skip}_${room ?? ""}_${sender ?? ""}`;
}

/** Throws M_INVALID_PARAM. */
function parsePlace(text: string): SearchPlace {
  const match = /^q(\d{1,16})_(\d{1,16})_(\d{1,4})_(\d{0,16})_(\d{0,16})$/.exec(text);
  const [sent_ts = NaN, nid = NaN, skip = NaN] = (match ?? []).slice(1, 4).map(Number);
  const [room, sender] = (match ?? []).slice(4).map((part) => (part === "" ? undefined : Number(part)));
  if (![sent_ts, nid, skip, room ?? 0, sender ?? 0].every(Number.isSafeInteger)) throw invalidParam('"next_batch" is no token of a search.');
  return { sent_ts, nid, skip, room, sender };
}

interface Result extends ShownEvent {
  readonly match: SearchMatch;
  /** What was searched. */
  readonly text: string;
}

interface SearchPage {
  readonly results: readonly Result[];
  readonly count: number;
  readonly next: SearchPlace | undefined;
  /** What of the window comes after the page and is certain to be visible, and what came before that. */
  readonly rest: readonly SearchMatch[];
  readonly passed: readonly SearchMatch[];
  /** Where the window begins. */
  readonly window: SearchPlace;
}

/** The results of a page, as many as were asked for that the searcher may see. */
async function pageOf(search: Search, place: SearchPlace): Promise<SearchPage> {
  const { request, rooms } = search;
  const limit = Math.max(1, Math.min(request.filter?.limit ?? DEFAULT_LIMIT, MAX_LIMIT));
  // The window hangs on its newest match, so that what is said meanwhile does not move the pages.
  const matches = await searchMatches(search.reads, await queryOf(search, place), RANKED);
  const [newest] = matches;
  const oldest = matches.at(-1);
  const ordered = request.order_by === "recent" ? matches : matches.toSorted((a, b) => b.rank - a.rank);
  const window: SearchPlace = newest === undefined ? place : { ...place, sent_ts: newest.sent_ts, nid: newest.nid + 1 };
  const certain = ({ room_nid, position }: SearchMatch): boolean => {
    const entry = rooms.get(room_nid);
    return entry?.membership === MEMBERSHIPS.join && position >= entry.position;
  };
  const counted = ordered.slice(0, place.skip).filter(certain).length;
  const results: Result[] = [];
  let at = place.skip;
  while (at < ordered.length && results.length < limit) {
    const chunk = ordered.slice(at, at + CHUNK);
    const shown = await visibleMatches(search, chunk);
    for (const match of chunk) {
      if (results.length === limit) break;
      const result = shown.get(match.nid);
      if (result !== undefined) results.push(result);
      at += 1;
    }
  }
  const passed = ordered.slice(0, at);
  const rest = ordered.slice(at).filter(certain);
  const count = counted + results.length + rest.length;
  // A page that is full has a next one, be it empty: whether there are matches that the searcher may not see must not show.
  if (results.length === limit) return { results, count, next: { ...window, skip: at }, rest, passed, window };
  // Older matches than those of the window are ranked among themselves.
  const older = matches.length < RANKED || oldest === undefined ? undefined : { ...place, sent_ts: oldest.sent_ts, nid: oldest.nid, skip: 0 };
  return { results, count, next: older, rest, passed, window };
}

async function queryOf({ context, reads, reader, request, term, rooms }: Search, place: SearchPlace): Promise<SearchQuery> {
  const { interning } = context;
  const { senders, not_senders } = request.filter ?? {};
  const excluded = not_senders === undefined ? [] : [...(await interning.findUsers(not_senders)).values()];
  const included = senders === undefined ? null : [...(await interning.findUsers(senders)).values()];
  return {
    ...term,
    rooms: [...rooms.keys()].filter((room) => place.room === undefined || room === place.room),
    keys: (request.keys ?? SEARCHED).map((key) => SEARCH_KEYS[key]),
    senders: place.sender === undefined ? included : (included ?? [place.sender]).filter((sender) => sender === place.sender),
    not_senders: [...excluded, ...(await ignoredUsers(interning, reads, reader.user_nid))],
    before: place,
  };
}

const SEARCHED: readonly SearchKey[] = ["content.body", "content.name", "content.topic"];

/** Those of these matches that pass the filter and that the searcher may see, with the text by which they were found. */
async function visibleMatches(
  { context, reads, reader, request: { filter = {} } }: Search,
  matches: readonly SearchMatch[],
): Promise<Map<number, Result>> {
  const events = await context.events.get(reads, matches.flatMap(({ nid, text_nid }) => [nid, text_nid]));
  const usable = [...events.values()].filter(({ row }) => row.redacted_by === null && row.flags === 0);
  const visible = await visibleEvents(context, reads, reader, usable);
  const test = compileFilter(filter);
  const isRelated = await relatedTest(context.interning, reads, filter, usable);
  const results = new Map<number, Result>();
  for (const match of matches) {
    const read = events.get(match.nid);
    if (read === undefined || !visible.has(match.nid) || !visible.has(match.text_nid)) continue;
    const membership = visible.get(match.nid);
    const text = match.text_nid === match.nid ? searchedText(read.event) : searchedText(read.event, newContent(events.get(match.text_nid)?.event));
    // What erased users said is not found by who was not there.
    if (context.events.erased.has(read.row.sender_nid) && membership !== "join") continue;
    if (test({ ...read.event, room_id: read.room_id }) && isRelated(read)) results.set(match.nid, { match, read, membership, text: text?.text ?? "" });
  }
  return results;
}

/** The JSON text of a page. */
async function answer(search: Search, page: SearchPage): Promise<string> {
  const { context, reads, reader, request } = search;
  const { results } = page;
  const surroundings = request.event_context === undefined ? undefined : await surroundingsOf(search, results);
  const state = request.include_state === true ? await statesOf(search, results) : new Map<string, ReadEvent[]>();
  const shown = [
    ...results,
    ...[...(surroundings?.values() ?? [])].flatMap(({ before, after }) => [...before, ...after]),
    ...[...state.values()].flat().map((read) => ({ read, membership: undefined })),
  ];
  const events = [...new Map(shown.map(({ read }) => [read.row.nid, read])).values()];
  const aggregations = await aggregationsOf(context, reads, reader, events);
  const needed = await eventContext(context.events, reads, reader, events, aggregations);
  const text = (event: ShownEvent): string => shownEvent(event, reader, needed, true);
  const texts = results.map((result) => {
    const around = surroundings?.get(result.read.row.nid);
    return (
      `{"rank":${result.match.rank},"result":${text(result)}` +
      (around === undefined
        ? "}"
        : `,"context":{"start":${JSON.stringify(around.start)},"end":${JSON.stringify(around.end)}` +
          (around.profiles === undefined ? "" : `,"profile_info":${JSON.stringify(around.profiles)}`) +
          `,"events_before":[${around.before.map(text).join(",")}],"events_after":[${around.after.map(text).join(",")}]}}`)
    );
  });
  const states = [...state].map(
    ([roomId, list]) => `${JSON.stringify(roomId)}:[${list.map((read) => text({ read, membership: undefined })).join(",")}]`,
  );
  return (
    `{"count":${page.count},"highlights":${JSON.stringify(await highlights(search, results))},"results":[${texts.join(",")}]` +
    (request.include_state === true ? `,"state":{${states.join(",")}}` : "") +
    (request.groupings === undefined ? "" : `,"groups":${JSON.stringify(groupsOf(request, page))}`) +
    (page.next === undefined ? "}" : `,"next_batch":${JSON.stringify(formatPlace(page.next))}}`)
  );
}

interface Surroundings {
  readonly before: readonly ShownEvent[];
  readonly after: readonly ShownEvent[];
  readonly start: string;
  readonly end: string;
  readonly profiles: Readonly<Record<string, Profile>> | undefined;
}

type Profile = Partial<Record<"displayname" | "avatar_url", string>>;

/** What stands around results in their rooms, as far as the searcher may see it, by the result's number. */
async function surroundingsOf(search: Search, results: readonly Result[]): Promise<Map<number, Surroundings>> {
  const { context, reads, reader, request } = search;
  const { before_limit = DEFAULT_CONTEXT, after_limit = DEFAULT_CONTEXT, include_profile } = request.event_context ?? {};
  const rows = await eventsAround(
    reads,
    results.map(({ read }) => read.row),
    Math.min(before_limit, MAX_CONTEXT),
    Math.min(after_limit, MAX_CONTEXT),
  );
  const around = new Map([...rows].map(([centre, list]) => [centre, list.map((row) => context.events.add(row))]));
  const events = new Map([...around.values()].flat().map((read) => [read.row.nid, read]));
  const visible = await visibleEvents(context, reads, reader, [...events.values()]);
  const found = new Map<number, Omit<Surroundings, "profiles">>();
  for (const { read } of results) {
    const near = (around.get(read.row.nid) ?? []).filter(({ row }) => visible.has(row.nid));
    const shown = (list: readonly ReadEvent[]): ShownEvent[] => list.map((each) => ({ read: each, membership: visible.get(each.row.nid) }));
    const isBefore = ({ row }: ReadEvent): boolean => row.depth < read.row.depth || (row.depth === read.row.depth && row.nid < read.row.nid);
    const before = near.filter(isBefore);
    const after = near.filter((each) => !isBefore(each));
    found.set(read.row.nid, {
      // The nearest comes first, as in the surroundings of an event.
      before: shown(before).toReversed(),
      after: shown(after),
      start: tokenOf(placeBefore(before[0] ?? read)),
      end: tokenOf(placeAfter(after.at(-1) ?? read)),
    });
  }
  const profiles = include_profile === true ? await profilesAt(search, results, found) : undefined;
  return new Map([...found].map(([nid, each]) => [nid, { ...each, profiles: profiles && (profiles.get(nid) ?? {}) }]));
}

/** The names and pictures that the senders around each result had at the time, by the result's number. */
async function profilesAt(
  { context, reads }: Search,
  results: readonly Result[],
  around: ReadonlyMap<number, Pick<Surroundings, "before" | "after">>,
): Promise<Map<number, Record<string, Profile>>> {
  const senders = new Map(
    results.map((result) => {
      const { before, after } = around.get(result.read.row.nid) ?? { before: [], after: [] };
      return [result.read.row.nid, [...new Set([result, ...before, ...after].map(({ read }) => read.event.sender))]];
    }),
  );
  const tuples = await context.interning.findTuples([...senders.values()].flat().map((sender) => stateTuple("m.room.member", sender)));
  const snapshots = [...new Set(results.flatMap(({ read }) => read.row.state_before ?? []))];
  const states = await stateOfSnapshots(reads, snapshots, [...tuples.values()]);
  const members = await context.events.get(reads, [...states.values()].flatMap((state) => [...state.values()]));
  return new Map(
    results.map(({ read }) => {
      const state = states.get(read.row.state_before ?? 0);
      const profiles = (senders.get(read.row.nid) ?? []).flatMap((sender) => {
        const tuple = tuples.get(stateTuple("m.room.member", sender));
        const content = members.get((tuple === undefined ? undefined : state?.get(tuple)) ?? 0)?.event.content;
        if (content === undefined) return [];
        const [displayname, avatar_url] = [ownString(content, "displayname"), ownString(content, "avatar_url")];
        return [[sender, { ...(displayname !== undefined && { displayname }), ...(avatar_url !== undefined && { avatar_url }) }] as const];
      });
      return [read.row.nid, Object.fromEntries(profiles)];
    }),
  );
}

/** By room id, the state of the rooms of results: the current one, or that which the searcher left behind. */
async function statesOf({ context, reads, user, reader, rooms }: Search, results: readonly Result[]): Promise<Map<string, ReadEvent[]>> {
  const found = [...new Set(results.map(({ match }) => match.room_nid))];
  const current = await reads.read(CURRENT_STATE, [found.filter(reader.joined)]);
  const ends = await departures(context, reads, user, found.filter((room) => !reader.joined(room)));
  const snapshots = await wholeSnapshots(reads, [...ends.values()].flatMap(({ row }) => row.state_before ?? []));
  const behind = [...ends.values()].flatMap(({ row }) => [...(snapshots.get(row.state_before ?? 0)?.values() ?? [])]);
  const events = await context.events.get(reads, [...current.map(({ event_nid }) => event_nid), ...behind]);
  const states = new Map<string, ReadEvent[]>(found.map((room) => [rooms.get(room)?.room_id ?? "", []]));
  for (const read of events.values()) states.get(read.room_id)?.push(read);
  return states;
}

/** The words of results that made them match, as they are written there. */
async function highlights({ reads, term }: Search, results: readonly Result[]): Promise<string[]> {
  const words = wordsOf(results.map(({ text }) => text));
  const wanted = [term.words, ...term.phrases].join(" ");
  const matching = await matchingWords(reads, [...words.keys()].slice(0, MAX_WORDS), wanted);
  return [...new Set(matching.flatMap((word) => words.get(word) ?? []))];
}

interface Group {
  readonly order: number;
  readonly results: string[];
  readonly next_batch?: string;
}

/** The results of a page by room or by sender, each group with the token of its own next page. */
function groupsOf({ groupings }: SearchRequest, page: SearchPage): Record<string, Record<string, Group>> {
  return Object.fromEntries((groupings?.group_by ?? []).map(({ key }) => [key, groupsBy(key, page)]));
}

function groupsBy(key: GroupKey, { results, rest, passed, window }: SearchPage): Record<string, Group> {
  const column = key === "room_id" ? "room_nid" : "sender_nid";
  const groups = new Map<string, Group>();
  for (const { read, match } of results) {
    const name = key === "room_id" ? read.room_id : read.event.sender;
    const group = groups.get(name);
    if (group !== undefined) {
      group.results.push(read.event.event_id);
      continue;
    }
    const own = (other: SearchMatch): boolean => other[column] === match[column];
    const place = { ...window, ...(key === "room_id" ? { room: match.room_nid } : { sender: match.sender_nid }), skip: passed.filter(own).length };
    groups.set(name, {
      order: groups.size + 1,
      results: [read.event.event_id],
      ...(rest.some(own) && { next_batch: formatPlace(place) }),
    });
  }
  return Object.fromEntries(groups);
}
