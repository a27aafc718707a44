import { expect } from "chai";
import { RateLimiter } from "../../src/api/rate-limit.js";
import type { Clock } from "../../src/clock.js";
import { checkConfig } from "../../src/config.js";
import { MatrixError } from "../../src/errors.js";

describe("RateLimiter", () => {
  let now = 0;
  const clock: Clock = { now: () => now, monotonic: () => now };
  const limiter = (settings: Record<string, unknown>): RateLimiter =>
    new RateLimiter(checkConfig({ rate_limits: settings }).rate_limits, clock);
  /** Milliseconds to wait; 0 if the call went through. */
  const wait = (limits: RateLimiter, caller: string): number => {
    try {
      limits.take("login", caller);
      return 0;
    } catch (error) {
      return error instanceof MatrixError ? Number(error.extra["retry_after_ms"]) : NaN;
    }
  };

  it("lets a burst through, then one call per interval, for each caller alone", () => {
    now = 1_000_000;
    const limits = limiter({ login: { per_second: 2, burst: 3 } });
    expect([1, 2, 3, 4].map(() => wait(limits, "a"))).to.deep.equal([0, 0, 0, 500]);
    expect(wait(limits, "b")).to.equal(0);
    now += 499;
    expect(wait(limits, "a")).to.equal(1);
    now += 1;
    expect([wait(limits, "a"), wait(limits, "a")]).to.deep.equal([0, 500]);
    now += 60_000;
    expect([1, 2, 3, 4].map(() => wait(limits, "a"))).to.deep.equal([0, 0, 0, 500]);
  });

  it("counts nothing when it is off", () => {
    const limits = limiter({ enabled: false, login: { per_second: 1, burst: 1 } });
    expect([1, 2, 3].map(() => wait(limits, "a"))).to.deep.equal([0, 0, 0]);
  });
});
