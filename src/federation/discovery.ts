// From a server name to where its server listens (server-server API, "Resolving server names").
import { isIP } from "node:net";
import { LRUCache } from "lru-cache";
import type { Clock } from "../clock.js";
import { parseServerName, type ServerName, splitServerName } from "../protocol/identifiers.js";

const DEFAULT_PORT = 8448;
const REMEMBERED = 10_000;
const HOUR_MS = 3_600_000;
/** How long a well-known document is believed that does not say so itself, and at most. */
const DEFAULT_AGE_MS = 24 * HOUR_MS;
const LONGEST_AGE_MS = 48 * HOUR_MS;
const SHORTEST_AGE_MS = 60_000;
/** How long a server without a well-known document is believed to have none: twice as long each time. */
const FIRST_ERROR_MS = 60_000;
const LONGEST_ERROR_MS = HOUR_MS;
/** SRV records are not kept by us for longer than this. */
const SRV_AGE_MS = 300_000;

/** Where to connect, and as whom. */
export interface Destination {
  /** The host and port to connect to, the best first. */
  readonly targets: readonly { readonly host: string; readonly port: number }[];
  /** The Host header; its name is also the one that the certificate must be for. */
  readonly hostHeader: string;
}

/** What the network says. */
export interface Lookups {
  /**
   * The `m.server` of https://HOST/.well-known/matrix/server and for how many milliseconds it may be kept; undefined if
   * there is no valid document. Must not reject.
   */
  readonly wellKnown: (host: string) => Promise<{ readonly server: string; readonly maxAge: number | undefined } | undefined>;
  /** SRV records of a name, in the order in which they are to be tried; none if there are none. Must not reject. */
  readonly srv: (name: string) => Promise<readonly { readonly name: string; readonly port: number }[]>;
}

interface Delegation {
  /** Undefined: there is none. */
  readonly server: ServerName | undefined;
  readonly until: number;
  /** Until when the server is believed although the document cannot be had any more. */
  readonly keptUntil: number;
  readonly pause: number;
}

/** Resolves server names; remembers well-known documents as long as their servers allow. */
export class Discovery {
  readonly #lookups: Lookups;
  readonly #clock: Clock;
  readonly #delegations = new LRUCache<string, Delegation>({ max: REMEMBERED });
  readonly #records = new LRUCache<string, { readonly destination: Destination; readonly until: number }>({ max: REMEMBERED });
  readonly #asking = new Map<string, Promise<ServerName | undefined>>();

  constructor(lookups: Lookups, clock: Clock) {
    this.#lookups = lookups;
    this.#clock = clock;
  }

  /** Where the server of this name listens. The names of addresses are left to whoever connects. */
  async resolve(server: ServerName): Promise<Destination> {
    const { host, port } = partsOf(server);
    // 1. An IP literal. 2. An explicit port.
    if (isLiteral(host) || port !== undefined) return direct(host, port, server);
    // 3. A well-known document.
    const delegated = await this.#delegate(host);
    if (delegated !== undefined) {
      const to = partsOf(delegated);
      // 3.1, 3.2
      if (isLiteral(to.host) || to.port !== undefined) return direct(to.host, to.port, delegated);
      // 3.3 to 3.5
      return await this.#byRecords(to.host);
    }
    // 4. to 6.
    return await this.#byRecords(host);
  }

  /** SRV records of the registered service, then of the deprecated one, then the default port. */
  async #byRecords(host: string): Promise<Destination> {
    const known = this.#records.get(host);
    if (known !== undefined && known.until > this.#clock.now()) return known.destination;
    let records = await this.#lookups.srv(`_matrix-fed._tcp.${host}`);
    if (records.length === 0) records = await this.#lookups.srv(`_matrix._tcp.${host}`);
    const targets = records.map(({ name, port }) => ({ host: name, port }));
    const destination = { targets: targets.length > 0 ? targets : [{ host, port: DEFAULT_PORT }], hostHeader: host };
    this.#records.set(host, { destination, until: this.#clock.now() + SRV_AGE_MS });
    return destination;
  }

  async #delegate(host: string): Promise<ServerName | undefined> {
    const known = this.#delegations.get(host);
    if (known !== undefined && known.until > this.#clock.now()) return known.server;
    const asking = this.#asking.get(host) ?? this.#ask(host, known).finally(() => this.#asking.delete(host));
    this.#asking.set(host, asking);
    return await asking;
  }

  async #ask(host: string, before: Delegation | undefined): Promise<ServerName | undefined> {
    const answer = await this.#lookups.wellKnown(host);
    const server = parseServerName(answer?.server);
    const now = this.#clock.now();
    if (server === undefined) {
      // Who delegated until lately probably still does: an outage of the web server must not cut the homeserver off.
      const pause = Math.min(LONGEST_ERROR_MS, Math.max(FIRST_ERROR_MS, (before?.pause ?? 0) * 2));
      const { server: kept, keptUntil } = before !== undefined && before.keptUntil > now ? before : { server: undefined, keptUntil: 0 };
      this.#delegations.set(host, { server: kept, until: now + pause, keptUntil, pause });
      return kept;
    }
    const age = Math.min(LONGEST_AGE_MS, Math.max(SHORTEST_AGE_MS, answer?.maxAge ?? DEFAULT_AGE_MS));
    this.#delegations.set(host, { server, until: now + age, keptUntil: now + age + LONGEST_AGE_MS, pause: 0 });
    return server;
  }
}

function partsOf(server: ServerName): { host: string; port: number | undefined } {
  const parts = splitServerName(server);
  if (parts === undefined) throw new Error("a server name was not checked");
  return parts;
}

const isLiteral = (host: string): boolean => isIP(host.replace(/^\[(.*)\]$/, "$1")) !== 0;

function direct(host: string, port: number | undefined, hostHeader: string): Destination {
  return { targets: [{ host: host.replace(/^\[(.*)\]$/, "$1"), port: port ?? DEFAULT_PORT }], hostHeader };
}

/** How long a response may be kept, in milliseconds, by its Cache-Control and Expires headers; undefined if they do not say. */
export function maxAgeOf(headers: { readonly cacheControl: string | undefined; readonly expires: string | undefined }, now: number): number | undefined {
  const control = headers.cacheControl?.toLowerCase() ?? "";
  if (/\bno-(?:store|cache)\b/.test(control)) return 0;
  const age = /\bmax-age=(\d{1,10})/.exec(control)?.[1];
  if (age !== undefined) return Number(age) * 1000;
  const expires = headers.expires === undefined ? NaN : Date.parse(headers.expires);
  return Number.isNaN(expires) ? undefined : Math.max(0, expires - now);
}
