// Some hundred of the calls that `node dist/test/faults/fuzz.js` makes for as long as one likes.
import { expect } from "chai";
import { fuzz } from "./fuzz.js";

describe("faults: fuzz", () => {
  it("every call is answered, by a success or an error of Matrix, and others are served meanwhile", async function () {
    this.timeout(600_000);
    const seed = Date.now() % 1_000_000;
    const { calls, statuses, problems, slowestMs } = await fuzz({ seed, calls: 700 });
    expect(problems, `seed ${seed}`).to.deep.equal([]);
    expect(calls).to.equal(700);
    expect(statuses.get(200) ?? 0, `seed ${seed}`).to.be.greaterThan(100);
    expect(slowestMs, `seed ${seed}`).to.be.lessThan(20_000);
  });
});
