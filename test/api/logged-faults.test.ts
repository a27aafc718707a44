// What requests leave in the log when they fail: our own faults with all that is known, those of other servers in one line.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect } from "chai";
import { objectAt } from "../support/json-path.js";

const run = promisify(execFile);
const WARN = 40;
const ERROR = 50;

/** The lines that failures leave, by the answer's status. */
async function linesOf(failures: readonly string[]): Promise<Record<string, unknown>[]> {
  const from = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
  const script = `
    import { refusalOf } from ${from("api/call.js")};
    import { unknownError, forbidden } from ${from("errors.js")};
    import { FederationError } from ${from("federation/client.js")};
    import { OutgoingError } from ${from("federation/outgoing.js")};
    for (const failure of [${failures.join(",")}]) {
      const { status } = refusalOf(failure, "r1", { path: "/p" });
      console.log(JSON.stringify({ status }));
    }`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script], { timeout: 60_000 });
  return stdout.trim().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
}

const answered = (lines: readonly Record<string, unknown>[]): unknown[] => lines.flatMap(({ status }) => status ?? []);
const logged = (lines: readonly Record<string, unknown>[]): Record<string, unknown>[] => lines.filter(({ level }) => level !== undefined);

describe("the log", () => {
  it("has one line without a stack of other servers that do not answer, whoever named them", async () => {
    const cause = `new FederationError("x.example", "x.example could not be reached", { cause: new OutgoingError("failed", "no answer", new Error("ECONNREFUSED")) })`;
    const lines = await linesOf([`unknownError(502, "x.example could not be reached.", ${cause})`, `unknownError(504, "slow", ${cause})`, cause, `new OutgoingError("too_slow", "slow")`]);
    expect(answered(lines)).to.deep.equal([502, 504, 502, 502]);
    const [first, ...others] = logged(lines);
    expect(first).to.include({ level: WARN, reason: "x.example could not be reached: no answer: ECONNREFUSED", request_id: "r1", path: "/p" });
    expect(others.map(({ level }) => level)).to.deep.equal([WARN, WARN, WARN]);
    expect(JSON.stringify(lines)).not.to.include("stack");
  });

  it("has nothing of what is meant, and all of what went wrong here", async () => {
    const lines = await linesOf([`forbidden("no")`, `unknownError(502, "meant")`, `new TypeError("oops")`]);
    expect(answered(lines)).to.deep.equal([403, 502, 500]);
    const [fault, ...others] = logged(lines);
    expect(others).to.deep.equal([]);
    expect(fault?.["level"]).to.equal(ERROR);
    expect(objectAt(fault, "err")["stack"]).to.include("TypeError: oops");
  });
});
