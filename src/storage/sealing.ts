// Secrets at rest: sealed under one key that is not in the database.
import { createHmac, randomBytes } from "node:crypto";
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import nacl from "tweetnacl";
import { ConfigError, type Config } from "../config.js";
import { fileFault, requireFolder } from "./folder.js";

declare const brand: unique symbol;
/** The 32 bytes under which secrets are sealed. */
export type SecretKey = Uint8Array & { readonly [brand]: "SecretKey" };

/** The key of the configuration, or that of the data folder, which is made if there is none. Throws ConfigError. */
export function loadSecretKey(config: Config): SecretKey {
  if (config.secret_key !== undefined) return parse(config.secret_key, "secret_key");
  requireFolder(config.data_folder, "data_folder");
  const file = join(config.data_folder, "secret.key");
  return parse(readOrMake(file), `The file ${file}`);
}

function parse(text: string, where: string): SecretKey {
  const bytes = Buffer.from(text.trim(), "base64");
  if (bytes.length !== nacl.secretbox.keyLength) throw new ConfigError(`${where} must hold 32 bytes in base64.`);
  return bytes as Uint8Array as SecretKey;
}

function readOrMake(file: string): string {
  const found = readIfThere(file);
  if (found !== undefined) return found;
  // Another process may do the same now: whoever links first has made the key, and a half-written one is never seen.
  const draft = `${file}.${process.pid}.${randomBytes(4).toString("hex")}`;
  try {
    writeFileSync(draft, `${randomBytes(nacl.secretbox.keyLength).toString("base64")}\n`, { mode: 0o600, flush: true });
    linkSync(draft, file);
  } catch (cause) {
    if (codeOf(cause) !== "EEXIST") throw new ConfigError(`The file ${file} cannot be written (${fileFault(cause) ?? String(cause)}).`, { cause });
  } finally {
    rmSync(draft, { force: true });
  }
  return readIfThere(file) ?? "";
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    throw new ConfigError(`The file ${file} cannot be read (${fileFault(cause) ?? String(cause)}).`, { cause });
  }
}

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);

/** A secret for one purpose that all processes with the same key have without storing it. */
export function derivedSecret(key: SecretKey, purpose: string): string {
  return createHmac("sha256", key).update(`hansa ${purpose}`).digest("base64url");
}

/** 32 bytes for one purpose that all processes with the same key have without storing them. */
export function derivedSeed(key: SecretKey, purpose: string): Buffer {
  return createHmac("sha256", key).update(`hansa seed ${purpose}`).digest();
}

/** Seals bytes: a random nonce and the box. */
export function seal(key: SecretKey, bytes: Uint8Array): Buffer {
  const nonce = randomBytes(nacl.secretbox.nonceLength);
  return Buffer.concat([nonce, nacl.secretbox(bytes, nonce, key)]);
}

/** Opens what `seal` made; undefined if it was sealed under another key or altered. */
export function unseal(key: SecretKey, sealed: Uint8Array): Uint8Array | undefined {
  const { nonceLength } = nacl.secretbox;
  return nacl.secretbox.open(sealed.subarray(nonceLength), sealed.subarray(0, nonceLength), key) ?? undefined;
}
