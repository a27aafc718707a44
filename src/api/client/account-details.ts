// Pages of the account besides the overview: the user's picture and addresses (client-server API, "Profiles", "Adding Account
// Administrative Contact Information").
import type * as spec from "../../../spec/client/account-details.js";
import { changeProfileField, getProfile } from "../../accounts/profiles.js";
import { addValidated, removeThirdPartyId } from "../../accounts/third-party-ids.js";
import { canValidate, requestValidation, requireValidated } from "../../accounts/validation.js";
import { newToken } from "../../accounts/access-tokens.js";
import { forbidden, invalidParam, MatrixError, notFound, userSuspended } from "../../errors.js";
import { upload } from "../../media/upload.js";
import { PATHS } from "../../oauth/addresses.js";
import { type BrowserUser, requireOwnForm } from "../../oauth/browser-sessions.js";
import { parseServerName } from "../../protocol/identifiers.js";
import { canonicalAddress, canonicalEmail } from "../../protocol/third-party-ids.js";
import { findAccount } from "../../storage/accounts.js";
import { listThirdPartyIds } from "../../storage/third-party-ids.js";
import { type Handler, Reply } from "../handler.js";
import { html, type Html } from "../page.js";
import type { Services } from "../services.js";
import { hidden, onPage, type Place, proofField, requireProof, show, through } from "./browser-page.js";
import { downloadThumbnail } from "./media.js";

const PICTURES = /^image\/(?:png|jpeg|gif|webp|avif)$/;
const PICTURE_PIXELS = 96;

/** Throws M_USER_SUSPENDED for users who may not show anything of themselves, M_FORBIDDEN for accounts that have ended. */
export async function requireUnsuspended({ database }: Services, user: BrowserUser): Promise<{ readonly is_admin: boolean; readonly is_guest: boolean }> {
  const account = await findAccount(database, user.user_id);
  if (account === undefined) throw forbidden("The account has ended.");
  if (account.suspended) throw userSuspended();
  return account;
}

/** The picture of a user: its server and id. */
async function avatarOf(services: Services, user: BrowserUser): Promise<{ serverName: string; mediaId: string } | undefined> {
  const url = (await getProfile(services, user.user_id).catch(() => undefined))?.["avatar_url"];
  const [, serverName, mediaId] = /^mxc:\/\/([^/]+)\/([A-Za-z0-9_-]+)$/.exec(typeof url === "string" ? url : "") ?? [];
  return serverName === undefined || mediaId === undefined ? undefined : { serverName, mediaId };
}

/** Sends a picture as it is: forms could not without a parser of their own. */
export const AVATAR_SCRIPT =
  'const form=document.getElementById("avatar");form.addEventListener("submit",async(event)=>{event.preventDefault();const [file]=form.elements.picture.files;' +
  'if(!file)return;const answer=await fetch(form.action,{method:"POST",headers:{"Content-Type":file.type,"X-CSRF":form.elements.csrf.value},body:file}).catch(()=>undefined);' +
  'if(answer?.ok)location.assign(location.pathname);else document.getElementById("avatar-failed").hidden=false})';

/** The part of the overview with the user's picture; it needs AVATAR_SCRIPT. */
export async function avatarForm(place: Place, user: BrowserUser): Promise<Html> {
  const { texts, base, services } = place;
  const shown =
    (await avatarOf(services, user)) === undefined
      ? []
      : [
          html`<p><img src="${base}${PATHS.avatar}" alt="${texts.avatar}" width="${String(PICTURE_PIXELS)}" height="${String(PICTURE_PIXELS)}"></p>
      <form method="post" action="${base}${PATHS.account}">${hidden(place, { action: "remove_avatar" })}<button class="second">${texts.removeAvatar}</button></form>`,
        ];
  return html`<h2>${texts.avatar}</h2>${shown}<p id="avatar-failed" role="alert" hidden>${texts.avatarFailed}</p>
    <form id="avatar" method="post" action="${base}${PATHS.avatar}">${hidden(place)}<label>${texts.chooseAvatar} <input name="picture" type="file" accept="image/png,image/jpeg,image/gif,image/webp,image/avif" required></label><button>${texts.save}</button></form>`;
}

export const showAvatar: Handler<typeof spec.showAvatar> = (services, request) =>
  onPage(services, request, async ({ visitor }) => {
    const avatar = visitor.user && (await avatarOf(services, visitor.user));
    const serverName = avatar && parseServerName(avatar.serverName);
    if (avatar === undefined || serverName === undefined) throw notFound("There is no picture.");
    const wanted = { width: PICTURE_PIXELS, height: PICTURE_PIXELS, method: "crop", animated: false } as const;
    const sought = { serverName, mediaId: avatar.mediaId, timeoutMs: 5_000, allowRemote: true, signal: request.signal };
    const reply = await downloadThumbnail(services, {}, sought, wanted);
    // The same address has another picture tomorrow.
    return new Reply(reply.status, reply.body, { ...reply.headers, "Cache-Control": "private, no-cache" });
  });

