// Tests that are steps of one conversation: each builds on what the one before did.

/** Skips what follows a step that failed: it would only fail too. */
export function skipAfterFailure(): void {
  let broken = false;
  beforeEach(function () {
    if (broken) this.skip();
  });
  afterEach(function () {
    broken ||= this.currentTest?.state === "failed";
  });
}
