// Wires everything together; the only file that knows all parts.
import { setMaxListeners } from "node:events";
import { AccessTokens } from "./accounts/access-tokens.js";
import { LastSeen } from "./accounts/last-seen.js";
import { Passwords } from "./accounts/passwords.js";
import { createApp } from "./api/dispatch.js";
import { answerProbe, listen, publicLimits } from "./api/listener.js";
import { RateLimiter } from "./api/rate-limit.js";
import { routes } from "./api/routes.js";
import type { Services } from "./api/services.js";
import { systemClock } from "./clock.js";
import { localServers, type Config } from "./config.js";
import { setLogLevel } from "./log.js";
import { openDatabase, type Progress } from "./storage/open.js";
import { loadSecretKey } from "./storage/sealing.js";
import { loadSigningKeys } from "./storage/signing-keys.js";

export interface RunningServer extends AsyncDisposable {
  /** Where it listens, as http://host:port. */
  readonly url: string;
  /** Where the data is, for a person to read. */
  readonly where: string;
}

export interface StartOptions {
  /** Checks every answer against the contract: for tests. */
  readonly validateAnswers?: boolean;
  /** Told each step that takes a moment. */
  readonly progress?: Progress;
}

/** Starts a server. Throws ConfigError for what its configuration or surroundings do not allow. */
export async function startServer(config: Config, options: StartOptions = {}): Promise<RunningServer> {
  const started: AsyncDisposable[] = [];
  try {
    return await start(config, options, started);
  } catch (error) {
    await disposeAll(started);
    throw error;
  }
}

/** Disposes in the reverse order of starting. */
async function disposeAll(started: AsyncDisposable[]): Promise<void> {
  for (const part of started.splice(0).toReversed()) await part[Symbol.asyncDispose]();
}

async function start(config: Config, options: StartOptions, started: AsyncDisposable[]): Promise<RunningServer> {
  setLogLevel(config.log.level);
  const clock = systemClock;
  const servers = localServers(config);
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  const secret = loadSecretKey(config);
  const opened = await openDatabase(config, options.progress);
  started.push(opened);
  const { database, where } = opened;
  const signingKeyOf = await loadSigningKeys(database, secret, servers.names, clock.now());
  const tokens = new AccessTokens(database, clock);
  const lastSeen = new LastSeen(database, clock);
  started.push(lastSeen);
  const limiter = new RateLimiter(config.rate_limits, clock);
  const passwords = new Passwords(config.passwords);
  const services: Services = { config, clock, servers, database, secret, passwords, tokens, limiter, signingKeyOf };
  const app = createApp(
    {
      config,
      servers,
      limiter,
      authenticate: (token) => tokens.authenticate(token),
      seen: (requester, address, userAgent) => lastSeen.note(requester, address, userAgent),
      validateAnswers: options.validateAnswers ?? false,
      stopping: stopping.signal,
    },
    routes.map(({ operation, handler }) => ({ operation, answer: (request) => handler(services, request) })),
  );
  const answer = app.callback();
  const trouble = async (): Promise<string | undefined> => {
    if (stopping.signal.aborted) return "the server is stopping";
    await database.read({ name: "ready", text: "SELECT 1" }, []);
    return undefined;
  };
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
    where,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await disposeAll(started);
    },
  };
}
