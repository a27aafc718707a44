// Pages for clients that do not know a stage of user-interactive authentication, or a way to log in.
import type * as spec from "../../../spec/client/fallback-pages.js";
import { completeStage } from "../../accounts/interactive-authentication.js";
import { chooseLanguage, type Language } from "../../accounts/languages.js";
import { requireRegistrationToken } from "../../accounts/registration.js";
import type { Config } from "../../config.js";
import { MatrixError, missingParam, notFound } from "../../errors.js";
import type { Handler } from "../handler.js";
import { html, type Html, page } from "../page.js";
import { PAGE_TEXTS } from "../page-texts.js";

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

/** The page of a stage. Throws M_NOT_FOUND for stages that have none. */
function stagePage(config: Config, stage: string, language: Language): { readonly title: string; readonly content: Html } {
  const texts = PAGE_TEXTS[language];
  if (stage === "m.login.terms") return { title: texts.termsTitle, content: termsForm(config.registration, language) };
  if (stage === "m.login.registration_token") return { title: texts.tokenTitle, content: tokenForm(language) };
  throw notFound("There is no page for this stage.");
}

export const showStage: Handler<typeof spec.showStage> = async ({ config }, { params, acceptedLanguages }) => {
  const language = chooseLanguage(acceptedLanguages, config.third_party_ids.language);
  return page({ language, ...stagePage(config, params.stage, language) });
};

export const passStage: Handler<typeof spec.passStage> = async (services, { params, query, body, acceptedLanguages }) => {
  const { config } = services;
  const language = chooseLanguage(acceptedLanguages, config.third_party_ids.language);
  const texts = PAGE_TEXTS[language];
  const { content } = stagePage(config, params.stage, language);
  let left = config.registration.terms?.version ?? "";
  try {
    if (params.stage === "m.login.registration_token") {
      if (body.token === undefined) throw missingParam('"token" is missing.');
      await requireRegistrationToken(services, body.token);
      left = body.token;
    }
    await completeStage(services, query.session, params.stage, left);
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    return page({ status: error.status, language, title: texts.failedTitle, content });
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
