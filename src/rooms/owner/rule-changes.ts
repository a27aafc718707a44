// Which users changed their push rules lately, and which threads are followed by others than before: rooms that keep them in memory
// ask before they count with them.

/** Changes that are remembered one by one; who is further behind reads everything again. */
const REMEMBERED = 1_000;

class RecentChanges {
  #version = 0;
  readonly #changed: number[] = [];

  /** Grows with each change. */
  get version(): number {
    return this.#version;
  }

  note(nid: number): void {
    this.#version += 1;
    this.#changed.push(nid);
    if (this.#changed.length > REMEMBERED) this.#changed.shift();
  }

  /** All may have changed. */
  noteAll(): void {
    this.#version += REMEMBERED + 1;
    this.#changed.length = 0;
  }

  /** What changed after a version; undefined if that is not known any more. */
  since(version: number): readonly number[] | undefined {
    const behind = this.#version - version;
    if (behind > this.#changed.length) return undefined;
    return behind === 0 ? [] : [...new Set(this.#changed.slice(-behind))];
  }
}

/** Users whose rules changed. */
export class RuleChanges extends RecentChanges {
  /** Threads that somebody began to follow, or ceased to, by their roots. */
  readonly threads = new RecentChanges();
}
