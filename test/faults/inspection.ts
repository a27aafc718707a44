// Looks at a quiet server through its public API and holds it to what it told its clients.
import { setTimeout as sleep } from "node:timers/promises";
import { isObject, objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { ok } from "../support/matrix-request.js";
import type { Acknowledged, Traffic } from "./traffic.js";

/** How many of the acknowledged events are looked up one by one; those that were unknown before are all. */
const SAMPLE = 50;
const MAX_PAGES = 10_000;
/** How long in all requests are repeated that a quiet server has put off. */
const PATIENCE_MS = 120_000;

/** One room as its history shows it. */
interface History {
  readonly events: readonly JsonObject[];
  readonly byId: ReadonlyMap<string, JsonObject>;
  /** The ids of the events that carry a marker. */
  readonly byMarker: ReadonlyMap<string, readonly string[]>;
}

function idOf(event: JsonObject): string {
  return stringAt(event, "event_id") ?? "";
}

async function get(traffic: Traffic, room: string, rest: string): Promise<unknown> {
  return await ok(traffic.reader.request, "GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/${rest}`);
}

/** Walks /messages from the beginning of a room to its end. */
async function historyOf(traffic: Traffic, room: string): Promise<History> {
  const events: JsonObject[] = [];
  let from: string | undefined;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const query = new URLSearchParams({ dir: "f", limit: "200", ...(from !== undefined && { from }) });
    const body = await get(traffic, room, `messages?${query.toString()}`);
    events.push(...objectsAt(body, "chunk"));
    from = stringAt(body, "end");
    if (from !== undefined) continue;
    const byMarker = new Map<string, string[]>();
    for (const event of events) {
      const marker = stringAt(event, "content", "marker");
      if (marker !== undefined) byMarker.set(marker, [...(byMarker.get(marker) ?? []), idOf(event)]);
    }
    return { events, byMarker, byId: new Map(events.map((event) => [idOf(event), event])) };
  }
  throw new Error(`/messages of ${room} does not end`);
}

/** The history of one room in itself, and its current state, which is the last of each kind in it. */
async function inspectRoom(traffic: Traffic, room: string, { events, byId, byMarker }: History): Promise<string[]> {
  const problems: string[] = [];
  if (byId.size !== events.length) problems.push(`${room}: ${events.length - byId.size} events are there twice`);
  const last = new Map<string, string>();
  const redacted = new Set(events.flatMap((event) => stringAt(event, "content", "redacts") ?? stringAt(event, "redacts") ?? []));
  for (const event of events) {
    const stateKey = stringAt(event, "state_key");
    if (stateKey !== undefined) last.set(JSON.stringify([stringAt(event, "type"), stateKey]), idOf(event));
    const isRedacted = Object.hasOwn(objectAt(event, "unsigned"), "redacted_because");
    const hasText = stringAt(event, "content", "body") !== undefined;
    if (isRedacted !== redacted.has(idOf(event)) || (isRedacted && hasText)) {
      problems.push(`${room}: ${idOf(event)} is ${isRedacted ? "" : "not "}redacted, its redaction is ${redacted.has(idOf(event)) ? "" : "not "}there`);
    }
  }
  for (const [marker, ids] of byMarker) {
    const told = traffic.acknowledged.get(marker) ?? traffic.unknown.get(marker);
    if (told?.room !== room) problems.push(`${room}: nobody asked for ${marker}`);
    if (ids.length > 1) problems.push(`${room}: ${marker} is there ${ids.length} times`);
  }
  const state = await get(traffic, room, "state");
  const current = new Map(
    (Array.isArray(state) ? state.filter(isObject) : []).map((event) => [
      JSON.stringify([stringAt(event, "type"), stringAt(event, "state_key")]),
      idOf(event),
    ]),
  );
  for (const key of new Set([...last.keys(), ...current.keys()])) {
    if (last.get(key) !== current.get(key)) problems.push(`${room}: state ${key} is ${current.get(key)}, not ${last.get(key)}`);
  }
  return problems;
}

/** An event of the history is the same event everywhere else. */
async function inspectEvent(traffic: Traffic, room: string, event: JsonObject): Promise<string[]> {
  const id = encodeURIComponent(idOf(event));
  const [alone, context] = await Promise.all([get(traffic, room, `event/${id}`), get(traffic, room, `context/${id}?limit=2`)]);
  const text = JSON.stringify(objectAt(event, "content"));
  return [objectAt(alone), objectAt(context, "event")].flatMap((found) =>
    idOf(found) === idOf(event) && JSON.stringify(objectAt(found, "content")) === text
      ? []
      : [`${room}: ${idOf(event)} is another event when it is asked for by its id`],
  );
}

function acknowledgedProblem({ marker, event_id, redacts }: Acknowledged, history: History | undefined): string[] {
  if (history?.byId.has(event_id) !== true) return [`acknowledged ${marker} is lost (${event_id})`];
  if (redacts !== undefined && stringAt(history.byId.get(redacts), "content", "body") !== undefined) {
    return [`${marker} was acknowledged, and ${redacts} still has its text`];
  }
  return [];
}

/**
 * Every acknowledged event is there, every unknown one wholly or not at all; those with a transaction id are then sent
 * again, which must make exactly one event of each. Nobody else may write meanwhile. Afterwards nothing is unknown.
 */
export async function inspectRooms(traffic: Traffic): Promise<string[]> {
  const problems: string[] = [];
  const read = async (): Promise<Map<string, History>> => {
    const histories = new Map<string, History>();
    for (const room of traffic.rooms) {
      const history = await historyOf(traffic, room);
      histories.set(room, history);
      problems.push(...(await inspectRoom(traffic, room, history)));
    }
    for (const told of traffic.acknowledged.values()) problems.push(...acknowledgedProblem(told, histories.get(told.room)));
    return histories;
  };
  const before = await read();
  const unknown = [...traffic.unknown.values()];
  const acknowledged = [...traffic.acknowledged.values()];
  const stride = Math.max(1, Math.ceil(acknowledged.length / SAMPLE));
  for (const [index, { room, event_id }] of acknowledged.entries()) {
    const event = index % stride === 0 ? before.get(room)?.byId.get(event_id) : undefined;
    if (event !== undefined) problems.push(...(await inspectEvent(traffic, room, event)));
  }
  const patience = performance.now() + PATIENCE_MS;
  for (const attempt of unknown) {
    const { marker, room, repeatable } = attempt;
    const [there] = before.get(room)?.byMarker.get(marker) ?? [];
    const event = there === undefined ? undefined : before.get(room)?.byId.get(there);
    if (event !== undefined) problems.push(...(await inspectEvent(traffic, room, event)));
    if (repeatable) {
      let event_id = await traffic.attempt(attempt);
      // On a slow machine the server may still be finding its feet after the last kill: 503 says try again.
      while (event_id === undefined && performance.now() < patience) {
        await sleep(200);
        event_id = await traffic.attempt(attempt);
      }
      if (event_id === undefined) problems.push(`${marker} is not answered by a quiet server`);
      else if (there !== undefined && there !== event_id) problems.push(`${marker} was ${there} and is ${event_id} when it is sent again`);
    } else {
      traffic.unknown.delete(marker);
      if (there !== undefined) traffic.acknowledged.set(marker, { ...attempt, event_id: there });
    }
  }
  await read();
  return problems;
}

/** Every open sync goes on from its last token, and has then seen each event once and the state as it is. */
export async function inspectSyncs(traffic: Traffic): Promise<string[]> {
  const faults: string[] = [];
  for (const [number, chain] of traffic.chains.entries()) {
    await chain.catchUp();
    faults.push(...(await chain.check()).map((fault) => `sync ${number}: ${fault}`));
  }
  return faults;
}
