// The signing keys of other servers: from memory, the database, the servers themselves, and notaries that we trust.
import { LRUCache } from "lru-cache";
import { isDue, type Clock } from "../clock.js";
import { logger } from "../log.js";
import type { ServerName } from "../protocol/identifiers.js";
import { isObject, type JsonObject, own } from "../protocol/json.js";
import { type KeyDocument, readKeyDocument } from "../protocol/server-keys.js";
import { signaturesBy, verifyJson } from "../protocol/signing.js";
import type { Database } from "../storage/database.js";
import { serverKeyDocuments, serverKeys, serverKeyStatements, type ServerKey, storeServerKeys } from "../storage/server-keys.js";

const log = logger("keys");

const REMEMBERED_SERVERS = 10_000;
/** Whoever could not be asked is left alone for this long, twice as long each time. */
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 3_600_000;
/** Whoever has answered is not asked again for a while, however many keys are named that it does not have. */
const SATISFIED_MS = 10_000;
/** Servers that are asked at the same time. */
const AT_ONCE = 20;

/** How keys are asked for. Both reject when there is no answer. */
export interface KeySources {
  /** What a server says of itself (`GET /_matrix/key/v2/server`). */
  readonly fromServer: (server: ServerName) => Promise<JsonObject>;
  /** What a notary says of others (`POST /_matrix/key/v2/query`): the documents, not yet checked. */
  readonly fromNotary: (
    notary: ServerName,
    wanted: ReadonlyMap<ServerName, { readonly minimumValidUntil: number; readonly keyIds: readonly string[] }>,
  ) => Promise<readonly JsonObject[]>;
}

/** Keys of one server that are wanted. */
export interface WantedKeys {
  readonly server: ServerName;
  readonly keyIds: readonly string[];
  /** Until when they have to be valid: the time of what they signed, in milliseconds. */
  readonly validAt: number;
}

export interface KeyRingOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly sources: KeySources;
  /** Servers whose word we take for the keys of others that cannot be reached. */
  readonly notaries: readonly ServerName[];
  /** All keys with which one of our servers ever signed: key id to key; undefined for servers that are not ours. */
  readonly ownKeys: (server: ServerName) => ReadonlyMap<string, string> | undefined;
  /** Public keys that are known to others than their owners. */
  readonly refused: ReadonlySet<string>;
}

/** The keys of other servers (server-server API, "Retrieving server keys"). */
export class KeyRing {
  readonly #options: KeyRingOptions;
  readonly #known = new LRUCache<ServerName, ReadonlyMap<string, ServerKey>>({ max: REMEMBERED_SERVERS });
  readonly #asking = new Map<ServerName, Promise<void>>();
  readonly #pauses = new LRUCache<ServerName, { readonly until: number; readonly pause: number }>({ max: REMEMBERED_SERVERS });

  constructor(options: KeyRingOptions) {
    this.#options = options;
  }

  /**
   * The public keys with which `server` may have signed a request now: key id to key. Only those that it has not retired and
   * whose validity lasts.
   */
  async forRequest(server: ServerName, keyId: string): Promise<string | undefined> {
    const now = this.#options.clock.now();
    const keys = await this.#find([{ server, keyIds: [keyId], validAt: now }]);
    const key = keys.get(server)?.get(keyId);
    return key !== undefined && key.expired_ts === null && key.valid_until_ts >= now ? key.public_key : undefined;
  }

  /**
   * The public keys for signatures of events: a function from a server, and the time at which its key must have been valid
   * (undefined: at any), to key ids and keys. Our own servers' keys are known to it.
   */
  async forEvents(
    wanted: readonly WantedKeys[],
  ): Promise<(server: ServerName, at: number | undefined) => ReadonlyMap<string, string>> {
    const found = await this.untilWhen(wanted);
    return (server, at) => keysAt(found.get(server), at);
  }

