// What another provider of identities says of a user, and what we make of it.
import { isObject, type JsonValue } from "../protocol/json.js";

export type Claims = Readonly<Record<string, JsonValue | undefined>>;

const MAX_TEXT = 500;

/** A claim as text; {address.country} goes into objects. Empty where there is none. */
function claimText(claims: Claims, path: string): string {
  let value: JsonValue | undefined = claims as JsonValue;
  for (const name of path.split(".")) value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return typeof value === "string" || typeof value === "number" ? String(value).replaceAll("\0", "").slice(0, MAX_TEXT) : "";
}

/** A template with the claims filled in. */
export function fillIn(template: string, claims: Claims): string {
  return template.replaceAll(/\{([A-Za-z0-9_.-]+)\}/g, (_whole, name: string) => claimText(claims, name)).trim();
}

/** A name as the localpart of a user id: what that cannot have is written as bytes (appendices, "Mapping from other character sets"). */
export function localpartOf(name: string): string {
  const mapped = name.toLowerCase().replaceAll(/[^a-z0-9._/+-]/gu, (letter) => [...Buffer.from(letter)].map((byte) => `=${byte.toString(16).padStart(2, "0")}`).join(""));
  return mapped.replace(/^_/, "=5f");
}
