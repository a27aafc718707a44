// Time as an argument: everything that needs it takes a Clock, so that tests can hold it still.

export interface Clock {
  /** Wall clock, milliseconds since 1970: for what users and other servers see. */
  now(): number;
  /** Monotonic milliseconds: for waits, leases and measurements. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/**
 * Whether a time of day has come until which something was put off, by at most `longestMs`. One that is further away was written by a
 * clock that has been put back since.
 */
export function isDue(clock: Pick<Clock, "now">, ts: number, longestMs: number): boolean {
  const left = ts - clock.now();
  return left <= 0 || left > longestMs;
}
