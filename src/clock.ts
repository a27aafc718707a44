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