  /** As `forEvents`, without asking for a time: each key with the time until which it vouches for what it signed. */
  async untilWhen(wanted: readonly WantedKeys[]): Promise<ReadonlyMap<ServerName, TimedKeys>> {
    const { ownKeys } = this.#options;
    const found = await this.#find(wanted.filter(({ server }) => ownKeys(server) === undefined));
    const timed = new Map<ServerName, TimedKeys>();
    for (const { server } of wanted) {
      if (timed.has(server)) continue;
      const own = ownKeys(server);
      const theirs = [...(found.get(server)?.values() ?? [])].map(
        ({ key_id, public_key, expired_ts, valid_until_ts }) => [key_id, { key: public_key, until: expired_ts ?? valid_until_ts }] as const,
      );
      timed.set(server, new Map(own === undefined ? theirs : [...own].map(([id, key]) => [id, { key, until: Infinity }])));
    }
    return timed;
  }

  /**
   * The last statements of servers about their keys, and older ones on the keys that are wanted of them and no longer named (without
   * key ids: on all of these). Servers whose last statement ends before `validAt`, or that are not known to have such a key, are asked
   * again first.
   */
  async documents(wanted: readonly WantedKeys[]): Promise<string[]> {
    const { database } = this.#options;
    const servers = wanted.map(({ server }) => server);
    const stored = await serverKeyDocuments(database, servers);
    const keys = await serverKeys(database, servers);
    const missing = wanted.filter(({ server, keyIds, validAt }) => {
      const isSound = stored.some(({ server_name, valid_until_ts }) => server_name === server && valid_until_ts >= validAt);
      return !isSound || !keyIds.every((id) => keys.some((key) => key.server_name === server && key.key_id === id));
    });
    // Not of other notaries: two that ask each other would never come to an end.
    if (missing.length > 0) await this.#askServers(missing);
    const last = missing.length > 0 ? await serverKeyDocuments(database, servers) : stored;
    const older = (await serverKeyStatements(database, servers)).filter(({ server_name, key_id }) =>
      wanted.some(({ server, keyIds }) => server === server_name && (keyIds.length === 0 || keyIds.includes(key_id))),
    );
    return [...new Set([...last, ...older].map(({ document }) => document))];
  }

