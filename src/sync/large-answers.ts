// Answers that may be very large, as those that tell a client everything: only so many are made at a time as the heap has room for.
// The others wait their turn; whoever asks for less takes none.
import { getHeapStatistics } from "node:v8";
import { MatrixError, unknownError } from "../errors.js";

/** What one of them may take of the heap while it is made: rows, parsed events, texts. */
const ANSWER_HEAP_BYTES = 128 * 1_048_576;
/** More at a time are no faster, and take the connections that the others need. */
const MOST_AT_A_TIME = 8;
const MOST_WAITING = 1_000;
/** Longer no client and no proxy waits for an answer that does not begin. */
const WAIT_MS = 60_000;

export class LargeAnswers {
  readonly #waitMs: number;
  #free: number;
  /** Who waits, in the order of their coming. */
  readonly #waiting = new Set<() => void>();

  /** `atATime` of them are made at once: by default as many as V8's heap limit has room for, and always one. */
  constructor({
    atATime = Math.max(1, Math.min(MOST_AT_A_TIME, Math.floor(getHeapStatistics().heap_size_limit / ANSWER_HEAP_BYTES))),
    waitMs = WAIT_MS,
  } = {}) {
    this.#free = atATime;
    this.#waitMs = waitMs;
  }

  /**
   * What `work` gives, called when it is its turn. Throws M_UNKNOWN 503 when that takes too long or too many wait, or when the signal
   * aborts before: then `work` is never called.
   */
  async make<Answer>(work: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(signal);
    try {
      return await work();
    } finally {
      const [next] = this.#waiting;
      // A place goes from hand to hand: who comes meanwhile cannot take it.
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(unknownError(503, "The caller has gone, or this process stops: try again."));
        return;
      }
      if (this.#waiting.size >= MOST_WAITING) {
        reject(busy());
        return;
      }
      const leave = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(take);
        signal.removeEventListener("abort", give);
      };
      const take = (): void => {
        leave();
        resolve();
      };
      const give = (): void => {
        leave();
        reject(unknownError(503, "The caller has gone, or this process stops: try again."));
      };
      const timer = setTimeout(() => {
        leave();
        reject(busy());
      }, this.#waitMs);
      this.#waiting.add(take);
      signal.addEventListener("abort", give);
    });
  }
}

const busy = (): MatrixError =>
  new MatrixError(503, "M_UNKNOWN", "Many large answers are being made at this moment: try again.", { headers: { "Retry-After": "10" } });
