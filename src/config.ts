// Reads the configuration: defaults, then the YAML file, then environment variables. Refuses what does not fit with one
// sentence per fault.
import { readFileSync } from "node:fs";
import { Ajv, type ErrorObject } from "ajv";
import { parse } from "yaml";
import { ConfigSchema, type Config } from "../spec/config.js";

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
  const raw: unknown = file === undefined ? {} : (parse(read(file)) ?? {});
  if (!isRecord(raw)) throw new ConfigError(`${file} must hold settings as "name: value".`);
  if (environment["DATABASE_URL"] !== undefined) set(raw, ["database", "url"], environment["DATABASE_URL"]);
  if (environment["HANSA_SERVER_NAME"] !== undefined) set(raw, ["servers"], [{ name: environment["HANSA_SERVER_NAME"] }]);
  fromEnvironment(raw, ConfigSchema as SchemaNode, [], environment);
  return checkConfig(raw);
}

/** Checks settings that came from anywhere, fills in defaults, freezes. Throws ConfigError. */
export function checkConfig(raw: Record<string, unknown>): Config {
  resolveFiles(raw);
  const ajv = new Ajv({ strictTypes: false, useDefaults: true, coerceTypes: true });
  ajv.addFormat("mx-server-name", (value: string) => /^[A-Za-z0-9.:[\]-]{1,230}$/.test(value));
  const validate = ajv.compile<Config>(ConfigSchema);
  if (!validate(raw)) throw new ConfigError((validate.errors ?? []).map(sentence).join("\n"));
  return freeze(raw);
}

function sentence(error: ErrorObject): string {
  const where = error.instancePath.slice(1).replaceAll("/", ".") || "The configuration";
  if (error.keyword === "additionalProperties") {
    return `${where} has a setting that does not exist: ${String(error.params["additionalProperty"])}.`;
  }
  if (error.keyword === "enum" || error.keyword === "const" || error.keyword === "anyOf") {
    return `${where} has a value that is not one of those it can have.`;
  }
  return `${where} ${error.message ?? "is not valid"}.`;
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

function resolveFiles(node: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(node)) {
    if (isRecord(value)) resolveFiles(value);
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
