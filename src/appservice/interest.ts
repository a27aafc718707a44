// What of the log concerns an application service, as the transactions that tell it (application service API, "Pushing
// events").
import { randomUUID } from "node:crypto";
import type { SideStreams } from "../ephemeral/side-streams.js";
import type { Clock } from "../clock.js";
import { parseDeviceId, parseUserId, type UserId } from "../protocol/identifiers.js";
import { ownString } from "../protocol/json.js";
import { eventContext, shownEvent, type EventReader } from "../rooms/views/client-event.js";
import type { EventCache, ReadEvent } from "../rooms/views/event-cache.js";
import { changeMembers, knownMembers, type Membership, type RoomOfInterest, roomsOfInterest, usersSharing } from "../storage/appservices.js";
import type { Database, Tx } from "../storage/database.js";
import type { Interning } from "../storage/interning.js";
import { keyCounts, type KeyCounts } from "../storage/device-keys.js";
import type { DeviceKey } from "../storage/devices.js";
import type { PositionedEntry } from "../storage/log-entry.js";
import { messagesAt, removeMessages, type SentTo } from "../storage/to-device.js";
import type { Reads } from "../storage/statement.js";
import { type AppService, coversAlias, coversRoom, coversUser, keepsUser } from "./registration.js";

/** Most events of one transaction. */
const BATCH = 100;

export interface InterestContext {
  readonly database: Database;
  readonly clock: Clock;
  readonly events: EventCache;
  readonly interning: Pick<Interning, "userIds">;
  readonly streams: Pick<SideStreams, "receipts" | "presenceOf">;
}

export interface OutgoingTransaction {
  readonly txn_id: string;
  readonly body: string;
}

/** The transactions that tell of these entries; keeps up in which rooms the application service has users. */
export async function transactionsOf(
  context: InterestContext,
  appservice: AppService,
  tx: Tx,
  entries: readonly PositionedEntry[],
): Promise<OutgoingTransaction[]> {
  const events = await eventsOf(context, entries);
  const rooms = await roomsOfInterest(tx, appservice.id, touchedRooms(entries));
  const interest = new Interest(appservice, rooms);
  const changes = memberChanges(appservice, entries, events);
  await interest.follow(tx, changes);
  const wanted: ReadEvent[] = [];
  for (const { position, kind, reference } of entries) {
    const read = kind === "event" && reference !== undefined ? events.get(reference) : undefined;
    if (read !== undefined && interest.inEvent(read, position)) wanted.push(read);
  }
  const texts = await shown(context, wanted);
  const ephemeral = appservice.ephemeral ? await ephemeralOf(context, appservice, tx, entries, interest) : [];
  const messages = appservice.ephemeral ? await messagesOf(context, appservice, tx, entries) : [];
  const encryption = appservice.encryption ? await encryptionOf(context, appservice, tx, entries, events) : "";
  return batches(appservice, texts, ephemeral, messages, encryption);
}

/** The transactions that tell who types in these rooms now. `content` gives the content of `m.typing`. */
export async function typingTransactions(
  appservice: AppService,
  tx: Tx,
  roomNids: readonly number[],
  content: (roomNid: number) => string | undefined,
): Promise<OutgoingTransaction[]> {
  const rooms = await roomsOfInterest(tx, appservice.id, roomNids);
  const interest = new Interest(appservice, rooms);
  const texts = [...rooms].flatMap(([nid, { room_id }]) => {
    const typing = interest.inRoom(nid) ? content(nid) : undefined;
    return typing === undefined ? [] : [`{"type":"m.typing","room_id":${JSON.stringify(room_id)},"content":${typing}}`];
  });
  return batches(appservice, [], texts);
}

function touchedRooms(entries: readonly PositionedEntry[]): number[] {
  const kinds = new Set(["event", "state_change", "receipt"]);
  return [...new Set(entries.flatMap(({ kind, room_nid }) => (kinds.has(kind) && room_nid !== undefined ? [room_nid] : [])))];
}

