// How we meet other servers: the parts that ask them and know them, made from the configuration.
import type { Clock } from "../clock.js";
import type { Config, LocalServers } from "../config.js";
import { parseServerName, type ServerName } from "../protocol/identifiers.js";
import type { SigningKey } from "../protocol/signing.js";
import type { Database } from "../storage/database.js";
import { FederationClient } from "./client.js";
import { Discovery } from "./discovery.js";
import { type FederationPolicy, federationPolicy } from "./federation-policy.js";
import { documentsOf, KeyRing } from "./key-ring.js";
import { networkLookups } from "./lookups.js";
import type { Outgoing } from "./outgoing.js";

export interface Federation {
  readonly client: FederationClient;
  readonly keyRing: KeyRing;
  readonly policy: FederationPolicy;
  /** The key with which one of our servers signs; undefined for servers that are not ours. */
  readonly signingKey: (server: ServerName) => SigningKey | undefined;
  /** The key with which one of our servers signs as a policy server; undefined where it is none. */
  readonly policyKey: (server: ServerName) => SigningKey | undefined;
}

const KEYS_TIMEOUT_MS = 15_000;
const KEYS_BYTES = 256 * 1024;

export interface FederationOptions {
  readonly config: Config;
  /** All keys with which one of our servers ever signed; undefined for servers that are not ours. */
  readonly ownKeys: (server: ServerName) => ReadonlyMap<string, string> | undefined;
  readonly servers: LocalServers;
  readonly database: Database;
  readonly clock: Clock;
  readonly outgoing: Outgoing;
  readonly signingKey: (server: ServerName) => SigningKey | undefined;
  readonly policyKeys: ReadonlyMap<string, SigningKey>;
}

/** Makes the parts. Nothing is asked of anybody yet. */
export function openFederation({ config, servers, database, clock, outgoing, signingKey, policyKeys, ownKeys }: FederationOptions): Federation {
  const policy = federationPolicy(config.federation, servers);
  const discovery = new Discovery(networkLookups(outgoing, clock), clock);
  const client = new FederationClient({ discovery, policy, outgoing, signingKey });
  const [asker] = servers.names;
  const limits = { timeoutMs: KEYS_TIMEOUT_MS, maxBytes: KEYS_BYTES };
  const keyRing = new KeyRing({
    database,
    clock,
    ownKeys,
    notaries: config.federation.trusted_key_servers.flatMap((name) => parseServerName(name) ?? []),
    refused: new Set(config.federation.refused_keys.map((key) => key.replace(/=+$/, ""))),
    sources: {
      fromServer: (destination) => client.unsigned({ destination, method: "GET", uri: "/_matrix/key/v2/server", ...limits }),
      async fromNotary(destination, wanted) {
        const server_keys = Object.fromEntries(
          [...wanted].map(([server, { minimumValidUntil, keyIds }]) => [
            server,
            Object.fromEntries(keyIds.map((id) => [id, { minimum_valid_until_ts: minimumValidUntil }])),
          ]),
        );
        const body = { server_keys };
        return documentsOf(await client.request({ origin: asker, destination, method: "POST", uri: "/_matrix/key/v2/query", body, ...limits }));
      },
    },
  });
  return { client, keyRing, policy, signingKey, policyKey: (server) => policyKeys.get(server) };
}
