// Who is in front of the pages of this server: a cookie, and what keeps other sites from sending our forms.
import { createHmac, timingSafeEqual } from "node:crypto";
import { newToken, tokenDigest } from "../accounts/access-tokens.js";
import type { AccountContext } from "../accounts/context.js";
import { forbidden } from "../errors.js";
import type { UserId } from "../protocol/identifiers.js";
import { deleteBrowserSession, findBrowserSession, putBrowserSession } from "../storage/browser-sessions.js";

export interface BrowserUser {
  readonly user_nid: number;
  readonly user_id: UserId;
  /** The session at another provider through which the login came about. */
  readonly external: number | undefined;
}

/** A browser. It has a cookie before anybody logs in, for the form of the login. */
export interface Visitor {
  readonly cookie: string;
  readonly isNew: boolean;
  /** Who is logged in. */
  readonly user: BrowserUser | undefined;
  /** What our forms carry, and nobody else knows. */
  readonly csrf: string;
}

const nameOf = (secure: boolean): string => (secure ? "__Host-hansa" : "hansa");

function csrfOf({ secret }: Pick<AccountContext, "secret">, cookie: string): string {
  return createHmac("sha256", secret).update(`hansa form ${cookie}`).digest("base64url");
}

/** The visitor whose cookies these are. `secure` says that our public address is https. */
export async function visitorOf(context: AccountContext, cookies: string | undefined, secure: boolean): Promise<Visitor> {
  const prefix = `${nameOf(secure)}=`;
  const sent = (cookies ?? "").split(";").map((part) => part.trim()).find((part) => part.startsWith(prefix))?.slice(prefix.length);
  const known = sent !== undefined && /^hsb_[A-Za-z0-9_-]{43}$/.test(sent) ? sent : undefined;
  const cookie = known ?? newToken("browser");
  const user = known === undefined ? undefined : await findBrowserSession(context.database, tokenDigest(known), context.clock.now());
  return { cookie, isNew: known === undefined, user, csrf: csrfOf(context, cookie) };
}

/** Throws M_FORBIDDEN for a form that another site may have sent. */
export function requireOwnForm({ csrf }: Visitor, sent: string | undefined): void {
  const given = Buffer.from(sent ?? "");
  const expected = Buffer.from(csrf);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw forbidden("This form has expired: load the page again.");
}

/** The header that sets a visitor's cookie. */
export function cookieHeader(cookie: string, secure: boolean, seconds?: number): string {
  return `${nameOf(secure)}=${cookie}; Path=/; HttpOnly; SameSite=Lax${secure ? "; Secure" : ""}${seconds === undefined ? "" : `; Max-Age=${seconds}`}`;
}

/** Logs a user in, with another cookie than before; gives that. */
export async function logBrowserIn({ database, clock, config }: AccountContext, userNid: number, external?: number): Promise<string> {
  const cookie = newToken("browser");
  const now = clock.now();
  await putBrowserSession(database, tokenDigest(cookie), userNid, now, now + config.oauth.browser_session_seconds * 1000, external);
  return cookie;
}

/** Logs a browser out. */
export async function logBrowserOut({ database }: AccountContext, { cookie }: Visitor): Promise<void> {
  await deleteBrowserSession(database, tokenDigest(cookie));
}
