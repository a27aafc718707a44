// Shadow-banned users are told that what they ask was done, and nobody hears of it: what they send and redact, their typing
// and their invitations; a room that they upgrade stays as it is. They can still leave, and join where they may; rooms that they
// create invite nobody, and a new name or picture stays on their profile.
import { createHash } from "node:crypto";
import type { Requester } from "../accounts/requester.js";
import { parseEventId, parseRoomId, type EventId, type RoomId } from "../protocol/identifiers.js";

/** An event id for what was not sent: the same for the same transaction id. */
export function unheardEventId({ user_id, device_id }: Requester, ...parts: readonly string[]): EventId {
  const id = parseEventId(`$${digestOf([user_id, device_id, ...parts])}`);
  if (id === undefined) throw new TypeError("a digest makes an event id");
  return id;
}

/** The id of a room that is not made: the same for the same wish. */
export function unheardRoomId({ user_id }: Requester, ...parts: readonly string[]): RoomId {
  const id = parseRoomId(`!${digestOf([user_id, ...parts])}`);
  if (id === undefined) throw new TypeError("a digest makes a room id");
  return id;
}

function digestOf(parts: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
}
