// Proving that an address is one's own: a link by mail, a code by text message (client-server API, "Adding Account
// Administrative Contact Information", "Account registration", "Password management").
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { invalidParam, MatrixError, threepidInUse } from "../errors.js";
import type { ServerName } from "../protocol/identifiers.js";
import { compileGlob, matchesWhole } from "../protocol/glob.js";
import type { Medium, ThirdPartyId } from "../protocol/third-party-ids.js";
import type { Tx } from "../storage/database.js";
import { ownerOfThirdPartyId } from "../storage/third-party-ids.js";
import {
  beginValidation,
  findValidation,
  noteValidated,
  takeValidation,
  tryValidation,
  type ValidationPurpose,
  type ValidationSession,
} from "../storage/validation-sessions.js";
import type { AccountContext } from "./context.js";
import { chooseLanguage } from "./languages.js";
import { codeMessage, mailFor } from "./messages.js";
import { post, type Message } from "./outbox.js";

/** A code has six digits: five guesses hit it in one of 200,000 sessions, and sessions are limited per address. */
const MAX_TRIES = 5;

/** What the client shows to be the one who began a session. */
export interface Credentials {
  readonly sid: string;
  readonly client_secret: string;
}

export interface ValidationRequest {
  readonly server: ServerName;
  readonly purpose: ValidationPurpose;
  readonly id: ThirdPartyId;
  readonly client_secret: string;
  readonly send_attempt: number;
  readonly next_link?: string | undefined;
  /** The client's Accept-Language header. */
  readonly accepted_languages: string;
}

const authFailed = (): MatrixError =>
  new MatrixError(400, "M_THREEPID_AUTH_FAILED", "The address has not been confirmed yet, or its confirmation was used or has expired.");

/** Whether messages of this kind can be sent. */
export function canValidate({ config }: Pick<AccountContext, "config">, medium: Medium): boolean {
  return (medium === "email" ? config.mail.host : config.sms.url) !== undefined;
}

const digestOf = (clientSecret: string): Buffer => createHash("sha256").update(clientSecret).digest();

/** What proves the address: derived, so that it is nowhere to be read but in the message. */
function proofOf({ secret }: AccountContext, sid: string, medium: Medium): string {
  const mac = createHmac("sha256", secret).update(`hansa validation ${sid}`).digest();
  return medium === "email" ? mac.toString("base64url") : String(mac.readUInt32BE(0) % 1_000_000).padStart(6, "0");
}

/** Where the link in a mail leads. */
const VALIDATION_PATH = "/_hansa/client/v1/validate";

function publicUrl({ config }: AccountContext, server: ServerName): string {
  return (config.servers.find(({ name }) => name === server)?.public_base_url ?? "").replace(/\/$/, "");
}

/**
 * Sends a link or code to an address, unless this attempt was made before; gives the session. Throws M_THREEPID_IN_USE,
 * M_THREEPID_NOT_FOUND, M_THREEPID_DENIED, M_THREEPID_MEDIUM_NOT_SUPPORTED, M_INVALID_PARAM, M_LIMIT_EXCEEDED.
 */
