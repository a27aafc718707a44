// Making accounts (client-server API, "Account registration and management"; Synapse's shared-secret registration).
import { createHmac, randomBytes, randomInt, timingSafeEqual } from "node:crypto";
import type { Static } from "typebox";
import type { register } from "../../spec/client/registration.js";
import { registrationOpen } from "../config.js";
import { MatrixError, forbidden, guestsForbidden, invalidUsername, missingParam, unknownError, userInUse } from "../errors.js";
import { logger } from "../log.js";
import { localpartOf, newUserId, parseUserId, serverNameOf, type DeviceId, type ServerName, type UserId } from "../protocol/identifiers.js";
import { canonicalAddress } from "../protocol/third-party-ids.js";
import { setAuthenticationOutcome } from "../storage/authentication-sessions.js";
import type { Tx } from "../storage/database.js";
import { createAccount, findAccount, upgradeGuest } from "../storage/accounts.js";
import {
  isRegistrationTokenValid,
  putRegistrationNonce,
  takeRegistrationNonce,
  useRegistrationToken,
} from "../storage/registration.js";
import { type ExternalSubject, linkExternalId } from "../storage/external-identities.js";
import { setProfileField } from "../storage/profiles.js";
import { addThirdPartyId } from "../storage/third-party-ids.js";
import { type CaptchaContext, requireCaptcha } from "./captcha.js";
import { nameOfLocalpart } from "./claims.js";
import type { AccountContext } from "./context.js";
import { outcomeOf, requireAuthentication, type Challenge, type Stage } from "./interactive-authentication.js";
import type { Requester } from "./requester.js";
import { openSession, tokensChanged, type Tokens } from "./sessions.js";
import { addValidated, thirdPartyChecks, thirdPartyStages, validationsIn } from "./third-party-ids.js";
import { requireUsable } from "./usable.js";

const log = logger("accounts");

const LOCALPART_LETTERS = "abcdefghijklmnopqrstuvwxyz234567";
const NAME_RULE = "A user name has letters a to z, digits and . _ = - / +, and with the server name at most 255 bytes.";
const NONCE_MS = 60_000;

export interface Registered extends Partial<Tokens> {
  readonly user_id: UserId;
  readonly device_id?: DeviceId;
}

/** The id that a user name gives on a server. Throws M_INVALID_USERNAME. */
function userIdOf(username: string, server: ServerName): UserId {
  const localpart = username.toLowerCase();
  if (localpart.startsWith("_")) throw invalidUsername("User names that begin with _ are kept for application services.");
  const id = newUserId(localpart, server);
  if (id === undefined) throw invalidUsername(NAME_RULE);
  return id;
}

/** Throws M_INVALID_USERNAME or M_USER_IN_USE unless the name can be registered; gives its user id. */
export async function requireAvailable(context: AccountContext, username: string, server: ServerName): Promise<UserId> {
  const id = userIdOf(username, server);
  if ((await findAccount(context.database, id)) !== undefined) throw userInUse();
  return id;
}

/**
 * As `requireAvailable`, for who opens an account by themselves: a name of the directory is kept for who has it there. Throws
 * M_EXCLUSIVE for such a name, M_FORBIDDEN where the directory cannot say, 503 M_UNKNOWN if it cannot be reached.
 */
export async function requireAvailableToAll(context: AccountContext, username: string, server: ServerName): Promise<UserId> {
  const id = await requireAvailable(context, username, server);
  const login = nameOfLocalpart(localpartOf(id));
  if (context.directory === undefined || login === undefined) return id;
  const known = await context.directory.knows(login);
  if (known === undefined) throw forbidden("Users of this server come from its directory: log in with the password you have there.");
  if (known) throw new MatrixError(400, "M_EXCLUSIVE", "This name is of the directory: log in with the password you have there.");
  return id;
}

/** Throws M_FORBIDDEN where nobody may register, or only in ways that need no password. */
export function requireOpen({ config }: AccountContext, server: ServerName): void {
  if (!registrationOpen(config, server)) throw forbidden("Registration is closed on this server: ask its administrator.");
  if (!config.passwords.enabled) throw forbidden("Nobody registers with a password here.");
}

