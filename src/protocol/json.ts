// JSON as Matrix sees it, and the one place where text from outside becomes JSON.
import { badJson, type MatrixError, notJson, tooLarge } from "../errors.js";
import type { JsonObject, JsonValue } from "../../spec/types/json.js";

export type { JsonObject, JsonValue } from "../../spec/types/json.js";

/**
 * A number that a double does not hold exactly or that is not written as an integer. Room versions 1 to 5 sign such
 * numbers as they stand, so that hashing needs the lexeme.
 */
export class NumberLexeme {
  readonly [key: string]: JsonValue;
  readonly lexeme: string;

  constructor(lexeme: string) {
    this.lexeme = lexeme;
  }
}

/** True for JSON objects: neither null nor an array. */
export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The own property of an untrusted object: never what its prototype has. */
export function own(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** The own property if it is a string. */
export function ownString(object: JsonObject, key: string): string | undefined {
  const value = own(object, key);
  return typeof value === "string" ? value : undefined;
}

export interface ParseOptions {
  /** Most levels of nesting; unlimited if absent (only for events, which nothing here walks by recursion). */
  readonly maxDepth?: number;
  readonly maxBytes?: number;
  /** M_BAD_JSON for half a character, escaped: no UTF-8 has it, so that it would be stored and signed as another text. */
  readonly wholeCharacters?: boolean;
  /**
   * `any`: as JavaScript reads them. `integers`: M_BAD_JSON for what Canonical JSON forbids, also in how they are written. `lexemes`: those that
   * JavaScript would alter become NumberLexeme, for events that are about to be hashed.
   */
  readonly numbers?: "any" | "integers" | "lexemes";
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw notJson(`The body is not valid UTF-8 (${cause instanceof Error ? cause.name : "error"}).`);
  }
}

function parse(text: string): JsonValue {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw notJson(`The body is not valid JSON (${cause instanceof Error ? cause.name : "error"}).`);
  }
}

/**
 * Parses JSON from outside. Throws M_NOT_JSON for bytes that are no UTF-8, for a byte order mark, for syntax errors,
 * anything after the value and duplicate keys; M_TOO_LARGE over `maxBytes`; M_BAD_JSON for too deep nesting and, if asked,
 * for numbers that are no integers in range and for lone surrogates. Keys such as `__proto__` are data.
 */
export function parseJson(input: string | Uint8Array, options: ParseOptions = {}): JsonValue {
  return parseNoting(input, options).value;
}

/** As parseJson, and whether all numbers are as `integers` wants them, for who knows only then whether they have to be. */
export function parseNoting(input: string | Uint8Array, options: ParseOptions = {}): { readonly value: JsonValue; readonly integers: boolean } {
  const { maxDepth = Infinity, maxBytes = Infinity, numbers = "any" } = options;
  const size = typeof input === "string" ? Buffer.byteLength(input) : input.byteLength;
  if (size > maxBytes) throw tooLarge(`The JSON is larger than ${maxBytes} bytes.`);
  const text = typeof input === "string" ? input : decode(input);
  const shape = scan(text);
  if (shape.depth > maxDepth) throw badJson(`The JSON is nested more than ${maxDepth} levels deep.`);
  if (shape.unusualNumbers && numbers === "integers") throw notCanonical();
  const parsed = parse(text);
  const lexemes = shape.unusualNumbers && numbers === "lexemes";
  // V8 13.6 (Node 24) takes an escaped key for one with a backslash that an object before it had in its place: `\u007f` is read
  // as `\` once any text had that key. Such keys are rare.
  const value = shape.escapedKeys || lexemes ? readTokens(text, lexemes) : parsed;
  if (countKeys(value) !== shape.keys) throw notJson("An object has the same key twice.");
  // Only escapes can have them: in UTF-8 they are refused. Most texts have none that could be one.
  if (options.wholeCharacters === true && /\\u[dD][89a-fA-F]/.test(text) && hasLoneSurrogates(value)) {
    throw badJson("A text has half of a surrogate pair.");
  }
  return { value, integers: !shape.unusualNumbers };
}

/** The refusal of numbers that Canonical JSON does not have (appendices, "Canonical JSON"). */
export const notCanonical = (): MatrixError =>
  badJson("Numbers must be integers between -(2^53)+1 and (2^53)-1, without fraction or exponent, and not -0.");

/**
 * A value from outside that is no event, with numbers as JavaScript reads them; undefined where it is nested more than `levels`
 * deep: such values are shown within others and written by recursion.
 */
export function plainJson(value: JsonValue, levels: number): JsonValue | undefined {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof NumberLexeme) return Number.isFinite(Number(value.lexeme)) ? Number(value.lexeme) : undefined;
  if (levels === 0) return undefined;
  const members: [string, JsonValue][] = [];
  for (const [key, member] of Object.entries(value)) {
    const plain = plainJson(member, levels - 1);
    if (plain === undefined) return undefined;
    members.push([key, plain]);
  }
  return isObject(value) ? Object.fromEntries(members) : members.map(([, member]) => member);
}

/** The JSON text of a value however deep it is: events of others are as deep as they like, and JSON.stringify ends at some thousand levels. */
export function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return deepText(value);
  }
}

