// Reads the configuration: defaults, then the YAML file, then environment variables. Refuses what does not fit with one
// sentence per fault.
import { readFileSync } from "node:fs";
import { BlockList, isIP } from "node:net";
import { getHeapStatistics } from "node:v8";
import { Ajv, type ErrorObject } from "ajv";
import { parse, YAMLError } from "yaml";
import { ConfigSchema, type Config } from "../spec/config.js";
import type { ServerName } from "../spec/types/identifiers.js";

export type { Config } from "../spec/config.js";

/** The configuration cannot be used; the message is for the person who wrote it. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

/** Environment variable of a leaf: `listen.port` is HANSA_LISTEN_PORT. */
function variableOf(path: readonly string[]): string {
  return `HANSA_${path.join("_").toUpperCase()}`;
}

interface SchemaNode {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
}

/**
 * Reads the file (if any) and the environment, checks them, and gives the frozen configuration. A leaf whose name ends in
 * `_file` names a file that holds the value of the leaf without the ending. Throws ConfigError.
 */
export function loadConfig(file?: string, environment: NodeJS.ProcessEnv = process.env): Config {
  const raw = file === undefined ? {} : readYaml(file);
  if (!isRecord(raw)) throw new ConfigError(`${file} must hold settings as "name: value".`);
  if (environment["DATABASE_URL"] !== undefined) set(raw, ["database", "url"], environment["DATABASE_URL"]);
  if (environment["HANSA_SERVER_NAME"] !== undefined) set(raw, ["servers"], [{ name: environment["HANSA_SERVER_NAME"] }]);
  fromEnvironment(raw, ConfigSchema as SchemaNode, [], environment);
  return checkConfig(raw);
}

/** Checks settings that came from anywhere, fills in defaults, freezes. Throws ConfigError, one sentence for each fault. */
export function checkConfig(raw: Record<string, unknown>): Config {
  const given = structuredClone(raw);
  dropEmpty(given);
  resolveFiles(given);
  fitCaches(given);
  const ajv = new Ajv({ strictTypes: false, useDefaults: true, coerceTypes: true, allErrors: true, verbose: true });
  for (const [name, format] of Object.entries(FORMATS)) ajv.addFormat(name, format.valid);
  const validate = ajv.compile<Config>(ConfigSchema);
  if (!validate(given)) throw new ConfigError([...new Set((validate.errors ?? []).map(sentence))].join("\n"));
  const conflicts = conflictsOf(given);
  if (conflicts.length > 0) throw new ConfigError(conflicts.join("\n"));
  return freeze(given);
}

/** Under which the subjects of the directory are linked to accounts. */
export const LDAP_PROVIDER = "ldap";

/** What the example file shows as a secret: whoever leaves it so lets everybody in who has read that file. */
export const EXAMPLE_SECRET = "a long random text";

