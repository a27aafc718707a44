// Work in the background that is done over and over: when something wakes it, and now and then in any case.

/** One piece of work of a process: never done twice at a time, and once more if it was woken while it was done. */
export class RepeatedWork implements AsyncDisposable {
  readonly #work: (stopping: AbortSignal) => Promise<void>;
  readonly #failed: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #again = false;

  /**
   * Begins at once. `work` looks for all that is to be done and does it; it ends early when its signal is aborted. What it
   * throws goes to `failed`, and the work is left until the next time.
   */
  constructor(everyMs: number, work: (stopping: AbortSignal) => Promise<void>, failed: (error: unknown) => void) {
    this.#work = work;
    this.#failed = failed;
    this.#timer = setInterval(() => this.wake(), everyMs).unref();
    this.wake();
  }

  /** Has the work done now. */
  wake(): void {
    this.#again = true;
    if (this.#stopping.signal.aborted) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#again) this.wake();
    });
  }

  async #run(): Promise<void> {
    this.#again = false;
    try {
      await this.#work(this.#stopping.signal);
    } catch (error) {
      this.#failed(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#timer);
    await this.#running;
  }
}
