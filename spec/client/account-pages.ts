// Pages in which users log in, let clients in and manage their accounts (client-server API, "OAuth 2.0 API",
// "Account management", "Client login via SSO"). They carry cookies; each form carries what only its page knows.
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";

/** A page. */
const Page = Type.Unknown();
const Text = Type.Optional(Type.String({ maxLength: 4096 }));
const headers = Type.Object({ cookie: Type.Optional(Type.String({ maxLength: 16_384 })) });

const Authorisation = {
  response_type: Text,
  response_mode: Text,
  client_id: Text,
  redirect_uri: Text,
  scope: Text,
  state: Text,
  code_challenge: Text,
  code_challenge_method: Text,
  nonce: Text,
  prompt: Text,
};

export const showAuthorisation = operation({
  operationId: "showAuthorisation",
  method: "GET",
  paths: ["/_hansa/oauth/authorize"],
  auth: "none",
  limit: "lookup",
  summary: "Asks the user whether a client may be let in.",
  headers,
  query: Type.Object(Authorisation),
  response: Page,
});

export const decideAuthorisation = operation({
  operationId: "decideAuthorisation",
  method: "POST",
  paths: ["/_hansa/oauth/authorize"],
  auth: "none",
  limit: "lookup",
  summary: "Lets the client in, or not.",
  headers,
  body: Type.Object({ ...Authorisation, csrf: Text, decision: Text }),
  form: true,
  response: Page,
});

export const showDeviceLink = operation({
  operationId: "showDeviceLink",
  method: "GET",
  paths: ["/_hansa/account/link"],
  auth: "none",
  limit: "lookup",
  summary: "Where the code is typed that a client without browser shows.",
  headers,
  query: Type.Object({ user_code: Text }),
  response: Page,
});

export const decideDeviceLink = operation({
  operationId: "decideDeviceLink",
  method: "POST",
  paths: ["/_hansa/account/link"],
  auth: "none",
  limit: "login",
  summary: "Lets that client in, or not.",
  headers,
  body: Type.Object({ csrf: Text, user_code: Text, decision: Text }),
  form: true,
  response: Page,
});

export const showAccountLogin = operation({
  operationId: "showAccountLogin",
  method: "GET",
  paths: ["/_hansa/account/login"],
  auth: "none",
  limit: "lookup",
  summary: "The login of the pages.",
  headers,
  query: Type.Object({ next: Text }),
  response: Page,
});

export const logIntoAccount = operation({
  operationId: "logIntoAccount",
  method: "POST",
  paths: ["/_hansa/account/login"],
  auth: "none",
  limit: "login",
  summary: "Logs a user in to the pages.",
  headers,
  body: Type.Object({ csrf: Text, next: Text, user: Text, password: Text }),
  form: true,
  response: Page,
});

export const showAccountRegistration = operation({
  operationId: "showAccountRegistration",
  method: "GET",
  paths: ["/_hansa/account/register"],
  auth: "none",
  limit: "lookup",
  summary: "A page to open an account with.",
  headers,
  query: Type.Object({ next: Text }),
  response: Page,
});

export const registerAccount = operation({
  operationId: "registerAccount",
  method: "POST",
  paths: ["/_hansa/account/register"],
  auth: "none",
  limit: "registration",
  summary: "Opens an account, and logs its user in to the pages.",
  headers,
  body: Type.Object({ csrf: Text, next: Text, user: Text, password: Text, token: Text, terms: Text }),
  form: true,
  response: Page,
});

export const showAccount = operation({
  operationId: "showAccount",
  method: "GET",
  paths: ["/_hansa/account"],
  auth: "none",
  limit: "lookup",
  summary: "The account management page, for what `action` says.",
  headers,
  query: Type.Object({ action: Text, device_id: Text, session: Text }),
  response: Page,
});

export const changeAccount = operation({
  operationId: "changeAccount",
  method: "POST",
  paths: ["/_hansa/account"],
  auth: "none",
  limit: "login",
  summary: "What the forms of that page do.",
  headers,
  body: Type.Object({ csrf: Text, action: Text, device_id: Text, session: Text, displayname: Text, password: Text, new_password: Text, erase: Text }),
  form: true,
  response: Page,
});

const Sso = Type.Object({ redirectUrl: Type.String({ maxLength: 4096 }), action: Text });

export const redirectToSSO = operation({
  operationId: "redirectToSSO",
  method: "GET",
  paths: clientPaths("/login/sso/redirect"),
  auth: "none",
  limit: "lookup",
  summary: "Logs a user in to the pages, and asks whether the client at that address may be let in.",
  headers,
  query: Sso,
  response: Page,
});

