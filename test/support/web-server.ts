// A web server on this machine that other people's servers are played by.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";

export interface WebServer extends AsyncDisposable {
  /** As http://127.0.0.1:port. */
  readonly url: string;
  readonly port: number;
  /** Paths that were asked for, in their order. */
  readonly requests: string[];
  /** How many connections are open. */
  connections(): Promise<number>;
}

/** Serves each path by its function; other paths are answered with 404. */
export async function startWebServer(
  paths: Readonly<Record<string, (response: ServerResponse, request: IncomingMessage) => void>>,
): Promise<WebServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    requests.push(path);
    const serve = paths[path];
    if (serve === undefined) response.writeHead(404).end();
    else serve(response, request);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    connections: () => promisify(server.getConnections.bind(server))(),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
