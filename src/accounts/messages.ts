// What users are written: mails and text messages, in our languages.
import { htmlText } from "./html.js";
import type { Language } from "./languages.js";

/** Why somebody gets a mail. `registered` is for those who have an account already and were asked to prove an address anew. */
export type MailReason = "register" | "password" | "account" | "registered";

export interface Mail {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

interface Wording {
  readonly subject: string;
  readonly body: string;
  readonly button?: string;
}

/** `{server}` is the server's name, `{minutes}` how long the link works. */
const MAILS: Readonly<Record<Language, Readonly<Record<MailReason, Wording>>>> = {
  en: {
    register: {
      subject: "Confirm your e-mail address for {server}",
      body: "Somebody, hopefully you, wants to open an account on {server} with this e-mail address.",
      button: "Confirm the address",
    },
    password: {
      subject: "Reset your password on {server}",
      body: "Somebody, hopefully you, has forgotten the password of your account on {server} and wants to set a new one.",
      button: "Allow a new password",
    },
    account: {
      subject: "Confirm your e-mail address for {server}",
      body: "Somebody, hopefully you, wants to add this e-mail address to their account on {server}.",
      button: "Confirm the address",
    },
    registered: {
      subject: "You already have an account on {server}",
      body: "Somebody, hopefully you, wanted to use this e-mail address for an account on {server}, but it belongs to yours already. If you have forgotten your password, reset it in your client.",
    },
  },
  es: {
    register: {
      subject: "Confirma tu correo electrónico para {server}",
      body: "Alguien, esperamos que tú, quiere abrir una cuenta en {server} con esta dirección de correo.",
      button: "Confirmar la dirección",
    },
    password: {
      subject: "Restablece tu contraseña en {server}",
      body: "Alguien, esperamos que tú, ha olvidado la contraseña de tu cuenta en {server} y quiere elegir una nueva.",
      button: "Permitir una contraseña nueva",
    },
    account: {
      subject: "Confirma tu correo electrónico para {server}",
      body: "Alguien, esperamos que tú, quiere añadir esta dirección de correo a su cuenta en {server}.",
      button: "Confirmar la dirección",
    },
    registered: {
      subject: "Ya tienes una cuenta en {server}",
      body: "Alguien, esperamos que tú, quiso usar esta dirección de correo para una cuenta en {server}, pero ya pertenece a la tuya. Si has olvidado la contraseña, restablécela en tu cliente.",
    },
  },
  pt: {
    register: {
      subject: "Confirme o seu e-mail para {server}",
      body: "Alguém, esperamos que você, quer abrir uma conta em {server} com este endereço de e-mail.",
      button: "Confirmar o endereço",
    },
    password: {
      subject: "Redefina a sua senha em {server}",
      body: "Alguém, esperamos que você, esqueceu a senha da sua conta em {server} e quer escolher uma nova.",
      button: "Permitir uma nova senha",
    },
    account: {
      subject: "Confirme o seu e-mail para {server}",
      body: "Alguém, esperamos que você, quer acrescentar este endereço de e-mail à própria conta em {server}.",
      button: "Confirmar o endereço",
    },
    registered: {
      subject: "Você já tem uma conta em {server}",
      body: "Alguém, esperamos que você, quis usar este endereço de e-mail para uma conta em {server}, mas ele já pertence à sua. Se esqueceu a senha, redefina-a no seu cliente.",
    },
  },
};

const CLOSING: Readonly<Record<Language, { readonly link: string; readonly otherwise: string }>> = {
  en: {
    link: "The link works for {minutes} minutes.",
    otherwise: "If it was not you, do nothing: without you nothing happens.",
  },
  es: {
    link: "El enlace funciona durante {minutes} minutos.",
    otherwise: "Si no has sido tú, no hagas nada: sin ti no ocurre nada.",
  },
  pt: {
    link: "O link funciona por {minutes} minutos.",
    otherwise: "Se não foi você, não faça nada: sem você nada acontece.",
  },
};

const CODES: Readonly<Record<Language, string>> = {
  en: "{code} is your code for {server}. Give it to nobody.",
  es: "{code} es tu código para {server}. No se lo des a nadie.",
  pt: "{code} é o seu código para {server}. Não o dê a ninguém.",
};

/** A text with its names replaced; what is put in is not looked at again. */
function filled(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
}

/** A mail; with a link if there is something to confirm. */
export function mailFor(
  language: Language,
  reason: MailReason,
  about: { readonly server: string; readonly minutes: number; readonly link?: string },
): Mail {
  const { subject, body, button } = MAILS[language][reason];
  const values = { server: about.server, minutes: String(about.minutes) };
  const lines = [filled(body, values)];
  const closing = [CLOSING[language].otherwise];
  if (about.link !== undefined) closing.unshift(filled(CLOSING[language].link, values));
  const paragraph = (text: string): string => `<p style="margin:0 0 16px">${htmlText(text)}</p>`;
  const action =
    about.link === undefined
      ? ""
      : `<p style="margin:24px 0"><a href="${htmlText(about.link)}" style="background:#14532d;color:#fff;padding:10px 18px;` +
        `border-radius:6px;text-decoration:none">${htmlText(button ?? about.link)}</a></p>`;
  return {
    subject: filled(subject, values),
    text: [...lines, ...(about.link === undefined ? [] : [about.link]), ...closing].join("\n\n") + "\n",
    html:
      `<!doctype html><html lang="${language}"><body style="font:16px/1.5 sans-serif;color:#1c1917;max-width:34em;margin:24px auto">` +
      `${lines.map(paragraph).join("")}${action}${closing.map(paragraph).join("")}</body></html>`,
  };
}

/** A text message with a code. */
export function codeMessage(language: Language, server: string, code: string): string {
  return filled(CODES[language], { server, code });
}