export const redirectToIdP = operation({
  operationId: "redirectToIdP",
  method: "GET",
  paths: clientPaths("/login/sso/redirect/{idpId}"),
  auth: "none",
  limit: "lookup",
  summary: "The same, by the identity provider of this id where the user has to log in.",
  headers,
  params: Type.Object({ idpId: Type.String({ maxLength: 255 }) }),
  query: Sso,
  response: Page,
});

export const beginProviderLogin = operation({
  operationId: "beginProviderLogin",
  method: "GET",
  paths: ["/_hansa/account/sso/{idpId}"],
  auth: "none",
  limit: "login",
  summary: "Sends the browser to an identity provider.",
  headers,
  params: Type.Object({ idpId: Type.String({ maxLength: 255 }) }),
  query: Type.Object({ next: Text }),
  response: Page,
});

export const endProviderLogin = operation({
  operationId: "endProviderLogin",
  method: "GET",
  paths: ["/_hansa/account/sso/{idpId}/callback"],
  auth: "none",
  limit: "login",
  summary: "Where the identity provider sends it back.",
  headers,
  params: Type.Object({ idpId: Type.String({ maxLength: 255 }) }),
  query: Type.Object({ code: Text, state: Text, iss: Text, error: Text, error_description: Text, session_state: Text }),
  response: Page,
});

const Saml = Type.Optional(Type.String({ maxLength: 524_288 }));

export const getProviderMetadata = operation({
  operationId: "getProviderMetadata",
  method: "GET",
  paths: ["/_hansa/account/sso/{idpId}/metadata"],
  auth: "none",
  limit: "lookup",
  summary: "What an identity provider that speaks SAML 2.0 has to know of this server (metadata of a service provider).",
  params: Type.Object({ idpId: Type.String({ maxLength: 255 }) }),
  response: Page,
});

export const answerProviderLogin = operation({
  operationId: "answerProviderLogin",
  method: "POST",
  paths: ["/_hansa/account/sso/{idpId}/acs"],
  auth: "none",
  limit: "login",
  summary: "Where an identity provider that speaks SAML 2.0 sends its answers (assertion consumer service).",
  headers,
  params: Type.Object({ idpId: Type.String({ maxLength: 255 }) }),
  body: Type.Object({ SAMLResponse: Saml, RelayState: Text }),
  form: true,
  response: Page,
});

export const showProviderLogout = operation({
  operationId: "showProviderLogout",
  method: "GET",
  paths: ["/_hansa/account/sso/{idpId}/slo"],
  auth: "none",
  limit: "login",
  summary: "Ends what came about through a session at an identity provider, when that ends (SAML 2.0 single logout), and takes its answers.",
  headers,
  params: Type.Object({ idpId: Type.String({ maxLength: 255 }) }),
  query: Type.Object({ SAMLRequest: Saml, SAMLResponse: Saml, RelayState: Text, SigAlg: Text, Signature: Text }),
  response: Page,
});

export const postProviderLogout = operation({
  operationId: "postProviderLogout",
  method: "POST",
  paths: ["/_hansa/account/sso/{idpId}/slo"],
  auth: "none",
  limit: "login",
  summary: "The same by the HTTP-POST binding.",
  headers,
  params: Type.Object({ idpId: Type.String({ maxLength: 255 }) }),
  body: Type.Object({ SAMLRequest: Saml, SAMLResponse: Saml, RelayState: Text }),
  form: true,
  response: Page,
});

export const logOutByProvider = operation({
  operationId: "logOutByProvider",
  method: "POST",
  paths: ["/_hansa/account/sso/{idpId}/logout"],
  auth: "none",
  limit: "login",
  summary: "Ends what came about through a session at an identity provider, when that ends (OpenID Connect Back-Channel Logout).",
  params: Type.Object({ idpId: Type.String({ maxLength: 255 }) }),
  body: Type.Object({ logout_token: Type.Optional(Type.String({ maxLength: 16_384 })) }),
  form: true,
  response: Type.Object({}),
});

export const decideSSO = operation({
  operationId: "decideSSO",
  method: "POST",
  paths: clientPaths("/login/sso/redirect"),
  auth: "none",
  limit: "login",
  summary: "Lets the client in with a login token.",
  headers,
  body: Type.Object({ csrf: Text, redirectUrl: Text, decision: Text }),
  form: true,
  response: Page,
});
