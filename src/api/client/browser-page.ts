// What all pages with a login have in common: who is in front of them, their language, where they lead.
import { htmlText } from "../../accounts/html.js";
import { chooseLanguage, type Language } from "../../accounts/languages.js";
import { type Config, registrationOpen } from "../../config.js";
import { checkPassword } from "../../accounts/password-login.js";
import { requireUsable } from "../../accounts/usable.js";
import { forbidden, MatrixError, unrecognized } from "../../errors.js";
import { PATHS, publicAddress } from "../../oauth/addresses.js";
import { type BrowserUser, cookieHeader, type Visitor, visitorOf } from "../../oauth/browser-sessions.js";
import { OauthError } from "../../oauth/oauth-error.js";
import { parseUserId, serverNameOf, type ServerName } from "../../protocol/identifiers.js";
import { findAccount } from "../../storage/accounts.js";
import { ACCOUNT_TEXTS, type AccountTexts } from "../account-texts.js";
import { Reply } from "../handler.js";
import { html, type Html, page } from "../page.js";
import type { Services } from "../services.js";

/** What such a handler reads of a request. */
export interface BrowserRequest {
  readonly headers: { readonly cookie?: string | undefined };
  readonly server: ServerName;
  readonly acceptedLanguages: string;
}

export interface Place {
  readonly services: Services;
  readonly server: ServerName;
  /** The public address, without a slash at its end. */
  readonly base: string;
  readonly secure: boolean;
  readonly visitor: Visitor;
  readonly language: Language;
  readonly texts: AccountTexts;
}

/** Answers a request to a page; refusals are pages too. Throws M_UNRECOGNIZED where the server offers no OAuth. */
export async function onPage(services: Services, request: BrowserRequest, work: (place: Place) => Promise<Reply>): Promise<Reply> {
  const { server } = request;
  const base = publicAddress(services.config, server);
  if (base === undefined) throw unrecognized(404, "This server offers no login through web pages.");
  const secure = base.startsWith("https:");
  const language = chooseLanguage(request.acceptedLanguages, services.config.third_party_ids.language);
  const found = await visitorOf(services, request.headers.cookie, secure);
  // Of several servers of a deployment each has its own pages.
  const visitor = found.user !== undefined && serverNameOf(found.user.user_id) !== server ? { ...found, user: undefined } : found;
  const place: Place = { services, server, base, secure, visitor, language, texts: ACCOUNT_TEXTS[language] };
  try {
    return await work(place);
  } catch (error) {
    const known = error instanceof OauthError || error instanceof MatrixError;
    if (!known || error.status === 500) throw error;
    return show(place, { status: error.status, title: place.texts.failedTitle, content: html`<p>${error.message}</p>` });
  }
}

/** A page, with the cookie of a visitor who has none. */
export function show({ visitor, secure, language }: Place, content: { status?: number; title: string; content: Html; targets?: readonly string[]; script?: string }): Reply {
  const reply = page({ language, ...content });
  return visitor.isNew ? new Reply(reply.status, reply.body, { ...reply.headers, "Set-Cookie": cookieHeader(visitor.cookie, secure) }) : reply;
}

/** Sends the browser elsewhere, to an address of ours or one that was checked; `cookie` replaces the one it has. */
export function go({ secure, services }: Place, location: string, cookie?: string): Reply {
  const seconds = services.config.oauth.browser_session_seconds;
  return new Reply(303, Buffer.from(`<!doctype html><title>303</title><a href="${htmlText(location)}">→</a>`), {
    Location: location,
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    ...(cookie !== undefined && { "Set-Cookie": cookieHeader(cookie, secure, seconds) }),
  });
}

/** Begins every form: the fields that nobody sees. */
export function hidden(place: Place, fields: Readonly<Record<string, string | undefined>> = {}): readonly Html[] {
  return Object.entries({ ...fields, csrf: place.visitor.csrf }).flatMap(([name, value]) =>
    value === undefined ? [] : [html`<input type="hidden" name="${name}" value="${value}">`],
  );
}

const NEXT = new Set<string>([PATHS.authorize, PATHS.link, PATHS.account, PATHS.addresses, "/_matrix/client/v3/login/sso/redirect", "/_matrix/client/r0/login/sso/redirect"]);

/** Where a page leads after the login: a page of ours, the account if it is none. */
export function nextPage(next: string | undefined): string {
  if (next === undefined || !next.startsWith("/") || !URL.canParse(next, "http://localhost")) return PATHS.account;
  const { origin, pathname, search } = new URL(next, "http://localhost");
  return origin === "http://localhost" && NEXT.has(pathname) ? pathname + search : PATHS.account;
}

/** The way to a page through the login, or through the registration. */
export function through(place: Place, way: "login" | "signUp", path: string, query: Readonly<Record<string, string | undefined>>): Reply {
  const given = Object.entries(query).flatMap(([name, value]): [string, string][] => (value === undefined ? [] : [[name, value]]));
  const next = given.length === 0 ? path : `${path}?${new URLSearchParams(given).toString()}`;
  return go(place, `${place.base}${PATHS[way]}?${new URLSearchParams({ next }).toString()}`);
}

/** Whether the pages can open accounts: where all that is asked for fits on one. */
export function canRegister(config: Config, server: ServerName): boolean {
  const { captcha, require_email } = config.registration;
  return registrationOpen(config, server) && captcha === undefined && !require_email && config.passwords.enabled;
}

/** Where a form may lead its browser: what a browser compares it with. */
export function formTarget(address: string): string {
  const { protocol, origin } = new URL(address);
  // IPv6 addresses are nothing that a content security policy can name.
  return (protocol === "http:" || protocol === "https:") && !origin.includes("[") ? origin : protocol;
}

export const passwordField = ({ texts }: Place): Html =>
  html`<label>${texts.password} <input name="password" type="password" autocomplete="current-password" required></label>`;

/** The field by which a user confirms what is grave. Who has no password proves at least to have read this. */
export async function proofField(place: Place, user: BrowserUser): Promise<Html> {
  const account = await findAccount(place.services.database, user.user_id);
  return typeof account?.password_hash === "string" ? passwordField(place) : html`<label>${place.texts.confirmUser} <input name="password" autocomplete="off" required></label>`;
}

/** Throws M_FORBIDDEN unless the user has typed the password, or the user id where there is no password. */
export async function requireProof({ services, texts }: Place, user: BrowserUser, typed: string): Promise<void> {
  const account = await findAccount(services.database, user.user_id);
  if (account === undefined) throw forbidden(texts.loginFailed);
  if (account.password_hash !== null) await checkPassword(services, user.user_id, typed);
  else if (parseUserId(typed.trim()) !== user.user_id) throw forbidden(texts.confirmUser);
  requireUsable(account, services.clock.now());
}
