// Large answers are made so many at a time, in order; who waits can go, and does not wait for ever.
import { expect } from "chai";
import { MatrixError } from "../../src/errors.js";
import { LargeAnswers } from "../../src/sync/large-answers.js";
import { eventually } from "../support/eventually.js";

const NEVER = new AbortController().signal;

/** Answers that are made until they are let go, by name. */
class Work {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();

  of(name: string): () => Promise<string> {
    return () => {
      this.begun.push(name);
      return new Promise((resolve) => this.#ends.set(name, () => resolve(name)));
    };
  }

  end(name: string): void {
    this.#ends.get(name)?.();
  }
}

describe("large answers", () => {
  it("are made so many at a time, in order, without those who have gone", async () => {
    const answers = new LargeAnswers({ atATime: 2 });
    const work = new Work();
    const gone = new AbortController();
    const made = ["a", "b"].map((name) => answers.make(work.of(name), NEVER));
    const left = answers.make(work.of("c"), gone.signal).catch((error: unknown) => error);
    made.push(...["d", "e"].map((name) => answers.make(work.of(name), NEVER)));
    gone.abort();
    expect(await left).to.be.instanceOf(MatrixError).with.property("status", 503);
    expect(work.begun).to.deep.equal(["a", "b"]);
    work.end("b");
    await eventually("the next one begins", () => work.begun.length === 3);
    expect(work.begun).to.deep.equal(["a", "b", "d"]);
    work.end("a");
    await eventually("the last one begins", () => work.begun.length === 4);
    for (const name of ["d", "e"]) work.end(name);
    expect(await Promise.all(made)).to.deep.equal(["a", "b", "d", "e"]);
  });

  it("give their place back when they fail, and refuse who waited too long", async () => {
    const answers = new LargeAnswers({ atATime: 1, waitMs: 20 });
    const work = new Work();
    const first = answers.make(work.of("a"), NEVER);
    expect(await answers.make(work.of("b"), NEVER).catch((error: unknown) => error)).to.be.instanceOf(MatrixError).with.property("status", 503);
    work.end("a");
    expect(await first).to.equal("a");
    const failed = answers.make(() => Promise.reject(new Error("the database is away")), NEVER).catch((error: unknown) => String(error));
    expect(await failed).to.equal("Error: the database is away");
    const last = answers.make(work.of("c"), NEVER);
    work.end("c");
    expect(await last).to.equal("c");
    expect(work.begun).to.deep.equal(["a", "c"]);
  });
});
