// Shadow-banned users are told that what they ask was done, and nobody hears of it: what they send and redact, their typing
// and their invitations. They can still leave, and join where they may; rooms that they create invite nobody.
import { createHash } from "node:crypto";
import type { Requester } from "../accounts/requester.js";
import { parseEventId, type EventId } from "../protocol/identifiers.js";

/** An event id for what was not sent: the same for the same transaction id. */
export function unheardEventId({ user_id, device_id }: Requester, ...parts: readonly string[]): EventId {
  const text = JSON.stringify([user_id, device_id, ...parts]);
  const id = parseEventId(`$${createHash("sha256").update(text).digest("base64url")}`);
  if (id === undefined) throw new TypeError("a digest makes an event id");
  return id;
}
