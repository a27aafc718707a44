// History that only other servers have: asked of them where ours has gaps (server-server API, "Backfilling and retrieving missing
// events").
import { FederationError } from "../../federation/client.js";
import { logger } from "../../log.js";
import { type EventId, parseEventId, type ServerName, serverNameOf } from "../../protocol/identifiers.js";
import { type JsonObject, own } from "../../protocol/json.js";
import { type Gap, missingAmong, postponeGaps } from "../../storage/gaps.js";
import { serversInRoom } from "../../storage/joined-servers.js";
import type { RoomContext } from "../context.js";
import type { Room } from "../current-state.js";
import { receiveHistory } from "./receive.js";

const log = logger("backfill");

/** Events that a server is asked for at once; others give no more. */
const EVENTS = 100;
/** Missing events that are named in one request. */
const NAMED = 20;
/** Servers that are asked for one gap. */
const MAX_TRIES = 4;
const TIMEOUT_MS = 10_000;

type BackfillContext = Pick<RoomContext, "database" | "owners" | "federation" | "servers" | "clock" | "backfills">;

/** Who may be asked for a room's history, the likely ones first, and in the name of which of our servers. */
interface Helpers {
  readonly ours: ServerName;
  readonly others: readonly ServerName[];
}

/**
 * Asks the servers of a room for what lies in some of its gaps, and works it in as history. Whether the room has more than before
 * within some milliseconds: what is under way goes on behind. False also where nobody can be asked.
 */
export async function fillGaps(context: BackfillContext, room: Room, gaps: readonly Gap[], milliseconds: number): Promise<boolean> {
  return await inTime(room, milliseconds, context.backfills.one(room.room_id, () => fill(context, room, gaps)));
}

/**
 * Asks the servers of a room for the event closest to a time, one after the other until one knows, and works it into the room with what
 * came before it, if it is closer than `known`. Whether it did, within some milliseconds.
 */
export async function fetchClosest(
  context: BackfillContext,
  room: Room,
  moment: { readonly ts: number; readonly dir: "b" | "f"; readonly known: number | undefined },
  milliseconds: number,
): Promise<boolean> {
  return await inTime(room, milliseconds, closest(context, room, moment));
}

async function inTime(room: Room, milliseconds: number, work: Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, Math.max(0, milliseconds), false)));
  const done = work.catch((error: unknown) => {
    log.warn({ err: error, room: room.room_id }, "history could not be worked into a room");
    return false;
  });
  const result = await Promise.race([done, late]);
  clearTimeout(timer);
  return result;
}

/** The servers that may be asked for a room's history; undefined where none of ours is in the room. */
async function helpersOf(
  { database, servers, federation, backfills }: BackfillContext,
  room: Room,
  likely: readonly ServerName[],
): Promise<Helpers | undefined> {
  const inRoom = await serversInRoom(database, room.nid, servers.names);
  const ours = inRoom.find((server) => servers.isLocal(server));
  if (ours === undefined) return undefined;
  const helpful = backfills.helpful.get(room.room_id);
  const all = [...new Set([...(helpful === undefined ? [] : [helpful]), ...likely, ...inRoom])];
  const others = all.filter((server) => inRoom.includes(server) && !servers.isLocal(server) && federation.policy.allows(server));
  return { ours, others: others.slice(0, MAX_TRIES) };
}

async function fill(context: BackfillContext, room: Room, gaps: readonly Gap[]): Promise<boolean> {
  const { database, clock } = context;
  const missing = [...new Set(gaps.map((gap) => gap.missing))].slice(0, NAMED);
  const helpers = await helpersOf(context, room, gaps.map((gap) => serverNameOf(gap.named_by)));
  if (helpers === undefined || missing.length === 0) return false;
  for (const server of helpers.others) {
    const given = await backfillFrom(context, room, server, helpers.ours, missing);
    if (given === undefined) continue;
    const left = await missingAmong(database, room.nid, missing);
    if (left.size === missing.length) continue;
    context.backfills.helpful.set(room.room_id, server);
    // Who gives as many as we take may have more; who gives less does not have the rest.
    if (left.size > 0 && given < EVENTS) await postponeGaps(database, room.nid, missing.filter((id) => left.has(id)), clock.now());
    return true;
  }
  await postponeGaps(database, room.nid, missing, clock.now());
  return false;
}

async function closest(
  context: BackfillContext,
  room: Room,
  { ts, dir, known }: { readonly ts: number; readonly dir: "b" | "f"; readonly known: number | undefined },
): Promise<boolean> {
  const helpers = await helpersOf(context, room, []);
  for (const server of helpers?.others ?? []) {
    const answer = await ask(context, server, helpers?.ours ?? server, `timestamp_to_event/${encodeURIComponent(room.room_id)}?ts=${ts}&dir=${dir}`);
    const id = answer && parseEventId(own(answer, "event_id"));
    const found = answer && Number(own(answer, "origin_server_ts"));
    if (helpers === undefined || id === undefined || found === undefined || !Number.isSafeInteger(found)) continue;
    const isCloser = dir === "b" ? found <= ts && (known === undefined || found > known) : found >= ts && (known === undefined || found < known);
    if (!isCloser) return false;
    return (await backfillFrom(context, room, server, helpers.ours, [id])) !== undefined;
  }
  return false;
}

/** How many events a server gave, some and those before them; they are in the room then. Undefined: it does not help. */
async function backfillFrom(
  context: BackfillContext,
  room: Room,
  server: ServerName,
  ours: ServerName,
  from: readonly EventId[],
): Promise<number | undefined> {
  const named = from.map((id) => `v=${encodeURIComponent(id)}`).join("&");
  const answer = await ask(context, server, ours, `backfill/${encodeURIComponent(room.room_id)}?${named}&limit=${EVENTS}`);
  return answer === undefined ? undefined : await receiveHistory(context, room, { origin: server, destination: ours }, answer, EVENTS);
}

async function ask({ federation }: BackfillContext, server: ServerName, ours: ServerName, path: string): Promise<JsonObject | undefined> {
  const request = { origin: ours, destination: server, method: "GET" as const, uri: `/_matrix/federation/v1/${path}`, timeoutMs: TIMEOUT_MS, hasEvents: true };
  try {
    return await federation.client.request(request);
  } catch (error) {
    if (!(error instanceof FederationError)) throw error;
    log.info({ server, reason: error.message }, "a server gave no history");
    return undefined;
  }
}
