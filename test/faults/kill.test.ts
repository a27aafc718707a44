// kill -9 of the server and of PostgreSQL: twenty rounds here, two hundred by `npm run faults:kill`.
import { expect } from "chai";
import { killRounds } from "./kill.js";

describe("faults: kill", () => {
  it("nothing that was acknowledged is lost, nothing is half done, and every sync goes on", async function () {
    this.timeout(600_000);
    const seed = Date.now() % 1_000_000;
    const report = await killRounds({ rounds: 20, seed });
    expect(report.problems, `seed ${seed}`).to.deep.equal([]);
    expect(report.acknowledged).to.be.greaterThan(100);
  });
});
