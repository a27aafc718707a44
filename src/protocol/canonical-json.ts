// Canonical JSON (appendices, "Canonical JSON"): the bytes that are hashed and signed.
import { badJson } from "../errors.js";
import { isObject, type JsonValue, NumberLexeme } from "./json.js";

declare global {
  interface String {
    isWellFormed(): boolean;
  }
}

interface Open {
  readonly value: JsonValue;
  readonly keys: readonly string[] | undefined;
  readonly length: number;
  next: number;
}

/**
 * The canonical text of a value: shortest form, keys in code-point order. Throws M_BAD_JSON for numbers that are no
 * integers in ±(2^53-1) and for lone surrogates. With `lexemes` (room versions 1 to 5) NumberLexeme is written in the
 * form those versions sign; without, it is refused. Never recurses: the depth of an event is its sender's choice.
 */
export function canonicalJson(root: JsonValue, options: { readonly lexemes?: boolean } = {}): string {
  const open: Open[] = [];
  let text = "";
  let value = root;
  for (;;) {
    if (typeof value === "object" && value !== null && !(value instanceof NumberLexeme)) {
      const keys = isObject(value) ? sortedKeys(Object.keys(value)) : undefined;
      open.push({ value, keys, length: Array.isArray(value) ? value.length : (keys?.length ?? 0), next: 0 });
      text += keys ? "{" : "[";
    } else text += scalar(value, options.lexemes ?? false);

    let top = open.at(-1);
    while (top !== undefined && top.next === top.length) {
      text += top.keys ? "}" : "]";
      open.pop();
      top = open.at(-1);
    }
    if (top === undefined) return text;
    if (top.next > 0) text += ",";
    const key = top.keys?.[top.next];
    if (key !== undefined && isObject(top.value)) {
      text += `${quote(key)}:`;
      value = top.value[key] ?? null;
    } else if (Array.isArray(top.value)) value = top.value[top.next];
    top.next++;
  }
}

function scalar(value: JsonValue, lexemes: boolean): string {
  if (typeof value === "string") return quote(value);
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) throw badJson("Numbers must be integers between -(2^53)+1 and (2^53)-1.");
    return String(value); // writes -0 as 0
  }
  if (value === null || typeof value === "boolean") return String(value);
  if (value instanceof NumberLexeme && lexemes) return legacyNumber(value.lexeme);
  throw badJson("Numbers must be integers between -(2^53)+1 and (2^53)-1, without fraction or exponent.");
}

// oxlint-disable-next-line no-control-regex -- these are the characters that JSON escapes
const SPECIAL = /["\\\u0000-\u001f\ud800-\udfff]/;

function quote(text: string): string {
  if (!SPECIAL.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw badJson("Strings must be sound Unicode: a surrogate has no partner.");
  return JSON.stringify(text);
}

function sortedKeys(keys: string[]): string[] {
  keys.sort(); // by UTF-16 units: the order of code points as long as no surrogate is among them
  return keys.some((key) => /[\ud800-\udfff]/.test(key)) ? keys.toSorted(byCodePoint) : keys;
}

/** Compares by code point: surrogates stand for code points above all that are written as one unit. */
function byCodePoint(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const difference = codePointRank(a.charCodeAt(i)) - codePointRank(b.charCodeAt(i));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function codePointRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/**
 * A number of a room of version 1 to 5 as its servers have always signed it: integers digit by digit, others as the
 * shortest decimal of the double, with `.0` if whole and an exponent of two digits or more from 1e16 and below 1e-4.
 */
function legacyNumber(lexeme: string): string {
  if (/^-?\d+$/.test(lexeme)) return lexeme === "-0" ? "0" : lexeme;
  const number = Number(lexeme);
  if (!Number.isFinite(number)) throw badJson("A number is outside the range of a double.");
  if (number === 0) return Object.is(number, -0) ? "-0.0" : "0.0";
  const [mantissa = "", exponentText = ""] = number.toExponential().split("e");
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  const plain = exponent < 0 ? number.toFixed(mantissa.replace(/\D/g, "").length - 1 - exponent) : String(number);
  return plain.includes(".") ? plain : `${plain}.0`;
}
