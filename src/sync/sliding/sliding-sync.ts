// Simplified sliding sync (MSC4186): answers at once if there is something to tell, else waits until there is.
import { invalidParam } from "../../errors.js";
import { parseToken, type SyncToken } from "../../rooms/token.js";
import { isPositionValid } from "../../storage/epoch.js";
import type { PositionedEntry } from "../../storage/log-entry.js";
import { asOpenSync, currentEpoch, isKnown, laterEpoch } from "../open-sync.js";
import type { SyncReader } from "../sync-request.js";
import type { SyncDependencies } from "../sync.js";
import type { WatchedUser } from "../watched-users.js";
import type { BegunSessions } from "./begun-sessions.js";
import { type Connections, formatPosition, NO_CONNECTION, parsePosition, type Position, unknownPosition } from "./connection.js";
import { readSliding } from "./read-sliding.js";
import type { SlidingRequest } from "./request.js";
import type { KnownRoomLists, RoomTypes } from "./room-list.js";
import type { SlidingAnswer, SlidingRead } from "./sliding-reading.js";

export interface SlidingDependencies extends SyncDependencies {
  readonly connections: Connections;
  readonly begunSessions: BegunSessions;
  readonly roomTypes: RoomTypes;
  readonly roomLists: KnownRoomLists;
}

/**
 * The body of an answer, as JSON text. Waits at most `timeoutMs` for something to happen, never without a position; an
 * aborted signal ends the wait. Throws M_UNKNOWN_POS for a position that is not known, M_INVALID_PARAM for what is no token,
 * M_UNKNOWN 503 while this process does not know what happens, M_LIMIT_EXCEEDED when the reader has too many open.
 */
export async function slidingSync(
  services: SlidingDependencies,
  reader: SyncReader,
  request: SlidingRequest,
  { pos, timeoutMs }: { readonly pos: string | undefined; readonly timeoutMs: number },
  signal: AbortSignal,
): Promise<string> {
  const { follower, clock, connections } = services;
  let epoch = currentEpoch(follower);
  const owner = { user_nid: reader.user_nid, device_id: reader.device_id, conn_id: request.conn_id };
  const since = await positionOf(services, pos, signal);
  const connection = since === undefined ? NO_CONNECTION : await connections.find(since, owner);
  let toDeviceSince = await toDeviceTokenOf(services, reader, request, signal);
  return await asOpenSync(services, reader, since === undefined ? 0 : timeoutMs, async (user, deadline) => {
    let happened: Happened = "something";
    for (let from = since?.token.position ?? 0; ; ) {
      const version = user.version;
      const read: SlidingRead = { request, connection, since, toDeviceSince, epoch, now: clock.now() };
      const answer = await readSliding(services, reader, read);
      const over = !answer.empty || happened === "to be told" || deadline <= clock.monotonic() || signal.aborted;
      if (!over) happened = await whatHappened(services, reader, user, request, { from, to: answer.token }, version, deadline, signal);
      const later = laterEpoch(follower, epoch);
      if (!over && later !== undefined) {
        const isValid = ({ epoch: of, position }: SyncToken): boolean => isPositionValid(follower.epochs, of, position);
        if (since !== undefined && !isValid(since.token)) throw unknownPosition();
        if (toDeviceSince !== undefined && !isValid(toDeviceSince)) toDeviceSince = undefined;
        [epoch, happened] = [later, "to be told"];
      }
      if (over || happened === "nothing") return await answered(services, owner, read, answer);
      from = answer.token.position;
    }
  });
}

/** Notes what the answer sends, and puts the position that says so in front of it. */
async function answered(
  { connections }: SlidingDependencies,
  owner: Parameters<Connections["advance"]>[1],
  { connection: from, request }: SlidingRead,
  { text, sent, token, begun }: SlidingAnswer,
): Promise<string> {
  const { connection, state } = await connections.advance(from, owner, sent);
  const transaction = request.txn_id === undefined ? "" : `"txn_id":${JSON.stringify(request.txn_id)},`;
  return `{"pos":${JSON.stringify(formatPosition({ connection, state, begun, token }))},${transaction}${text}}`;
}

