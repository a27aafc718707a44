// The threads of this process in which many events of others are read and checked: started when they are needed, ended when they are not.
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { TimedKeys } from "../../federation/key-ring.js";
import type { EventId, ServerName } from "../../protocol/identifiers.js";
import type { RoomVersion } from "../../protocol/room-version.js";
import type { BatchHead, SignedText, WireBatch } from "./event-batch.js";
import type { ThreadAnswer, ThreadRequest } from "./event-thread.js";

const MAX_THREADS = 8;
const IDLE_MS = 10_000;

/** A batch in a thread: what is known of it, and what is to become of it; one of the two has to be asked for. */
export interface ReadBatch {
  readonly head: BatchHead;
  readonly check: (keys: ReadonlyMap<ServerName, TimedKeys>, ids: ReadonlySet<EventId>) => Promise<readonly SignedText[]>;
  readonly forget: () => void;
}

interface Waiting {
  readonly resolve: (answer: ThreadAnswer) => void;
  readonly reject: (error: unknown) => void;
}

class Thread {
  readonly waiting = new Map<number, Waiting>();
  readonly #worker = new Worker(new URL("./event-thread.js", import.meta.url));
  readonly #onEnd: (thread: Thread) => void;

  constructor(onEnd: (thread: Thread) => void) {
    this.#onEnd = onEnd;
    // The process ends whenever it likes.
    this.#worker.unref();
    this.#worker.on("message", (answer: ThreadAnswer) => {
      const waiting = this.waiting.get(answer.number);
      this.waiting.delete(answer.number);
      waiting?.resolve(answer);
    });
    this.#worker.on("error", (error) => this.#fail(error));
    this.#worker.on("exit", () => this.#fail(new Error("a thread that checks events has ended")));
  }

  async ask(request: ThreadRequest): Promise<ThreadAnswer> {
    return await new Promise((resolve, reject) => {
      this.waiting.set(request.number, { resolve, reject });
      this.#worker.postMessage(request, []);
    });
  }

  tell(request: ThreadRequest): void {
    this.#worker.postMessage(request, []);
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #fail(error: unknown): void {
    this.#onEnd(this);
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}

const threads = new Set<Thread>();
let underWay = 0;
let numbers = 0;
let idle: NodeJS.Timeout | undefined;

/** Has events read in the thread that has least to do. Rejects where that thread fails. */
export async function readInThread(version: RoomVersion, batch: WireBatch): Promise<ReadBatch> {
  begin();
  let isUnderWay = true;
  const end = (): void => {
    if (isUnderWay) ended();
    isUnderWay = false;
  };
  const thread = leastBusy();
  const number = (numbers += 1);
  try {
    const { head } = await thread.ask({ kind: "read", number, version: version.id, batch });
    if (head === undefined) throw new Error("a thread has not answered what it was asked");
    return {
      head,
      check: async (keys, ids) => {
        try {
          return (await thread.ask({ kind: "check", number, keys, ids })).signed ?? [];
        } finally {
          end();
        }
      },
      forget: () => {
        thread.tell({ kind: "forget", number });
        end();
      },
    };
  } catch (error) {
    end();
    throw error;
  }
}

function leastBusy(): Thread {
  const [best] = [...threads].toSorted((a, b) => a.waiting.size - b.waiting.size);
  if (best !== undefined && (best.waiting.size === 0 || threads.size >= Math.min(MAX_THREADS, availableParallelism()))) return best;
  const thread = new Thread((ended) => threads.delete(ended));
  threads.add(thread);
  return thread;
}

function begin(): void {
  underWay += 1;
  clearTimeout(idle);
}

function ended(): void {
  underWay -= 1;
  if (underWay > 0) return;
  idle = setTimeout(() => {
    for (const thread of threads) void thread.end();
    threads.clear();
  }, IDLE_MS).unref();
}
