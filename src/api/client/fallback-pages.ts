// Pages for clients that do not know a stage of user-interactive authentication, or a way to log in.
import { randomBytes } from "node:crypto";
import type * as spec from "../../../spec/client/fallback-pages.js";
import { requireCaptcha } from "../../accounts/captcha.js";
import { completeStage, requireSession } from "../../accounts/interactive-authentication.js";
import { chooseLanguage, type Language } from "../../accounts/languages.js";
import { requireRegistrationToken } from "../../accounts/registration.js";
import { canValidate, type Credentials, requestValidation, requireValidated } from "../../accounts/validation.js";
import type { Config } from "../../config.js";
import { forbidden, invalidParam, MatrixError, missingParam, notFound } from "../../errors.js";
import { canonicalAddress } from "../../protocol/third-party-ids.js";
import type { AuthenticationSession } from "../../storage/authentication-sessions.js";
import type { ValidationPurpose } from "../../storage/validation-sessions.js";
import { networkOf } from "../address.js";
import type { Handler } from "../handler.js";
import { html, type Html, page } from "../page.js";
import { PAGE_TEXTS } from "../page-texts.js";
import type { Services } from "../services.js";

/** What the specification has a page do when its stage is passed. */
const TELL_CLIENT =
  'if(window.onAuthDone){window.onAuthDone()}else if(window.opener&&window.opener.postMessage){window.opener.postMessage("authDone","*")}';

/** Sends the form as the login operation wants it, with what the page's address says of the new session. */
const LOG_IN = `
const form = document.querySelector("form");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = new URLSearchParams(location.search);
  const body = { type: "m.login.password", identifier: { type: "m.id.user", user: form.elements.user.value }, password: form.elements.password.value };
  for (const name of ["device_id", "initial_device_display_name"]) if (given.has(name)) body[name] = given.get(name);
  if (given.get("refresh_token") === "true") body.refresh_token = true;
  const answer = await fetch("/_matrix/client/v3/login", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const response = await answer.json();
  document.querySelector("[role=alert]").hidden = answer.ok;
  if (answer.ok) window.matrixLogin.onLogin(response);
});`;

function termsForm({ terms }: Config["registration"], language: Language): Html {
  if (terms === undefined) throw notFound("This server has no terms.");
  const texts = PAGE_TEXTS[language];
  const { name, url } = terms.translations.find((translation) => translation.language === language) ?? terms;
  return html`<p>${texts.termsText} <a href="${url}" target="_blank" rel="noopener">${name}</a></p>
    <form method="post"><button>${texts.accept}</button></form>`;
}

function tokenForm(language: Language): Html {
  const texts = PAGE_TEXTS[language];
  return html`<form method="post"><label>${texts.token} <input name="token" required></label><button>${texts.submit}</button></form>`;
}

function emailForm(language: Language): Html {
  const texts = PAGE_TEXTS[language];
  return html`<form method="post"><label>${texts.email} <input name="email" type="email" required></label><button>${texts.sendLink}</button></form>`;
}

/** What follows once the mail is on its way. */
function linkForm(language: Language, text: string, { sid, client_secret }: Credentials): Html {
  return html`<p>${text}</p>
    <form method="post"><input type="hidden" name="sid" value="${sid}"><input type="hidden" name="client_secret" value="${client_secret}">
    <button>${PAGE_TEXTS[language].goOn}</button></form>`;
}

function captchaForm({ captcha }: Config["registration"], language: Language): Pick<StagePage, "content" | "foreign"> {
  if (captcha === undefined) throw notFound("This server has no captcha.");
  const { site_key, script_url, sources } = captcha;
  const content = html`<form method="post"><div class="g-recaptcha" data-sitekey="${site_key}"></div><button>${PAGE_TEXTS[language].submit}</button></form>`;
  return { content, foreign: { script: script_url, sources } };
}

interface StagePage {
  readonly title: string;
  readonly content: Html;
  readonly foreign?: { readonly script: string; readonly sources: readonly string[] };
}

/** The page of a stage. Throws M_NOT_FOUND for stages that have none. */
function stagePage({ config }: Services, stage: string, language: Language): StagePage {
  const texts = PAGE_TEXTS[language];
  switch (stage) {
    case "m.login.terms":
      return { title: texts.termsTitle, content: termsForm(config.registration, language) };
    case "m.login.registration_token":
      return { title: texts.tokenTitle, content: tokenForm(language) };
    case "m.login.recaptcha":
      return { title: texts.captchaTitle, ...captchaForm(config.registration, language) };
    case "m.login.email.identity":
      if (canValidate({ config }, "email")) return { title: texts.emailTitle, content: emailForm(language) };
      break;
  }
  throw notFound("There is no page for this stage.");
}

