// Pages in which users log in, let clients in and manage their accounts (client-server API, "OAuth 2.0 API",
// "Account management", "Client login via SSO").
import type * as spec from "../../../spec/client/account-pages.js";
import { changePassword, deactivate, requireOwnPassword } from "../../accounts/account.js";
import { completeStage, requireSession } from "../../accounts/interactive-authentication.js";
import { checkPassword, logInWithPassword, namedUser, passwordsAccepted } from "../../accounts/password-login.js";
import { changeProfileField, getProfile } from "../../accounts/profiles.js";
import { create, requireAvailableToAll } from "../../accounts/registration.js";
import { endSessions } from "../../accounts/sessions.js";
import { giveLoginToken } from "../../accounts/user-tokens.js";
import { requireUserFree } from "../../appservice/acting.js";
import { forbidden, invalidParam, MatrixError, missingParam, notFound } from "../../errors.js";
import { PATHS, publicAddress } from "../../oauth/addresses.js";
import { type AuthorisationParameters, type AuthorisationRequest, callback, checkAuthorisation, grantAuthorisation } from "../../oauth/authorisation.js";
import { type BrowserUser, logBrowserIn, logBrowserOut, requireOwnForm } from "../../oauth/browser-sessions.js";
import { type Client, clientHost, clientName, clientText } from "../../oauth/clients.js";
import { decideTypedCode, typedCode } from "../../oauth/device-authorisation.js";
import { endExternal } from "../../oauth/external-sessions.js";
import { OauthError } from "../../oauth/oauth-error.js";
import type { SamlProvider } from "../../oauth/saml.js";
import { parseDeviceId, serverNameOf } from "../../protocol/identifiers.js";
import { findAccount } from "../../storage/accounts.js";
import { type Device, findDevice, listDevices } from "../../storage/devices.js";
import { findExternalSession } from "../../storage/external-identities.js";
import { type Handler, Reply } from "../handler.js";
import { html, type Html } from "../page.js";
import type { Services } from "../services.js";
import { AVATAR_SCRIPT, avatarForm, requireUnsuspended } from "./account-details.js";
import { canRegister, formTarget, go, hidden, nextPage, onPage, passwordField, type Place, proofField, requireProof, show, through } from "./browser-page.js";

/** What clients may send users to the account page for, under all names that they know. */
export const ACTIONS: readonly string[] = [
  "org.matrix.profile",
  "org.matrix.devices_list",
  "org.matrix.device_view",
  "org.matrix.device_delete",
  "org.matrix.account_deactivate",
  "org.matrix.cross_signing_reset",
  "org.matrix.sessions_list",
  "org.matrix.session_view",
  "org.matrix.session_end",
];

const SSO_PATH = "/_matrix/client/v3/login/sso/redirect";

/** Whether a client may be sent an answer at an address: none that a browser would run or read from this machine. */
function requireCallback(address: string | undefined): string {
  if (address !== undefined && URL.canParse(address) && !/^(?:javascript|data|vbscript|blob|file|about):/i.test(new URL(address).protocol)) return address;
  throw invalidParam('"redirectUrl" is no address that a client can have.');
}

// Letting clients in

/** The buttons of a decision. */
const decision = ({ texts }: Place): Html =>
  html`<p><button name="decision" value="allow">${texts.allow}</button> <button class="second" name="decision" value="deny">${texts.deny}</button></p>`;

function describe({ texts, language }: Place, client: Client, user: BrowserUser): Html {
  const links = (["tos_uri", "policy_uri"] as const).flatMap((name) => {
    const uri = clientText(client, name, language);
    return uri === undefined ? [] : [html`<li><a href="${uri}" target="_blank" rel="noopener">${name === "tos_uri" ? texts.terms : texts.policy}</a></li>`];
  });
  return html`<p><strong>${clientName(client, language)}</strong></p><p>${texts.consentFrom} ${clientHost(client)}.</p>
    <p>${texts.consentText} <strong>${user.user_id}</strong>.</p><ul>${links}</ul>`;
}