/**
 * The guest who wants to become a user: whose token it is. Throws M_FORBIDDEN unless it is a guest of the name that is asked
 * for, M_MISSING_PARAM, M_UNKNOWN_TOKEN.
 */
async function upgradedGuest(
  { tokens }: AccountContext,
  server: ServerName,
  { username, guest_access_token }: Static<(typeof register)["body"]>,
): Promise<Requester | undefined> {
  if (guest_access_token === undefined) return undefined;
  if (username === undefined) throw missingParam('"username" must be the name of the guest.');
  const guest = await tokens.authenticate(guest_access_token);
  if (guest.is_guest && guest.user_id === userIdOf(username, server)) return guest;
  throw forbidden("This is not the access token of the guest of this name.");
}

/** Makes an account for a guest, who chooses nothing but the name of the device. Throws M_GUEST_ACCESS_FORBIDDEN. */
export async function registerGuest(
  context: AccountContext,
  server: ServerName,
  { initial_device_display_name: name }: Static<(typeof register)["body"]>,
  address: string,
): Promise<Registered> {
  if (!context.config.registration.guests) throw guestsForbidden("This server has no guest accounts.");
  const user_id = randomUserId(server);
  const session = { address, ...(name !== undefined && { initial_device_display_name: name }) };
  return create(context, { user_id, password: undefined, is_admin: false, is_guest: true, session });
}

/**
 * Registers a user, after user-interactive authentication. Throws M_FORBIDDEN, M_INVALID_USERNAME, M_USER_IN_USE,
 * M_WEAK_PASSWORD, M_MISSING_PARAM, 502 M_UNKNOWN without answer of the captcha's provider, or status 401 with what the client has to do.
 */
export async function registerUser(
  context: AccountContext & CaptchaContext,
  server: ServerName,
  body: Static<(typeof register)["body"]>,
  address: string,
): Promise<Registered> {
  requireOpen(context, server);
  const challenge = registrationChallenge(context, server, body);
  const earlier = await outcomeOf(context, challenge);
  if (earlier !== undefined) return await registeredAgain(context, earlier, body, address);
  const guest = await upgradedGuest(context, server, body);
  if (body.username !== undefined && guest === undefined) await requireAvailableToAll(context, body.username, server);
  if (body.password !== undefined) context.passwords.requireAcceptable(body.password);
  const completed = await requireAuthentication(context, challenge);
  if (body.password === undefined) throw missingParam('"password" is missing.');
  return create(context, {
    user_id: body.username === undefined ? randomUserId(server) : userIdOf(body.username, server),
    password: body.password,
    is_admin: false,
    guest,
    token: completed.get("m.login.registration_token"),
    validations: validationsIn(completed),
    session: sessionOf(body, address),
    authentication: body.auth?.session ?? undefined,
  });
}

/**
 * The answer to a registration that was done before, to a client that did not hear it: another login of the same user. Throws
 * M_FORBIDDEN if the password was changed since, M_USER_DEACTIVATED, M_USER_LOCKED, ORG_MATRIX_EXPIRED_ACCOUNT.
 */
async function registeredAgain(
  context: AccountContext,
  name: string,
  body: Static<(typeof register)["body"]>,
  address: string,
): Promise<Registered> {
  const user_id = parseUserId(name);
  const account = user_id && (await findAccount(context.database, user_id));
  if (account === undefined || !(await context.passwords.verify(body.password ?? "", account.password_hash))) {
    throw forbidden("This account was registered already, and has another password by now: log in.");
  }
  requireUsable(account, context.clock.now());
  const session = sessionOf(body, address);
  if (session === undefined) return { user_id: account.user_id };
  const opened = await context.database.transaction((tx) => openNewSession(context, tx, account.user_nid, session));
  return { user_id: account.user_id, ...opened };
}

/** The id of a user that an application service registers. Throws M_MISSING_PARAM, M_INVALID_USERNAME. */
export function ownUserId(username: string | undefined, server: ServerName): UserId {
  if (username === undefined) throw missingParam('"username" must name the user.');
  const id = newUserId(username, server);
  if (id === undefined) throw invalidUsername(NAME_RULE);
  return id;
}

/** Makes an account without password for a user of an application service. Throws M_USER_IN_USE. */
export async function registerOwnUser(
  context: AccountContext,
  user_id: UserId,
  body: Static<(typeof register)["body"]>,
  address: string,
): Promise<Registered> {
  return await create(context, { user_id, password: undefined, is_admin: false, session: sessionOf(body, address) });
}

