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

/** How long a key that is replaced may still sign: until every process has seen the new one. */
const HANDOVER_MS = 10_000;

const LIST: Statement<{ server_name: string; key_id: string; sealed: Buffer; expired_ts: number | null }> = {
  name: "signing_keys_list", // signing_keys_pkey
  text: "SELECT server_name, key_id, sealed, expired_ts FROM signing_keys WHERE server_name = ANY ($1::text[]) ORDER BY created_ts",
};
const ADD: Statement = {
  name: "signing_keys_add",
  // A server that has a current key keeps it: of two processes that start at once, one makes it.
  text: `INSERT INTO signing_keys (server_name, key_id, sealed, created_ts)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[]), (SELECT $4::bigint) AS now
    ON CONFLICT (server_name) WHERE expired_ts IS NULL DO NOTHING`,
};
const EXPIRE: Statement = {
  name: "signing_keys_expire",
  text: "UPDATE signing_keys SET expired_ts = $2 WHERE server_name = $1 AND expired_ts IS NULL",
};

/** The keys of one of our servers: that with which it signs now, and those with which it signed before. */
interface KeysOfServer {
  readonly current: SigningKey;
  readonly retired: readonly PublishedKey[];
  /** Key id to key, of all of them. */
  readonly all: ReadonlyMap<string, string>;
}

interface NewKey {
  readonly id: string;
  readonly seed: Buffer;
}

function newKey(): NewKey {
  return { id: `ed25519:${randomBytes(4).toString("hex")}`, seed: randomBytes(SEED_BYTES) };
}

/** The signing keys of our servers. What another process has replaced is known after `refresh`. */
export class SigningKeys {
  readonly #database: Database;
  readonly #secret: SecretKey;
  readonly #servers: readonly ServerName[];
  #keys: ReadonlyMap<string, KeysOfServer>;

  private constructor(database: Database, secret: SecretKey, servers: readonly ServerName[], keys: ReadonlyMap<string, KeysOfServer>) {
    this.#database = database;
    this.#secret = secret;
    this.#servers = servers;
    this.#keys = keys;
  }

  /**
   * The keys of all our servers; a server without one gets one. Throws ConfigError when a key in the database was sealed under another
   * secret key.
   */
  static async load(database: Database, secret: SecretKey, servers: readonly ServerName[], now: number): Promise<SigningKeys> {
    let keys = await read(database, secret, servers);
    const missing = servers.filter((server) => !keys.has(server));
    if (missing.length > 0) {
      const made = missing.map(newKey);
      await database.transaction((tx) => add(tx, secret, missing, made, now));
      keys = await read(database, secret, servers);
    }
    return new SigningKeys(database, secret, servers, keys);
  }

  /** Reads the keys again. Throws ConfigError as `load`. */
  async refresh(): Promise<void> {
    this.#keys = await read(this.#database, this.#secret, this.#servers);
  }

  /** The key with which a server of ours signs now. Throws for a name that is not ours. */
  current(server: ServerName): SigningKey {
    return this.#of(server).current;
  }

  /** The keys with which a server of ours signed before. Those that were sealed under another secret key are left out. */
  retired(server: ServerName): readonly PublishedKey[] {
    return this.#of(server).retired;
  }

  /** All keys with which a server of ours ever signed: key id to key; undefined for a name that is not ours. */
  all(server: ServerName): ReadonlyMap<string, string> | undefined {
    return this.#keys.get(server)?.all;
  }

  #of(server: ServerName): KeysOfServer {
    const keys = this.#keys.get(server);
    if (keys === undefined) throw new Error("a signing key was asked for a server that is not ours");
    return keys;
  }
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

/**
 * Gives a server a new key; the one it had expires in a moment, when all processes that run have seen the new one. Gives the new
 * key's id.
 */
export async function replaceSigningKey(database: Database, secret: SecretKey, server: ServerName, now: number): Promise<string> {
  const key = newKey();
  await database.transaction(async (tx) => {
    await tx.query(EXPIRE, [server, now + HANDOVER_MS]);
    await add(tx, secret, [server], [key], now);
  });
  return key.id;
}

async function add(tx: Tx, secret: SecretKey, servers: readonly ServerName[], keys: readonly NewKey[], now: number): Promise<void> {
  await tx.query(ADD, [servers, keys.map(({ id }) => id), keys.map(({ seed }) => seal(secret, seed)), now]);
}

async function read(database: Database, secret: SecretKey, servers: readonly ServerName[]): Promise<Map<string, KeysOfServer>> {
  const current = new Map<string, SigningKey>();
  const retired = new Map<string, PublishedKey[]>();
  for (const { server_name, key_id, sealed, expired_ts } of await database.read(LIST, [servers])) {
    const seed = unseal(secret, sealed);
    if (seed === undefined && expired_ts === null) {
      throw new ConfigError(
        `The signing key of ${server_name} in the database was sealed under another secret key: ` +
          "set secret_key, or data_folder, as it was when the database was made.",
      );
    }
    if (seed === undefined) continue;
    const key = signingKey(key_id, seed);
    if (expired_ts === null) current.set(server_name, key);
    else retired.set(server_name, [...(retired.get(server_name) ?? []), { id: key_id, publicKey: key.publicKey, expired_ts }]);
  }
  return new Map(
    [...current].map(([server, key]) => {
      const old = retired.get(server) ?? [];
      return [server, { current: key, retired: old, all: new Map([...old, key].map(({ id, publicKey }) => [id, publicKey])) }];
    }),
  );
}