/**
 * What ends a wait: that the time is over or the client has gone, something that could be told, or what is to be told even by an empty
 * answer: a session that the reader began, another epoch.
 */
type Happened = "nothing" | "something" | "to be told";

/** Waits until something happens after a token; sessions are looked for since a position before it. */
async function whatHappened(
  { follower, streams, clock, begunSessions }: SlidingDependencies,
  reader: SyncReader,
  user: WatchedUser,
  { extensions, lists, subscriptions }: SlidingRequest,
  { from, to }: { readonly from: number; readonly to: SyncToken },
  version: number,
  deadline: number,
  signal: AbortSignal,
): Promise<Happened> {
  const followed: Followed = {
    rooms: lists.length > 0 || subscriptions.size > 0,
    receipts: extensions.receipts?.enabled === true,
    deviceLists: extensions.e2ee?.enabled === true,
  };
  const tellsSessions = !followed.rooms && followed.deviceLists;
  const sessionBegan = async (entries: readonly PositionedEntry[] | undefined): Promise<boolean> =>
    tellsSessions && (await begunSessions.tell(reader, entries ?? [], user.rooms ?? new Map()));
  // The database, which has answered, may be ahead of what this process has read of the log.
  if (tellsSessions) await follower.reached(to.position, deadline - clock.monotonic(), signal);
  if (await sessionBegan(follower.allEntries({ after: from, upTo: to.position }))) return "to be told";
  let after = to.position;
  for (let seen = version; ; ) {
    const left = deadline - clock.monotonic();
    if (left <= 0 || signal.aborted) return "nothing";
    await user.woken(seen, left, signal);
    if (user.version === seen) return "nothing";
    seen = user.version;
    if (laterEpoch(follower, to.epoch) !== undefined) return "to be told";
    if (followed.rooms && streams.typingSerial() !== to.ephemeral) return "something";
    const { head } = follower;
    if (head <= after) continue;
    const entries = follower.allEntries({ after, upTo: head });
    const { rooms } = user;
    // What memory does not know the database does.
    if (entries === undefined || rooms === undefined || entries.some((entry) => concerns(entry, user.user_nid, rooms, followed))) return "something";
    if (await sessionBegan(entries)) return "to be told";
    after = head;
  }
}

/** What a connection asks for, as far as it decides for what it is woken. */
interface Followed {
  /** Clients have connections for nothing but the messages to their device and what encryption needs. */
  readonly rooms: boolean;
  readonly receipts: boolean;
  readonly deviceLists: boolean;
}

/** Whether an entry of the log may be something to tell a user: the presence of others is not. */
function concerns(
  { kind, room_nid, user_nid }: PositionedEntry,
  userNid: number,
  rooms: ReadonlyMap<number, string>,
  followed: Followed,
): boolean {
  if (kind === "presence") return false;
  // Whether they share a room the database knows.
  if (kind === "device_list") return followed.deviceLists;
  if (user_nid === userNid) return true;
  if (room_nid === undefined || !rooms.has(room_nid)) return false;
  // Memberships decide whose device lists matter.
  if (!followed.rooms) return followed.deviceLists && kind === "state_change";
  return kind !== "receipt" || followed.receipts;
}

/** The position that a client shows, once this process has come as far. Throws M_UNKNOWN_POS. */
async function positionOf({ follower }: SlidingDependencies, pos: string | undefined, signal: AbortSignal): Promise<Position | undefined> {
  if (pos === undefined || pos === "") return undefined;
  const position = parsePosition(pos);
  if (position === undefined || !(await isKnown(follower, position.token, signal))) throw unknownPosition();
  return position;
}

/** The token from which on messages to the device are asked for; those before it are forgotten. */
async function toDeviceTokenOf(
  services: SlidingDependencies,
  reader: SyncReader,
  { extensions: { to_device } }: SlidingRequest,
  signal: AbortSignal,
): Promise<SyncToken | undefined> {
  if (to_device?.enabled !== true || to_device.since === undefined || to_device.since === "") return undefined;
  const token = parseToken(to_device.since);
  if (token?.kind !== "sync") throw invalidParam('"since" of the extension to_device is no token of it.');
  if (!(await isKnown(services.follower, token, signal))) return undefined;
  await services.acknowledgements.note(reader, token);
  return token;
}
