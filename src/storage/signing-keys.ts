// The signing keys of our servers, sealed under the secret key.
import { randomBytes } from "node:crypto";
import { ConfigError } from "../config.js";
import type { ServerName } from "../protocol/identifiers.js";
import type { PublishedKey } from "../protocol/server-keys.js";
import { signingKey, type SigningKey } from "../protocol/signing.js";
import type { Database, Tx } from "./database.js";
import { derivedSeed, seal, unseal, type SecretKey } from "./sealing.js";
import type { Statement } from "./statement.js";

const SEED_BYTES = 32;

const LIST: Statement = {
  name: "signing_keys_current",
  // signing_keys_current
  text: "SELECT server_name, key_id, sealed FROM signing_keys WHERE server_name = ANY ($1::text[]) AND expired_ts IS NULL",
};
const ADD: Statement = {
  name: "signing_keys_add",
  // A server that has a current key keeps it: of two processes that start at once, one makes it.
  text: `INSERT INTO signing_keys (server_name, key_id, sealed, created_ts)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[]), (SELECT $4::bigint) AS now
    ON CONFLICT (server_name) WHERE expired_ts IS NULL DO NOTHING`,
};
const RETIRED: Statement<{ server_name: string; key_id: string; sealed: Buffer; expired_ts: number }> = {
  name: "signing_keys_retired",
  text: "SELECT server_name, key_id, sealed, expired_ts FROM signing_keys WHERE server_name = $1 AND expired_ts IS NOT NULL",
};
const EXPIRE: Statement = {
  name: "signing_keys_expire",
  text: "UPDATE signing_keys SET expired_ts = $2 WHERE server_name = $1 AND expired_ts IS NULL",
};

/** Gives the key with which a server of ours signs now. Throws for a name that is not ours. */
export type SigningKeyOf = (server: ServerName) => SigningKey;

interface NewKey {
  readonly id: string;
  readonly seed: Buffer;
}

function newKey(): NewKey {
  return { id: `ed25519:${randomBytes(4).toString("hex")}`, seed: randomBytes(SEED_BYTES) };
}

/**
 * The current keys of all our servers; a server without one gets one. Throws ConfigError when a key in the database was
 * sealed under another secret key.
 */
export async function loadSigningKeys(
  database: Database,
  secret: SecretKey,
  servers: readonly ServerName[],
  now: number,
): Promise<SigningKeyOf> {
  let keys = await current(database, secret, servers);
  const missing = servers.filter((server) => !keys.has(server));
  if (missing.length > 0) {
    const made = missing.map(newKey);
    await database.transaction((tx) => add(tx, secret, missing, made, now));
    keys = await current(database, secret, servers);
  }
  return (server) => {
    const key = keys.get(server);
    if (key === undefined) throw new Error("a signing key was asked for a server that is not ours");
    return key;
  };
}

/**
 * The keys with which our servers sign as policy servers of rooms, for those whose configuration names no other policy server; never
 * those with which they send (server-server API, "Validating Policy Server signatures"). They stay as long as the secret key does.
 */
export function policyKeys(
  secret: SecretKey,
  servers: readonly { readonly name: string; readonly policy_server_key?: string | undefined }[],
): ReadonlyMap<string, SigningKey> {
  const own = servers.filter(({ policy_server_key }) => policy_server_key === undefined);
  return new Map(own.map(({ name }) => [name, signingKey("ed25519:policy_server", derivedSeed(secret, `policy server ${name}`))]));
}

/** Gives a server a new key; the one it had expires now. Gives the new key's id. */
export async function replaceSigningKey(database: Database, secret: SecretKey, server: ServerName, now: number): Promise<string> {
  const key = newKey();
  await database.transaction(async (tx) => {
    await tx.query(EXPIRE, [server, now]);
    await add(tx, secret, [server], [key], now);
  });
  return key.id;
}

/** The keys with which one of our servers signed before. Those that were sealed under another secret key are left out. */
export async function retiredKeys(database: Database, secret: SecretKey, server: ServerName): Promise<PublishedKey[]> {
  const rows = await database.read(RETIRED, [server]);
  return rows.flatMap(({ key_id, sealed, expired_ts }) => {
    const seed = unseal(secret, sealed);
    return seed === undefined ? [] : [{ id: key_id, publicKey: signingKey(key_id, seed).publicKey, expired_ts }];
  });
}

/** All keys with which these servers of ours ever signed: key id to key. */
export async function allOwnKeys(
  database: Database,
  secret: SecretKey,
  servers: readonly ServerName[],
  signingKeyOf: SigningKeyOf,
): Promise<Map<ServerName, Map<string, string>>> {
  const keys = new Map<ServerName, Map<string, string>>();
  for (const server of servers) {
    const current = signingKeyOf(server);
    const retired = await retiredKeys(database, secret, server);
    keys.set(server, new Map([...retired, current].map(({ id, publicKey }) => [id, publicKey])));
  }
  return keys;
}

async function add(tx: Tx, secret: SecretKey, servers: readonly ServerName[], keys: readonly NewKey[], now: number): Promise<void> {
  await tx.query(ADD, [servers, keys.map(({ id }) => id), keys.map(({ seed }) => seal(secret, seed)), now]);
}

async function current(database: Database, secret: SecretKey, servers: readonly ServerName[]): Promise<Map<string, SigningKey>> {
  const keys = new Map<string, SigningKey>();
  for (const { server_name, key_id, sealed } of await database.read(LIST, [servers])) {
    const seed = Buffer.isBuffer(sealed) ? unseal(secret, sealed) : undefined;
    if (seed === undefined) {
      throw new ConfigError(
        `The signing key of ${String(server_name)} in the database was sealed under another secret key: ` +
          "set secret_key, or data_folder, as it was when the database was made.",
      );
    }
    keys.set(String(server_name), signingKey(String(key_id), seed));
  }
  return keys;
}