function consent(place: Place, request: AuthorisationRequest, given: AuthorisationParameters, user: BrowserUser): Reply {
  const { texts, base } = place;
  const target = formTarget(request.redirect_uri);
  const content = html`${describe(place, request.client, user)}<p>${texts.consentTo} ${target}.</p>
    <form method="post" action="${base}${PATHS.authorize}">${hidden(place, { ...given })}${decision(place)}</form>`;
  return show(place, { title: texts.consentTitle, content, targets: [target] });
}

export const showAuthorisation: Handler<typeof spec.showAuthorisation> = (services, request) =>
  onPage(services, request, async (place) => {
    const { query } = request;
    const asked = await checkAuthorisation(services, query);
    if ("refused" in asked) return go(place, asked.refused);
    const { user } = place.visitor;
    if (user !== undefined && query.prompt !== "create") return consent(place, asked, query, user);
    const { prompt, ...rest } = query;
    const way = prompt === "create" && canRegister(services.config, place.server) ? "signUp" : "login";
    return through(place, way, PATHS.authorize, rest);
  });

export const decideAuthorisation: Handler<typeof spec.decideAuthorisation> = (services, request) =>
  onPage(services, request, async (place) => {
    const { csrf, decision: decided, ...given } = request.body;
    requireOwnForm(place.visitor, csrf);
    const asked = await checkAuthorisation(services, given);
    if ("refused" in asked) return go(place, asked.refused);
    const { user } = place.visitor;
    if (user === undefined) return through(place, "login", PATHS.authorize, given);
    if (decided !== "allow") return go(place, callback(asked, { error: "access_denied", error_description: "The user has refused." }));
    return go(place, await grantAuthorisation(services, asked, user));
  });

export const showDeviceLink: Handler<typeof spec.showDeviceLink> = (services, request) =>
  onPage(services, request, async (place) => {
    const { user_code } = request.query;
    const { visitor, texts, base } = place;
    if (visitor.user === undefined) return through(place, "login", PATHS.link, request.query);
    const found = user_code === undefined ? undefined : await typedCode(services, user_code);
    if (found !== undefined) {
      const content = html`${describe(place, found.client, visitor.user)}<p>${texts.code}: <strong>${user_code ?? ""}</strong></p><p>${texts.linkText}</p>
        <form method="post" action="${base}${PATHS.link}">${hidden(place, { user_code })}${decision(place)}</form>`;
      return show(place, { title: texts.consentTitle, content });
    }
    const failed = user_code === undefined ? [] : [html`<p role="alert">${texts.codeUnknown}</p>`];
    const content = html`${failed}<p>${texts.linkText}</p><form method="get" action="${base}${PATHS.link}">
      <label>${texts.code} <input name="user_code" autocomplete="off" autocapitalize="characters" required></label><button>${texts.goOn}</button></form>`;
    return show(place, { title: texts.linkTitle, content, status: failed.length > 0 ? 404 : 200 });
  });

export const decideDeviceLink: Handler<typeof spec.decideDeviceLink> = (services, request) =>
  onPage(services, request, async (place) => {
    const { csrf, user_code = "", decision: decided } = request.body;
    const { visitor, texts } = place;
    requireOwnForm(visitor, csrf);
    if (visitor.user === undefined) return through(place, "login", PATHS.link, { user_code });
    const allowed = decided === "allow";
    if (!(await decideTypedCode(services, user_code, allowed, visitor.user))) throw notFound(texts.codeUnknown);
    return show(place, { title: allowed ? texts.linkedTitle : texts.refusedTitle, content: html`<p>${texts.closePage}</p>` });
  });

/** Asks whether a client of the older API may be let in. */
function ssoConsent(place: Place, user: BrowserUser, redirectUrl: string): Reply {
  const { texts, base } = place;
  const target = formTarget(redirectUrl);
  const content = html`<p>${texts.consentText} <strong>${user.user_id}</strong>.</p><p>${texts.consentTo} <strong>${target}</strong>.</p>
      <form method="post" action="${base}${SSO_PATH}">${hidden(place, { redirectUrl })}${decision(place)}</form>
      <form method="post" action="${base}${PATHS.account}">${hidden(place, { action: "log_out" })}<button class="second">${texts.logOut}</button></form>`;
  return show(place, { title: texts.consentTitle, content, targets: [target] });
}

