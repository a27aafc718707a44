// Compares us with what matrix-synapse did: the vectors that scripts/vectors/synapse_oracle.py makes.
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { createGunzip } from "node:zlib";
import { type AuthEvent, authorise, authoriseAuthEvents } from "../../src/protocol/authorisation.js";
import { canonicalJson } from "../../src/protocol/canonical-json.js";
import { readEvent, type RoomEvent } from "../../src/protocol/event.js";
import { contentHash, derivedEventId, essentialText } from "../../src/protocol/event-hash.js";
import type { EventId } from "../../src/protocol/identifiers.js";
import { type JsonObject, parseJson } from "../../src/protocol/json.js";
import { redact } from "../../src/protocol/redaction.js";
import { type RoomVersion, roomVersion } from "../../src/protocol/room-version.js";
import { type StateMap, type StateTuple, stateTuple } from "../../src/protocol/state-map.js";
import { resolve } from "../../src/protocol/state-resolution.js";

/** What a run compared. */
export interface Tally {
  rooms: number;
  events: number;
  authorised: number;
  refused: number;
  references: number;
  resolutions: number;
  values: number;
}

export const emptyTally = (): Tally => ({ rooms: 0, events: 0, authorised: 0, refused: 0, references: 0, resolutions: 0, values: 0 });

/** The lines of a file, unpacked where its name ends in .gz. */
export async function* linesOf(file: string): AsyncGenerator<string> {
  const stream = createReadStream(file);
  const input = file.endsWith(".gz") ? stream.pipe(createGunzip()) : stream;
  for await (const line of createInterface({ input })) if (line !== "") yield line;
}

function must(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

function versionOf(id: string): RoomVersion {
  const version = roomVersion(id);
  must(version !== undefined, `room version ${id}`);
  return version;
}

interface RoomVector {
  readonly seed: number;
  readonly version: string;
  readonly events: readonly { readonly id: string; readonly rejected?: true; readonly json: JsonObject }[];
  readonly auth: readonly (readonly [event: number, state: readonly number[], allowed: boolean])[];
  readonly references: readonly (readonly [event: number, allowed: boolean])[];
  readonly resolutions: readonly { readonly sets: readonly (readonly number[])[]; readonly result: readonly number[] }[];
}

/** Replays one room: event ids, every verdict of the rules, every resolution. Throws at the first difference. */
export async function checkRoom(line: string, tally: Tally): Promise<void> {
  const vector = JSON.parse(line) as RoomVector;
  const version = versionOf(vector.version);
  const where = `room version ${version.id}, seed ${vector.seed}`;
  const entries: AuthEvent[] = vector.events.map(({ id, rejected, json }) => {
    const derived = derivedEventId(version, essentialText(version, json));
    must(derived === undefined || derived === id, `${where}: ${derived} is ${id} for Synapse`);
    const event = readEvent(version, json, derived, "");
    must(!("malformed" in event), `${where}: ${id} is malformed`);
    return { event, rejected: rejected ?? false };
  });
  const byId = new Map(entries.map((entry) => [entry.event.event_id, entry]));
  const at = (index: number): AuthEvent => {
    const entry = entries[index];
    must(entry !== undefined, `${where}: event ${index}`);
    return entry;
  };
  const stateOf = <T>(indexes: readonly number[], value: (event: RoomEvent) => T): StateMap<T> =>
    new Map<StateTuple, T>(
      indexes.map((index) => {
        const { event } = at(index);
        return [stateTuple(event.type, event.state_key ?? ""), value(event)];
      }),
    );

  for (const [index, state, allowed] of vector.auth) {
    const { event } = at(index);
    const ours = authorise(version, event, stateOf(state, (auth) => auth));
    must(ours.allowed === allowed, `${where}: ${event.event_id} ${JSON.stringify(ours)}, Synapse says ${allowed}`);
    if (allowed) tally.authorised++;
    else tally.refused++;
  }
  for (const [index, allowed] of vector.references) {
    const { event } = at(index);
    const ours = authoriseAuthEvents(version, event, byId);
    must(ours.allowed === allowed, `${where}: references of ${event.event_id} ${JSON.stringify(ours)}, Synapse says ${allowed}`);
    tally.references++;
  }
  const fetch = (ids: readonly EventId[]): Promise<ReadonlyMap<EventId, AuthEvent>> =>
    Promise.resolve(new Map(ids.flatMap((id) => [byId.get(id) ?? []].flat().map((entry) => [id, entry] as const))));
  for (const [number, { sets, result }] of vector.resolutions.entries()) {
    const maps = sets.map((set) => stateOf(set, (event) => event.event_id));
    const ours = await resolve(version, maps, fetch);
    const theirs = stateOf(result, (event) => event.event_id);
    must(ours.size === theirs.size, `${where}: resolution ${number} has ${ours.size} entries, ${theirs.size} for Synapse`);
    for (const [tuple, id] of theirs) {
      must(ours.get(tuple) === id, `${where}: resolution ${number}: ${tuple} is ${ours.get(tuple)}, ${id} for Synapse`);
    }
    tally.resolutions++;
  }
  tally.rooms++;
  tally.events += entries.length;
}

/** One value: `[text as received, is of an old room version, canonical text]`. */
export function checkJson(line: string, tally: Tally): void {
  const [source, legacy, expected] = JSON.parse(line) as [string, boolean, string];
  const ours = canonicalJson(parseJson(source, { numbers: "lexemes" }), { lexemes: legacy });
  must(ours === expected, `${source}\n is ${ours}\n and ${expected} for Synapse`);
  tally.values++;
}

/** One event: `[version, event, redacted event, event id, content hash]`. */
export function checkRedaction(line: string, tally: Tally): void {
  const [id, event, redacted, eventId, hash] = JSON.parse(line) as [string, JsonObject, JsonObject, string, string];
  const version = versionOf(id);
  must(canonicalJson(redact(version, event)) === canonicalJson(redacted), `redaction differs: ${line}`);
  must((derivedEventId(version, essentialText(version, event)) ?? event.event_id) === eventId, `event id differs: ${line}`);
  must(contentHash(version, event) === hash, `content hash differs: ${line}`);
  tally.values++;
}
