// What another provider of identities says of a user, and what we make of it.
import { isObject, type JsonValue } from "../protocol/json.js";

export type Claims = Readonly<Record<string, JsonValue | undefined>>;

const MAX_TEXT = 500;

/** A claim as text; {address.country} goes into objects, unless a claim has that whole name. Empty where there is none. */
function claimText(claims: Claims, path: string): string {
  if (Object.hasOwn(claims, path)) return asText(claims[path]);
  let value: JsonValue | undefined = claims as JsonValue;
  for (const name of path.split(".")) value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return asText(value);
}

const asText = (value: JsonValue | undefined): string => (typeof value === "string" || typeof value === "number" ? String(value).replaceAll("\0", "").slice(0, MAX_TEXT) : "");

const NAMES = /\{([A-Za-z0-9_.:/-]+)\}/g;

/** The claims that a template names. */
export function templateNames(template: string): string[] {
  return [...template.matchAll(NAMES)].flatMap(([, name]) => (name === undefined ? [] : [name]));
}

/** A template with the claims filled in. */
export function fillIn(template: string, claims: Claims): string {
  return template.replaceAll(NAMES, (_whole, name: string) => claimText(claims, name)).trim();
}

/** A name as the localpart of a user id: what that cannot have is written as bytes (appendices, "Mapping from other character sets"). */
export function localpartOf(name: string): string {
  const mapped = name.toLowerCase().replaceAll(/[^a-z0-9._/+-]/gu, (letter) => [...Buffer.from(letter)].map((byte) => `=${byte.toString(16).padStart(2, "0")}`).join(""));
  return mapped.replace(/^_/, "=5f");
}

/**
 * The name that a localpart was made of by `localpartOf`, or that was typed instead of one, but for the case of its letters.
 * Undefined for every other way to write a name: directories take many for the same, and each would be counted as another
 * user's when guesses are.
 */
export function nameOfLocalpart(localpart: string): string | undefined {
  const name = localpart.replaceAll(/(?:=[0-9a-f]{2})+/g, (bytes) => Buffer.from(bytes.replaceAll("=", ""), "hex").toString());
  const isMapped = name === localpart || localpartOf(name) === localpart;
  const isPlain = name === name.normalize("NFKC") && name === name.toLowerCase() && !/[\p{C}\p{Default_Ignorable_Code_Point}]|^\s|\s$|\s\s/u.test(name);
  return isMapped && isPlain ? name : undefined;
}