/** The events that the entries speak of: new ones, and memberships that became the state. */
async function eventsOf({ events, database }: InterestContext, entries: readonly PositionedEntry[]): Promise<Map<number, ReadEvent>> {
  const nids = entries.flatMap(({ kind, user_nid, reference }) =>
    reference !== undefined && (kind === "event" || (kind === "state_change" && user_nid !== undefined)) ? [reference] : [],
  );
  return await events.load(database, [...new Set(nids)]);
}

interface MemberChange extends Membership {
  readonly position: number;
  readonly joined: boolean;
}

/** Which of the service's users came into rooms or left them. */
function memberChanges(
  appservice: AppService,
  entries: readonly PositionedEntry[],
  events: ReadonlyMap<number, ReadEvent>,
): MemberChange[] {
  return entries.flatMap(({ kind, position, room_nid, user_nid, reference }) => {
    if (kind !== "state_change" || room_nid === undefined || user_nid === undefined) return [];
    const event = reference === undefined ? undefined : events.get(reference)?.event;
    const user = parseUserId(event?.state_key);
    // A membership that is gone without another one in its place: whose it was does not matter.
    if (event !== undefined && (user === undefined || !coversUser(appservice, user))) return [];
    return [{ position, room_nid, user_nid, joined: event !== undefined && ownString(event.content, "membership") === "join" }];
  });
}

/** In which rooms an application service is interested, as the log goes on. */
class Interest {
  readonly #appservice: AppService;
  readonly #rooms: ReadonlyMap<number, RoomOfInterest>;
  readonly #always = new Set<number>();
  /** Of rooms whose members change in these entries: from which position on there are how many. */
  readonly #counts = new Map<number, { readonly from: number; readonly members: number }[]>();

  constructor(appservice: AppService, rooms: ReadonlyMap<number, RoomOfInterest>) {
    this.#appservice = appservice;
    this.#rooms = rooms;
    for (const [nid, { room_id, aliases }] of rooms) {
      if (coversRoom(appservice, room_id) || aliases.some((alias) => coversAlias(appservice, alias))) this.#always.add(nid);
    }
  }

