// What `go test -json` reports, gathered per test, and the comparison with the list of tests that passed before.

/** One line of `go test -json`. */
export interface TestEvent {
  readonly Action: string;
  readonly Test?: string;
  readonly Output?: string;
  readonly Elapsed?: number;
}

type Outcome = "running" | "pass" | "fail" | "skip";

interface TestRecord {
  outcome: Outcome;
  readonly output: string[];
}

/** How many lines of a failed test's output are worth printing. */
const REASON_LINES = 6;

/** How a test says something, "file.go:12: what"; a server's own log may stand around it. */
const STATEMENT = /^\s+[\w-]+\.go:\d+: /;

/** Lines that go writes about a test itself, and Complement's record of its requests and tags: they explain nothing. */
const NOISE = /^\s*(=== |--- |\d{4}\/\d\d\/\d\d |$)|\[CSAPI\] | called runtime\.SkipIf\(/;

// oxlint-disable-next-line no-control-regex -- terminal colours begin with the escape character
const COLOUR = /\u001b\[\d+m/g;

/** The tests of a run by name, `package test/sub-test`. */
export class TestLog {
  readonly #tests = new Map<string, TestRecord>();

  add(packageName: string, event: TestEvent): void {
    if (event.Test === undefined) return;
    const name = `${packageName} ${event.Test}`;
    const record = this.#tests.get(name) ?? { outcome: "running", output: [] };
    this.#tests.set(name, record);
    if (event.Action === "output") record.output.push(event.Output ?? "");
    if (event.Action === "pass" || event.Action === "fail" || event.Action === "skip") record.outcome = event.Action;
  }

  #with(outcomes: readonly Outcome[]): string[] {
    return [...this.#tests].flatMap(([name, test]) => (outcomes.includes(test.outcome) ? [name] : [])).toSorted();
  }

  passed(): string[] {
    return this.#with(["pass"]);
  }

  skipped(): string[] {
    return this.#with(["skip"]);
  }

  hasFailure(packageName: string): boolean {
    return this.#with(["fail", "running"]).some((name) => name.startsWith(`${packageName} `));
  }

  /** Whether the run was about this test: a test that has vanished from a run that had its parent counts as lost. */
  covers(name: string): boolean {
    return this.#tests.has(name.split("/")[0] ?? name);
  }

  /** Failed tests, and those that were cut off, with what they said; a parent only when none of its sub-tests failed. */
  failures(): { name: string; reason: string[] }[] {
    const names = this.#with(["fail", "running"]);
    return names
      .filter((name) => !names.some((other) => other.startsWith(`${name}/`)))
      .map((name) => {
        const lines = (this.#tests.get(name)?.output ?? []).map((line) => line.replaceAll(COLOUR, "").trimEnd()).filter((line) => !NOISE.test(line));
        const first = Math.max(0, lines.findIndex((line) => STATEMENT.test(line)));
        return { name, reason: lines.slice(first, first + REASON_LINES) };
      });
  }
}

/**
 * Compares a run with the ratchet: `lost` are tests of the ratchet that the run covered and that did not pass, `gained`
 * passed and are not in it, `updated` is the ratchet with them, sorted.
 */
export function compareWithRatchet(
  ratchet: readonly string[],
  log: TestLog,
): { lost: string[]; gained: string[]; updated: string[] } {
  const passed = new Set(log.passed());
  const known = new Set(ratchet);
  const lost = ratchet.filter((name) => log.covers(name) && !passed.has(name));
  const gained = [...passed].filter((name) => !known.has(name));
  return { lost, gained, updated: [...ratchet, ...gained].toSorted() };
}
