// `hansa user create|password|admin` and `hansa registration-token create`: what an administrator does at the console.
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline/promises";
import { AccessTokens } from "../accounts/access-tokens.js";
import { changePassword } from "../accounts/account.js";
import type { AccountContext } from "../accounts/context.js";
import { Passwords } from "../accounts/passwords.js";
import { create, requireAvailable } from "../accounts/registration.js";
import { tokensChanged } from "../accounts/sessions.js";
import { systemClock } from "../clock.js";
import { ConfigError, loadConfig, localServers, type Config } from "../config.js";
import { setLogLevel } from "../log.js";
import { isCompliantUserId, parseUserId, serverNameOf, type UserId } from "../protocol/identifiers.js";
import { findAccount, setAdmin, type Account } from "../storage/accounts.js";
import { MemoryBus } from "../storage/bus.js";
import { openDatabase } from "../storage/open.js";
import { createRegistrationToken } from "../storage/registration.js";
import { loadSecretKey } from "../storage/sealing.js";

interface Common {
  readonly config?: string;
  readonly json?: boolean;
}

/** Runs work on the database of a configuration, with progress on stderr: stdout is for the result. */
export async function withDatabase<Result>(
  options: Common,
  work: (context: AccountContext) => Promise<Result>,
): Promise<Result> {
  const config: Config = loadConfig(options.config);
  setLogLevel("warn");
  const secret = loadSecretKey(config);
  await using opened = await openDatabase(config, (message) => console.error(message));
  const { database } = opened;
  const clock = systemClock;
  return await work({
    config,
    clock,
    servers: localServers(config),
    database,
    secret,
    passwords: new Passwords(config.passwords),
    tokens: new AccessTokens(database, clock),
    // Running processes read the log every second: they need no word from here.
    bus: new MemoryBus(),
    // Whoever sits at the console may try as often as they like.
    limiter: { take: () => Promise.resolve(), giveBack: () => Promise.resolve() },
    outbox: { wake: () => undefined },
  });
}

function tell(options: Common, result: Record<string, unknown>, sentence: string): void {
  console.log(options.json === true ? JSON.stringify(result) : sentence);
}

/** A user id as typed: whole, or a localpart on the first server. */
function asUserId({ servers }: AccountContext, name: string): UserId {
  const id = parseUserId(name.startsWith("@") ? name : `@${name}:${servers.names[0]}`);
  if (id === undefined || !isCompliantUserId(id)) throw new ConfigError(`${name} is not a user name.`);
  if (!servers.isLocal(serverNameOf(id))) throw new ConfigError(`${id} is not a user of this server.`);
  return id;
}

async function existing(context: AccountContext, name: string): Promise<Account> {
  const id = asUserId(context, name);
  const account = await findAccount(context.database, id);
  if (account === undefined) throw new ConfigError(`There is no user ${id}.`);
  return account;
}

/** The first line of standard input: passwords do not belong into a command line, which others can list. */
async function readPassword(): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write("Password: ");
  const lines = createInterface({ input: process.stdin });
  try {
    for await (const line of lines) return line;
    throw new ConfigError("No password was given on standard input.");
  } finally {
    lines.close();
  }
}

export async function createUser(name: string, options: Common & { admin?: boolean }): Promise<void> {
  const password = await readPassword();
  await withDatabase(options, async (context) => {
    const id = asUserId(context, name);
    context.passwords.requireAcceptable(password);
    const user_id = await requireAvailable(context, id.slice(1, id.indexOf(":")), serverNameOf(id));
    const is_admin = options.admin === true;
    await create(context, { user_id, password, is_admin });
    tell(options, { user_id, admin: is_admin }, `${user_id} was created${is_admin ? " as an administrator" : ""}.`);
  });
}

export async function setPassword(name: string, options: Common & { keepDevices?: boolean }): Promise<void> {
  const password = await readPassword();
  await withDatabase(options, async (context) => {
    const { user_id, user_nid } = await existing(context, name);
    context.passwords.requireAcceptable(password);
    await changePassword(context, user_nid, password, { logout_devices: options.keepDevices !== true });
    tell(options, { user_id }, `The password of ${user_id} was changed.`);
  });
}

export async function setUserAdmin(name: string, options: Common & { revoke?: boolean }): Promise<void> {
  await withDatabase(options, async (context) => {
    const { user_id, user_nid } = await existing(context, name);
    const admin = options.revoke !== true;
    await context.database.transaction(async (tx) => {
      await setAdmin(tx, user_nid, admin);
      tokensChanged(context, tx, user_nid);
    });
    tell(options, { user_id, admin }, `${user_id} is ${admin ? "now" : "no longer"} an administrator.`);
  });
}

export async function createToken(options: Common & { uses?: string; days?: string }): Promise<void> {
  const uses_allowed = positive("--uses", options.uses);
  const days = positive("--days", options.days);
  await withDatabase(options, async ({ database, clock }) => {
    const token = randomBytes(12).toString("base64url");
    const now = clock.now();
    const expires_ts = days === undefined ? undefined : now + days * 86_400_000;
    await database.transaction((tx) => createRegistrationToken(tx, { token, uses_allowed, expires_ts, created_ts: now }));
    tell(options, { token, uses_allowed: uses_allowed ?? null, expires_ts: expires_ts ?? null }, token);
  });
}

function positive(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1_000_000) throw new ConfigError(`${option} must be a whole number from 1 on.`);
  return value;
}
