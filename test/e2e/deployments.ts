// The ways to run Hansa that the conversation is held on.
import { emptyDatabase } from "../support/postgres.js";
import { RedisServer } from "../support/redis-server.js";
import { databaseUrl } from "../support/server.js";
import type { Deployment } from "./conversation.js";
import { roundRobin } from "./round-robin.js";
import { ServerProcess, temporaryFolder } from "./server-process.js";

type Settings = Readonly<Record<string, unknown>>;

/** Keeps a part until the deployment ends. */
type Keep = <T extends AsyncDisposable>(part: Promise<T>) => Promise<T>;

/** What people would set who let a program talk that fast. */
const SETTINGS: Settings = { registration: { open: true }, rate_limits: { enabled: false } };

/** A deployment of parts that are disposed in reverse order, also when one of them cannot be made. */
async function deploymentOf(make: (keep: Keep) => Promise<Omit<Deployment, typeof Symbol.asyncDispose>>): Promise<Deployment> {
  const parts: AsyncDisposable[] = [];
  const dispose = async (): Promise<void> => {
    for (const part of parts.splice(0).toReversed()) await part[Symbol.asyncDispose]();
  };
  const keep: Keep = async (part) => {
    const made = await part;
    parts.push(made);
    return made;
  };
  try {
    return { ...(await make(keep)), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function crashOf(servers: readonly ServerProcess[]): () => Promise<void> {
  return async () => {
    await Promise.all(servers.map((server) => server.kill()));
    for (const server of servers) await server.restart();
  };
}

/** One process with its embedded database. */
export function oneProcess(): Promise<Deployment> {
  return deploymentOf(async (keep) => {
    const folder = await keep(temporaryFolder());
    const server = await keep(ServerProcess.start(folder.path, SETTINGS));
    return { urls: [server.url, server.url], crash: crashOf([server]) };
  });
}

/** One process that serves two names; each person reaches it under the name of their own server. */
export function twoNames(): Promise<Deployment> {
  return deploymentOf(async (keep) => {
    const folder = await keep(temporaryFolder());
    const names = ["harbour.example", "lighthouse.example"];
    const servers = names.map((name) => ({ name, public_base_url: `https://matrix.${name}` }));
    const server = await keep(ServerProcess.start(folder.path, { ...SETTINGS, servers }));
    const harbour = await keep(roundRobin([server.url], "matrix.harbour.example"));
    const lighthouse = await keep(roundRobin([server.url], "matrix.lighthouse.example"));
    return { urls: [harbour.url, lighthouse.url], crash: crashOf([server]) };
  });
}

/** Two processes on one database, each request to the next of them; `redis` between them, or killed in the middle. */
export function twoProcesses(redis: "none" | "there" | "killed"): Promise<Deployment> {
  return deploymentOf(async (keep) => {
    const folder = await keep(temporaryFolder());
    const bus = redis === "none" ? undefined : await keep(RedisServer.start());
    const settings = { ...SETTINGS, database: { url: databaseUrl(await emptyDatabase()) }, ...(bus === undefined ? {} : { redis: { url: bus.url } }) };
    const servers = [await keep(ServerProcess.start(folder.path, settings)), await keep(ServerProcess.start(folder.path, settings))];
    const front = await keep(roundRobin(servers.map((server) => server.url)));
    return {
      urls: [front.url, front.url],
      ...(bus !== undefined && redis === "killed" ? { disturb: () => bus.kill() } : {}),
      crash: crashOf(servers),
    };
  });
}
