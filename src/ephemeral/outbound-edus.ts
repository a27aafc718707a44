// What other servers are told of that is not in the room's history: typing at once; receipts and presence as the log says
// (server-server API, "Typing Notifications", "Receipts", "Presence").
import type { LocalServers } from "../config.js";
import { deviceListEdus, type DeviceEduContext } from "../encryption/device-list-edus.js";
import type { Federation } from "../federation/federation.js";
import type { FederationSender, SenderOptions } from "../federation/sender.js";
import { type RoomId, parseUserId, type ServerName, serverNameOf, type UserId } from "../protocol/identifiers.js";
import type { Database } from "../storage/database.js";
import { type OwedEdu, serversOfRooms } from "../storage/destinations.js";
import type { PositionedEntry } from "../storage/log-entry.js";
import { newlySharingPresence, serversSharing } from "../storage/presence.js";
import { publicReceiptsAt } from "../storage/receipts.js";
import type { Queryable, Reads } from "../storage/statement.js";
import { MAIN_TIMELINE } from "../storage/threads.js";
import { takeOutgoingMessages } from "../storage/to-device.js";
import type { Presence } from "./presence.js";

interface OutboundContext extends DeviceEduContext {
  readonly servers: LocalServers;
  readonly federation: Federation;
  readonly presence: Presence;
}

/** Says which ephemeral messages follow from entries of the log, and to whom. */
export function owedEdus(context: OutboundContext): SenderOptions["edusOf"] {
  return async (tx, entries) => {
    const reads: Reads = { read: (statement, values) => tx.query(statement, values) };
    const sent = entries.flatMap(({ kind, destination, position }) => (kind === "to_device" && destination !== undefined ? [position] : []));
    const owed = [
      ...(await receiptEdus(context, tx, reads, entries)),
      ...(await introductions(context, reads, entries)),
      ...(await presenceEdus(context, reads, entries)),
      ...(await deviceListEdus(context, tx, entries)),
      ...(await takeOutgoingMessages(tx, [...new Set(sent)])),
    ];
    return owed.filter(({ destination }) => context.federation.policy.allows(destination));
  };
}

async function receiptEdus({ servers }: OutboundContext, tx: Queryable, reads: Reads, entries: readonly PositionedEntry[]): Promise<OwedEdu[]> {
  const mentioned = entries.flatMap(({ kind, room_nid, user_nid, position }) =>
    kind === "receipt" && room_nid !== undefined && user_nid !== undefined ? [{ room_nid, user_nid, position }] : [],
  );
  const receipts = await publicReceiptsAt(reads, mentioned);
  const targets = await serversOfRooms(tx, [...new Set(receipts.map(({ room_nid }) => room_nid))], servers.names);
  return receipts.flatMap(({ room_nid, room_id, event_id, user_id, thread, root, ts, position }) => {
    const user = parseUserId(user_id);
    if (user === undefined) return [];
    const thread_id = thread === MAIN_TIMELINE ? "main" : root;
    const data = { ts, ...(thread_id !== null && { thread_id }) };
    const content = JSON.stringify({ [room_id]: { "m.read": { [user_id]: { event_ids: [event_id], data } } } });
    const key = `${room_id} ${user_id} ${thread}`;
    const origin = serverNameOf(user);
    return (targets.get(room_nid) ?? []).map((destination) => ({ destination, position, edu_type: "m.receipt", key, origin, content }));
  });
}

interface ToldPresence {
  readonly user: UserId;
  readonly about: object;
}

/** What is told of the presence of those of some users who are ours, by number. */
async function toldPresence({ servers, presence }: OutboundContext, reads: Reads, userNids: readonly number[]): Promise<Map<number, ToldPresence>> {
  const events = await presence.of(reads, userNids);
  return new Map(
    [...events].flatMap(([user_nid, { sender, content }]) => {
      const user = parseUserId(sender);
      if (user === undefined || !servers.isLocal(serverNameOf(user))) return [];
      return [[user_nid, { user, about: { ...(JSON.parse(content) as object), user_id: user } }] as const];
    }),
  );
}

async function presenceEdus(context: OutboundContext, reads: Reads, entries: readonly PositionedEntry[]): Promise<OwedEdu[]> {
  const positions = new Map(
    entries.flatMap(({ kind, user_nid, position }) => (kind === "presence" && user_nid !== undefined ? [[user_nid, position] as const] : [])),
  );
  if (positions.size === 0) return [];
  const told = await toldPresence(context, reads, [...positions.keys()]);
  return (await serversSharing(reads, [...told.keys()], context.servers.names)).flatMap(({ user_nid, server_name }): OwedEdu[] => {
    const one = told.get(user_nid);
    const position = positions.get(user_nid);
    if (one === undefined || position === undefined) return [];
    const content = JSON.stringify({ push: [one.about] });
    return [{ destination: server_name, position, edu_type: "m.presence", key: one.user, origin: serverNameOf(one.user), content }];
  });
}

/** The presence of users of ours for the servers that came to share a room with them: one message for all that a server is told of. */
async function introductions(context: OutboundContext, reads: Reads, entries: readonly PositionedEntry[]): Promise<OwedEdu[]> {
  if (!context.presence.enabled) return [];
  const joins = entries.flatMap(({ kind, user_nid, room_nid, position, reference }) =>
    kind === "state_change" && user_nid !== undefined && room_nid !== undefined && reference !== undefined ? [{ user_nid, room_nid, position }] : [],
  );
  const completed = entries.flatMap(({ kind, room_nid, reference }) => (kind === "invalidation" && room_nid !== undefined && reference === undefined ? [room_nid] : []));
  const met = await newlySharingPresence(reads, joins, completed, context.servers.names);
  if (met.length === 0) return [];
  const told = await toldPresence(context, reads, [...new Set(met.map(({ user_nid }) => user_nid))]);
  const parts = new Map<string, { readonly destination: ServerName; readonly origin: ServerName; readonly push: object[] }>();
  for (const { user_nid, server_name } of met) {
    const one = told.get(user_nid);
    if (one === undefined) continue;
    const origin = serverNameOf(one.user);
    const part = parts.get(`${server_name} ${origin}`) ?? { destination: server_name, origin, push: [] };
    parts.set(`${server_name} ${origin}`, part);
    part.push.push(one.about);
  }
  const position = entries.at(-1)?.position ?? 0;
  return [...parts.values()].map(({ push, ...part }) => ({ ...part, position, edu_type: "m.presence", key: `${part.origin} ${position}`, content: JSON.stringify({ push }) }));
}

interface TypingContext {
  readonly database: Database;
  readonly servers: LocalServers;
  readonly sender: FederationSender;
}

/** Tells the other servers of a room that one of our users types, or no longer does. */
export async function tellTyping(
  { database, servers, sender }: TypingContext,
  { room_id, room_nid, user_id }: { readonly room_id: RoomId; readonly room_nid: number; readonly user_id: UserId },
  typing: boolean,
): Promise<void> {
  const reads: Queryable = { query: (statement, values) => database.read(statement, values) };
  const targets: readonly ServerName[] = (await serversOfRooms(reads, [room_nid], servers.names)).get(room_nid) ?? [];
  const content = JSON.stringify({ room_id, user_id, typing });
  const edu = { edu_type: "m.typing", key: `${room_id} ${user_id}`, origin: serverNameOf(user_id), content };
  sender.tell(targets.map((destination) => ({ ...edu, destination })));
}
