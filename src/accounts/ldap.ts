// Asks a directory (LDAP 3, RFC 4511) whether a password is that of one of its users, and what it says of them.
import { createConnection, type Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import type { Client, Entry } from "ldapts";
import type { Config } from "../config.js";
import { limitExceeded, unknownError } from "../errors.js";
import { logger } from "../log.js";
import type { UserId } from "../protocol/identifiers.js";
import { templateNames, type Claims } from "./claims.js";

const log = logger("accounts");

/** Questions at once: a directory that is slow must not hold up the whole server. */
const MAX_RUNNING = 50;
const MAX_PASSWORD_BYTES = 512;
/** Users that the directory tells at a time. */
const PAGE = 500;

export type LdapSettings = NonNullable<Config["ldap"]>;

/** A user whose password was right. */
export interface DirectoryUser {
  /** What names the user in the directory for good. */
  readonly subject: string;
  /** The attributes that templates name, each its first value. */
  readonly claims: Claims;
}

/** A value inside of a filter (RFC 4515, section 3). */
const inFilter = (value: string): string => value.replaceAll(/[\\*()\0]/g, (letter) => `\\${letter.charCodeAt(0).toString(16).padStart(2, "0")}`);

/** A value inside of a distinguished name (RFC 4514, section 2.4). */
const inName = (value: string): string =>
  value.replaceAll(/[\\,+"<>;=#\0]/g, (letter) => `\\${letter.charCodeAt(0).toString(16).padStart(2, "0")}`).replaceAll(/^ | $/g, String.raw`\20`);

/** What was wrong with a user's name or password, not with the directory. */
const REFUSALS: ReadonlySet<string> = new Set(["InvalidCredentialsError", "InappropriateAuthError", "NoSuchObjectError", "InvalidDNSyntaxError", "InsufficientAccessError"]);

/** The directory of the configuration. */
export class Directory {
  readonly settings: LdapSettings;
  /** Throws for a name that is kept for an application service. */
  readonly requireFree: (user: UserId) => void;
  #running = 0;

  constructor(settings: LdapSettings, requireFree: (user: UserId) => void) {
    this.settings = settings;
    this.requireFree = requireFree;
  }

  /**
   * The user of this name, if the password is right. Throws 503 M_UNKNOWN if the directory gives no answer in time,
   * M_LIMIT_EXCEEDED if too many wait for it.
   */
  async prove(login: string, password: string): Promise<DirectoryUser | undefined> {
    // A name without a password is an anonymous bind (RFC 4513, section 5.1.2): it succeeds, and proves nothing.
    if (login === "" || password === "" || Buffer.byteLength(password) > MAX_PASSWORD_BYTES) return undefined;
    return await this.#asked((connection) => this.#ask(connection, login, password));
  }

  /** Whether somebody of this name could log in; undefined where only they themselves can be asked for. Throws as `prove` does. */
  async knows(login: string): Promise<boolean | undefined> {
    if (this.settings.user_dn !== undefined) return undefined;
    return await this.#asked(async (connection) => (await this.#found(await connection.open(), login)).length > 0);
  }

  /** All who can log in, a page at a time. Throws where the directory does not tell them all. */
  async *everybody(stopping: AbortSignal): AsyncGenerator<readonly DirectoryUser[]> {
    const connection = new Connection(this.settings);
    try {
      const client = await connection.open();
      await this.#begin(client);
      const { base_dn = "", filter, timeout_seconds } = this.settings;
      const { sizeLimit: _, ...wanted } = this.#wanted();
      const pages = client.searchPaginated(base_dn, { ...wanted, timeLimit: timeout_seconds * 10, scope: "sub", filter: filter.replaceAll("{login}", "*"), paged: { pageSize: PAGE } });
      for await (const { searchEntries } of pages) {
        stopping.throwIfAborted();
        yield searchEntries.flatMap((entry) => this.#userOf([entry]) ?? []);
      }
    } finally {
      connection.close();
    }
  }

  async #asked<T>(ask: (connection: Connection) => Promise<T>): Promise<T> {
    if (this.#running >= MAX_RUNNING) throw limitExceeded(2_000);
    this.#running++;
    const { url, timeout_seconds } = this.settings;
    const connection = new Connection(this.settings);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error("the directory gave no answer in time")), timeout_seconds * 1000);
    });
    try {
      return await Promise.race([ask(connection), late]);
    } catch (cause) {
      log.warn({ err: cause, url }, "the directory of users cannot be asked");
      throw unknownError(503, "The directory of users cannot be reached at the moment. Try again later.", cause);
    } finally {
      clearTimeout(timer);
      this.#running--;
      connection.close();
    }
  }

  async #ask(connection: Connection, login: string, password: string): Promise<DirectoryUser | undefined> {
    const { user_dn } = this.settings;
    const client = await connection.open();
    if (user_dn !== undefined) {
      const name = user_dn.replaceAll("{login}", () => inName(login));
      if (!(await bound(client, name, password))) return undefined;
      const { searchEntries } = await client.search(name, { ...this.#wanted(), scope: "base" });
      return this.#userOf(searchEntries);
    }
    const searchEntries = await this.#found(client, login);
    const user = this.#userOf(searchEntries, login);
    const name = searchEntries[0]?.dn;
    return user !== undefined && name !== undefined && name !== "" && (await bound(client, name, password)) ? user : undefined;
  }

  async #begin(client: Client): Promise<void> {
    const { bind_dn, bind_password } = this.settings;
    if (bind_dn !== undefined) await client.bind(bind_dn, bind_password ?? "");
  }

  async #found(client: Client, login: string): Promise<readonly Entry[]> {
    await this.#begin(client);
    const { base_dn = "", filter } = this.settings;
    return (await client.search(base_dn, { ...this.#wanted(), scope: "sub", filter: filter.replaceAll("{login}", () => inFilter(login)) })).searchEntries;
  }

  #wanted(): { attributes: string[]; explicitBufferAttributes: string[]; sizeLimit: number; timeLimit: number } {
    const { localpart, display_name, email, subject_attribute, timeout_seconds } = this.settings;
    const subject = subject_attribute === undefined ? [] : [subject_attribute];
    const attributes = [...new Set([...[localpart, display_name, email].flatMap(templateNames), ...subject])];
    return { attributes: attributes.length === 0 ? ["1.1"] : attributes, explicitBufferAttributes: subject, sizeLimit: 2, timeLimit: timeout_seconds };
  }

  #userOf(entries: readonly Entry[], login?: string): DirectoryUser | undefined {
    const [entry, ...more] = entries;
    if (entry === undefined) return undefined;
    if (more.length > 0) {
      log.warn({ login }, "several entries of the directory fit one user name: nobody was logged in");
      return undefined;
    }
    const { subject_attribute } = this.settings;
    const claims: Record<string, string> = {};
    for (const name of this.#wanted().attributes) {
      const value = firstOf(entry, name);
      if (value !== undefined) claims[name] = value;
    }
    const subject = subject_attribute === undefined ? entry.dn.toLowerCase() : claims[subject_attribute];
    if (subject === undefined || subject === "") throw new Error(`the entry ${entry.dn} has no attribute ${subject_attribute ?? ""}`);
    return { subject, claims };
  }
}

