// Token buckets that all processes share, in Redis: lost with it, and not missed, since each process has its own.
import { Redis } from "ioredis";
import { logger } from "../log.js";

const log = logger("rate-limit");

const PREFIX = "hansa:bucket:";
/** Nobody waits longer for Redis than this. */
const ANSWER_MS = 50;
/** After a failure Redis is left alone for so long. */
const REST_MS = 1_000;

/** A bucket: its name, the milliseconds in which one call is refilled, and how many calls it holds. */
export interface Bucket {
  readonly key: string;
  readonly interval: number;
  readonly burst: number;
}

/** `take`: count unless a bucket is empty; `give back`: take back what was counted. */
export type BucketUse = "take" | "give back";

/**
 * All buckets in one step: the milliseconds after which each will be full, behind the milliseconds to wait. Of a bucket the time at
 * which it will be full is kept, by Redis's own clock, and only until then.
 */
const SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local wait, full = 0, {}
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  full[i] = math.max(tonumber(redis.call('GET', key) or '0'), now)
  wait = math.max(wait, full[i] - now - (burst - 1) * interval)
end
local taken = 0
if ARGV[1] == 'give back' then taken = -1 elseif wait <= 0 then taken = 1 end
if taken ~= 0 then
  for i, key in ipairs(KEYS) do
    full[i] = math.max(full[i] + taken * ARGV[2 * i], now)
    redis.call('SET', key, string.format('%.3f', full[i]), 'PX', math.ceil(full[i] - now) + 1)
  end
end
local answer = {tostring(wait)}
for i in ipairs(KEYS) do answer[i + 1] = tostring(full[i] - now) end
return answer
`;

/** What the processes together know of some buckets. */
export interface SharedAnswer {
  /** Milliseconds until a call may be counted; 0 if it could. */
  readonly wait: number;
  /** Milliseconds until each bucket is full. */
  readonly fullIn: readonly number[];
}

export class SharedBuckets implements Disposable {
  readonly #redis: Redis;
  #away = false;
  #restsUntil = 0;

  constructor(url: string) {
    this.#redis = new Redis(url, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: ANSWER_MS,
      retryStrategy: (tries: number) => Math.min(tries * 50, 1_000),
    });
    this.#redis.on("error", (error) => this.#failed(error));
  }

  /** What Redis knows of the buckets after their use; undefined when it is away. Never rejects. */
  async use(use: BucketUse, buckets: readonly Bucket[]): Promise<SharedAnswer | undefined> {
    if (this.#redis.status !== "ready" || performance.now() < this.#restsUntil) return undefined;
    const keys = buckets.map(({ key }) => PREFIX + key);
    const settings = buckets.flatMap(({ interval, burst }) => [interval, burst]);
    try {
      const answer: unknown = await this.#redis.eval(SCRIPT, keys.length, ...keys, use, ...settings);
      if (this.#away) log.info("Redis counts for the rate limits again");
      this.#away = false;
      const [wait = 0, ...fullIn] = Array.isArray(answer) ? answer.map(Number) : [];
      return { wait: Math.max(0, wait), fullIn };
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  #failed(error: unknown): void {
    if (!this.#away) log.warn({ err: error }, "Redis is out of reach: each process counts for itself");
    this.#away = true;
    this.#restsUntil = performance.now() + REST_MS;
  }

  [Symbol.dispose](): void {
    this.#redis.disconnect();
  }
}
