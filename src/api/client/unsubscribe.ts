// Where the link in mails about unread messages leads.
import type * as spec from "../../../spec/client/unsubscribe.js";
import { chooseLanguage } from "../../accounts/languages.js";
import { MatrixError } from "../../errors.js";
import { unsubscribe as endMails } from "../../push/unsubscribe.js";
import type { Handler } from "../handler.js";
import { html, page } from "../page.js";
import { PAGE_TEXTS } from "../page-texts.js";

export const showUnsubscribe: Handler<typeof spec.showUnsubscribe> = async ({ config }, { acceptedLanguages }) => {
  const language = chooseLanguage(acceptedLanguages, config.third_party_ids.language);
  const texts = PAGE_TEXTS[language];
  const content = html`<p>${texts.unsubscribeText}</p><form method="post"><button>${texts.unsubscribe}</button></form>`;
  return page({ language, title: texts.unsubscribeTitle, content });
};

export const unsubscribe: Handler<typeof spec.unsubscribe> = async (services, { query, acceptedLanguages }) => {
  const language = chooseLanguage(acceptedLanguages, services.config.third_party_ids.language);
  const texts = PAGE_TEXTS[language];
  try {
    await endMails(services, query);
    return page({ language, title: texts.unsubscribedTitle, content: html`<p>${texts.unsubscribedText}</p>` });
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    return page({ status: error.status, language, title: texts.failedTitle, content: html`<p>${texts.unsubscribeFailed}</p>` });
  }
};
