// Wires everything together; the only file that knows all parts.
import { setMaxListeners } from "node:events";
import { createApp } from "./api/dispatch.js";
import { answerProbe, listen, publicLimits } from "./api/listener.js";
import { RateLimiter } from "./api/rate-limit.js";
import { routes } from "./api/routes.js";
import { systemClock } from "./clock.js";
import { localServers, type Config } from "./config.js";
import { unknownToken } from "./errors.js";

export interface RunningServer extends AsyncDisposable {
  /** Where it listens, as http://host:port. */
  readonly url: string;
}

/** Starts a server. `validateAnswers` checks every answer against the contract: for tests. */
export async function startServer(config: Config, options: { validateAnswers?: boolean } = {}): Promise<RunningServer> {
  const started: AsyncDisposable[] = [];
  try {
    return await start(config, options.validateAnswers ?? false, started);
  } catch (error) {
    await disposeAll(started);
    throw error;
  }
}

/** Disposes in the reverse order of starting. */
async function disposeAll(started: AsyncDisposable[]): Promise<void> {
  for (const part of started.splice(0).toReversed()) await part[Symbol.asyncDispose]();
}

async function start(config: Config, validateAnswers: boolean, started: AsyncDisposable[]): Promise<RunningServer> {
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  const app = createApp(
    {
      config,
      clock: systemClock,
      servers: localServers(config),
      limiter: new RateLimiter(config.rate_limits, systemClock),
      authenticate: () => Promise.reject(unknownToken("This access token is not known.")),
      seen: () => undefined,
    },
    routes,
    { validateAnswers, stopping: stopping.signal },
  );
  const answer = app.callback();
  const trouble = (): Promise<string | undefined> =>
    Promise.resolve(stopping.signal.aborted ? "the server is stopping" : undefined);
  const { metrics } = config;
  if (metrics.enabled && metrics.port !== undefined) {
    started.push(
      await listen(
        { address: metrics.address, port: metrics.port, setting: "metrics.address or metrics.port" },
        publicLimits(config),
        (request, response) => {
          if (!answerProbe({ trouble, metrics: true }, request, response)) response.writeHead(404).end();
        },
      ),
    );
  }
  const main = await listen(
    { address: config.listen.address, port: config.listen.port, setting: "listen.address or listen.port" },
    publicLimits(config),
    (request, response) => {
      const probes = { trouble, metrics: metrics.enabled && metrics.port === undefined };
      if (!answerProbe(probes, request, response)) void answer(request, response);
    },
  );
  started.push(main);
  return {
    url: main.url,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await disposeAll(started);
    },
  };
}