function deepText(value: unknown): string {
  const texts: string[] = [];
  const open: ({ readonly text: string } | { readonly value: unknown })[] = [{ value }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if ("text" in next) {
      texts.push(next.text);
    } else if (typeof next.value !== "object" || next.value === null) {
      texts.push(JSON.stringify(next.value) ?? "null");
    } else {
      const isList = Array.isArray(next.value);
      const members = Object.entries(next.value).filter(([, member]) => isList || member !== undefined);
      texts.push(isList ? "[" : "{");
      open.push({ text: isList ? "]" : "}" });
      for (const [index, [key, member]] of [...members.entries()].toReversed()) {
        open.push({ value: member as unknown }, { text: `${index === 0 ? "" : ","}${isList ? "" : `${JSON.stringify(key)}:`}` });
      }
    }
  }
  return texts.join("");
}

interface Shape {
  readonly depth: number;
  readonly keys: number;
  /** Whether a number is no integer in range, or is written with fraction or exponent or as `-0`. */
  readonly unusualNumbers: boolean;
  /** Whether a key is written with a backslash. */
  readonly escapedKeys: boolean;
}

/** One pass over the text for what JSON.parse does not tell. Says nothing about validity. */
function scan(text: string): Shape {
  let depth = 0;
  let deepest = 0;
  let keys = 0;
  let unusualNumbers = false;
  let escaped = false;
  let escapedKeys = false;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: // a string: skip to its end
        escaped = false;
        for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) {
          if (text.charCodeAt(i) !== 0x5c) continue;
          escaped = true;
          i++;
        }
        break;
      case 0x7b:
      case 0x5b:
        if (++depth > deepest) deepest = depth;
        break;
      case 0x7d:
      case 0x5d:
        depth--;
        break;
      case 0x3a:
        keys++;
        escapedKeys ||= escaped;
        break;
      case 0x2d:
      case 0x30:
      case 0x31:
      case 0x32:
      case 0x33:
      case 0x34:
      case 0x35:
      case 0x36:
      case 0x37:
      case 0x38:
      case 0x39: {
        const start = i;
        while (i + 1 < text.length && isNumberCharacter(text.charCodeAt(i + 1))) i++;
        if (!unusualNumbers && i - start > 13) unusualNumbers = !isPlainInteger(text.slice(start, i + 1));
        else if (!unusualNumbers && i > start) unusualNumbers = /[.eE]|^-0/.test(text.slice(start, i + 1));
        break;
      }
      default:
    }
  }
  return { depth: deepest, keys, unusualNumbers, escapedKeys };
}

/** Digits, `+`, `-`, `.`, `e`, `E`. */
function isNumberCharacter(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || code === 0x2e || code === 0x2d || code === 0x2b || (code | 0x20) === 0x65;
}

function isPlainInteger(lexeme: string): boolean {
  return /^-?\d+$/.test(lexeme) && Number.isSafeInteger(Number(lexeme));
}

/** Number of keys in all objects of a value. Without recursion: depth is the sender's choice. */
function countKeys(value: JsonValue): number {
  let count = 0;
  const open: JsonValue[] = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next !== "object" || next === null || next instanceof NumberLexeme) continue;
    const members: readonly JsonValue[] = isObject(next) ? Object.values(next) : next;
    if (!Array.isArray(next)) count += members.length;
    for (const member of members) if (typeof member === "object" && member !== null) open.push(member);
  }
  return count;
}

/** Whether a key or text of a value is no whole number of characters. */
function hasLoneSurrogates(value: JsonValue): boolean {
  const open: JsonValue[] = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next === "string" && /\p{Surrogate}/u.test(next)) return true;
    if (typeof next !== "object" || next === null) continue;
    for (const [key, member] of Object.entries(next)) open.push(key, member);
  }
  return false;
}

/** Reads valid JSON once more, token by token; with `lexemes` keeping those of unusual numbers. */
function readTokens(text: string, lexemes: boolean): JsonValue {
  const tokens = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[[\]{}]|true|false|null/gs;
  type Open = { readonly entries: [string, JsonValue][]; readonly items?: never } | { readonly items: JsonValue[] };
  const open: Open[] = [];
  const keys: string[] = [];
  let key: string | undefined;
  let result: JsonValue = null;
  const put = (value: JsonValue): void => {
    const container = open.at(-1);
    if (container === undefined) result = value;
    else if (container.items !== undefined) container.items.push(value);
    else {
      container.entries.push([key ?? "", value]);
      key = undefined;
    }
  };
  for (const [token] of text.matchAll(tokens)) {
    const container = open.at(-1);
    if (token === "{" || token === "[") {
      keys.push(key ?? "");
      key = undefined;
      open.push(token === "{" ? { entries: [] } : { items: [] });
    } else if (token === "}" || token === "]") {
      open.pop();
      key = keys.pop();
      put(container?.items ?? Object.fromEntries(container?.entries ?? []));
    } else if (token.startsWith('"') && container !== undefined && container.items === undefined && key === undefined) {
      key = String(JSON.parse(token));
    } else if (lexemes && /^[-\d]/.test(token) && !isPlainInteger(token)) put(new NumberLexeme(token));
    else put(parse(token));
  }
  return result;
}