export async function requestValidation(
  context: AccountContext,
  request: ValidationRequest,
): Promise<{ readonly sid: string; readonly submit_url?: string }> {
  const { clock, config, database, limiter } = context;
  const { server, purpose, id, client_secret, send_attempt } = request;
  if (!canValidate(context, id.medium)) {
    throw new MatrixError(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED", "This server sends no messages of this kind.");
  }
  if (purpose !== "password") requireAllowed(context, id);
  const next_link = allowedNextLink(context, request.next_link);
  await limiter.take("validation", `${id.medium} ${id.address}`);
  const owned = (await ownerOfThirdPartyId(database, server, id)) !== undefined;
  const fits = owned === (purpose === "password");
  if (!fits && !config.third_party_ids.hide_registered) {
    if (owned) throw threepidInUse();
    throw new MatrixError(400, "M_THREEPID_NOT_FOUND", "No account has this address.");
  }
  const now = clock.now();
  const lifetime = config.third_party_ids.validation_lifetime;
  const expires_ts = now + lifetime * 1000;
  const sid = await database.transaction(async (tx) => {
    const session = { sid: randomBytes(18).toString("base64url"), server_name: server, purpose, ...id, next_link, send_attempt, expires_ts };
    const begun = await beginValidation(tx, { ...session, secret_digest: digestOf(client_secret) }, now);
    const message = begun.due ? messageOf(context, request, begun.sid, fits) : undefined;
    if (message !== undefined) await post(context, tx, message, expires_ts);
    return begun.sid;
  });
  context.outbox.wake();
  return { sid, ...(id.medium === "msisdn" && { submit_url: `${publicUrl(context, server)}${VALIDATION_PATH}/msisdn/submit_token` }) };
}

/** What the address is sent: who has an account already is told so; who has none to reset a password of is not written to. */
function messageOf(context: AccountContext, request: ValidationRequest, sid: string, fits: boolean): Message | undefined {
  const { server, purpose, id, client_secret } = request;
  const { language: otherwise, validation_lifetime } = context.config.third_party_ids;
  const language = chooseLanguage(request.accepted_languages, otherwise);
  const to = id.address;
  const proof = proofOf(context, sid, id.medium);
  if (id.medium === "msisdn") return fits ? { medium: "msisdn", to, text: codeMessage(language, server, proof) } : undefined;
  const minutes = Math.round(validation_lifetime / 60);
  if (fits) {
    const query = new URLSearchParams({ sid, client_secret, token: proof });
    const link = `${publicUrl(context, server)}${VALIDATION_PATH}/email?${query.toString()}`;
    return { medium: "email", to, ...mailFor(language, purpose, { server, minutes, link }) };
  }
  return purpose === "password" ? undefined : { medium: "email", to, ...mailFor(language, "registered", { server, minutes }) };
}

/** Throws M_THREEPID_DENIED for an address that users of this deployment may not have. */
function requireAllowed({ config }: AccountContext, { address }: ThirdPartyId): void {
  const { allowed } = config.third_party_ids;
  if (allowed === undefined || allowed.some((glob) => matchesWhole(compileGlob(glob), address))) return;
  throw new MatrixError(403, "M_THREEPID_DENIED", "Addresses like this one may not be used on this server.");
}

/** The link if it may be shown; nothing where no hosts are configured. Throws M_INVALID_PARAM for hosts that are not among them. */
function allowedNextLink({ config }: AccountContext, link: string | undefined): string | null {
  const hosts = config.third_party_ids.next_link_hosts;
  if (link === undefined || hosts.length === 0) return null;
  const url = URL.canParse(link) ? new URL(link) : undefined;
  const sound = url !== undefined && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
  if (!sound || !hosts.includes(url.host)) throw invalidParam('"next_link" leads to a place that is not allowed.');
  return url.href;
}

/**
 * Takes the proof that came by message. Throws M_NO_VALID_SESSION, M_SESSION_EXPIRED after too many wrong ones,
 * M_TOKEN_INCORRECT.
 */
export async function confirmValidation(
  context: AccountContext,
  medium: Medium,
  { sid, client_secret, token }: Credentials & { readonly token: string },
): Promise<ValidationSession> {
  const { clock, config, database } = context;
  const session = await sessionOf(context, { sid, client_secret });
  if (session?.medium !== medium) throw new MatrixError(404, "M_NO_VALID_SESSION", "There is no such session, or it has expired.");
  if (!(await database.transaction((tx) => tryValidation(tx, sid, MAX_TRIES)))) {
    throw new MatrixError(400, "M_SESSION_EXPIRED", "This was tried too often: ask for a new message.");
  }
  if (!same(Buffer.from(token), Buffer.from(proofOf(context, sid, medium)))) {
    throw new MatrixError(400, "M_TOKEN_INCORRECT", "This is not what was sent to the address.");
  }
  // Of a session that was begun in vain nobody was sent the proof.
  await database.transaction((tx) => noteValidated(tx, sid, clock.now(), clock.now() + config.third_party_ids.validation_lifetime * 1000));
  return session;
}

const same = (one: Buffer, other: Buffer): boolean => one.length === other.length && timingSafeEqual(one, other);

async function sessionOf({ clock, database }: AccountContext, { sid, client_secret }: Credentials): Promise<ValidationSession | undefined> {
  const session = await findValidation(database, sid, clock.now());
  return session !== undefined && same(session.secret_digest, digestOf(client_secret)) ? session : undefined;
}

/** The session of a proved address; it is not used up. Throws M_THREEPID_AUTH_FAILED. */
export async function requireValidated(
  context: AccountContext,
  server: ServerName,
  purpose: ValidationPurpose,
  credentials: Credentials,
): Promise<ValidationSession> {
  const session = await sessionOf(context, credentials);
  if (session?.purpose !== purpose || session.server_name !== server || session.validated_ts === null) throw authFailed();
  return session;
}

/** Uses a proof up, in the transaction of what it proves. Throws M_THREEPID_AUTH_FAILED if it was used. */
export async function useValidation({ clock }: AccountContext, tx: Tx, sid: string): Promise<ValidationSession & { readonly validated_ts: number }> {
  const session = await takeValidation(tx, sid, clock.now());
  if (session === undefined || session.validated_ts === null) throw authFailed();
  return { ...session, validated_ts: session.validated_ts };
}
