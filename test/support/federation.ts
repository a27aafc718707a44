// Servers of ours that federate with each other and with peers of a test, over TLS on loopback addresses.
import { freePort } from "./free-port.js";
import { TLS } from "./peer.js";
import { startTestServer, type TestServer } from "./server.js";

export interface FederatingServer extends TestServer {
  readonly name: string;
  /** Where it listens for other servers. */
  readonly federationUrl: string;
}

/** The settings of a server that trusts the authority of the tests and may ask this machine. */
export function federationSettings(port: number): Record<string, unknown> {
  return {
    servers: [{ name: `localhost:${port}` }],
    registration: { open: true },
    outgoing: { allowed_addresses: ["127.0.0.0/8", "::1"], ca_file: TLS.ca },
    federation: { listen: { address: "127.0.0.1", port, certificate_path: TLS.certificate, key_path: TLS.key } },
  };
}

export async function startFederatingServer(settings: Record<string, unknown> = {}): Promise<FederatingServer> {
  const port = await freePort();
  const server = await startTestServer({ ...federationSettings(port), ...settings });
  return { ...server, name: `localhost:${port}`, federationUrl: `https://localhost:${port}`, [Symbol.asyncDispose]: server[Symbol.asyncDispose] };
}