export const changeAvatar: Handler<typeof spec.changeAvatar> = (services, request) =>
  onPage(services, request, async ({ visitor }) => {
    const { "content-type": content_type = "", "x-csrf": csrf } = request.headers;
    requireOwnForm(visitor, csrf);
    const { user } = visitor;
    if (user === undefined) throw forbidden("Log in first.");
    if (!PICTURES.test(content_type)) throw invalidParam("This is no picture that can be shown.");
    const { is_admin, is_guest } = await requireUnsuspended(services, user);
    const uploader = { ...user, device_id: undefined, is_admin, is_guest };
    const avatar_url = await upload(services, uploader, { content: request.body, content_type, file_name: undefined });
    await changeProfileField(services, user, "avatar_url", { avatar_url });
    return new Reply(200, "{}", { "Cache-Control": "no-store" });
  });

// Addresses

const addressForm = (place: Place, fields: Readonly<Record<string, string>>, content: Html): Html =>
  html`<form method="post" action="${place.base}${PATHS.addresses}">${hidden(place, fields)}${content}</form>`;

async function addressesPage(place: Place, user: BrowserUser, said: readonly Html[] = []): Promise<Reply> {
  const { texts, base, services } = place;
  const items = (await listThirdPartyIds(services.database, user.user_nid)).map(
    ({ medium, address }) => html`<li>${medium === "msisdn" ? "+" : ""}${address} ${addressForm(place, { action: "remove", medium, address }, html`<button class="second">${texts.remove}</button>`)}</li>`,
  );
  const list = items.length === 0 ? html`<p>${texts.noAddresses}</p>` : html`<ul>${items}</ul>`;
  const add = canValidate(services, "email")
    ? [addressForm(place, { action: "send" }, html`<label>${texts.mailAddress} <input name="address" type="email" autocomplete="email" required></label><button>${texts.addAddress}</button>`)]
    : [];
  return show(place, { title: texts.addresses, content: html`${said}${list}${add}<p><a href="${base}${PATHS.account}">${texts.back}</a></p>` });
}

/** Asks to open the link in the mail, and then to go on here. */
async function sentPage(place: Place, user: BrowserUser, fields: { readonly sid: string; readonly client_secret: string }, failed?: string): Promise<Reply> {
  const { texts } = place;
  const alert = failed === undefined ? [] : [html`<p role="alert">${failed}</p>`];
  const form = addressForm(place, { action: "add", ...fields }, html`${await proofField(place, user)}<button>${texts.goOn}</button>`);
  return show(place, { status: failed === undefined ? 200 : 400, title: texts.confirmAddress, content: html`${alert}<p>${texts.mailSent}</p>${form}` });
}

export const showAddresses: Handler<typeof spec.showAddresses> = (services, request) =>
  onPage(services, request, async (place) => {
    const { user } = place.visitor;
    return user === undefined ? through(place, "login", PATHS.addresses, {}) : await addressesPage(place, user);
  });

export const changeAddresses: Handler<typeof spec.changeAddresses> = (services, request) =>
  onPage(services, request, async (place) => {
    const { csrf, action, medium = "", address = "", sid = "", client_secret = "", password = "" } = request.body;
    const { texts, server, visitor } = place;
    requireOwnForm(visitor, csrf);
    const { user } = visitor;
    if (user === undefined) return through(place, "login", PATHS.addresses, {});
    const saved = [html`<p role="status">${texts.saved}</p>`];
    switch (action) {
      case "remove": {
        const id = canonicalAddress(medium, medium === "msisdn" ? address.replace(/^\+/, "") : address);
        if (id !== undefined) await removeThirdPartyId(services, user.user_nid, id);
        return await addressesPage(place, user, saved);
      }
      case "send": {
        const email = canonicalEmail(address);
        if (email === undefined) throw invalidParam("This is not an e-mail address.");
        const secret = newToken("code");
        const asked = { server, purpose: "account", id: { medium: "email", address: email }, client_secret: secret, send_attempt: 1, accepted_languages: request.acceptedLanguages } as const;
        const session = await requestValidation(services, asked);
        return await sentPage(place, user, { sid: session.sid, client_secret: secret });
      }
      case "add":
        await requireProof(place, user, password);
        try {
          await requireValidated(services, server, "account", { sid, client_secret });
        } catch (error) {
          if (!(error instanceof MatrixError) || error.errcode !== "M_THREEPID_AUTH_FAILED") throw error;
          return await sentPage(place, user, { sid, client_secret }, texts.notConfirmed);
        }
        await services.database.transaction((tx) => addValidated(services, tx, user, sid));
        return await addressesPage(place, user, saved);
      default:
        throw invalidParam("There is no such action.");
    }
  });
