// The checks of events from other servers that need no room: format, hashes, signatures (server-server API, "Checks performed
// on receipt of a PDU", 1 to 3).
import type { KeyRing, WantedKeys } from "../../federation/key-ring.js";
import { badJson, forbidden, invalidParam, type MatrixError } from "../../errors.js";
import { isSignedByAsync, type ParsedEvent, parseEvent, requiredSigners, signingKeyIds } from "../../protocol/event-format.js";
import type { Malformed, RoomEvent } from "../../protocol/event.js";
import type { EventId, ServerName } from "../../protocol/identifiers.js";
import type { JsonValue } from "../../protocol/json.js";
import type { RoomVersion } from "../../protocol/room-version.js";

/** What the checks say of an event: itself, redacted if its hash did not match, or why it is dropped. */
export type CheckedEvent =
  | { readonly event: RoomEvent }
  | { readonly event_id: EventId | undefined; readonly refused: string; readonly because: "bad_json" | "malformed" | "unsigned" };

/** What the server is told that sent an event by itself: M_BAD_JSON, M_FORBIDDEN without its signature, else M_INVALID_PARAM. */
export function refusalOf(reason: string, because: "bad_json" | "malformed" | "unsigned"): MatrixError {
  if (because === "bad_json") return badJson(reason);
  return because === "unsigned" ? forbidden(reason) : invalidParam(reason);
}

/** Checks events in wire form, parsed with lexemes; one result for each, in their order. */
export async function checkEvents(keyRing: KeyRing, version: RoomVersion, wire: readonly JsonValue[]): Promise<CheckedEvent[]> {
  return await checkSignatures(keyRing, version, wire.map((json) => parseEvent(version, json)));
}

/**
 * Checks the signatures of events whose format and hashes were checked; one result for each, in their order. The keys of all
 * servers are asked for together, and signatures are checked on the thread pool.
 */
export async function checkSignatures(
  keyRing: KeyRing,
  version: RoomVersion,
  parsed: readonly (ParsedEvent | Malformed)[],
): Promise<CheckedEvent[]> {
  const wanted: WantedKeys[] = [];
  const signersOf = new Map<RoomEvent, readonly ServerName[]>();
  for (const result of parsed) {
    if ("malformed" in result) continue;
    const { event } = result;
    const signers = requiredSigners(version, event);
    if (signers === undefined) continue;
    signersOf.set(event, signers);
    for (const server of signers) {
      wanted.push({ server, keyIds: signingKeyIds(result, server), validAt: version.enforceKeyValidity ? event.origin_server_ts : 0 });
    }
  }
  const keys = await keyRing.forEvents(wanted);
  return await Promise.all(
    parsed.map(async (result): Promise<CheckedEvent> => {
      if ("malformed" in result) return { event_id: undefined, refused: result.malformed, because: result.badJson === true ? "bad_json" : "malformed" };
      const { event } = result;
      const signers = signersOf.get(event);
      if (signers === undefined) return { event_id: event.event_id, refused: "who authorises the join is no user", because: "malformed" };
      const valid = await Promise.all(
        signers.map((server) => isSignedByAsync(result, server, keys(server, version.enforceKeyValidity ? event.origin_server_ts : undefined))),
      );
      const unsigned = signers.find((_, index) => valid[index] !== true);
      if (unsigned !== undefined) return { event_id: event.event_id, refused: `${unsigned} did not sign the event`, because: "unsigned" };
      return { event };
    }),
  );
}