  /** Memory, then the database, then the servers, then the notaries; asks further only for what is still missing. */
  async #find(wanted: readonly WantedKeys[]): Promise<Map<ServerName, ReadonlyMap<string, ServerKey>>> {
    const unknown = [...new Set(wanted.filter((keys) => !this.#has(keys)).map(({ server }) => server))];
    if (unknown.length > 0) await this.#read(unknown);
    const missing = wanted.filter((keys) => !this.#has(keys));
    if (missing.length > 0) await this.#ask(missing);
    return new Map(wanted.map(({ server }) => [server, this.#known.get(server) ?? new Map<string, ServerKey>()]));
  }

  #has({ server, keyIds, validAt }: WantedKeys): boolean {
    const known = this.#known.get(server);
    return known !== undefined && keyIds.every((id) => {
      const key = known.get(id);
      return key !== undefined && (key.expired_ts !== null || key.valid_until_ts >= validAt);
    });
  }

  async #read(servers: readonly ServerName[]): Promise<void> {
    const rows = await serverKeys(this.#options.database, servers);
    for (const server of servers) {
      const own = rows.filter(({ server_name, public_key }) => server_name === server && !this.#options.refused.has(public_key));
      this.#known.set(server, new Map(own.map((key) => [key.key_id, key])));
    }
  }

  /** Asks each server itself; then the notaries for what is left. */
  async #ask(wanted: readonly WantedKeys[]): Promise<void> {
    await this.#askServers(wanted);
    for (const notary of this.#options.notaries) {
      const missing = wanted.filter((keys) => !this.#has(keys));
      if (missing.length === 0) return;
      await this.#askNotary(notary, missing);
    }
  }

  /** Several at once, one request at a time for each. */
  async #askServers(wanted: readonly WantedKeys[]): Promise<void> {
    const { clock } = this.#options;
    const servers = [...new Set(wanted.map(({ server }) => server))].filter((server) => isDue(clock, this.#pauses.get(server)?.until ?? 0, LONGEST_PAUSE_MS));
    for (let start = 0; start < servers.length; start += AT_ONCE) {
      await Promise.all(servers.slice(start, start + AT_ONCE).map((server) => this.#askServer(server)));
    }
  }

  async #askServer(server: ServerName): Promise<void> {
    const asking = this.#asking.get(server) ?? this.#fetch(server).finally(() => this.#asking.delete(server));
    this.#asking.set(server, asking);
    await asking;
  }

  async #fetch(server: ServerName): Promise<void> {
    const { clock, sources } = this.#options;
    try {
      const document = await sources.fromServer(server);
      const read = readKeyDocument(document, server, clock.now());
      if (read === undefined) throw new Error("its statement of keys is not sound");
      await this.#store(read, document, true);
      this.#pauses.set(server, { until: clock.now() + SATISFIED_MS, pause: FIRST_PAUSE_MS / 2 });
    } catch (error) {
      const pause = Math.min(LONGEST_PAUSE_MS, (this.#pauses.get(server)?.pause ?? FIRST_PAUSE_MS / 2) * 2);
      this.#pauses.set(server, { until: clock.now() + pause, pause });
      log.info({ server, reason: error instanceof Error ? error.message : String(error) }, "the keys of a server could not be had from it");
    }
  }

  async #askNotary(notary: ServerName, missing: readonly WantedKeys[]): Promise<void> {
    const { clock, sources } = this.#options;
    const wanted = new Map(
      missing.map(({ server, keyIds, validAt }) => [server, { minimumValidUntil: validAt, keyIds }] as const),
    );
    try {
      if (this.#known.get(notary) === undefined) await this.#read([notary]);
      if (this.#known.get(notary)?.size === 0) await this.#askServer(notary);
      const trusted = [...(this.#known.get(notary)?.values() ?? [])];
      for (const document of await sources.fromNotary(notary, wanted)) {
        const server = own(document, "server_name");
        const asked = [...wanted.keys()].find((name) => name === server);
        const vouched = [...signaturesBy(document, notary).keys()].some((id) =>
          trusted.some((key) => key.key_id === id && verifyJson(document, notary, id, key.public_key)),
        );
        const read = asked === undefined || !vouched ? undefined : readKeyDocument(document, asked, clock.now());
        if (read !== undefined) await this.#store(read, document, false);
      }
    } catch (error) {
      log.info({ notary, reason: error instanceof Error ? error.message : String(error) }, "a notary gave no keys");
    }
  }

  async #store({ server_name, valid_until_ts, keys }: KeyDocument, document: JsonObject, direct: boolean): Promise<void> {
    const { database, clock, refused } = this.#options;
    const rows = keys
      .filter(({ publicKey }) => !refused.has(publicKey))
      .map(({ id, publicKey, expired_ts }) => ({
        server_name,
        key_id: id,
        public_key: publicKey,
        valid_until_ts,
        expired_ts: expired_ts ?? null,
      }));
    await storeServerKeys(database, rows, {
      server_name,
      document: JSON.stringify(document),
      valid_until_ts,
      fetched_ts: clock.now(),
      direct,
    });
    await this.#read([server_name]);
  }
}

/** Keys by their ids, each with the time until which it vouches for what it signed (room versions, "Signing key validity period"). */
export type TimedKeys = ReadonlyMap<string, { readonly key: string; readonly until: number }>;

/** Those of a server's keys that vouch for what was signed at a time (undefined: at any). */
export function keysAt(keys: TimedKeys | undefined, at: number | undefined): Map<string, string> {
  const usable = [...(keys ?? [])].filter(([, { until }]) => at === undefined || at <= until);
  return new Map(usable.map(([id, { key }]) => [id, key]));
}

/** The keys of a notary's answer. */
export function documentsOf(answer: JsonObject): JsonObject[] {
  const list = own(answer, "server_keys");
  return Array.isArray(list) ? list.filter((entry): entry is JsonObject => isObject(entry)) : [];
}