/** A redirection with the status that the specification names. */
const asFound = ({ body, headers }: Reply): Reply => new Reply(302, body, headers);

export const redirectToSSO: Handler<typeof spec.redirectToSSO> = (services, request) =>
  onPage(services, request, async (place) => {
    const { action } = request.query;
    const redirectUrl = requireCallback(request.query.redirectUrl);
    const { user } = place.visitor;
    if (user !== undefined) return ssoConsent(place, user, redirectUrl);
    const way = action === "register" && canRegister(services.config, place.server) ? "signUp" : "login";
    return asFound(through(place, way, SSO_PATH, { redirectUrl }));
  });

export const redirectToIdP: Handler<typeof spec.redirectToIdP> = (services, request) =>
  onPage(services, request, async (place) => {
    const { idpId } = request.params;
    if (services.samlProviders.find(idpId) === undefined) services.identityProviders.require(idpId);
    const redirectUrl = requireCallback(request.query.redirectUrl);
    const { user } = place.visitor;
    if (user !== undefined) return ssoConsent(place, user, redirectUrl);
    return asFound(await toProvider(place, idpId, `${SSO_PATH}?${new URLSearchParams({ redirectUrl }).toString()}`));
  });

/** Sends the browser to a provider, with a cookie by which it is known again. Throws M_NOT_FOUND. */
async function toProvider(place: Place, id: string, next: string): Promise<Reply> {
  const { base, visitor, services } = place;
  const saml = services.samlProviders.find(id);
  const location =
    saml === undefined
      ? await services.identityProviders.begin(services.identityProviders.require(id), base, visitor, next)
      : await services.samlProviders.begin(saml, base, visitor, next);
  return go(place, location, visitor.isNew ? visitor.cookie : undefined);
}

export const beginProviderLogin: Handler<typeof spec.beginProviderLogin> = (services, request) =>
  onPage(services, request, async (place) => await toProvider(place, request.params.idpId, nextPage(request.query.next)));

export const endProviderLogin: Handler<typeof spec.endProviderLogin> = (services, request) =>
  onPage(services, request, async (place) => {
    const { params, query } = request;
    const saml = services.samlProviders.find(params.idpId);
    const given = Object.fromEntries(Object.entries(query).filter(([, value]) => typeof value === "string"));
    const { account, external, next } =
      saml === undefined
        ? await services.identityProviders.finish(services.identityProviders.require(params.idpId), place, given)
        : await services.samlProviders.finish(saml, place, query.state ?? "");
    return go(place, place.base + nextPage(next), await logBrowserIn(services, account.user_nid, external));
  });

/** A provider that speaks SAML. Throws M_NOT_FOUND. */
function samlProvider(services: Services, id: string): SamlProvider {
  const provider = services.samlProviders.find(id);
  if (provider === undefined) throw notFound("This server knows no such identity provider.");
  return provider;
}

export const getProviderMetadata: Handler<typeof spec.getProviderMetadata> = async (services, { params, server }) => {
  const base = publicAddress(services.config, server);
  if (base === undefined) throw notFound("This server knows no identity providers.");
  const document = await services.samlProviders.metadata(samlProvider(services, params.idpId), base);
  return new Reply(200, Buffer.from(document), { "Content-Type": "application/samlmetadata+xml" });
};

export const answerProviderLogin: Handler<typeof spec.answerProviderLogin> = (services, request) =>
  onPage(services, request, async (place) => {
    const { SAMLResponse = "", RelayState = "" } = request.body;
    return go(place, await services.samlProviders.answer(samlProvider(services, request.params.idpId), place.base, SAMLResponse, RelayState));
  });

export const showProviderLogout: Handler<typeof spec.showProviderLogout> = (services, request) =>
  onPage(services, request, async (place) => go(place, await services.samlProviders.logOut(samlProvider(services, request.params.idpId), place.base, request.query, "redirect")));

export const postProviderLogout: Handler<typeof spec.postProviderLogout> = (services, request) =>
  onPage(services, request, async (place) => go(place, await services.samlProviders.logOut(samlProvider(services, request.params.idpId), place.base, request.body, "post")));

