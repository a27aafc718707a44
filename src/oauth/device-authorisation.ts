// Device authorisations: a client without a browser shows a code, which the user types elsewhere (RFC 8628; client-server
// API, "Device authorisation flow").
import { randomInt } from "node:crypto";
import { newToken, tokenDigest } from "../accounts/access-tokens.js";
import type { AccountContext } from "../accounts/context.js";
import type { DeviceId } from "../protocol/identifiers.js";
import { decideDeviceCode, findDeviceCode, putDeviceCode } from "../storage/oauth.js";
import type { BrowserUser } from "./browser-sessions.js";
import { type Client, DEVICE_GRANT, requireClient } from "./clients.js";
import { OauthError } from "./oauth-error.js";
import { parseScope } from "./scope.js";

const LIFETIME_SECONDS = 1200;
const INTERVAL_SECONDS = 5;
/** No vowels, so that no words come about, and nothing that looks like something else. */
const LETTERS = "BCDFGHJKLMNPQRSTVWXZ";
const LENGTH = 8;
const ATTEMPTS = 5;

export interface DeviceAuthorisation {
  readonly device_code: string;
  /** As people read it: two groups of four letters. */
  readonly user_code: string;
  readonly expires_in: number;
  readonly interval: number;
}

/** Begins a device authorisation. Throws invalid_client, unauthorized_client, invalid_scope. */
export async function beginDeviceAuthorisation(context: AccountContext, clientId: string | undefined, asked: string | undefined): Promise<DeviceAuthorisation> {
  const { client_id, grant_types } = await requireClient(context, clientId);
  if (!grant_types.includes(DEVICE_GRANT)) throw new OauthError("unauthorized_client", "The client has not registered for this grant.");
  const parsed = parseScope(asked ?? "");
  if (parsed === undefined) throw new OauthError("invalid_scope", "The scope must be access to the client-server API for one device.");
  const device_code = newToken("code");
  const expires_ts = context.clock.now() + LIFETIME_SECONDS * 1000;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const letters = Array.from({ length: LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join("");
    const stored = { user_code: letters, client_id, device_id: parsed.device_id, scope: parsed.scope, interval_seconds: INTERVAL_SECONDS, expires_ts };
    if (await putDeviceCode(context.database, tokenDigest(device_code), stored)) {
      const user_code = `${letters.slice(0, LENGTH / 2)}-${letters.slice(LENGTH / 2)}`;
      return { device_code, user_code, expires_in: LIFETIME_SECONDS, interval: INTERVAL_SECONDS };
    }
  }
  throw new OauthError("temporarily_unavailable", "Try again.", 503);
}

/** A code as it was typed, without what people put between the letters. */
const typed = (code: string): string => code.toUpperCase().replaceAll(/[^A-Z]/g, "");

/** What a user code that was typed lets in; undefined if it is unknown, expired, or was decided about. */
export async function typedCode(context: AccountContext, code: string): Promise<{ readonly client: Client; readonly device_id: DeviceId } | undefined> {
  const letters = typed(code);
  const found = letters.length === LENGTH ? await findDeviceCode(context.database, letters, context.clock.now()) : undefined;
  return found && { client: await requireClient(context, found.client_id), device_id: found.device_id };
}

/** Notes what the user has decided; false if there is nothing to decide any more. */
export async function decideTypedCode(context: AccountContext, code: string, allowed: boolean, user: BrowserUser): Promise<boolean> {
  return await decideDeviceCode(context.database, typed(code), allowed, user, context.clock.now());
}
