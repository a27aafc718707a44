// History that only other servers have: asked of them where ours has gaps (server-server API, "Backfilling and retrieving missing
// events").
import { FederationError } from "../federation/client.js";
import { logger } from "../log.js";
import { type EventId, type ServerName, serverNameOf } from "../protocol/identifiers.js";
import type { JsonObject } from "../protocol/json.js";
import { type Gap, missingAmong, postponeGaps, serversInRoom } from "../storage/gaps.js";
import type { RoomContext } from "./context.js";
import type { Room } from "./current-state.js";
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
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, Math.max(0, milliseconds), false)));
  const filling = context.backfills.one(room.room_id, () => fill(context, room, gaps)).catch((error: unknown) => {
    log.warn({ err: error, room: room.room_id }, "a gap could not be filled");
    return false;
  });
  const more = await Promise.race([filling, late]);
  clearTimeout(timer);
  return more;
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

/** How many events a server gave, some and those before them; they are in the room then. Undefined: it does not help. */
async function backfillFrom(
  context: BackfillContext,
  room: Room,
  server: ServerName,
  ours: ServerName,
  from: readonly EventId[],
): Promise<number | undefined> {
  const named = from.map((id) => `v=${encodeURIComponent(id)}`).join("&");
  let answer: JsonObject;
  try {
    answer = await context.federation.client.request({
      origin: ours,
      destination: server,
      method: "GET",
      uri: `/_matrix/federation/v1/backfill/${encodeURIComponent(room.room_id)}?${named}&limit=${EVENTS}`,
      timeoutMs: TIMEOUT_MS,
    });
  } catch (error) {
    if (!(error instanceof FederationError)) throw error;
    log.info({ server, room: room.room_id, reason: error.message }, "a server gave no history");
    return undefined;
  }
  return await receiveHistory(context, room, { origin: server, destination: ours }, answer, EVENTS);
}
