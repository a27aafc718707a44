// Long computations let others have their turn.

/** Steps of some 50 µs each that go on without a break. */
const STEPS = 100;

/** Counts the steps of a long computation; after each hundred the event loop goes round once. */
export class Turns {
  #steps = 0;

  /** To be called, and awaited if it gives something, before each step. */
  next(): Promise<void> | undefined {
    this.#steps += 1;
    if (this.#steps % STEPS !== 0) return undefined;
    return new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}