/** The first value of an attribute; servers write names in any case. What is no text is given as hexadecimal digits. */
function firstOf(entry: Entry, name: string): string | undefined {
  const key = Object.keys(entry).find((each) => each.toLowerCase() === name.toLowerCase());
  const values = key === undefined ? undefined : entry[key];
  const value = Array.isArray(values) ? values[0] : values;
  if (!Buffer.isBuffer(value)) return value;
  const text = value.toString();
  return Buffer.from(text).equals(value) ? text : value.toString("hex");
}

/** Whether a user's password is right. */
async function bound(client: Client, name: string, password: string): Promise<boolean> {
  try {
    await client.bind(name, password);
    return true;
  } catch (error) {
    if (error instanceof Error && REFUSALS.has(error.name)) return false;
    throw error;
  }
}

/** One connection to the directory, for one question. */
class Connection {
  readonly #settings: LdapSettings;
  #socket: Socket | undefined;
  #client: Client | undefined;
  #closed = false;

  constructor(settings: LdapSettings) {
    this.#settings = settings;
  }

  async open(): Promise<Client> {
    const { Client } = await import("ldapts");
    const { url, start_tls, ca, timeout_seconds } = this.#settings;
    const { protocol, hostname, port } = new URL(url);
    const host = hostname.replaceAll(/^\[|\]$/g, "");
    const milliseconds = timeout_seconds * 1000;
    const tls: ConnectionOptions = { host, ...(ca !== undefined && { ca }) };
    const secure = protocol === "ldaps:";
    const client = new Client({
      url,
      timeout: milliseconds,
      connectTimeout: milliseconds,
      ...(secure && { tlsOptions: tls }),
      createConnection: () => {
        // The library connects again by itself, without TLS: a connection cut after StartTLS would show a password.
        if (this.#socket !== undefined || this.#closed) throw new Error("the directory closed the connection");
        this.#socket = createConnection({ host, port: port === "" ? 389 : Number(port) });
        return this.#socket;
      },
    });
    this.#client = client;
    if (!secure && start_tls) await client.startTLS(tls);
    return client;
  }

  close(): void {
    this.#closed = true;
    // Says goodbye where there is somebody to hear it.
    this.#client?.unbind().catch(() => undefined).finally(() => this.#socket?.destroy());
    if (this.#client?.isConnected !== true) this.#socket?.destroy();
  }
}
