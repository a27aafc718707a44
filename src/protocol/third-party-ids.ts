// Third-party identifiers: addresses in their canonical form (appendices, "3PID Types").
import { CALLING_CODES, KEEPS_TRUNK_ZERO } from "./calling-codes.js";

export type Medium = "email" | "msisdn";

/** An address of a person outside Matrix, in canonical form. */
export interface ThirdPartyId {
  readonly medium: Medium;
  readonly address: string;
}

const MAX_EMAIL_BYTES = 254;

/** No quoted localparts and no comments: nobody has them, and headers of mails are kept simple. */
const EMAIL = /^[^\s@"(),:;<>[\\\]\p{Cc}\p{Surrogate}]{1,64}@(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?\.)*[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?$/u;

/** An e-mail address in lower case, or undefined if it is none. */
export function canonicalEmail(text: string): string | undefined {
  const address = text.trim().normalize("NFC").toLowerCase();
  return Buffer.byteLength(address) <= MAX_EMAIL_BYTES && EMAIL.test(address) ? address : undefined;
}

/**
 * A phone number as E.164 without the plus sign, or undefined if it is none. It may be as somebody in the country (ISO 3166,
 * two letters) dials it, or international.
 */
export function canonicalPhoneNumber(text: string, country?: string): string | undefined {
  const dialled = text.trim();
  if (!/^\+?[\d\s().\-/]{3,40}$/.test(dialled)) return undefined;
  const digits = dialled.replace(/\D/g, "");
  const number = dialled.startsWith("+")
    ? digits
    : digits.startsWith("00")
      ? digits.slice(2)
      : national(digits, country?.toUpperCase());
  return number !== undefined && /^[1-9]\d{6,14}$/.test(number) ? number : undefined;
}

function national(digits: string, country: string | undefined): string | undefined {
  if (country === undefined) return digits;
  const code = CALLING_CODES.get(country);
  if (code === undefined) return undefined;
  if (code === "1" && digits.length === 11 && digits.startsWith("1")) return digits;
  if (code === "7" && digits.length === 11 && /^[78]/.test(digits)) return code + digits.slice(1);
  return code + (KEEPS_TRUNK_ZERO.has(country) ? digits : digits.replace(/^0/, ""));
}

/** An address of a medium in canonical form; undefined if it is none. Phone numbers are taken as international. */
export function canonicalAddress(medium: string, address: string): ThirdPartyId | undefined {
  if (medium !== "email" && medium !== "msisdn") return undefined;
  const canonical = medium === "email" ? canonicalEmail(address) : canonicalPhoneNumber(address);
  return canonical === undefined ? undefined : { medium, address: canonical };
}
