// Reads and checks the files by which application services are registered (application service API, "Registration").
import { createHash, hash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { parse } from "yaml";
import { Registration } from "../../spec/appservice/registration.js";
import { ConfigError, type Config, type LocalServers } from "../config.js";
import {
  parseUserId,
  type RoomAlias,
  type RoomId,
  type ServerName,
  serverNameOf,
  type UserId,
} from "../protocol/identifiers.js";

/** Which ids a namespace covers, and whether nobody else may have them. */
interface Namespace {
  readonly exclusive: boolean;
  readonly matches: (id: string) => boolean;
}

/** An application service that the operator has registered. */
export interface AppService {
  readonly id: string;
  /** Where it listens; undefined if it asks and is never told anything. */
  readonly url: URL | undefined;
  readonly hs_token: string;
  /** Its own user. */
  readonly sender: UserId;
  readonly server: ServerName;
  readonly users: readonly Namespace[];
  readonly aliases: readonly Namespace[];
  readonly rooms: readonly Namespace[];
  /** Whether requests in the name of its other users count against the rate limits. */
  readonly rate_limited: boolean;
  readonly protocols: readonly string[];
  readonly ephemeral: boolean;
  /** It knows ephemeral data only under the name from before the specification. */
  readonly old_ephemeral: boolean;
  /** It is told of keys and devices, as clients are by /sync (MSC3202). */
  readonly encryption: boolean;
  /** Changes whenever other users are covered. */
  readonly users_digest: string;
}

/** The application services of a deployment. */
export interface AppServices {
  readonly all: readonly AppService[];
  /** The one whose `as_token` this is. */
  readonly ofToken: (token: string | undefined) => AppService | undefined;
}

const isRegistration = new Ajv({ strictTypes: false, useDefaults: true }).compile<Registration>(Registration);

/**
 * The application services of all registration files; a folder stands for all its .yaml and .yml files. Throws ConfigError
 * with one sentence for each fault.
 */
export function loadAppServices(config: Config, servers: LocalServers): AppServices {
  const faults: string[] = [];
  const ofDigest = new Map<string, AppService>();
  const all: AppService[] = [];
  for (const path of config.app_services.flatMap(filesOf)) {
    try {
      const { appservice, token } = read(path, servers);
      const key = digest(token);
      if (all.some(({ id }) => id === appservice.id)) throw new ConfigError(`${path} has the id of another application service.`);
      if (ofDigest.has(key)) throw new ConfigError(`${path} has the as_token of another application service.`);
      if (all.some(({ sender }) => sender === appservice.sender)) {
        throw new ConfigError(`${path} has the sender_localpart of another application service.`);
      }
      all.push(appservice);
      ofDigest.set(key, appservice);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      faults.push(error.message);
    }
  }
  if (faults.length > 0) throw new ConfigError(faults.join("\n"));
  return { all, ofToken: (token) => (token === undefined ? undefined : ofDigest.get(digest(token))) };
}

/** Looking a digest up tells nothing of how much of a wrong token was right. */
function digest(token: string): string {
  return hash("sha256", token, "base64");
}

function filesOf(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path)
      .filter((name) => /\.ya?ml$/.test(name))
      .toSorted()
      .map((name) => join(path, name));
  } catch (cause) {
    throw new ConfigError(`app_services names ${path}, which cannot be read.`, { cause });
  }
}

function read(path: string, servers: LocalServers): { appservice: AppService; token: string } {
  const content = parsed(path);
  if (!isRegistration(content)) {
    const [error] = isRegistration.errors ?? [];
    const where = error?.instancePath.slice(1).replaceAll("/", ".") ?? "";
    throw new ConfigError(`${path} is no registration of an application service: ${where === "" ? "it" : where} ${error?.message ?? "is not valid"}.`);
  }
  const server = content.server_name === undefined ? servers.names[0] : servers.names.find((name) => name === content.server_name);
  if (server === undefined) throw new ConfigError(`${path} has a server_name that is not among servers: ${content.server_name}.`);
  const sender = parseUserId(`@${content.sender_localpart}:${server}`);
  if (sender === undefined) throw new ConfigError(`${path} has a sender_localpart that makes no user id.`);
  const namespaces = (kind: "users" | "aliases" | "rooms"): Namespace[] =>
    (content.namespaces[kind] ?? []).map(({ exclusive, regex }) => ({ exclusive, matches: matcher(path, kind, regex) }));
  const unstable = content["de.sorunome.msc2409.push_ephemeral"] === true;
  return {
    token: content.as_token,
    appservice: {
      id: content.id,
      url: urlOf(path, content.url),
      hs_token: content.hs_token,
      sender,
      server,
      users: namespaces("users"),
      aliases: namespaces("aliases"),
      rooms: namespaces("rooms"),
      rate_limited: content.rate_limited ?? true,
      protocols: content.protocols ?? [],
      ephemeral: content.receive_ephemeral === true || unstable,
      old_ephemeral: unstable,
      encryption: content["org.matrix.msc3202"] === true,
      users_digest: createHash("sha256").update(JSON.stringify([sender, content.namespaces.users ?? []])).digest("base64"),
    },
  };
}

function parsed(path: string): unknown {
  try {
    return parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new ConfigError(`${path}, the registration of an application service, cannot be read as YAML.`, { cause });
  }
}

function urlOf(path: string, text: string | null): URL | undefined {
  if (text === null || text === "") return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  throw new ConfigError(`${path} has a url that does not start with http:// or https://; for none it is null.`);
}

/** Ids are short, so that what an operator's expression can cost is bounded, unless it nests repetitions. */
const MAX_ID = 255;

/** An expression matches from the start of an id, as with other homeservers, but need not reach its end. */
function matcher(path: string, kind: string, regex: string): (id: string) => boolean {
  try {
    const expression = new RegExp(`^(?:${regex})`, "u");
    return (id) => id.length <= MAX_ID && expression.test(id);
  } catch (cause) {
    throw new ConfigError(`${path} has a namespace in ${kind} whose regex is not valid.`, { cause });
  }
}

/** Whether a user is the service's own or in one of its namespaces: users of its own server only. */
export function coversUser(appservice: AppService, user: UserId): boolean {
  if (serverNameOf(user) !== appservice.server) return false;
  return user === appservice.sender || appservice.users.some(({ matches }) => matches(user));
}

/** Whether a room alias is in one of the service's namespaces. */
export function coversAlias({ aliases }: AppService, alias: RoomAlias): boolean {
  return aliases.some(({ matches }) => matches(alias));
}

/** Whether a room id is in one of the service's namespaces. */
export function coversRoom({ rooms }: AppService, room: RoomId): boolean {
  return rooms.some(({ matches }) => matches(room));
}

/** Whether the service lets nobody else have this user id. */
export function keepsUser(appservice: AppService, user: UserId): boolean {
  if (serverNameOf(user) !== appservice.server) return false;
  return user === appservice.sender || appservice.users.some(({ exclusive, matches }) => exclusive && matches(user));
}

/** Whether the service lets nobody else have this alias. */
export function keepsAlias({ aliases }: AppService, alias: RoomAlias): boolean {
  return aliases.some(({ exclusive, matches }) => exclusive && matches(alias));
}