type NewSession = Pick<Static<(typeof register)["body"]>, "device_id" | "initial_device_display_name" | "refresh_token"> & {
  /** Network address of the client, unless it is opened for somebody else. */
  readonly address: string | undefined;
};

function sessionOf(body: Static<(typeof register)["body"]>, address: string): NewSession | undefined {
  return body.inhibit_login === true ? undefined : { ...body, address };
}

interface NewAccount {
  readonly user_id: UserId;
  readonly password: string | undefined;
  readonly is_admin: boolean;
  readonly is_guest?: boolean;
  /** The guest whose account becomes this one. */
  readonly guest?: Requester | undefined;
  /** Absent: the user name, except for guests. */
  readonly displayname?: string | undefined;
  /** Who this is at another provider of identities. */
  readonly external?: ExternalSubject | undefined;
  /** A mail address that this provider vouches for. It is left out if another user has it. */
  readonly email?: string | undefined;
  /** A registration token to be used up. */
  readonly token?: string | undefined;
  /** Sessions that proved addresses of the user. */
  readonly validations?: readonly string[];
  /** The session of user-interactive authentication that it was confirmed in, if there was one. */
  readonly authentication?: string | undefined;
  /** The session to open with it, if any. */
  readonly session?: NewSession | undefined;
}

/**
 * Makes an account without asking who wants it: for administrators. Throws M_USER_IN_USE, M_FORBIDDEN (its token),
 * M_THREEPID_IN_USE.
 */
export async function create(context: AccountContext, account: NewAccount): Promise<Registered> {
  const { database, clock, passwords } = context;
  const { user_id, is_admin, is_guest = false, guest, token, validations = [], session, external, email, authentication } = account;
  // As other servers do: clients show it, and library code counts on there being one. A guest who stays keeps what they have.
  const displayname = account.displayname ?? (is_guest || guest !== undefined ? undefined : localpartOf(user_id));
  const password_hash = account.password === undefined ? null : await passwords.hash(account.password);
  const registered = await database.transaction(async (tx): Promise<Registered> => {
    const now = clock.now();
    if (token !== undefined && !(await useRegistrationToken(tx, token, now))) {
      throw forbidden("This registration token cannot be used any more.");
    }
    const user_nid =
      guest === undefined
        ? await createAccount(tx, { user_id, password_hash, is_admin, is_guest, created_ts: now })
        : (await upgradeGuest(tx, guest.user_nid, password_hash)) && guest.user_nid;
    if (typeof user_nid !== "number") throw userInUse();
    if (guest !== undefined) tokensChanged(context, tx, user_nid);
    if (external !== undefined && !(await linkExternalId(tx, external, user_nid))) throw userInUse();
    if (displayname !== undefined) await setProfileField(tx, user_nid, "displayname", JSON.stringify(displayname));
    const address = email === undefined ? undefined : canonicalAddress("email", email);
    if (address !== undefined) await addThirdPartyId(tx, { user_nid, server: serverNameOf(user_id) }, { ...address, validated_at: now, added_at: now });
    for (const sid of validations) await addValidated(context, tx, { user_id, user_nid }, sid);
    if (authentication !== undefined) await setAuthenticationOutcome(tx, authentication, user_id);
    if (session === undefined) return { user_id };
    const opened = await openNewSession(context, tx, user_nid, session, guest === undefined);
    return { user_id, ...opened };
  });
  log.info({ user: user_id, admin: is_admin, guest: is_guest }, "an account was made");
  return registered;
}

function openNewSession(context: AccountContext, tx: Tx, user_nid: number, session: NewSession, first = false): ReturnType<typeof openSession> {
  return openSession(context, tx, {
    user_nid,
    device_id: session.device_id,
    display_name: session.initial_device_display_name,
    address: session.address,
    refresh: session.refresh_token === true,
    first,
  });
}

function randomUserId(server: ServerName): UserId {
  const letters = Array.from({ length: 12 }, () => LOCALPART_LETTERS[randomInt(LOCALPART_LETTERS.length)]);
  return userIdOf(letters.join(""), server);
}

