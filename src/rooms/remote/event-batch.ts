// Events of an answer with many of them: read, and checked without a room (server-server API, "Checks performed on receipt of a PDU",
// 1 to 3), wherever there is a thread for it.
import { keysAt, type TimedKeys, type WantedKeys } from "../../federation/key-ring.js";
import { isSignedBy, type ParsedEvent, parseEvent, requiredSigners, signingKeyIds } from "../../protocol/event-format.js";
import type { EventId, RoomId, ServerName } from "../../protocol/identifiers.js";
import { parseJson } from "../../protocol/json.js";
import type { RoomVersion } from "../../protocol/room-version.js";

/** Events of one room as they came, one after the other, and where each of them ends. */
export interface WireBatch {
  readonly roomId: RoomId;
  readonly bytes: Uint8Array;
  readonly ends: readonly number[];
}

/** What is known of a batch before its signatures are checked. */
export interface BatchHead {
  /** Of those that are well formed and of the room. */
  readonly ids: readonly EventId[];
  readonly wanted: readonly WantedKeys[];
}

/** An event that is signed as it has to be: its text, redacted if its content was not what its hash says. */
export interface SignedText {
  readonly id: EventId;
  readonly json: string;
}

/** A batch that was read and is not checked yet. */
export class EventBatch {
  readonly head: BatchHead;
  readonly #version: RoomVersion;
  readonly #events: readonly ParsedEvent[];

  constructor(version: RoomVersion, { roomId, bytes, ends }: WireBatch) {
    this.#version = version;
    this.#events = ends.flatMap((end, index) => readOne(version, roomId, bytes.subarray(ends[index - 1] ?? 0, end)) ?? []);
    const wanted = new Map<ServerName, { readonly keyIds: Set<string>; validAt: number }>();
    for (const parsed of this.#events) {
      for (const server of requiredSigners(version, parsed.event) ?? []) {
        const keys = wanted.get(server) ?? { keyIds: new Set(), validAt: 0 };
        wanted.set(server, keys);
        for (const id of signingKeyIds(parsed, server)) keys.keyIds.add(id);
        if (version.enforceKeyValidity) keys.validAt = Math.max(keys.validAt, parsed.event.origin_server_ts);
      }
    }
    this.head = {
      ids: this.#events.map(({ event }) => event.event_id),
      wanted: [...wanted].map(([server, { keyIds, validAt }]) => ({ server, keyIds: [...keyIds], validAt })),
    };
  }

  /** Those of some events that are signed as they have to be. */
  check(keys: ReadonlyMap<ServerName, TimedKeys>, ids: ReadonlySet<EventId>): SignedText[] {
    const always = new Map([...keys].map(([server, theirs]) => [server, keysAt(theirs, undefined)]));
    return this.#events.flatMap((parsed) => {
      const { event_id, origin_server_ts, json } = parsed.event;
      if (!ids.has(event_id)) return [];
      const keysOf = (server: ServerName): ReadonlyMap<string, string> =>
        this.#version.enforceKeyValidity ? keysAt(keys.get(server), origin_server_ts) : (always.get(server) ?? new Map<string, string>());
      const isSigned = requiredSigners(this.#version, parsed.event)?.every((server) => isSignedBy(parsed, server, keysOf(server))) === true;
      return isSigned ? [{ id: event_id, json }] : [];
    });
  }
}

function readOne(version: RoomVersion, roomId: RoomId, bytes: Uint8Array): ParsedEvent | undefined {
  try {
    const parsed = parseEvent(version, parseJson(bytes, { numbers: "lexemes" }));
    return "malformed" in parsed || parsed.event.room_id !== roomId ? undefined : parsed;
  } catch {
    // What is no JSON is no event.
    return undefined;
  }
}
