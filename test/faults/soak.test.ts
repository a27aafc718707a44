// A few seconds of what `npm run faults:soak` does for as long as one likes: handles, connections and queues do not grow.
import { expect } from "chai";
import { soak } from "./soak.js";

describe("faults: soak", () => {
  it("holds no more with time", async function () {
    this.timeout(600_000);
    const { samples, problems } = await soak({ lengthMs: 6_000, seed: 11 });
    expect(problems).to.deep.equal([]);
    const last = samples.at(-1);
    expect(last?.acknowledged).to.be.greaterThan(20);
    expect(Object.values(last ?? {}).every(Number.isFinite), JSON.stringify(last)).to.equal(true);
  });
});
