// Messages of made-up words, which are as common as the words of a language (Zipf), and searches for them.
import { createHash } from "node:crypto";

const WORDS = 50_000;
const MIN_LENGTH = 8;
const MAX_LENGTH = 13;

/** Of messages: fewer than 0.1 %, up to a tenth, more. */
export type WordClass = "rare" | "medium" | "common";

// The word of rank r stands in a message of ten words with a chance of about 10 / (r ln 50,000).
const RANKS: Readonly<Record<WordClass, readonly [number, number]>> = { rare: [1_500, 20_000], medium: [12, 900], common: [2, 8] };

export class Vocabulary {
  readonly #seed: string;
  readonly #words = new Map<number, string>();
  #drawn = 0;

  /** Another seed makes other words. */
  constructor(seed: string) {
    this.#seed = seed;
  }

  /** The next number from 0 to 1, the same in each run with the same seed. */
  #next(): number {
    return createHash("sha256").update(`${this.#seed} ${this.#drawn++}`).digest().readUInt32BE() / 0x1_0000_0000;
  }

  #word(rank: number): string {
    const known = this.#words.get(rank);
    if (known !== undefined) return known;
    // Letters only, and no endings that a dictionary would take for a form of another word.
    const hash = createHash("sha256").update(`${this.#seed} word ${rank}`).digest();
    const word = `${Array.from(hash.subarray(0, 7), (byte) => "bcdfghjklmnpqrstvwxz"[byte % 20] ?? "").join("")}k`;
    this.#words.set(rank, word);
    return word;
  }

  message(): string {
    const length = MIN_LENGTH + Math.floor(this.#next() * (MAX_LENGTH - MIN_LENGTH));
    return Array.from({ length }, () => this.#word(Math.ceil(Math.exp(this.#next() * Math.log(WORDS))))).join(" ");
  }

  /** A word to search for: 70 % rare ones, 20 % medium, 10 % common. */
  searched(): { readonly word: string; readonly wordClass: WordClass } {
    const draw = this.#next();
    const wordClass = draw < 0.7 ? "rare" : draw < 0.9 ? "medium" : "common";
    const [from, to] = RANKS[wordClass];
    return { word: this.#word(from + Math.floor(this.#next() * (to - from))), wordClass };
  }
}
