// Asks push gateways (Push Gateway API).
import type { PushNotification } from "../../spec/push/notify.js";
import { type Outgoing, OutgoingError } from "../federation/outgoing.js";
import { isObject, jsonText, own, ownString, parseJson } from "../protocol/json.js";
import type { Pusher } from "../storage/pushers.js";

const TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 65_536;

/** What became of a notification. `refused`: the gateway works but does not want this one. */
export type Outcome = "taken" | "rejected" | "refused" | "failed";

/** Sends a notification to the gateway of a pusher. */
export async function notifyGateway(
  outgoing: Outgoing,
  pusher: Pusher,
  notification: PushNotification,
  signal: AbortSignal,
): Promise<Outcome> {
  try {
    const answer = await outgoing.request(new URL(ownString(pusher.data, "url") ?? ""), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: jsonText({ notification }),
      maxBytes: MAX_ANSWER_BYTES,
      milliseconds: TIMEOUT_MS,
      signal,
    });
    const chunks: Buffer[] = [];
    for await (const chunk of answer.body as AsyncIterable<Buffer>) chunks.push(chunk);
    if (answer.status === 200) return rejects(Buffer.concat(chunks), pusher.pushkey) ? "rejected" : "taken";
    // Too early, too much and too slow are matters of time.
    return answer.status >= 400 && answer.status < 500 && ![408, 425, 429].includes(answer.status) ? "refused" : "failed";
  } catch (error) {
    if (error instanceof OutgoingError) return "failed";
    throw error;
  }
}

/** Whether a gateway says that a push key is no longer of use. What cannot be read says nothing. */
function rejects(body: Buffer, pushkey: string): boolean {
  try {
    const answer = parseJson(body);
    const rejected = isObject(answer) ? own(answer, "rejected") : undefined;
    return Array.isArray(rejected) && rejected.includes(pushkey);
  } catch {
    return false;
  }
}