/** What an address is proved for in the operations that ask for that. */
const PURPOSES: Readonly<Record<string, ValidationPurpose>> = { register: "register", resetPassword: "password" };

export const showStage: Handler<typeof spec.showStage> = async (services, { params, acceptedLanguages }) => {
  const language = chooseLanguage(acceptedLanguages, services.config.third_party_ids.language);
  return page({ language, ...stagePage(services, params.stage, language) });
};

/** The steps of the mail stage: first the address, then the link. Gives what to do next, or what the passed stage left to know. */
async function passEmail(
  services: Services,
  { operation, asker }: AuthenticationSession,
  { body, acceptedLanguages: accepted_languages, address }: PassRequest,
  language: Language,
): Promise<Html | string> {
  const [purpose, server] = [PURPOSES[operation], services.servers.names.find((name) => name === asker)];
  if (purpose === undefined || server === undefined) throw forbidden("What this session is for asks for no address.");
  const texts = PAGE_TEXTS[language];
  if (body.sid !== undefined && body.client_secret !== undefined) {
    const credentials = { sid: body.sid, client_secret: body.client_secret };
    try {
      const { sid, medium } = await requireValidated(services, server, purpose, credentials);
      if (medium === "email") return sid;
    } catch (error) {
      if (!(error instanceof MatrixError) || error.errcode !== "M_THREEPID_AUTH_FAILED") throw error;
    }
    return linkForm(language, texts.linkNotOpened, credentials);
  }
  const id = canonicalAddress("email", body.email ?? "");
  if (id === undefined) throw invalidParam("This is no e-mail address.");
  await services.limiter.take("validation", networkOf(address));
  const client_secret = randomBytes(24).toString("base64url");
  const { sid } = await requestValidation(services, { server, purpose, id, client_secret, send_attempt: 1, accepted_languages });
  return linkForm(language, texts.linkSent, { sid, client_secret });
}

/** What passing a stage leaves to know; or the form of its next step. Throws a MatrixError if it is not passed. */
async function pass(services: Services, stage: string, session: AuthenticationSession, request: PassRequest, language: Language): Promise<Html | string> {
  const { body } = request;
  switch (stage) {
    case "m.login.registration_token":
      if (body.token === undefined) throw missingParam('"token" is missing.');
      await requireRegistrationToken(services, body.token);
      return body.token;
    case "m.login.recaptcha":
      await requireCaptcha(services, body["g-recaptcha-response"]);
      return "";
    case "m.login.email.identity":
      return await passEmail(services, session, request, language);
    default:
      return services.config.registration.terms?.version ?? "";
  }
}

type PassRequest = Parameters<Handler<typeof spec.passStage>>[1];

export const passStage: Handler<typeof spec.passStage> = async (services, request) => {
  const { params, query, acceptedLanguages } = request;
  const language = chooseLanguage(acceptedLanguages, services.config.third_party_ids.language);
  const texts = PAGE_TEXTS[language];
  const shown = stagePage(services, params.stage, language);
  try {
    const session = await requireSession(services, query.session);
    const left = await pass(services, params.stage, session, request, language);
    if (typeof left !== "string") return page({ language, title: shown.title, content: left });
    await completeStage(services, session, params.stage, left);
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    return page({ language, ...shown, status: error.status, title: texts.failedTitle });
  }
  return page({ language, title: texts.doneTitle, content: html`<p>${texts.doneText}</p>`, script: TELL_CLIENT });
};

export const showLogin: Handler<typeof spec.showLogin> = async ({ config }, { acceptedLanguages }) => {
  const language = chooseLanguage(acceptedLanguages, config.third_party_ids.language);
  const texts = PAGE_TEXTS[language];
  const content = html`<form>
    <p role="alert" hidden>${texts.loginFailed}</p>
    <label>${texts.user} <input name="user" autocomplete="username" required></label>
    <label>${texts.password} <input name="password" type="password" autocomplete="current-password" required></label>
    <button>${texts.loginTitle}</button></form>`;
  return page({ language, title: texts.loginTitle, content, script: LOG_IN });
};
