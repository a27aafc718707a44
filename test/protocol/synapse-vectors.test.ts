// The committed vectors: what matrix-synapse 1.157 decided, made by scripts/vectors/synapse_oracle.py.
import { expect } from "chai";
import { checkJson, checkRedaction, checkRoom, emptyTally, linesOf, type Tally } from "./synapse-vectors.js";

async function run(file: string, check: (line: string, tally: Tally) => void | Promise<void>): Promise<Tally> {
  const tally = emptyTally();
  for await (const line of linesOf(`test/vectors/${file}`)) await check(line, tally);
  return tally;
}

describe("agreement with Synapse", () => {
  it("authorisation, event ids and state resolution of simulated rooms", async () => {
    const tally = await run("rooms.json.gz", checkRoom);
    expect(tally).to.deep.include({ rooms: 345, events: 16256, resolutions: 3221 });
  });

  it("canonical JSON", async () => {
    expect(await run("canonical-json.json.gz", checkJson)).to.have.property("values", 2000);
  });

  it("redaction, reference hash and content hash", async () => {
    expect(await run("redaction.json.gz", checkRedaction)).to.have.property("values", 1500);
  });
});
