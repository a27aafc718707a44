// Loads and their measurement: open-loop arrivals timed from the intended start, so that a server that stalls cannot hide
// the requests that would have come meanwhile; and closed loops that find out how much it can do at most.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

export interface Latency {
  readonly median_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

export interface Load extends Latency {
  readonly operations: number;
  readonly per_second: number;
  /** How late the generator itself was at worst (99 %): above a few ms the numbers are its own, not the server's. */
  readonly generator_lag_ms: number;
}

type Operation = (number: number) => Promise<unknown>;

/** More unanswered requests than this, and the server cannot carry the rate. */
const MAX_UNANSWERED = 5_000;

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

export function latencyOf(samples: readonly number[]): Latency {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number): number => round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return { median_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1) };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Runs `work` and tells how late the event loop was meanwhile. */
async function withLag<T>(work: () => Promise<T>): Promise<{ value: T; lag: number }> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const value = await work();
  delay.disable();
  return { value, lag: round(Math.max(0, delay.percentile(99) / 1e6 - 1)) };
}

/** `workers` operations at a time, each starting when the one before it is answered; as many as go into `seconds`. */
export async function closedLoop(workers: number, seconds: number, operation: Operation): Promise<Load> {
  const samples: number[] = [];
  const start = performance.now();
  const end = start + seconds * 1_000;
  let next = 0;
  const { lag } = await withLag(() =>
    Promise.all(
      Array.from({ length: workers }, async () => {
        for (let now = performance.now(); now < end; ) {
          await operation(next++);
          const answered = performance.now();
          samples.push(answered - now);
          now = answered;
        }
      }),
    ),
  );
  const elapsed = (performance.now() - start) / 1_000;
  return { operations: samples.length, per_second: round(samples.length / elapsed), ...latencyOf(samples), generator_lag_ms: lag };
}

/** `rate` operations a second for `seconds`, whether or not earlier ones are answered. */
export async function openLoop(rate: number, seconds: number, operation: Operation): Promise<Load> {
  const samples: number[] = [];
  const failures: unknown[] = [];
  const total = Math.max(1, Math.floor(rate * seconds));
  const unanswered = new Set<number>();
  const start = performance.now();
  const one = async (number: number): Promise<void> => {
    unanswered.add(number);
    try {
      await operation(number);
      samples.push(performance.now() - start - (number / rate) * 1_000);
    } catch (error) {
      failures.push(error);
    } finally {
      unanswered.delete(number);
    }
  };
  const { lag } = await withLag(async () => {
    let number = 0;
    while (number < total || unanswered.size > 0) {
      const due = Math.min(total, Math.floor(((performance.now() - start) / 1_000) * rate) + 1);
      while (number < due) void one(number++);
      if (failures.length > 0) throw failures[0];
      if (unanswered.size > MAX_UNANSWERED) throw new Error(`more than ${MAX_UNANSWERED} requests unanswered at ${rate}/s`);
      await sleep(1);
    }
    if (failures.length > 0) throw failures[0];
  });
  const elapsed = (performance.now() - start) / 1_000;
  return { operations: total, per_second: round(total / elapsed), ...latencyOf(samples), generator_lag_ms: lag };
}

/** Runs `operation` for 0 to count - 1, at most `width` at a time; what they gave, in order. */
export async function inParallel<T>(count: number, width: number, operation: (number: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(width, count) }, async () => {
      while (next < count) {
        const number = next++;
        results[number] = await operation(number);
      }
    }),
  );
  return results;
}
