// What the pages of this server say, in our languages.
import type { Language } from "../accounts/languages.js";

interface PageTexts {
  readonly confirmTitle: string;
  readonly confirmText: string;
  readonly confirm: string;
  readonly confirmedTitle: string;
  readonly confirmedText: string;
  readonly goOn: string;
  readonly failedTitle: string;
  readonly failedText: string;
  readonly termsTitle: string;
  readonly termsText: string;
  readonly accept: string;
  readonly tokenTitle: string;
  readonly token: string;
  readonly submit: string;
  readonly emailTitle: string;
  readonly email: string;
  readonly sendLink: string;
  readonly linkSent: string;
  readonly linkNotOpened: string;
  readonly captchaTitle: string;
  readonly doneTitle: string;
  readonly doneText: string;
  readonly loginTitle: string;
  readonly user: string;
  readonly password: string;
  readonly loginFailed: string;
  readonly unsubscribeTitle: string;
  readonly unsubscribeText: string;
  readonly unsubscribe: string;
  readonly unsubscribedTitle: string;
  readonly unsubscribedText: string;
  readonly unsubscribeFailed: string;
}

export const PAGE_TEXTS: Readonly<Record<Language, PageTexts>> = {
  en: {
    confirmTitle: "Confirm your e-mail address",
    confirmText: "Confirm only if you asked for this yourself.",
    confirm: "Confirm",
    confirmedTitle: "The address is confirmed",
    confirmedText: "You can close this page and go on in your client.",
    goOn: "Go on",
    failedTitle: "This did not work",
    failedText: "The link was used, has expired, or is not complete. Ask for a new one in your client.",
    termsTitle: "Terms",
    termsText: "To open an account, accept:",
    accept: "I accept",
    tokenTitle: "Registration token",
    token: "Token",
    submit: "Submit",
    emailTitle: "E-mail address",
    email: "Your e-mail address",
    sendLink: "Send the link",
    linkSent: "We have sent you a link. Open it, and then go on here.",
    linkNotOpened: "The link has not been opened yet.",
    captchaTitle: "Are you a person?",
    doneTitle: "Done",
    doneText: "You can close this page and go on in your client.",
    loginTitle: "Log in",
    user: "User name",
    password: "Password",
    loginFailed: "The user name or the password is wrong.",
    unsubscribeTitle: "Stop mails about unread messages",
    unsubscribeText: "You will get no more mails about unread messages. Your client can switch them on again.",
    unsubscribe: "Stop them",
    unsubscribedTitle: "There will be no more mails",
    unsubscribedText: "You can switch them on again in your client.",
    unsubscribeFailed: "The link is not complete. You can switch the mails off in your client.",
  },
  es: {
    confirmTitle: "Confirma tu correo electrónico",
    confirmText: "Confirma solo si lo has pedido tú.",
    confirm: "Confirmar",
    confirmedTitle: "La dirección está confirmada",
    confirmedText: "Puedes cerrar esta página y seguir en tu cliente.",
    goOn: "Seguir",
    failedTitle: "No ha funcionado",
    failedText: "El enlace ya se usó, ha caducado o no está completo. Pide uno nuevo en tu cliente.",
    termsTitle: "Condiciones",
    termsText: "Para abrir una cuenta, acepta:",
    accept: "Acepto",
    tokenTitle: "Código de registro",
    token: "Código",
    submit: "Enviar",
    emailTitle: "Correo electrónico",
    email: "Tu correo electrónico",
    sendLink: "Enviar el enlace",
    linkSent: "Te hemos enviado un enlace. Ábrelo y después sigue aquí.",
    linkNotOpened: "El enlace aún no se ha abierto.",
    captchaTitle: "¿Eres una persona?",
    doneTitle: "Listo",
    doneText: "Puedes cerrar esta página y seguir en tu cliente.",
    loginTitle: "Iniciar sesión",
    user: "Nombre de usuario",
    password: "Contraseña",
    loginFailed: "El nombre de usuario o la contraseña no son correctos.",
    unsubscribeTitle: "No recibir correos sobre mensajes no leídos",
    unsubscribeText: "No recibirás más correos sobre mensajes no leídos. Puedes volver a activarlos en tu cliente.",
    unsubscribe: "No recibir más",
    unsubscribedTitle: "No habrá más correos",
    unsubscribedText: "Puedes volver a activarlos en tu cliente.",
    unsubscribeFailed: "El enlace no está completo. Puedes desactivar los correos en tu cliente.",
  },
  pt: {
    confirmTitle: "Confirme o seu e-mail",
    confirmText: "Confirme somente se foi você quem pediu.",
    confirm: "Confirmar",
    confirmedTitle: "O endereço está confirmado",
    confirmedText: "Você pode fechar esta página e continuar no seu cliente.",
    goOn: "Continuar",
    failedTitle: "Não funcionou",
    failedText: "O link já foi usado, expirou ou não está completo. Peça um novo no seu cliente.",
    termsTitle: "Termos",
    termsText: "Para abrir uma conta, aceite:",
    accept: "Aceito",
    tokenTitle: "Código de registro",
    token: "Código",
    submit: "Enviar",
    emailTitle: "E-mail",
    email: "O seu e-mail",
    sendLink: "Enviar o link",
    linkSent: "Enviamos um link a você. Abra-o e depois continue aqui.",
    linkNotOpened: "O link ainda não foi aberto.",
    captchaTitle: "Você é uma pessoa?",
    doneTitle: "Pronto",
    doneText: "Você pode fechar esta página e continuar no seu cliente.",
    loginTitle: "Entrar",
    user: "Nome de usuário",
    password: "Senha",
    loginFailed: "O nome de usuário ou a senha não estão corretos.",
    unsubscribeTitle: "Não receber e-mails sobre mensagens não lidas",
    unsubscribeText: "Você não receberá mais e-mails sobre mensagens não lidas. Pode ativá-los de novo no seu cliente.",
    unsubscribe: "Não receber mais",
    unsubscribedTitle: "Não haverá mais e-mails",
    unsubscribedText: "Você pode ativá-los de novo no seu cliente.",
    unsubscribeFailed: "O link não está completo. Você pode desativar os e-mails no seu cliente.",
  },
};
