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

interface Block {
  next: number;
  end: number;
}

/** The numbers of one process. */
export class Numbers {
  readonly #database: Database;
  readonly #blocks = new Map<Sequence, Block>();
  readonly #loading = new Map<Sequence, Promise<void>>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Makes sure that `count` numbers can be taken without waiting. What is left of the block before is given up. */
  async reserve(sequence: Sequence, count: number): Promise<void> {
    while (this.#left(sequence) < count) {
      const loading = this.#loading.get(sequence) ?? this.#load(sequence, count);
      this.#loading.set(sequence, loading);
      try {
        await loading;
      } finally {
        this.#loading.delete(sequence);
      }
    }
  }

  /** The next number. Throws if it was not reserved. */
  take(sequence: Sequence): number {
    const block = this.#blocks.get(sequence);
    if (block === undefined || block.next >= block.end) throw new Error(`no number of ${sequence} was reserved`);
    return block.next++;
  }

  #left(sequence: Sequence): number {
    const block = this.#blocks.get(sequence);
    return block === undefined ? 0 : block.end - block.next;
  }

  async #load(sequence: Sequence, count: number): Promise<void> {
    const size = SEQUENCES[sequence];
    // Blocks that are not neighbours (another process drew in between) are no range: then the largest run counts.
    const rows = await this.#database.read(NEXT_BLOCKS, [sequence, Math.ceil(count / size)]);
    let best: Block = { next: 0, end: 0 };
    let run: Block = { next: 0, end: 0 };
    for (const { block } of rows) {
      run = block === run.end ? { next: run.next, end: block + size } : { next: block, end: block + size };
      if (run.end - run.next > best.end - best.next) best = run;
    }
    if (best.end - best.next > this.#left(sequence)) this.#blocks.set(sequence, best);
  }
}

const NEXT_BLOCKS: Statement<{ block: number }> = {
  name: "numbers_next",
  text: "SELECT nextval($1::regclass) AS block FROM generate_series(1, $2::integer)",
};
