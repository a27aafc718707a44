// Wires everything together; the only file that knows all parts.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createApp } from "./api/dispatch.js";
import { routes } from "./api/routes.js";
import { systemClock } from "./clock.js";
import { ConfigError, type Config } from "./config.js";
import { unknownToken } from "./errors.js";

export interface RunningServer extends AsyncDisposable {
  /** Where it listens, as http://host:port. */
  readonly url: string;
}

/** Starts a server. `validateAnswers` checks every answer against the contract: for tests. */
export async function startServer(config: Config, options: { validateAnswers?: boolean } = {}): Promise<RunningServer> {
  const app = createApp(
    {
      config,
      clock: systemClock,
      authenticate: () => Promise.reject(unknownToken("This access token is not known.")),
    },
    routes,
    { validateAnswers: options.validateAnswers ?? false },
  );
  const answer = app.callback();
  const http = createServer((request, response) => void answer(request, response));
  await listen(http, config);
  const { address, port } = http.address() as AddressInfo;
  return {
    url: `http://${address.includes(":") ? `[${address}]` : address}:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => http.close(resolve));
      http.closeIdleConnections();
      const hurry = setTimeout(() => http.closeAllConnections(), 5_000);
      await closed;
      clearTimeout(hurry);
    },
  };
}

function listen(http: Server, config: Config): Promise<void> {
  const { address, port } = config.listen;
  return new Promise((resolve, reject) => {
    http.once("error", (cause: NodeJS.ErrnoException) => {
      reject(
        cause.code === "EADDRINUSE" || cause.code === "EACCES" || cause.code === "EADDRNOTAVAIL"
          ? new ConfigError(`Cannot listen on ${address} port ${port}: ${cause.code}. Set another listen.address or listen.port.`, { cause })
          : cause,
      );
    });
    http.listen(port, address, resolve);
  });
}
