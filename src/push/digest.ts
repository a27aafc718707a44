// The mail that tells what a user has not read, in our languages.
import { htmlText } from "../accounts/html.js";
import type { Language } from "../accounts/languages.js";
import type { Mail } from "../accounts/messages.js";

/** A room with what is unread in it. */
export interface DigestRoom {
  readonly name: string;
  readonly messages: readonly { readonly sender: string; readonly text: string | undefined }[];
}

interface Wording {
  readonly subjectOne: string;
  readonly subjectMany: string;
  readonly greeting: string;
  readonly message: string;
  readonly unsubscribe: string;
}

const WORDINGS: Readonly<Record<Language, Wording>> = {
  en: {
    subjectOne: "New messages in {room} on {server}",
    subjectMany: "New messages in {count} rooms on {server}",
    greeting: "You have not read these messages yet, {user}:",
    message: "(a message)",
    unsubscribe: "Stop these mails",
  },
  es: {
    subjectOne: "Mensajes nuevos en {room} en {server}",
    subjectMany: "Mensajes nuevos en {count} salas en {server}",
    greeting: "Aún no has leído estos mensajes, {user}:",
    message: "(un mensaje)",
    unsubscribe: "No recibir más estos correos",
  },
  pt: {
    subjectOne: "Novas mensagens em {room} em {server}",
    subjectMany: "Novas mensagens em {count} salas em {server}",
    greeting: "Você ainda não leu estas mensagens, {user}:",
    message: "(uma mensagem)",
    unsubscribe: "Não receber mais estes e-mails",
  },
};

function filled(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
}

/** The mail about these rooms. What comes from users is text in it and never becomes anything else. */
export function digestMail(
  language: Language,
  about: { readonly server: string; readonly user: string; readonly rooms: readonly DigestRoom[]; readonly unsubscribe: string },
): Mail {
  const words = WORDINGS[language];
  const { server, user, rooms, unsubscribe } = about;
  const [first] = rooms;
  // A subject is one line.
  const room = (first?.name ?? "").replace(/\s+/g, " ");
  const subject = filled(rooms.length === 1 ? words.subjectOne : words.subjectMany, { server, room, count: String(rooms.length) });
  const greeting = filled(words.greeting, { user });
  const lines = (messages: DigestRoom["messages"]): string[] => messages.map(({ sender, text }) => `${sender}: ${text ?? words.message}`);
  const text = [
    greeting,
    ...rooms.map(({ name, messages }) => [name, ...lines(messages).map((line) => `  ${line}`)].join("\n")),
    `${words.unsubscribe}: ${unsubscribe}`,
  ].join("\n\n");
  const html = rooms.map(({ name, messages }) => {
    const shown = lines(messages).map((line) => `<p style="margin:0 0 6px;white-space:pre-wrap">${htmlText(line)}</p>`);
    return `<h2 style="font-size:16px;margin:20px 0 8px">${htmlText(name)}</h2>${shown.join("")}`;
  });
  return {
    subject,
    text: `${text}\n`,
    html:
      `<!doctype html><html lang="${language}"><body style="font:16px/1.5 sans-serif;color:#1c1917;max-width:34em;margin:24px auto">` +
      `<p>${htmlText(greeting)}</p>${html.join("")}` +
      `<p style="margin-top:32px;font-size:13px"><a href="${htmlText(unsubscribe)}">${htmlText(words.unsubscribe)}</a></p></body></html>`,
  };
}