/**
 * Where a browser that logs out has to go to be logged out at the provider too, which ends what else came about through its
 * session there; undefined where that is not configured. Without an answer of the provider it is logged out here alone.
 */
async function logoutElsewhere({ services, base }: Place, external: number | undefined): Promise<{ readonly name: string; readonly location: string } | undefined> {
  const session = external === undefined ? undefined : await findExternalSession(services.database, external);
  if (session === undefined) return undefined;
  const saml = services.samlProviders.find(session.provider);
  const openid = services.identityProviders.all.find(({ id }) => id === session.provider);
  const provider = saml ?? openid;
  if (provider?.propagate_logout !== true) return undefined;
  const location = await (saml === undefined ? openid && services.identityProviders.logoutAddress(openid, base, session) : services.samlProviders.logoutAddress(saml, base, session))?.catch(() => undefined);
  await endExternal(services, { provider: session.provider, sid: session.sid ?? undefined, subject: session.subject });
  return location === undefined ? undefined : { name: provider.name, location };
}

export const logOutByProvider: Handler<typeof spec.logOutByProvider> = async (services, { params, body, server }) => {
  if (publicAddress(services.config, server) === undefined) throw notFound("This server knows no identity providers.");
  try {
    await services.identityProviders.logOut(services.identityProviders.require(params.idpId), body.logout_token ?? "");
  } catch (error) {
    if (!(error instanceof OauthError)) throw error;
    return new Reply(error.status, JSON.stringify({ error: error.error, error_description: error.message }), { "Cache-Control": "no-store" });
  }
  return new Reply(200, "{}", { "Cache-Control": "no-store" });
};

export const decideSSO: Handler<typeof spec.decideSSO> = (services, request) =>
  onPage(services, request, async (place) => {
    const { csrf, decision: decided } = request.body;
    requireOwnForm(place.visitor, csrf);
    const redirectUrl = requireCallback(request.body.redirectUrl);
    const { user } = place.visitor;
    if (user === undefined) return through(place, "login", SSO_PATH, { redirectUrl });
    if (decided !== "allow") return go(place, `${place.base}${PATHS.account}`);
    const { token } = await giveLoginToken(services, user.user_nid, user.external);
    const location = new URL(redirectUrl);
    location.searchParams.append("loginToken", token);
    return go(place, location.href);
  });

// Login and registration

function loginPage(place: Place, next: string, failed?: { readonly status: number; readonly text: string }): Reply {
  const { texts, base, services, server } = place;
  const alert = failed === undefined ? [] : [html`<p role="alert">${failed.text}</p>`];
  const register = canRegister(services.config, server)
    ? [html`<p><a href="${base}${PATHS.signUp}?${new URLSearchParams({ next }).toString()}">${texts.noAccount}</a></p>`]
    : [];
  const form = !passwordsAccepted(services)
    ? []
    : [
        html`<form method="post" action="${base}${PATHS.login}">${hidden(place, { next })}
    <label>${texts.user} <input name="user" autocomplete="username" autocapitalize="none" required></label>
    <label>${texts.password} <input name="password" type="password" autocomplete="current-password" required></label>
    <button>${texts.loginTitle}</button></form>`,
      ];
  const providers = [...services.identityProviders.all, ...services.samlProviders.all].map(
    ({ id, name }) => html`<p><a href="${base}${PATHS.sso}/${id}?${new URLSearchParams({ next }).toString()}">${texts.loginWith} ${name}</a></p>`,
  );
  return show(place, { status: failed?.status ?? 200, title: texts.loginTitle, content: html`${alert}${form}${providers}${register}` });
}

export const showAccountLogin: Handler<typeof spec.showAccountLogin> = (services, request) =>
  onPage(services, request, async (place) => {
    const next = nextPage(request.query.next);
    return place.visitor.user === undefined ? loginPage(place, next) : go(place, place.base + next);
  });

