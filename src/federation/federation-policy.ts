// With which servers we federate.
import type { Config, LocalServers } from "../config.js";
import { compileGlob, type Glob, matchesWhole } from "../protocol/glob.js";
import type { ServerName } from "../protocol/identifiers.js";

export interface FederationPolicy {
  /** Whether we speak with a server and let it speak with us. Never for our own names. */
  allows(server: ServerName): boolean;
}

/** The policy of a configuration: everybody, or only those who are allowed, less those who are denied. */
export function federationPolicy({ enabled, allowed_servers, denied_servers }: Config["federation"], servers: LocalServers): FederationPolicy {
  const allowed = allowed_servers?.map(compileGlob);
  const denied = denied_servers.map(compileGlob);
  const matches = (globs: readonly Glob[], name: string): boolean => globs.some((glob) => matchesWhole(glob, name));
  return {
    allows(server) {
      const name = server.toLowerCase();
      return enabled && !servers.isLocal(server) && (allowed === undefined || matches(allowed, name)) && !matches(denied, name);
    },
  };
}
