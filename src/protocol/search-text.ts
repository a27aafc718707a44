// Text as it is searched: without accents and letter case, words apart from what stands between them.

const ACCENTS = /[\u0300-\u036f]/g;
const BETWEEN_WORDS = /[^\p{L}\p{N}\p{M}]+/gu;
/** Scripts that put no spaces between words: each character is a word, and neighbours are found together. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/gu;

/** A text with its letters folded: São and SAO are the same. */
export function foldLetters(text: string): string {
  return text.normalize("NFKD").replace(ACCENTS, "").toLowerCase().normalize("NFKC");
}

/** The folded words of a text, with one space between them. */
export function foldedWords(text: string): string {
  return foldLetters(text).replace(UNSPACED, " $& ").replace(BETWEEN_WORDS, " ").trim();
}

/** What someone looks for. */
export interface SearchTerm {
  /** Words that all have to be there. */
  readonly words: string;
  /** Words that have to stand together: what was in quotation marks. */
  readonly phrases: readonly string[];
}

/** Reads what someone typed into a search field; undefined if there is no word in it. */
export function parseSearchTerm(text: string): SearchTerm | undefined {
  const parts = text.split(/["“”„«»]/);
  // An opening mark that is never closed means nothing.
  const closed = parts.length % 2 === 1 ? parts.length : parts.length - 1;
  const quoted = parts.filter((_, index) => index % 2 === 1 && index < closed).map(foldedWords);
  const rest = parts.filter((_, index) => index % 2 === 0 || index >= closed);
  const words = foldedWords(rest.join(" "));
  const phrases = quoted.filter((phrase) => phrase !== "");
  return words === "" && phrases.length === 0 ? undefined : { words, phrases };
}

/** The words of texts as they are written there, by their folded form. */
export function wordsOf(texts: readonly string[]): Map<string, string> {
  const words = new Map<string, string>();
  for (const text of texts) {
    for (const word of text.replace(UNSPACED, " $& ").split(BETWEEN_WORDS)) {
      if (word !== "") words.set(foldedWords(word), word.toLowerCase());
    }
  }
  return words;
}
