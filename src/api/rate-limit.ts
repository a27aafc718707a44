// Rate limits: how often a caller may do something, as token buckets.
import { LRUCache } from "lru-cache";
import type { RateLimit } from "../../spec/config.js";
import type { Clock } from "../clock.js";
import type { Config } from "../config.js";
import { limitExceeded } from "../errors.js";
import type { Bucket, BucketUse, SharedAnswer } from "../storage/shared-buckets.js";

const MAX_BUCKETS = 100_000;

/** How often, and how many at once. */
interface Rate {
  readonly per_second: number;
  readonly burst: number;
}

/** By what a call is counted: its user, if there is one, else its network; its device and its network also by themselves. */
export interface Counted {
  readonly user?: string | undefined;
  readonly device?: string | undefined;
  readonly network: string;
  /** A rate of the user's own, which counts for messages; 0 a second is none. */
  readonly own?: Rate | undefined;
}

/** The buckets that all processes share. */
export interface Shared {
  use(use: BucketUse, buckets: readonly Bucket[]): Promise<SharedAnswer | undefined>;
}

/**
 * What clients do so often that nobody waits for the word of other processes: what they have counted is learned afterwards,
 * so that a process lets through at most what is on its way.
 */
const LEARNED_LATER: ReadonlySet<RateLimit> = new Set(["message", "typing", "receipt", "presence"]);

/**
 * A bucket is kept as one number, the time at which it will be full again (the generic cell rate algorithm): each call
 * moves it on by the time one call takes to be refilled. Buckets that are full are the same as none, so that forgetting
 * the least recently used costs nothing but the memory of callers who could not be told from new ones. What is empty here is
 * empty for all, so that a flood stays in the process that it hits; what is not, the shared buckets are asked for.
 */
export class RateLimiter {
  private readonly fullAt = new LRUCache<string, number>({ max: MAX_BUCKETS });
  private readonly limits: Config["rate_limits"];
  private readonly clock: Clock;
  private readonly shared: Shared | undefined;

  constructor(limits: Config["rate_limits"], clock: Clock, shared?: Shared) {
    this.limits = limits;
    this.clock = clock;
    this.shared = shared;
  }

  /** Counts one call. Rejects with M_LIMIT_EXCEEDED, with the time to wait, when a bucket of the caller is empty. */
  async take(limit: RateLimit, caller: string | Counted): Promise<void> {
    const buckets = this.buckets(limit, typeof caller === "string" ? { user: caller, network: "" } : caller);
    if (buckets.length === 0) return;
    this.refuse(this.wait(buckets));
    this.add(buckets);
    const learned = this.ask("take", buckets);
    if (!LEARNED_LATER.has(limit)) this.refuse((await learned)?.wait ?? 0);
  }

  /** Takes back a call that `take` has counted: for limits that count only failures. */
  async giveBack(limit: RateLimit, caller: string): Promise<void> {
    const buckets = this.buckets(limit, { user: caller, network: "" });
    for (const { key, interval } of buckets) this.fullAt.set(key, (this.fullAt.get(key) ?? 0) - interval);
    await this.ask("give back", buckets);
  }

  private refuse(wait: number): void {
    if (wait > 0) throw limitExceeded(wait);
  }

  private buckets(limit: RateLimit, { user, device, network, own }: Counted): Bucket[] {
    if (!this.limits.enabled) return [];
    const { per_device, per_address, ...general } = this.limits[limit];
    const ownRate = limit === "message" ? own : undefined;
    if (ownRate?.per_second === 0) return [];
    const bucketOf = (kind: string, { per_second, burst }: Rate): Bucket => ({ key: `${limit} ${kind}`, interval: 1000 / per_second, burst });
    const buckets = [bucketOf(user ?? network, ownRate ?? general)];
    if (per_device !== undefined && device !== undefined) buckets.push(bucketOf(`${user ?? ""} device ${device}`, per_device));
    if (per_address !== undefined && user !== undefined && network !== "") buckets.push(bucketOf(`address ${network}`, per_address));
    return buckets;
  }

  /** What the processes know together replaces what this one knew, which saw a part of it. */
  private async ask(use: BucketUse, buckets: readonly Bucket[]): Promise<SharedAnswer | undefined> {
    if (this.shared === undefined || buckets.length === 0) return undefined;
    const answer = await this.shared.use(use, buckets);
    const now = this.clock.monotonic();
    for (const [index, fullIn] of answer?.fullIn.entries() ?? []) {
      const key = buckets[index]?.key;
      if (key !== undefined) this.fullAt.set(key, now + fullIn);
    }
    return answer;
  }

  private add(buckets: readonly Bucket[]): void {
    const now = this.clock.monotonic();
    for (const { key, interval } of buckets) this.fullAt.set(key, Math.max(this.fullAt.get(key) ?? 0, now) + interval);
  }

  /** Milliseconds until the caller may call; 0 if now. */
  private wait(buckets: readonly Bucket[]): number {
    const now = this.clock.monotonic();
    let longest = 0;
    for (const { key, interval, burst } of buckets) {
      const behind = Math.max(this.fullAt.get(key) ?? 0, now) - now;
      longest = Math.max(longest, behind - (burst - 1) * interval);
    }
    return longest;
  }
}
