// The ways to run Hansa that the conversation is held on.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Deployment } from "./conversation.js";
import { roundRobin } from "./round-robin.js";
import { freePort, ServerProcess, temporaryFolder } from "./server-process.js";

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

class Redis implements AsyncDisposable {
  readonly url: string;
  readonly #kill: () => Promise<void>;

  private constructor(url: string, kill: () => Promise<void>) {
    this.url = url;
    this.#kill = kill;
  }

  static async start(): Promise<Redis> {
    const port = await freePort();
    const child = spawn("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], { stdio: "ignore" });
    const exited = once(child, "exit");
    const redis = new Redis(`redis://127.0.0.1:${port}`, async () => {
      child.kill("SIGKILL");
      await exited;
    });
    for (let attempt = 0; attempt < 100; attempt++) {
      const socket = connect(port, "127.0.0.1");
      const answers = await new Promise<boolean>((settle) => {
        socket.once("connect", () => settle(true)).once("error", () => settle(false));
      });
      socket.destroy();
      if (answers) return redis;
      await sleep(50);
    }
    await redis.kill();
    throw new Error("redis-server does not answer");
  }

  kill(): Promise<void> {
    return this.#kill();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#kill();
  }
}

/** Two processes on one database, each request to the next of them; `redis` between them, or killed in the middle. */
export function twoProcesses(redis: "none" | "there" | "killed"): Promise<Deployment> {
  return deploymentOf(async (keep) => {
    const folder = await keep(temporaryFolder());
    const bus = redis === "none" ? undefined : await keep(Redis.start());
    const settings = { ...SETTINGS, ...(bus === undefined ? {} : { redis: { url: bus.url } }) };
    const servers = [await keep(ServerProcess.start(folder.path, settings)), await keep(ServerProcess.start(folder.path, settings))];
    const front = await keep(roundRobin(servers.map((server) => server.url)));
    return {
      urls: [front.url, front.url],
      ...(bus !== undefined && redis === "killed" ? { disturb: () => bus.kill() } : {}),
      crash: crashOf(servers),
    };
  });
}
