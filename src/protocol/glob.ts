// Glob-style matching (appendices, "Glob-style matching") that never backtracks: `*` any run, `?` one character.

/** A compiled glob: what stands between its stars. */
export interface Glob {
  readonly parts: readonly string[];
}

/** Compiles a glob that matches without regard to case. */
export function compileGlob(pattern: string): Glob {
  return { parts: pattern.toLowerCase().split(/\*+/) };
}

/** A glob that takes its pattern literally. */
export function literalGlob(text: string): Glob {
  return { parts: [text.toLowerCase()] };
}

/** True if the glob matches the whole of a text that is in lower case already. */
export function matchesWhole(glob: Glob, text: string): boolean {
  return matches(glob, text, true);
}

/**
 * True if the glob matches some part of a text, in lower case already, that starts and ends at word boundaries: the ends of
 * the text, or where either neighbour is no letter or digit of ASCII and no underscore.
 */
export function matchesWords(glob: Glob, text: string): boolean {
  return matches(glob, text, false);
}

function isWordBoundary(text: string, at: number): boolean {
  return at === 0 || at === text.length || !isWord(text.charCodeAt(at - 1)) || !isWord(text.charCodeAt(at));
}

function isWord(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || code === 0x5f;
}

/**
 * Finds each part at the first place after the one before: a later place would leave less room for the rest. So every part
 * is searched for once.
 */
function matches({ parts }: Glob, text: string, whole: boolean): boolean {
  let at = 0;
  for (const [index, part] of parts.entries()) {
    const first = index === 0;
    const last = index === parts.length - 1;
    if (part === "" && !(first && last)) continue; // a star at either end takes whatever is there
    let end = -1;
    for (let start = seek(text, part, at); start >= 0; start = seek(text, part, start + 1)) {
      if (first && whole && start > 0) break;
      if (first && !whole && !isWordBoundary(text, start)) continue;
      const stop = matchAt(text, part, start);
      if (stop < 0 || (last && !(whole ? stop === text.length : isWordBoundary(text, stop)))) continue;
      end = stop;
      break;
    }
    if (end < 0) return false;
    at = end;
  }
  return true;
}

/** The next place where a part may begin: by its characters before the first `?`. */
function seek(text: string, part: string, from: number): number {
  if (from > text.length) return -1;
  const wildcard = part.indexOf("?");
  return text.indexOf(wildcard < 0 ? part : part.slice(0, wildcard), from);
}

/** Where a part that begins at `start` ends, or -1 if it does not match there. */
function matchAt(text: string, part: string, start: number): number {
  let at = start;
  for (let i = 0; i < part.length; i++) {
    if (at >= text.length) return -1;
    if (part[i] === "?") at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
    else if (part.charCodeAt(i) === text.charCodeAt(at)) at++;
    else return -1;
  }
  return at;
}
