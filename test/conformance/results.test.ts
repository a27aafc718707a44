// The ratchet's arithmetic: what counts as lost, gained, and out of a run's reach.
import { expect } from "chai";
import { compareWithRatchet, TestLog } from "./results.js";

function logOf(outcomes: Readonly<Record<string, string>>): TestLog {
  const log = new TestLog();
  for (const [name, outcome] of Object.entries(outcomes)) {
    log.add("csapi", { Action: "run", Test: name });
    log.add("csapi", { Action: "output", Test: name, Output: "a server's log\n" });
    log.add("csapi", { Action: "output", Test: name, Output: `    a_test.go:1: ${outcome}\n` });
    if (outcome !== "cut off") log.add("csapi", { Action: outcome, Test: name });
  }
  return log;
}

describe("conformance results", () => {
  const log = logOf({ TestA: "fail", "TestA/one": "pass", "TestA/two": "fail", TestB: "pass", TestC: "cut off", TestD: "skip" });

  it("a covered test that does not pass is lost, also when it has vanished", () => {
    const ratchet = ["csapi TestA/gone", "csapi TestA/one", "csapi TestA/two", "csapi TestD", "csapi TestElsewhere"];
    expect(compareWithRatchet(ratchet, log).lost).to.deep.equal(["csapi TestA/gone", "csapi TestA/two", "csapi TestD"]);
  });

  it("new passes are gained and sorted in", () => {
    const { gained, updated } = compareWithRatchet(["csapi TestA/one", "fed TestZ"], log);
    expect(gained).to.deep.equal(["csapi TestB"]);
    expect(updated).to.deep.equal(["csapi TestA/one", "csapi TestB", "fed TestZ"]);
  });

  it("failures name the innermost tests and those that were cut off, with their reason", () => {
    expect(log.failures()).to.deep.equal([
      { name: "csapi TestA/two", reason: ["    a_test.go:1: fail"] },
      { name: "csapi TestC", reason: ["    a_test.go:1: cut off"] },
    ]);
  });
});
