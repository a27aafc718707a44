// The extensions of sliding sync: what is told beside rooms, and what of rooms is no event (MSC4186, "Extensions"; MSC4308).
import type { SideEvent } from "../../ephemeral/side-streams.js";
import { subscriptionPlace, subscriptionsByRoom } from "../../rooms/views/thread-subscriptions.js";
import { formatToken } from "../../rooms/token.js";
import { accountDataOfRooms } from "../../storage/sliding-rooms.js";
import { changedThreadSubscriptions } from "../../storage/thread-subscriptions.js";
import { deviceLists, encryptionText, keysLeftText, NO_DEVICE_LISTS } from "../device-lists.js";
import { sideEvents } from "../side-texts.js";
import { toDeviceSection } from "../to-device.js";
import { FOLLOWS, type PlannedRoom } from "./plan.js";
import { recentEntries } from "./recent.js";
import { inScope, type SlidingRequest } from "./request.js";
import { isJoined } from "./room-list.js";
import type { SlidingReading } from "./sliding-reading.js";

/** Bits of the extensions that tell of the whole account. */
export const BEGUN = { account_data: 1, threads: 2, e2ee: 4 } as const;

const THREADS = "io.element.msc4308.thread_subscriptions";
const MAX_THREADS = 100;

/** What an extension's part of an answer is made from. */
export interface ExtensionRead extends SlidingReading {
  readonly rooms: readonly PlannedRoom[];
  readonly accountData: { readonly global: readonly SideEvent[]; readonly rooms: ReadonlyMap<number, readonly SideEvent[]> };
  readonly typingSerial: number;
}

export interface ExtensionAnswer {
  /** JSON texts of the members of the object. */
  readonly texts: readonly string[];
  readonly empty: boolean;
}

interface Part {
  readonly name: string;
  readonly text: string;
  readonly empty: boolean;
}

/** Which extensions that tell of the whole account have begun when a request is answered. */
export function begunBy({ extensions }: SlidingRequest): number {
  return (
    (extensions.account_data?.enabled === true ? BEGUN.account_data : 0) |
    (extensions[THREADS]?.enabled === true ? BEGUN.threads : 0) |
    (extensions.e2ee?.enabled === true ? BEGUN.e2ee : 0)
  );
}

/** Reads all that is asked for. */
export async function readExtensions(read: ExtensionRead): Promise<ExtensionAnswer> {
  const found = await Promise.all([toDevice(read), encryption(read), accountData(read), receipts(read), threads(read)]);
  const parts = [...found, typing(read)].filter((part) => part !== undefined);
  const texts = parts.map(({ name, text }) => `${JSON.stringify(name)}:${text}`);
  return { texts, empty: parts.every(({ empty }) => empty) };
}

async function toDevice({ services: { follower }, reads, reader, asked: { request, toDeviceSince: since, epoch }, upTo, typingSerial }: ExtensionRead): Promise<Part | undefined> {
  const asked = request.extensions.to_device;
  if (asked?.enabled !== true) return undefined;
  const position = Math.max(upTo, since?.position ?? 0);
  const recent = since === undefined || since.toDevice !== undefined ? undefined : recentEntries(follower, reader.user_nid, { after: since.position, upTo: position });
  const section =
    recent?.own.some(({ kind }) => kind === "to_device") === false
      ? { events: [], toDevice: undefined }
      : await toDeviceSection(reads, reader, since, position, Math.max(1, asked.limit ?? Number.MAX_SAFE_INTEGER));
  const next = formatToken({
    kind: "sync",
    epoch,
    position,
    ephemeral: typingSerial,
    ...(section.toDevice !== undefined && { toDevice: section.toDevice }),
  });
  const text = `{"next_batch":${JSON.stringify(next)},"events":[${section.events.join(",")}]}`;
  return { name: "to_device", text, empty: section.events.length === 0 };
}

async function encryption({ services, reads, reader, asked: { request, since }, recent }: ExtensionRead): Promise<Part | undefined> {
  if (request.extensions.e2ee?.enabled !== true) return undefined;
  const began = since !== undefined && (since.begun & BEGUN.e2ee) !== 0;
  const [lists, keysLeft] = await Promise.all([
    // Who begins asks for what it needs.
    began && recent?.any("device_list", "state_change", "server_membership", "invalidation") !== false ? deviceLists(services, reads, reader.user_nid, since.token.position) : NO_DEVICE_LISTS,
    recent === undefined ? keysLeftText(reads, reader) : services.keysLeft.text(reader),
  ]);
  return { name: "e2ee", text: `{${encryptionText(lists, keysLeft)}}`, empty: lists.changed.length + lists.left.length === 0 };
}

/** How far the client has what an extension tells of a room: not at all, up to some position, or up to its token. */
function standing({ initial, row }: PlannedRoom, bit: number): "fresh" | "behind" | "live" {
  if (initial || row === undefined || (row.extensions & bit) === 0) return "fresh";
  return row.sent === undefined ? "live" : "behind";
}