export const logIntoAccount: Handler<typeof spec.logIntoAccount> = (services, request) =>
  onPage(services, request, async (place) => {
    const { csrf, user = "", password = "" } = request.body;
    requireOwnForm(place.visitor, csrf);
    if (!passwordsAccepted(services)) throw forbidden("Nobody logs in with a password here.");
    const next = nextPage(request.body.next);
    const isAddress = user.includes("@") && !user.startsWith("@");
    const named = isAddress ? { medium: "email", address: user } : { user };
    try {
      const account = await logInWithPassword(services, await namedUser(services, named, place.server), password);
      if (serverNameOf(account.user_id) !== place.server) throw forbidden(place.texts.loginFailed);
      return go(place, place.base + next, await logBrowserIn(services, account.user_nid));
    } catch (error) {
      if (!(error instanceof MatrixError) || error.status >= 500) throw error;
      return loginPage(place, next, { status: error.status, text: error.errcode === "M_FORBIDDEN" ? place.texts.loginFailed : error.message });
    }
  });

function registrationPage(place: Place, next: string, failed?: { readonly status: number; readonly text: string }): Reply {
  const { texts, base, services, language } = place;
  const { require_token, terms } = services.config.registration;
  const alert = failed === undefined ? [] : [html`<p role="alert">${failed.text}</p>`];
  const token = require_token ? [html`<label>${texts.token} <input name="token" autocomplete="off" required></label>`] : [];
  const document = terms?.translations.find((translation) => translation.language === language) ?? terms;
  const accept =
    document === undefined
      ? []
      : [html`<p><label><input type="checkbox" name="terms" value="yes" required>${texts.accept}</label> <a href="${document.url}" target="_blank" rel="noopener">${document.name}</a></p>`];
  const content = html`${alert}<form method="post" action="${base}${PATHS.signUp}">${hidden(place, { next })}
    <label>${texts.user} <input name="user" autocomplete="username" autocapitalize="none" required></label>
    <label>${texts.password} <input name="password" type="password" autocomplete="new-password" required></label>${token}${accept}
    <button>${texts.signUp}</button></form>`;
  return show(place, { status: failed?.status ?? 200, title: texts.signUpTitle, content });
}

export const showAccountRegistration: Handler<typeof spec.showAccountRegistration> = (services, request) =>
  onPage(services, request, async (place) => {
    if (!canRegister(services.config, place.server)) throw forbidden("Accounts cannot be opened on this page.");
    return registrationPage(place, nextPage(request.query.next));
  });

export const registerAccount: Handler<typeof spec.registerAccount> = (services, request) =>
  onPage(services, request, async (place) => {
    const { config } = services;
    const { csrf, user = "", password = "", token, terms } = request.body;
    requireOwnForm(place.visitor, csrf);
    if (!canRegister(config, place.server)) throw forbidden("Accounts cannot be opened on this page.");
    const next = nextPage(request.body.next);
    try {
      if (config.registration.require_token && token === undefined) throw missingParam('"token" is missing.');
      if (config.registration.terms !== undefined && terms !== "yes") throw missingParam('"terms" is missing.');
      const user_id = await requireAvailableToAll(services, user, place.server);
      requireUserFree(services.appservices, user_id);
      services.passwords.requireAcceptable(password);
      await create(services, { user_id, password, is_admin: false, token: config.registration.require_token ? token : undefined });
      const account = await findAccount(services.database, user_id);
      if (account === undefined) throw notFound("The account has ended.");
      return go(place, place.base + next, await logBrowserIn(services, account.user_nid));
    } catch (error) {
      if (!(error instanceof MatrixError) || error.status >= 500) throw error;
      return registrationPage(place, next, { status: error.status, text: error.message });
    }
  });

// The account

const accountLink = ({ base }: Place, query: Readonly<Record<string, string>>): string => `${base}${PATHS.account}?${new URLSearchParams(query).toString()}`;

const backLink = (place: Place): Html => html`<p><a href="${place.base}${PATHS.account}">${place.texts.back}</a></p>`;

const accountForm = (place: Place, fields: Readonly<Record<string, string>>, content: Html): Html =>
  html`<form method="post" action="${place.base}${PATHS.account}">${hidden(place, fields)}${content}</form>`;

