// Strings of events as PostgreSQL's text, which can hold neither U+0000 nor half a surrogate pair.

/** A string as it is stored: the characters that text cannot hold are written as escapes (\u and four digits), and so is the backslash itself. */
export function toText(value: string): string {
  return value.replace(/[\\\0\p{Surrogate}]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** The string that `toText` stored. */
export function fromText(stored: string): string {
  if (!stored.includes("\\")) return stored;
  return stored.replace(/\\u([0-9a-f]{4})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}
