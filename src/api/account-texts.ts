// What the pages of accounts say, in our languages.
import type { Language } from "../accounts/languages.js";

export interface AccountTexts {
  readonly failedTitle: string;
  readonly loginTitle: string;
  readonly loginFailed: string;
  readonly loginWith: string;
  readonly user: string;
  readonly password: string;
  readonly noAccount: string;
  readonly signUpTitle: string;
  readonly signUp: string;
  readonly token: string;
  readonly accept: string;
  readonly consentTitle: string;
  readonly consentText: string;
  readonly consentFrom: string;
  readonly consentTo: string;
  readonly terms: string;
  readonly policy: string;
  readonly allow: string;
  readonly deny: string;
  readonly linkTitle: string;
  readonly linkText: string;
  readonly code: string;
  readonly goOn: string;
  readonly codeUnknown: string;
  readonly linkedTitle: string;
  readonly refusedTitle: string;
  readonly closePage: string;
  readonly accountTitle: string;
  readonly loggedInAs: string;
  readonly displayname: string;
  readonly save: string;
  readonly saved: string;
  readonly devices: string;
  readonly device: string;
  readonly noDevice: string;
  readonly lastSeen: string;
  readonly endDevice: string;
  readonly endDeviceText: string;
  readonly newPassword: string;
  readonly changePassword: string;
  readonly changePasswordText: string;
  readonly deactivate: string;
  readonly deactivateText: string;
  readonly erase: string;
  readonly confirmUser: string;
  readonly endedTitle: string;
  readonly resetTitle: string;
  readonly resetText: string;
  readonly resetStart: string;
  readonly confirm: string;
  readonly confirmedTitle: string;
  readonly goBackToApp: string;
  readonly avatar: string;
  readonly chooseAvatar: string;
  readonly removeAvatar: string;
  readonly avatarFailed: string;
  readonly addresses: string;
  readonly noAddresses: string;
  readonly mailAddress: string;
  readonly addAddress: string;
  readonly remove: string;
  readonly confirmAddress: string;
  readonly mailSent: string;
  readonly notConfirmed: string;
  readonly logOut: string;
  readonly back: string;
}

