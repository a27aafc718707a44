// Work that several ask for at once and that is done once for all of them.

export class SingleFlight<Result> {
  readonly #running = new Map<string, Promise<Result>>();

  /** The result of the work for this key that is under way, or of `work`, which begins. */
  run(key: string, work: () => Promise<Result>): Promise<Result> {
    let running = this.#running.get(key);
    if (running === undefined) {
      running = work().finally(() => this.#running.delete(key));
      this.#running.set(key, running);
    }
    return running;
  }
}
