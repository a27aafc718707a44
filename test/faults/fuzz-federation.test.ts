// Some of the steps that `node dist/test/faults/fuzz-federation.js` takes for as long as one likes.
import { expect } from "chai";
import { fuzzFederation } from "./fuzz-federation.js";

describe("faults: fuzz between servers", () => {
  it("every request is answered, by a success or an error of Matrix, and rooms go on", async function () {
    this.timeout(600_000);
    const seed = Date.now() % 1_000_000;
    const { steps, events, problems } = await fuzzFederation({ seed, steps: 450 });
    expect(problems, `seed ${seed}`).to.deep.equal([]);
    expect(steps).to.equal(450);
    expect(events.taken, `seed ${seed}`).to.be.greaterThan(10);
    expect(events.refused, `seed ${seed}`).to.be.greaterThan(10);
  });
});