/** Settings that are each sound but do not go together. */
function conflictsOf(config: Config): string[] {
  const conflicts: string[] = [];
  const names = config.servers.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) conflicts.push(`servers names ${twice} twice.`);
  if (config.servers.length > 1 && config.servers.some(({ public_base_url }) => public_base_url === undefined)) {
    conflicts.push("servers needs a public_base_url for each server as soon as there are several: it tells them apart.");
  }
  const contact = config.servers.flatMap(({ contacts }) => contacts ?? []).find(
    ({ matrix_id, email_address }) => matrix_id === undefined && email_address === undefined,
  );
  if (contact !== undefined) conflicts.push("servers.contacts needs a matrix_id or an email_address in each contact.");
  const { certificate_path, key_path } = config.federation.listen;
  if ((certificate_path === undefined) !== (key_path === undefined)) {
    conflicts.push("federation.listen needs certificate_path and key_path, or neither.");
  }
  if (config.metrics.enabled && config.metrics.port !== undefined && config.metrics.port !== 0) {
    const same = config.metrics.port === config.listen.port && config.metrics.address === config.listen.address;
    if (same) conflicts.push("metrics.port is the port of listen.port: choose another, or leave it out to share the listener.");
  }
  if (config.registration.require_token && config.registration.open === false) {
    conflicts.push("registration.require_token needs registration.open: with registration closed no token helps.");
  }
  const { mail, sms, servers } = config;
  if (config.registration.shared_secret === EXAMPLE_SECRET) {
    conflicts.push("registration.shared_secret is the one of the example, which everybody knows: choose another.");
  }
  if (config.registration.require_email && mail.host === undefined) {
    conflicts.push("registration.require_email needs mail.host: nobody could prove an address.");
  }
  if ((mail.host !== undefined || sms.url !== undefined) && servers.some(({ public_base_url }) => public_base_url === undefined)) {
    conflicts.push("mail.host and sms.url need servers.public_base_url: links in messages lead there.");
  }
  if ((mail.user === undefined) !== (mail.password === undefined)) conflicts.push("mail needs both user and password, or neither.");
  const providers = [...config.identity_providers, ...config.saml_providers].map(({ id }) => id);
  const again = providers.find((id, index) => providers.indexOf(id) !== index);
  if (again !== undefined) conflicts.push(`identity_providers and saml_providers name ${again} twice.`);
  if (providers.length > 0 && !(config.oauth.enabled && servers.some(({ public_base_url }) => public_base_url !== undefined))) {
    conflicts.push("identity_providers and saml_providers need oauth.enabled and a servers.public_base_url: users come back there.");
  }
  if (config.saml_providers.some(({ private_key, public_certificate }) => (private_key === undefined) !== (public_certificate === undefined))) {
    conflicts.push("saml_providers needs both private_key and public_certificate, or neither.");
  }
  if (config.saml_providers.some(({ decryption_key, encryption_certificate }) => (decryption_key === undefined) !== (encryption_certificate === undefined))) {
    conflicts.push("saml_providers needs both decryption_key and encryption_certificate, or neither.");
  }
  if (config.saml_providers.some(({ propagate_logout, logout_url }) => propagate_logout && logout_url === undefined)) {
    conflicts.push("saml_providers needs a logout_url for propagate_logout.");
  }
  const { ldap } = config;
  if (ldap !== undefined && (ldap.base_dn === undefined) === (ldap.user_dn === undefined)) {
    conflicts.push("ldap needs either base_dn, below which users are looked up, or user_dn.");
  }
  if (ldap !== undefined && (ldap.bind_dn === undefined) !== (ldap.bind_password === undefined)) {
    conflicts.push("ldap needs both bind_dn and bind_password, or neither.");
  }
  if (ldap?.user_dn !== undefined && ldap.bind_dn !== undefined) conflicts.push("ldap.bind_dn has no use with user_dn: each user asks in their own name.");
  if (providers.includes(LDAP_PROVIDER) && ldap !== undefined) conflicts.push(`identity_providers and saml_providers cannot have the id ${LDAP_PROVIDER} beside ldap.`);
  const { turn_uris, turn_shared_secret, turn_username, turn_password } = config.voip;
  if ((turn_username === undefined) !== (turn_password === undefined)) {
    conflicts.push("voip needs both turn_username and turn_password, or neither.");
  }
  if (turn_uris.length > 0 && turn_shared_secret === undefined && turn_password === undefined) {
    conflicts.push("voip.turn_uris needs turn_shared_secret, or turn_username and turn_password.");
  }
  if (config.voip.livekit !== undefined && servers.every(({ public_base_url }) => public_base_url === undefined)) {
    conflicts.push("voip.livekit needs servers.public_base_url: clients ask there to be let in.");
  }
  const { s3, quota } = config.media;
  if ((s3?.access_key_id === undefined) !== (s3?.secret_access_key === undefined)) {
    conflicts.push("media.s3 needs both access_key_id and secret_access_key, or neither.");
  }
  if (quota.total_bytes !== undefined && quota.period_bytes !== undefined && quota.period_bytes > quota.total_bytes) {
    conflicts.push("media.quota.period_bytes is more than total_bytes, so that it could never be reached.");
  }
  return conflicts;
}

interface Format {
  readonly valid: (value: string) => boolean;
  readonly says: string;
}

const urlOf = (...protocols: readonly string[]) => (value: string): boolean =>
  URL.canParse(value) && protocols.includes(new URL(value).protocol);

const FORMATS: Readonly<Record<string, Format>> = {
  "mx-server-name": {
    valid: (value) => /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::\d{1,5})?$/.test(value) && value.length <= 230,
    says: "must be a server name such as example.org or example.org:8448",
  },
  "mx-user-id": { valid: (value) => /^@[!-9;-~]+:[!-~]+$/.test(value), says: "must be a user id such as @admin:example.org" },
  "http-url": { valid: urlOf("http:", "https:"), says: "must be an address that starts with http:// or https://" },
  "postgres-url": { valid: urlOf("postgres:", "postgresql:"), says: "must be an address that starts with postgres://" },
  "redis-url": { valid: urlOf("redis:", "rediss:"), says: "must be an address that starts with redis:// or rediss://" },
  "ws-url": { valid: urlOf("ws:", "wss:"), says: "must be an address that starts with ws:// or wss://" },
  "ldap-url": { valid: urlOf("ldap:", "ldaps:"), says: "must be an address that starts with ldap:// or ldaps://" },
  "ip-range": { valid: (value) => addRange(new BlockList(), value), says: "must be an IP address or a range such as 10.0.0.0/8" },
  "room-version": { valid: (value) => /^(?:[1-9]|1[0-2])$/.test(value), says: "must be a room version from 1 to 12" },
  "base64-32-bytes": {
    valid: (value) => /^[A-Za-z0-9+/]{43}=?$/.test(value),
    says: "must be 32 bytes in base64; `openssl rand -base64 32` makes such a value",
  },
};

/** Adds an address or a range (10.0.0.0/8) to a list; false if it is neither. */
export function addRange(list: BlockList, range: string): boolean {
  const [address = "", bits, ...more] = range.split("/");
  const family = isIP(address);
  const longest = family === 4 ? 32 : 128;
  const prefix = bits === undefined ? longest : Number(bits);
  if (family === 0 || more.length > 0 || bits === "" || !Number.isInteger(prefix) || prefix < 0 || prefix > longest) return false;
  list.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6");
  return true;
}