function registrationChallenge(
  context: AccountContext & CaptchaContext,
  server: ServerName,
  body: Static<(typeof register)["body"]>,
): Challenge {
  const { config, database, clock } = context;
  const { captcha, terms, require_token, require_email } = config.registration;
  const stages: Record<string, Stage> = {
    "m.login.dummy": { check: () => Promise.resolve("") },
    ...thirdPartyChecks(context, server, "register"),
  };
  const flow: string[] = [];
  if (captcha !== undefined) {
    flow.push("m.login.recaptcha");
    stages["m.login.recaptcha"] = {
      check: async ({ response }) => {
        await requireCaptcha(context, response);
        return "";
      },
      params: { public_key: captcha.site_key },
    };
  }
  if (require_token) {
    flow.push("m.login.registration_token");
    stages["m.login.registration_token"] = {
      check: async ({ token }) => {
        if (token === undefined) throw missingParam('"token" is missing.');
        await requireRegistrationToken({ clock, database }, token);
        return token;
      },
    };
  }
  if (terms !== undefined) {
    flow.push("m.login.terms");
    const { version, translations } = terms;
    const documents = [terms, ...translations].map(({ language, name, url }) => [language, { name, url }] as const);
    stages["m.login.terms"] = {
      check: () => Promise.resolve(version),
      params: { policies: { terms: { version, ...Object.fromEntries(documents) } } },
    };
  }
  const plain = flow.length === 0 ? ["m.login.dummy"] : flow;
  const proving = thirdPartyStages(context).map((stage) => [stage, ...flow]);
  const flows = require_email ? [["m.login.email.identity", ...flow]] : [plain, ...proving];
  return { operation: "register", user: server, body, flows, stages, kept: true };
}

/** Throws M_FORBIDDEN for a registration token that cannot be used. */
export async function requireRegistrationToken(
  { clock, database }: Pick<AccountContext, "clock" | "database">,
  token: string,
): Promise<void> {
  if (!(await isRegistrationTokenValid(database, token, clock.now()))) throw forbidden("This registration token is not valid.");
}

/** A number for one registration by shared secret. Throws M_UNKNOWN if that is not configured. */
export async function newNonce(context: AccountContext): Promise<string> {
  sharedSecret(context);
  const nonce = randomBytes(32).toString("hex");
  const now = context.clock.now();
  await context.database.transaction((tx) => putRegistrationNonce(tx, nonce, now, now + NONCE_MS));
  return nonce;
}

export interface SharedSecretRequest {
  readonly nonce: string;
  readonly username: string;
  readonly password: string;
  readonly admin?: boolean;
  readonly user_type?: string;
  readonly mac: string;
  readonly displayname?: string;
  readonly inhibit_login?: boolean;
}

/**
 * Makes an account for whoever knows the shared secret: the HMAC-SHA1 over nonce, user name, password and role proves it.
 * A nonce works once. Throws M_UNKNOWN for a nonce, M_FORBIDDEN for a proof that is wrong; M_INVALID_USERNAME, M_USER_IN_USE.
 */
export async function registerBySharedSecret(
  context: AccountContext,
  server: ServerName,
  request: SharedSecretRequest,
): Promise<Registered> {
  const secret = sharedSecret(context);
  const { nonce, username, password, admin = false, user_type, mac, displayname, inhibit_login } = request;
  if (!(await context.database.transaction((tx) => takeRegistrationNonce(tx, nonce, context.clock.now())))) {
    throw unknownError(400, "This nonce is not known, was used, or has expired: ask for a new one.");
  }
  const parts = [nonce, username, password, admin ? "admin" : "notadmin", ...(user_type === undefined ? [] : [user_type])];
  const expected = createHmac("sha1", secret).update(parts.join("\0")).digest();
  const given = Buffer.from(mac, "hex");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new MatrixError(403, "M_FORBIDDEN", "The HMAC is wrong.");
  }
  const user_id = await requireAvailable(context, username, server);
  context.passwords.requireAcceptable(password);
  return create(context, { user_id, password, is_admin: admin, displayname, session: inhibit_login === true ? undefined : { address: undefined } });
}

function sharedSecret({ config }: AccountContext): string {
  const secret = config.registration.shared_secret;
  if (secret === undefined) throw unknownError(400, "Registration by shared secret is not configured on this server.");
  return secret;
}
