// Which users changed their push rules lately: rooms that keep rules in memory ask before they count with them.

/** Changes that are remembered one by one; who is further behind reads everything again. */
const REMEMBERED = 1_000;

export class RuleChanges {
  #version = 0;
  readonly #users: number[] = [];

  /** Grows with each change. */
  get version(): number {
    return this.#version;
  }

  note(userNid: number): void {
    this.#version += 1;
    this.#users.push(userNid);
    if (this.#users.length > REMEMBERED) this.#users.shift();
  }

  /** Everyone may have changed rules. */
  noteAll(): void {
    this.#version += REMEMBERED + 1;
    this.#users.length = 0;
  }

  /** The users whose rules changed after a version; undefined if that is not known any more. */
  since(version: number): readonly number[] | undefined {
    const behind = this.#version - version;
    if (behind > this.#users.length) return undefined;
    return behind === 0 ? [] : [...new Set(this.#users.slice(-behind))];
  }
}
