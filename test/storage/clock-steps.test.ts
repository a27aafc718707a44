// A clock that was ahead and was put back: what it had put off becomes due, and nothing else does.
import { expect } from "chai";
import { isDue } from "../../src/clock.js";
import { ClockSteps } from "../../src/storage/clock-steps.js";
import { Database } from "../../src/storage/database.js";
import { freshDatabase } from "../support/postgres.js";

const HOUR_MS = 3_600_000;
const NOW = 1_800_000_000_000;

describe("a clock that is put back", () => {
  it("leaves nothing waiting for the time that it showed", async () => {
    await using database = await Database.open({ address: await freshDatabase(), poolSize: 1 });
    const time = { now: NOW, monotonic: 0 };
    const steps = new ClockSteps(database, { now: () => time.now, monotonic: () => time.monotonic });
    const put = (server: string, ts: number): Promise<object[]> =>
      database.write({ name: "", text: "INSERT INTO destinations (server_name, owed_position, retry_ts, claimed_until_ts) VALUES ($1, 0, $2, $2)" }, [server, ts]);
    const retries = async (): Promise<unknown[]> =>
      (await database.read({ name: "", text: "SELECT retry_ts FROM destinations ORDER BY server_name" }, [])).map((row) => (row as { retry_ts: number }).retry_ts);
    await put("a", NOW + 5 * 60_000);
    await put("b", NOW + 30 * HOUR_MS);
    // The first look settles what happened while nobody looked.
    expect(await steps.look()).to.equal(Number.POSITIVE_INFINITY);
    expect(await retries()).to.deep.equal([NOW + 5 * 60_000, 0]);
    // It runs on, and ahead: nothing is to be done.
    await put("c", NOW + 9 * HOUR_MS);
    time.now += 8 * HOUR_MS;
    time.monotonic += 1_000;
    expect(await steps.look()).to.equal(0);
    expect(await retries()).to.deep.equal([NOW + 5 * 60_000, 0, NOW + 9 * HOUR_MS]);
    time.now -= 8 * HOUR_MS;
    expect(await steps.look()).to.equal(8 * HOUR_MS);
    expect(await retries()).to.deep.equal([NOW + 5 * 60_000, 0, 0]);
    expect(await steps.look()).to.equal(0);
  });

  it("does not leave what is in memory waiting either", () => {
    const clock = { now: () => NOW };
    expect([NOW - 1, NOW, NOW + 1, NOW + HOUR_MS, NOW + 2 * HOUR_MS].map((ts) => isDue(clock, ts, HOUR_MS))).to.deep.equal([true, true, false, false, true]);
  });
});
