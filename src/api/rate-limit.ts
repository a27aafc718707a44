// Rate limits: how often a caller may do something, as token buckets.
import { LRUCache } from "lru-cache";
import type { RateLimit } from "../../spec/config.js";
import type { Clock } from "../clock.js";
import type { Config } from "../config.js";
import { limitExceeded } from "../errors.js";

const MAX_BUCKETS = 100_000;

/** How often, and how many at once. */
interface Rate {
  readonly per_second: number;
  readonly burst: number;
}

/**
 * A bucket is kept as one number, the time at which it will be full again (the generic cell rate algorithm): each call
 * moves it on by the time one call takes to be refilled. Buckets that are full are the same as none, so that forgetting
 * the least recently used costs nothing but the memory of callers who could not be told from new ones.
 */
export class RateLimiter {
  private readonly fullAt = new LRUCache<string, number>({ max: MAX_BUCKETS });
  private readonly limits: Config["rate_limits"];
  private readonly clock: Clock;

  constructor(limits: Config["rate_limits"], clock: Clock) {
    this.limits = limits;
    this.clock = clock;
  }

  /** Counts one call. Throws M_LIMIT_EXCEEDED, with the time to wait, when the caller's bucket is empty. */
  take(limit: RateLimit, caller: string, own?: Rate): void {
    const rate = this.rateOf(limit, own);
    if (rate === undefined) return;
    const wait = this.wait(limit, caller, rate);
    if (wait > 0) throw limitExceeded(wait);
    this.add(limit, caller, rate);
  }

  /** Throws as `take` would, without counting: for limits that count only failures. */
  require(limit: RateLimit, caller: string): void {
    const rate = this.rateOf(limit);
    const wait = rate === undefined ? 0 : this.wait(limit, caller, rate);
    if (wait > 0) throw limitExceeded(wait);
  }

  /** Counts one call without refusing it. */
  count(limit: RateLimit, caller: string): void {
    const rate = this.rateOf(limit);
    if (rate !== undefined) this.add(limit, caller, rate);
  }

  /** The rate that counts, where a caller may have one of their own for messages; undefined for none. */
  private rateOf(limit: RateLimit, own?: Rate): Rate | undefined {
    if (!this.limits.enabled) return undefined;
    if (limit !== "message" || own === undefined) return this.limits[limit];
    return own.per_second === 0 ? undefined : own;
  }

  private add(limit: RateLimit, caller: string, { per_second }: Rate): void {
    const key = `${limit} ${caller}`;
    const now = this.clock.monotonic();
    this.fullAt.set(key, Math.max(this.fullAt.get(key) ?? 0, now) + 1000 / per_second);
  }

  /** Milliseconds until the caller may call; 0 if now. */
  private wait(limit: RateLimit, caller: string, { per_second, burst }: Rate): number {
    const now = this.clock.monotonic();
    const behind = Math.max(this.fullAt.get(`${limit} ${caller}`) ?? 0, now) - now;
    return Math.max(0, behind - ((burst - 1) * 1000) / per_second);
  }
}