export const ACCOUNT_TEXTS: Readonly<Record<Language, AccountTexts>> = {
  en: {
    failedTitle: "This did not work",
    loginTitle: "Log in",
    loginFailed: "The user name or the password is wrong.",
    loginWith: "Log in with",
    user: "User name",
    password: "Password",
    noAccount: "Open an account",
    signUpTitle: "Open an account",
    signUp: "Open the account",
    token: "Registration token",
    accept: "I accept:",
    consentTitle: "Let this app in?",
    consentText: "It will be able to read and write all your messages as",
    consentFrom: "The app is from",
    consentTo: "You will go on at",
    terms: "Terms of the app",
    policy: "Privacy policy of the app",
    allow: "Let it in",
    deny: "Do not",
    linkTitle: "Connect a device",
    linkText: "Type the code that the device shows. Do this only if you have the device before you.",
    code: "Code",
    goOn: "Go on",
    codeUnknown: "This code is not known, has expired, or was used.",
    linkedTitle: "The device is connected",
    refusedTitle: "The device was not let in",
    closePage: "You can close this page.",
    accountTitle: "Your account",
    loggedInAs: "You are logged in as",
    displayname: "Name that others see",
    save: "Save",
    saved: "Saved.",
    devices: "Your devices",
    device: "Device",
    noDevice: "You have no device of this id.",
    lastSeen: "Last used",
    endDevice: "Log it out",
    endDeviceText: "This device will be logged out and loses what it has not sent or backed up.",
    newPassword: "New password",
    changePassword: "Change the password",
    changePasswordText: "All devices will be logged out.",
    deactivate: "End the account",
    deactivateText: "The account ends for good: all devices are logged out, all rooms left, and nobody can have the name again.",
    erase: "Hide my messages from those who join later",
    confirmUser: "Type your whole user id to confirm",
    endedTitle: "The account has ended",
    resetTitle: "Reset your encryption identity?",
    resetText: "Those you talk with will be told that your identity changed, and you may lose old messages. Confirm only if you asked for this in your app.",
    resetStart: "Begin in your app: it leads you here.",
    confirm: "Confirm",
    confirmedTitle: "Confirmed",
    goBackToApp: "Go on in your app.",
    avatar: "Your picture",
    chooseAvatar: "A new picture",
    removeAvatar: "Remove the picture",
    avatarFailed: "This picture could not be saved.",
    addresses: "Your addresses",
    noAddresses: "You have no addresses.",
    mailAddress: "Mail address",
    addAddress: "Add the address",
    remove: "Remove",
    confirmAddress: "Confirm the address",
    mailSent: "A mail is on its way to this address. Open the link in it, confirm there, and then go on here.",
    notConfirmed: "The address has not been confirmed yet.",
    logOut: "Log out of this page",
    back: "Back to your account",
  },
  es: {
    failedTitle: "No ha funcionado",
    loginTitle: "Iniciar sesión",
    loginFailed: "El nombre de usuario o la contraseña no son correctos.",
    loginWith: "Iniciar sesión con",
    user: "Nombre de usuario",
    password: "Contraseña",
    noAccount: "Abrir una cuenta",
    signUpTitle: "Abrir una cuenta",
    signUp: "Abrir la cuenta",
    token: "Código de registro",
    accept: "Acepto:",
    consentTitle: "¿Permitir el acceso a esta aplicación?",
    consentText: "Podrá leer y escribir todos tus mensajes como",
    consentFrom: "La aplicación es de",
    consentTo: "Seguirás en",
    terms: "Condiciones de la aplicación",
    policy: "Política de privacidad de la aplicación",
    allow: "Permitir",
    deny: "No permitir",
    linkTitle: "Conectar un dispositivo",
    linkText: "Escribe el código que muestra el dispositivo. Hazlo solo si tienes el dispositivo delante.",
    code: "Código",
    goOn: "Seguir",
    codeUnknown: "Este código no se conoce, ha caducado o ya se usó.",
    linkedTitle: "El dispositivo está conectado",
    refusedTitle: "No se ha permitido el acceso",
    closePage: "Puedes cerrar esta página.",
    accountTitle: "Tu cuenta",
    loggedInAs: "Has iniciado sesión como",
    displayname: "Nombre que ven los demás",
    save: "Guardar",
    saved: "Guardado.",
    devices: "Tus dispositivos",
    device: "Dispositivo",
    noDevice: "No tienes ningún dispositivo con este identificador.",
    lastSeen: "Último uso",
    endDevice: "Cerrar su sesión",
    endDeviceText: "Se cerrará la sesión de este dispositivo y perderá lo que no haya enviado o guardado.",
    newPassword: "Contraseña nueva",
    changePassword: "Cambiar la contraseña",
    changePasswordText: "Se cerrará la sesión de todos los dispositivos.",
    deactivate: "Cerrar la cuenta",
    deactivateText: "La cuenta se cierra para siempre: se cierran todas las sesiones, se abandonan todas las salas y nadie podrá volver a usar el nombre.",
    erase: "Ocultar mis mensajes a quienes entren después",
    confirmUser: "Escribe tu identificador completo para confirmar",
    endedTitle: "La cuenta está cerrada",
    resetTitle: "¿Restablecer tu identidad de cifrado?",
    resetText: "Se avisará a tus contactos de que tu identidad ha cambiado, y puedes perder mensajes antiguos. Confirma solo si lo has pedido tú en tu aplicación.",
    resetStart: "Empieza en tu aplicación: ella te trae aquí.",
    confirm: "Confirmar",
    confirmedTitle: "Confirmado",
    goBackToApp: "Sigue en tu aplicación.",
    avatar: "Tu imagen",
    chooseAvatar: "Una imagen nueva",
    removeAvatar: "Quitar la imagen",
    avatarFailed: "No se ha podido guardar esta imagen.",
    addresses: "Tus direcciones",
    noAddresses: "No tienes ninguna dirección.",
    mailAddress: "Dirección de correo",
    addAddress: "Añadir la dirección",
    remove: "Quitar",
    confirmAddress: "Confirma la dirección",
    mailSent: "Hemos enviado un correo a esta dirección. Abre el enlace que contiene, confirma allí y sigue después aquí.",
    notConfirmed: "La dirección todavía no está confirmada.",
    logOut: "Cerrar sesión en esta página",
    back: "Volver a tu cuenta",
  },
  pt: {
    failedTitle: "Não funcionou",
    loginTitle: "Entrar",
    loginFailed: "O nome de usuário ou a senha não estão corretos.",
    loginWith: "Entrar com",
    user: "Nome de usuário",
    password: "Senha",
    noAccount: "Abrir uma conta",
    signUpTitle: "Abrir uma conta",
    signUp: "Abrir a conta",
    token: "Código de registro",
    accept: "Aceito:",
    consentTitle: "Permitir o acesso a este aplicativo?",
    consentText: "Ele poderá ler e escrever todas as suas mensagens como",
    consentFrom: "O aplicativo é de",
    consentTo: "Você continuará em",
    terms: "Termos do aplicativo",
    policy: "Política de privacidade do aplicativo",
    allow: "Permitir",
    deny: "Não permitir",
    linkTitle: "Conectar um dispositivo",
    linkText: "Digite o código que o dispositivo mostra. Faça isso somente se o dispositivo estiver à sua frente.",
    code: "Código",
    goOn: "Continuar",
    codeUnknown: "Este código não é conhecido, expirou ou já foi usado.",
    linkedTitle: "O dispositivo está conectado",
    refusedTitle: "O acesso não foi permitido",
    closePage: "Você pode fechar esta página.",
    accountTitle: "A sua conta",
    loggedInAs: "Você entrou como",
    displayname: "Nome que os outros veem",
    save: "Salvar",
    saved: "Salvo.",
    devices: "Os seus dispositivos",
    device: "Dispositivo",
    noDevice: "Você não tem nenhum dispositivo com este identificador.",
    lastSeen: "Último uso",
    endDevice: "Encerrar a sessão",
    endDeviceText: "A sessão deste dispositivo será encerrada e ele perderá o que não enviou ou guardou.",
    newPassword: "Nova senha",
    changePassword: "Mudar a senha",
    changePasswordText: "A sessão de todos os dispositivos será encerrada.",
    deactivate: "Encerrar a conta",
    deactivateText: "A conta será encerrada para sempre: todas as sessões serão encerradas, todas as salas abandonadas, e ninguém poderá usar o nome outra vez.",
    erase: "Ocultar as minhas mensagens de quem entrar depois",
    confirmUser: "Digite o seu identificador completo para confirmar",
    endedTitle: "A conta está encerrada",
    resetTitle: "Redefinir a sua identidade de criptografia?",
    resetText: "Os seus contatos serão avisados de que a sua identidade mudou, e você pode perder mensagens antigas. Confirme somente se você pediu isso no seu aplicativo.",
    resetStart: "Comece no seu aplicativo: ele traz você até aqui.",
    confirm: "Confirmar",
    confirmedTitle: "Confirmado",
    goBackToApp: "Continue no seu aplicativo.",
    avatar: "A sua imagem",
    chooseAvatar: "Uma imagem nova",
    removeAvatar: "Remover a imagem",
    avatarFailed: "Não foi possível guardar esta imagem.",
    addresses: "Os seus endereços",
    noAddresses: "Não tem endereços.",
    mailAddress: "Endereço de e-mail",
    addAddress: "Adicionar o endereço",
    remove: "Remover",
    confirmAddress: "Confirme o endereço",
    mailSent: "Um e-mail foi enviado para este endereço. Abra o link que está nele, confirme lá e depois continue aqui.",
    notConfirmed: "O endereço ainda não foi confirmado.",
    logOut: "Sair desta página",
    back: "Voltar à sua conta",
  },
};