async function overview(place: Place, user: BrowserUser, said: readonly Html[] = []): Promise<Reply> {
  const { texts, services } = place;
  const name = (await getProfile(services, user.user_id).catch(() => undefined))?.["displayname"];
  const account = await findAccount(services.database, user.user_id);
  const password =
    typeof account?.password_hash === "string" && services.config.passwords.enabled
      ? [
          html`<h2>${texts.changePassword}</h2>`,
          accountForm(
            place,
            { action: "change_password" },
            html`<p>${texts.changePasswordText}</p>${passwordField(place)}
        <label>${texts.newPassword} <input name="new_password" type="password" autocomplete="new-password" required></label><button>${texts.changePassword}</button>`,
          ),
        ]
      : [];
  const content = html`${said}<p>${texts.loggedInAs} <strong>${user.user_id}</strong>.</p>
    ${accountForm(place, { action: "org.matrix.profile" }, html`<label>${texts.displayname} <input name="displayname" autocomplete="name" value="${typeof name === "string" ? name : ""}"></label><button>${texts.save}</button>`)}
    ${await avatarForm(place, user)}
    <p><a href="${place.base}${PATHS.addresses}">${texts.addresses}</a></p>
    <p><a href="${accountLink(place, { action: "org.matrix.devices_list" })}">${texts.devices}</a></p>
    ${password}
    <p><a href="${accountLink(place, { action: "org.matrix.account_deactivate" })}">${texts.deactivate}</a></p>
    ${accountForm(place, { action: "log_out" }, html`<button class="second">${texts.logOut}</button>`)}`;
  return show(place, { title: texts.accountTitle, content, script: AVATAR_SCRIPT });
}

function describeDevice({ texts, language }: Place, { device_id, display_name, last_seen_ts, last_seen_ip }: Device): Html {
  const seen =
    last_seen_ts === undefined ? [] : [html`<br>${texts.lastSeen}: ${new Date(last_seen_ts).toLocaleString(language, { timeZone: "UTC", timeZoneName: "short" })} ${last_seen_ip ?? ""}`];
  return html`<strong>${display_name ?? device_id}</strong><br>${device_id}${seen}`;
}

async function devicesPage(place: Place, user: BrowserUser, said: readonly Html[] = []): Promise<Reply> {
  const { texts, services } = place;
  const devices = await listDevices(services.database, user.user_nid);
  const items = devices.map((device) => html`<li><p><a href="${accountLink(place, { action: "org.matrix.device_view", device_id: device.device_id })}">${describeDevice(place, device)}</a></p></li>`);
  return show(place, { title: texts.devices, content: html`${said}<ul>${items}</ul>${backLink(place)}` });
}

async function devicePage(place: Place, user: BrowserUser, given: string | undefined): Promise<Reply> {
  const { texts, services } = place;
  const device_id = parseDeviceId(given);
  const device = device_id && (await findDevice(services.database, user.user_nid, device_id));
  if (device === undefined) throw notFound(texts.noDevice);
  const form = accountForm(place, { action: "org.matrix.device_delete", device_id: device.device_id }, html`<button>${texts.endDevice}</button>`);
  const content = html`<p>${describeDevice(place, device)}</p><p>${texts.endDeviceText}</p>${form}<p><a href="${accountLink(place, { action: "org.matrix.devices_list" })}">${texts.devices}</a></p>`;
  return show(place, { title: texts.device, content });
}

async function deactivationPage(place: Place, user: BrowserUser): Promise<Reply> {
  const { texts } = place;
  const proof = await proofField(place, user);
  const form = accountForm(
    place,
    { action: "org.matrix.account_deactivate" },
    html`<p><label><input type="checkbox" name="erase" value="yes">${texts.erase}</label></p>${proof}<button>${texts.deactivate}</button>`,
  );
  return show(place, { title: texts.deactivate, content: html`<p>${user.user_id}</p><p>${texts.deactivateText}</p>${form}${backLink(place)}` });
}

function resetPage(place: Place, session: string | undefined): Reply {
  const { texts } = place;
  if (session === undefined) return show(place, { title: texts.resetTitle, content: html`<p>${texts.resetStart}</p>${backLink(place)}` });
  const form = accountForm(place, { action: "org.matrix.cross_signing_reset", session }, html`<button>${texts.confirm}</button>`);
  return show(place, { title: texts.resetTitle, content: html`<p>${texts.resetText}</p>${form}` });
}