/** The server names of this deployment. */
export interface LocalServers {
  readonly names: readonly [ServerName, ...ServerName[]];
  /** Whether a server name is one of ours. */
  isLocal(serverName: string): boolean;
  /** The server that a request for this host (the Host header) is meant for; the first one if none claims the host. */
  forHost(host: string | undefined): ServerName;
}

/** The server names of a configuration. */
export function localServers(config: Config): LocalServers {
  // The schema's format has checked them: they are server names.
  const names = config.servers.map(({ name }) => name as ServerName);
  const [first, ...others] = names;
  if (first === undefined) throw new ConfigError("servers names no server.");
  const hosts = new Map<string, ServerName>();
  for (const [index, name] of names.entries()) {
    hosts.set(name.toLowerCase(), name);
    const url = config.servers[index]?.public_base_url;
    if (url !== undefined) hosts.set(new URL(url).host, name);
  }
  const known = new Set<string>(names);
  return {
    names: [first, ...others],
    isLocal: (serverName) => known.has(serverName),
    forHost: (host) => hosts.get(host?.toLowerCase() ?? "") ?? first,
  };
}

/** Whether anybody may register on a server: as configured; by default only where the server name is localhost. */
export function registrationOpen(config: Config, server: string): boolean {
  return config.registration.open ?? server === "localhost";
}

function sentence(error: ErrorObject): string {
  const where = error.instancePath.slice(1).replaceAll("/", ".");
  if (error.keyword === "additionalProperties") {
    return `${where || "The configuration"} has a setting that does not exist: ${String(error.params["additionalProperty"])}.`;
  }
  if (error.keyword === "enum" || error.keyword === "const" || error.keyword === "anyOf") {
    return `${where} has a value that is not one of those it can have.`;
  }
  if (error.keyword === "required") {
    return `${where || "The configuration"} lacks the setting ${String(error.params["missingProperty"])}.`;
  }
  const format: unknown = error.params["format"];
  const says = typeof format === "string" ? FORMATS[format]?.says : error.message;
  return `${where || "The configuration"} ${says ?? "is not valid"}.`;
}

function fromEnvironment(
  raw: Record<string, unknown>,
  schema: SchemaNode,
  path: readonly string[],
  environment: NodeJS.ProcessEnv,
): void {
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    const here = [...path, name];
    if (child.type === "object") fromEnvironment(raw, child, here, environment);
    else if (child.type !== "array") {
      const value = environment[variableOf(here)];
      if (value !== undefined) set(raw, here, value);
      const inFile = environment[`${variableOf(here)}_FILE`];
      if (inFile !== undefined) set(raw, here, read(inFile).trim());
    }
  }
}

/** What a cache takes of V8's heap limit at most, unless it is set: where that is a gigabyte all have their usual size. */
const SHARES: Readonly<Record<string, number>> = { events_bytes: 1 / 16, rooms_bytes: 1 / 8 };

/** Sets the sizes of the caches that are not set to what fits in the heap. */
function fitCaches(given: Record<string, unknown>): void {
  const { caches = {} } = given;
  if (!isRecord(caches)) return;
  given["caches"] = caches;
  for (const [name, schema] of Object.entries(ConfigSchema.properties.caches.properties)) {
    const usual = "default" in schema ? Number(schema.default) : Infinity;
    caches[name] ??= Math.min(usual, Math.floor((SHARES[name] ?? 1) * getHeapStatistics().heap_size_limit));
  }
}

/** A section whose settings are all commented out reads as null. */
function dropEmpty(node: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(node)) {
    if (value === null) delete node[name];
    else if (isRecord(value)) dropEmpty(value);
  }
}

function resolveFiles(node: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(node)) {
    if (isRecord(value)) resolveFiles(value);
    else if (Array.isArray(value)) value.filter(isRecord).forEach(resolveFiles);
    else if (name.endsWith("_file") && typeof value === "string") {
      const target = name.slice(0, -"_file".length);
      if (Object.hasOwn(node, target)) throw new ConfigError(`Set either ${target} or ${name}, not both.`);
      node[target] = read(value).trim();
      delete node[name];
    }
  }
}

function set(node: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [name, ...rest] = path;
  if (name === undefined) return;
  if (rest.length === 0) {
    node[name] = value;
    return;
  }
  const below = node[name];
  const next: Record<string, unknown> = isRecord(below) ? below : {};
  node[name] = next;
  set(next, rest, value);
}

function readYaml(file: string): unknown {
  const text = read(file);
  try {
    return parse(text) ?? {};
  } catch (cause) {
    // Aliases that grow without end are no YAMLError.
    const line = cause instanceof YAMLError ? cause.linePos?.[0].line : undefined;
    throw new ConfigError(`The file ${file} is not valid YAML${line === undefined ? "" : ` (line ${line})`}.`, { cause });
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new ConfigError(`The file ${file} cannot be read.`, { cause });
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(freeze);
    Object.freeze(value);
  }
  return value;
}