async function accountData({ reads, reader, asked: { request }, rooms, accountData: changed }: ExtensionRead): Promise<Part | undefined> {
  if (request.extensions.account_data?.enabled !== true) return undefined;
  const followed = rooms.filter(({ follows }) => (follows & FOLLOWS.account_data) !== 0);
  const whole = followed.filter((planned) => standing(planned, FOLLOWS.account_data) !== "live");
  const found = await accountDataOfRooms(reads, reader.user_nid, whole.map(({ room }) => room.room_nid));
  const texts = followed.flatMap((planned) => {
    const { room_nid, room_id } = planned.room;
    const stands = standing(planned, FOLLOWS.account_data);
    const events = (stands === "live" ? changed.rooms : found).get(room_nid) ?? [];
    const told = stands === "fresh" ? events.filter(({ content }) => content !== "{}") : events;
    return told.length === 0 ? [] : [`${JSON.stringify(room_id)}:[${sideEvents(told, undefined)}]`];
  });
  const text = `{"global":[${sideEvents(changed.global, undefined)}],"rooms":{${texts.join(",")}}}`;
  return { name: "account_data", text, empty: texts.length === 0 && changed.global.length === 0 };
}

async function receipts({ services: { streams }, reads, reader, asked: { request, since }, rooms, upTo, recent }: ExtensionRead): Promise<Part | undefined> {
  if (request.extensions.receipts?.enabled !== true) return undefined;
  const followed = rooms.filter(({ follows }) => (follows & FOLLOWS.receipts) !== 0);
  const [fresh, behind, live] = (["fresh", "behind", "live"] as const).map((stands) =>
    followed.filter((planned) => standing(planned, FOLLOWS.receipts) === stands),
  );
  const of = (planned: readonly PlannedRoom[] = [], after = 0): Promise<Map<number, string>> =>
    streams.receipts(reads, planned.map(({ room }) => room.room_nid), reader.user_nid, { after, upTo });
  const found = await Promise.all([
    of(fresh),
    of(behind, behind?.reduce((least, { from }) => Math.min(least, from), Number.MAX_SAFE_INTEGER)),
    of(live?.filter(({ room }) => recent?.ofRoom(room.room_nid).some(({ kind }) => kind === "receipt") !== false), since?.token.position),
  ]);
  const texts = followed.flatMap(({ room }) => {
    const content = found.map((contents) => contents.get(room.room_nid)).find((text) => text !== undefined);
    return content === undefined ? [] : [`${JSON.stringify(room.room_id)}:{"type":"m.receipt","content":${content}}`];
  });
  return { name: "receipts", text: `{"rooms":{${texts.join(",")}}}`, empty: texts.length === 0 };
}

function typing({ services: { streams }, asked: { request, since }, rooms, typingSerial }: ExtensionRead): Part | undefined {
  const { typing: scope } = request.extensions;
  if (scope?.enabled !== true) return undefined;
  const reached = rooms.filter(({ room, origin }) => isJoined(room) && inScope(scope, origin));
  const isFresh = ({ initial, row }: PlannedRoom): boolean => initial || row?.sent !== undefined;
  const old = reached.filter((planned) => !isFresh(planned)).map(({ room }) => room.room_nid);
  const changed = new Set(since?.token.ephemeral === typingSerial ? [] : streams.typingChanged(old, since?.token.ephemeral ?? 0));
  const texts = reached.flatMap((planned) => {
    const { room_nid, room_id } = planned.room;
    const content = isFresh(planned) || changed.has(room_nid) ? streams.typing(room_nid) : undefined;
    // Nobody types in a room of which the client has seen nothing.
    if (content === undefined || (planned.initial && content.includes("[]"))) return [];
    return [`${JSON.stringify(room_id)}:{"type":"m.typing","content":${content}}`];
  });
  return { name: "typing", text: `{"rooms":{${texts.join(",")}}}`, empty: texts.length === 0 };
}

async function threads({ reads, reader, asked: { request, since }, recent }: ExtensionRead): Promise<Part | undefined> {
  const asked = request.extensions[THREADS];
  if (asked?.enabled !== true) return undefined;
  const after = since !== undefined && (since.begun & BEGUN.threads) !== 0 ? since.token.position : 0;
  if (after > 0 && recent?.own.some(({ kind }) => kind === "thread_subscription") === false) return undefined;
  const limit = Math.max(1, Math.min(asked.limit ?? MAX_THREADS, MAX_THREADS));
  const last = { position: Number.MAX_SAFE_INTEGER, root: 0 };
  const rows = await changedThreadSubscriptions(reads, reader.user_nid, last, after, limit + 1);
  const shown = rows.slice(0, limit);
  const end = rows.length > limit ? shown.at(-1) : undefined;
  const body = { ...subscriptionsByRoom(shown), ...(end !== undefined && { prev_batch: subscriptionPlace(end) }) };
  return shown.length === 0 ? undefined : { name: THREADS, text: JSON.stringify(body), empty: false };
}
