// Where links and codes that prove addresses are received.
import type * as spec from "../../../spec/client/validation-pages.js";
import { chooseLanguage } from "../../accounts/languages.js";
import { confirmValidation } from "../../accounts/validation.js";
import { MatrixError } from "../../errors.js";
import type { Handler } from "../handler.js";
import { html, page } from "../page.js";
import { PAGE_TEXTS } from "../page-texts.js";

export const showEmailValidation: Handler<typeof spec.showEmailValidation> = async ({ config }, { acceptedLanguages }) => {
  const language = chooseLanguage(acceptedLanguages, config.third_party_ids.language);
  const texts = PAGE_TEXTS[language];
  // The form goes to the page's own address, which holds the proof.
  const content = html`<p>${texts.confirmText}</p><form method="post"><button>${texts.confirm}</button></form>`;
  return page({ language, title: texts.confirmTitle, content });
};

export const confirmEmailValidation: Handler<typeof spec.confirmEmailValidation> = async (services, { query, acceptedLanguages }) => {
  const language = chooseLanguage(acceptedLanguages, services.config.third_party_ids.language);
  const texts = PAGE_TEXTS[language];
  try {
    const { next_link } = await confirmValidation(services, "email", query);
    const onwards = next_link === null ? [] : [html`<p><a href="${next_link}">${texts.goOn}</a></p>`];
    return page({ language, title: texts.confirmedTitle, content: html`<p>${texts.confirmedText}</p>${onwards}` });
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    return page({ status: error.status, language, title: texts.failedTitle, content: html`<p>${texts.failedText}</p>` });
  }
};

export const submitMsisdnToken: Handler<typeof spec.submitMsisdnToken> = async (services, { body }) => {
  await confirmValidation(services, "msisdn", body);
  return { success: true };
};
