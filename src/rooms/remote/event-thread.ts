// A thread that reads and checks events of others: what `event-threads.ts` starts.
import { constants, getPriority, setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import type { TimedKeys } from "../../federation/key-ring.js";
import type { EventId, ServerName } from "../../protocol/identifiers.js";
import { roomVersion } from "../../protocol/room-version.js";
import { type BatchHead, EventBatch, type SignedText, type WireBatch } from "./event-batch.js";

/** What a thread is asked: to read a batch, and then to check it, or to forget it. */
export type ThreadRequest =
  | { readonly kind: "read"; readonly number: number; readonly version: string; readonly batch: WireBatch }
  | { readonly kind: "check"; readonly number: number; readonly keys: ReadonlyMap<ServerName, TimedKeys>; readonly ids: ReadonlySet<EventId> }
  | { readonly kind: "forget"; readonly number: number };

export interface ThreadAnswer {
  readonly number: number;
  readonly head?: BatchHead;
  readonly signed?: readonly SignedText[];
}

/** How much less than everybody else the thread is in a hurry. */
const NICENESS = 5;

const batches = new Map<number, EventBatch>();

function answer(request: ThreadRequest): Omit<ThreadAnswer, "number"> | undefined {
  const { number } = request;
  if (request.kind === "read") {
    const version = roomVersion(request.version);
    if (version === undefined) throw new Error(`a batch of events of the unknown room version ${request.version}`);
    const batch = new EventBatch(version, request.batch);
    batches.set(number, batch);
    return { head: batch.head };
  }
  const batch = batches.get(number);
  batches.delete(number);
  return request.kind === "check" ? { signed: batch?.check(request.keys, request.ids) ?? [] } : undefined;
}

// There a priority is that of the thread which asks for it: others have their turn before it.
if (process.platform === "linux") setPriority(Math.min(getPriority() + NICENESS, constants.priority.PRIORITY_LOW));
parentPort?.on("message", (request: ThreadRequest) => {
  const result = answer(request);
  if (result !== undefined) parentPort?.postMessage({ number: request.number, ...result } satisfies ThreadAnswer, []);
});
