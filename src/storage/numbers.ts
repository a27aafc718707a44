// Numbers for new rows, taken from PostgreSQL's sequences in blocks, so that writing needs no round trip to learn them.
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";

/** The sequences and the size of their blocks, which is their INCREMENT in the schema. */
const SEQUENCES = {
  room_nids: 100,
  event_nids: 1000,
  snapshot_nids: 1000,
  chain_nids: 1000,
} as const;

export type Sequence = keyof typeof SEQUENCES;

const NEXT_BLOCKS: Statement<{ block: number }> = {
  name: "numbers_next",
  text: "SELECT nextval($1::regclass) AS block FROM generate_series(1, $2::integer)",
};

/** Numbers in ascending order that are given out to one taker. Those not taken are never used. */
export class Allotment {
  readonly #numbers: readonly number[];
  #next = 0;

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }

  /** The next number. Throws Error if there are no more. */
  take(): number {
    const number = this.#numbers[this.#next];
    if (number === undefined) throw new Error("more numbers were taken than allotted");
    this.#next += 1;
    return number;
  }
}

/** The numbers of one process. */
export class Numbers {
  readonly #database: Database;
  readonly #free = new Map<Sequence, number[]>();
  readonly #loading = new Map<Sequence, Promise<void>>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Gives out `count` numbers; without waiting as long as the block lasts. */
  async allot(sequence: Sequence, count: number): Promise<Allotment> {
    for (;;) {
      const free = this.#free.get(sequence) ?? [];
      if (free.length >= count) return new Allotment(free.splice(0, count));
      const loading = this.#loading.get(sequence) ?? this.#load(sequence, count);
      this.#loading.set(sequence, loading);
      await loading;
    }
  }

  /** Gives up what was taken: the sequences may have been set back, and others take the same again. */
  forgetAll(): void {
    this.#free.clear();
  }

  async #load(sequence: Sequence, count: number): Promise<void> {
    try {
      const size = SEQUENCES[sequence];
      const rows = await this.#database.read(NEXT_BLOCKS, [sequence, Math.ceil(count / size)]);
      const fresh = rows.flatMap(({ block }) => Array.from({ length: size }, (_, index) => block + index));
      this.#free.set(sequence, [...(this.#free.get(sequence) ?? []), ...fresh]);
    } finally {
      this.#loading.delete(sequence);
    }
  }
}