  /** Takes changes of members into account, and writes what they come to. */
  async follow(tx: Tx, changes: readonly MemberChange[]): Promise<void> {
    if (changes.length === 0) return;
    const key = ({ room_nid, user_nid }: Membership): string => `${room_nid} ${user_nid}`;
    const before = new Set((await knownMembers(tx, this.#appservice.id, changes)).map(key));
    const now = new Set(before);
    for (const change of changes) {
      if (now.has(key(change)) === change.joined) continue;
      if (change.joined) now.add(key(change));
      else now.delete(key(change));
      const counts = this.#countsOf(change.room_nid);
      const last = counts.at(-1)?.members ?? 0;
      counts.push({ from: change.position, members: last + (change.joined ? 1 : -1) });
    }
    const pairs = [...new Map(changes.map(({ room_nid, user_nid }) => [`${room_nid} ${user_nid}`, { room_nid, user_nid }])).values()];
    const came = pairs.filter((pair) => now.has(key(pair)) && !before.has(key(pair)));
    const left = pairs.filter((pair) => before.has(key(pair)) && !now.has(key(pair)));
    await changeMembers(tx, this.#appservice.id, came, left);
  }

  /** Whether a room is of interest, now or, with a position, just before it or at it. */
  inRoom(nid: number, position = Number.MAX_SAFE_INTEGER): boolean {
    if (this.#always.has(nid)) return true;
    const counts = this.#countsOf(nid);
    const before = counts.findLast(({ from }) => from < position);
    return (before?.members ?? 0) > 0 || counts.some(({ from, members }) => from === position && members > 0);
  }

  inEvent({ row, event }: ReadEvent, position: number): boolean {
    const member = event.type === "m.room.member" ? parseUserId(event.state_key) : undefined;
    if (coversUser(this.#appservice, row.sender) || (member !== undefined && coversUser(this.#appservice, member))) return true;
    return this.inRoom(row.room_nid, position);
  }

  roomId(nid: number): string | undefined {
    return this.#rooms.get(nid)?.room_id;
  }

  #countsOf(nid: number): { readonly from: number; readonly members: number }[] {
    let counts = this.#counts.get(nid);
    if (counts === undefined) this.#counts.set(nid, (counts = [{ from: 0, members: this.#rooms.get(nid)?.members ?? 0 }]));
    return counts;
  }
}

/** Events as the service sees them: it is nobody's device and everywhere. */
async function shown({ events, database, clock }: InterestContext, wanted: readonly ReadEvent[]): Promise<string[]> {
  const reader: EventReader = {
    user_id: undefined,
    joined: () => true,
    user_nid: 0,
    device_id: undefined,
    now: clock.now(),
    format: "client",
    fields: undefined,
  };
  const context = await eventContext(events, database, reader, wanted);
  return wanted.map((read) => shownEvent({ read, membership: undefined }, reader, context, true));
}

/** Receipts and presence that changed. Private receipts are nobody else's business. */
async function ephemeralOf(
  { database, streams }: InterestContext,
  appservice: AppService,
  tx: Tx,
  entries: readonly PositionedEntry[],
  interest: Interest,
): Promise<string[]> {
  const [first] = entries;
  const last = entries.at(-1);
  if (first === undefined || last === undefined) return [];
  const of = (kind: "receipt" | "presence") => entries.filter((entry) => entry.kind === kind);
  const rooms = new Set(of("receipt").flatMap(({ room_nid, position }) => (room_nid !== undefined && interest.inRoom(room_nid, position) ? [room_nid] : [])));
  const users = new Set(of("presence").flatMap(({ user_nid }) => user_nid ?? []));
  const nobody = 0;
  const receipts = await streams.receipts(database, [...rooms], nobody, { after: first.position - 1, upTo: last.position });
  const sharing = users.size === 0 ? [] : await usersSharing(tx, appservice.id, [...users]);
  const presence = sharing.length === 0 ? new Map<number, never>() : await streams.presenceOf(database, sharing);
  return [
    ...[...receipts].map(([nid, content]) => `{"type":"m.receipt","room_id":${JSON.stringify(interest.roomId(nid))},"content":${content}}`),
    ...[...presence.values()].map(({ type, sender, content }) => `{"type":"${type}","sender":${JSON.stringify(sender)},"content":${content}}`),
  ];
}

/**
 * Messages to devices of the service's users (MSC4203). Those of users who are nobody else's wait for their /sync no longer:
 * most of these devices never ask.
 */
async function messagesOf(
  { interning }: InterestContext,
  appservice: AppService,
  tx: Tx,
  entries: readonly PositionedEntry[],
): Promise<string[]> {
  const told = entries.flatMap(({ kind, position, user_nid, device }) => {
    const device_id = parseDeviceId(device);
    return kind === "to_device" && user_nid !== undefined && device_id !== undefined ? [{ position, user_nid, device_id }] : [];
  });
  if (told.length === 0) return [];
  const ids = await interning.userIds(told.map(({ user_nid }) => user_nid));
  const userOf = ({ user_nid }: { readonly user_nid: number }): UserId | undefined => parseUserId(ids.get(user_nid));
  const covered = told.filter((sent) => {
    const user = userOf(sent);
    return user !== undefined && coversUser(appservice, user);
  });
  const reads: Reads = { read: (statement, values) => tx.query(statement, values) };
  const messages = await messagesAt(reads, covered);
  const isOwn = (sent: SentTo): boolean => {
    const user = userOf(sent);
    return user !== undefined && keepsUser(appservice, user);
  };
  await removeMessages(tx, covered.filter(isOwn));
  return messages.map((message) => {
    const { event, device_id } = message;
    return `{"to_user_id":${JSON.stringify(userOf(message))},"to_device_id":${JSON.stringify(device_id)},${event.slice(1)}`;
  });
}

/**
 * What a client would be told by /sync to encrypt (MSC3202): whose devices changed among those who share a room with the service's
 * users, who no longer does, and of those of its own devices that were sent something, or of whose keys some were taken or added,
 * what keys are left. JSON text of members behind others; empty if there is nothing.
 */
async function encryptionOf(
  { interning }: InterestContext,
  appservice: AppService,
  tx: Tx,
  entries: readonly PositionedEntry[],
  events: ReadonlyMap<number, ReadEvent>,
): Promise<string> {
  const devices = new Map<string, DeviceKey>();
  const [changed, gone] = [new Set<number>(), new Set<number>()];
  for (const { kind, user_nid, device, reference } of entries) {
    if (user_nid === undefined) continue;
    const device_id = parseDeviceId(device);
    if ((kind === "key" || kind === "to_device") && device_id !== undefined) devices.set(`${user_nid} ${device_id}`, { user_nid, device_id });
    else if (kind === "device_list") changed.add(user_nid);
    else if (kind === "state_change") {
      const membership = reference === undefined ? "leave" : ownString(events.get(reference)?.event.content ?? {}, "membership");
      if (membership === "join") changed.add(user_nid);
      else if (membership === "leave" || membership === "ban") gone.add(user_nid);
    }
  }
  if (devices.size + changed.size + gone.size === 0) return "";
  const ids = await interning.userIds([...changed, ...gone, ...[...devices.values()].map(({ user_nid }) => user_nid)]);
  const isCovered = (nid: number): boolean => {
    const user = parseUserId(ids.get(nid));
    return user !== undefined && coversUser(appservice, user);
  };
  const followed = new Set(await usersSharing(tx, appservice.id, [...changed, ...gone]));
  const named = (nids: readonly number[]): string[] => nids.flatMap((nid) => ids.get(nid) ?? []).toSorted();
  const lists = {
    changed: named([...changed].filter((nid) => followed.has(nid) || isCovered(nid))),
    left: named([...gone].filter((nid) => !followed.has(nid) && !isCovered(nid) && !changed.has(nid))),
  };
  const own = [...devices.values()].filter(({ user_nid }) => isCovered(user_nid));
  const reads: Reads = { read: (statement, values) => tx.query(statement, values) };
  const keys = own.length === 0 ? [] : await keyCounts(reads, own);
  const byDevice = (of: (left: KeyCounts) => unknown): string => {
    const users = new Map<string, [string, unknown][]>();
    for (const left of keys) {
      const user = ids.get(left.user_nid) ?? "";
      users.set(user, [...(users.get(user) ?? []), [left.device_id, of(left)]]);
    }
    return JSON.stringify(Object.fromEntries([...users].map(([user, all]) => [user, Object.fromEntries(all)])));
  };
  const counts = byDevice((left) => left.counts);
  const parts = [
    ...(lists.changed.length + lists.left.length > 0 ? [`"device_lists":${JSON.stringify(lists)}`] : []),
    ...(keys.length > 0
      ? [`"device_one_time_keys_count":${counts}`, `"device_one_time_key_counts":${counts}`, `"device_unused_fallback_key_types":${byDevice((left) => left.unused)}`]
      : []),
  ];
  return parts.map((part) => `,"org.matrix.msc3202.${part.slice(1)}`).join("");
}

/** The transactions; `encryption` is for the first, which there is if only for that. */
function batches(
  { old_ephemeral }: AppService,
  events: readonly string[],
  ephemeral: readonly string[],
  messages: readonly string[] = [],
  encryption = "",
): OutgoingTransaction[] {
  const name = old_ephemeral ? ["ephemeral", "de.sorunome.msc2409.ephemeral"] : ["ephemeral"];
  const all: OutgoingTransaction[] = [];
  for (let start = 0; start < Math.max(events.length, ephemeral.length, messages.length, encryption === "" ? 0 : 1); start += BATCH) {
    const batch = ephemeral.slice(start, start + BATCH).join(",");
    const more = batch === "" ? "" : name.map((field) => `,"${field}":[${batch}]`).join("");
    const toDevice = messages.slice(start, start + BATCH).join(",");
    const last = toDevice === "" ? "" : `,"de.sorunome.msc2409.to_device":[${toDevice}]`;
    all.push({ txn_id: randomUUID(), body: `{"events":[${events.slice(start, start + BATCH).join(",")}]${more}${last}${start === 0 ? encryption : ""}}` });
  }
  return all;
}