export const showAccount: Handler<typeof spec.showAccount> = (services, request) =>
  onPage(services, request, async (place) => {
    const { action, device_id, session } = request.query;
    const { user } = place.visitor;
    if (user === undefined) return through(place, "login", PATHS.account, request.query);
    switch (action) {
      case "org.matrix.devices_list":
      case "org.matrix.sessions_list":
        return await devicesPage(place, user);
      case "org.matrix.device_view":
      case "org.matrix.session_view":
      case "org.matrix.device_delete":
      case "org.matrix.session_end":
        return device_id === undefined ? await devicesPage(place, user) : await devicePage(place, user, device_id);
      case "org.matrix.account_deactivate":
        return await deactivationPage(place, user);
      case "org.matrix.cross_signing_reset":
        return resetPage(place, session);
      default:
        return await overview(place, user);
    }
  });

/** Confirms that a client may replace the user's own keys. Throws M_FORBIDDEN for a session of somebody or something else. */
async function confirmReset({ services }: Place, user: BrowserUser, id: string | undefined): Promise<void> {
  const session = await requireSession(services, id ?? "");
  if (session.asker !== user.user_id || session.operation !== "uploadCrossSigningKeys") throw forbidden("This was asked for by somebody else.");
  await completeStage(services, session, "m.oauth", "");
}

/** Sends a browser on after it was logged out. By a link: forms lead to no other site. */
async function loggedOut(place: Place, elsewhere: { readonly name: string; readonly location: string } | undefined): Promise<Reply> {
  const { base, texts } = place;
  if (elsewhere === undefined) return go(place, base + PATHS.login);
  const { status, body, headers } = show(place, { title: texts.logOut, content: html`<p><a href="${elsewhere.location}">${texts.logOut}: ${elsewhere.name}</a></p>` });
  return new Reply(status, body, { ...headers, Refresh: `0; url=${elsewhere.location}` });
}

export const changeAccount: Handler<typeof spec.changeAccount> = (services, request) =>
  onPage(services, request, async (place) => {
    const { csrf, action, device_id, session, displayname = "", password = "", new_password = "", erase } = request.body;
    const { visitor, texts, base } = place;
    const { user } = visitor;
    requireOwnForm(visitor, csrf);
    if (user === undefined) return through(place, "login", PATHS.account, {});
    const saved = [html`<p role="status">${texts.saved}</p>`];
    switch (action) {
      case "org.matrix.profile":
        await requireUnsuspended(services, user);
        await changeProfileField(services, user, "displayname", { displayname });
        return await overview(place, user, saved);
      case "remove_avatar":
        await requireUnsuspended(services, user);
        await changeProfileField(services, user, "avatar_url", { avatar_url: "" });
        return await overview(place, user, saved);
      case "org.matrix.device_delete": {
        const id = parseDeviceId(device_id);
        if (id === undefined || (await findDevice(services.database, user.user_nid, id)) === undefined) throw notFound(texts.noDevice);
        await endSessions(services, user.user_nid, [id]);
        return await devicesPage(place, user, saved);
      }
      case "change_password":
        if (!services.config.passwords.enabled) throw forbidden("Nobody logs in with a password here.");
        requireOwnPassword(services, await findAccount(services.database, user.user_id));
        await checkPassword(services, user.user_id, password);
        services.passwords.requireAcceptable(new_password);
        await changePassword(services, user.user_nid, new_password, { logout_devices: true });
        // Another password has logged all browsers out.
        return go(place, base + PATHS.account, await logBrowserIn(services, user.user_nid, user.external));
      case "org.matrix.account_deactivate":
        await requireProof(place, user, password);
        await deactivate(services, user.user_nid, erase === "yes");
        return show(place, { title: texts.endedTitle, content: html`<p>${texts.closePage}</p>` });
      case "org.matrix.cross_signing_reset":
        await confirmReset(place, user, session);
        return show(place, { title: texts.confirmedTitle, content: html`<p>${texts.goBackToApp}</p>` });
      case "log_out":
        await logBrowserOut(services, visitor);
        return await loggedOut(place, await logoutElsewhere(place, user.external));
      default:
        throw invalidParam("There is no such action.");
    }
  });
