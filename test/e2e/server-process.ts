// Hansa as people run it: a process of its own, started from the command line, that can be killed.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import { freePort } from "../support/free-port.js";

const MAIN = resolve("dist/src/main.js");
const START_MS = 240_000;
const STOP_MS = 60_000;
const LAST_OUTPUT = 20;

/** A folder that goes away with what is in it. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "hansa-e2e-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) };
}

/** What a process is started with beside its settings. */
interface Launch {
  /** Words before the command, as of a program that starts another one. */
  readonly under?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** One `hansa serve`. Its settings and address stay the same over every restart. */
export class ServerProcess implements AsyncDisposable {
  readonly url: string;
  readonly #configFile: string;
  readonly #launch: Launch;
  #child: ChildProcess | undefined;
  #output: string[] = [];

  private constructor(url: string, configFile: string, launch: Launch) {
    this.url = url;
    this.#configFile = configFile;
    this.#launch = launch;
  }

  /** Writes the settings into `folder` and starts it, on a free port unless one is given; resolves when it answers. */
  static async start(folder: string, settings: Readonly<Record<string, unknown>>, givenPort?: number, launch: Launch = {}): Promise<ServerProcess> {
    const port = givenPort ?? (await freePort());
    const configFile = join(folder, `process-${port}.yaml`);
    await writeFile(
      configFile,
      stringify({ data_folder: join(folder, "data"), log: { level: "warn" }, ...settings, listen: { address: "127.0.0.1", port } }),
    );
    const server = new ServerProcess(`http://127.0.0.1:${port}`, configFile, launch);
    await server.restart();
    return server;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process again after `kill` or `stop`; resolves when it answers. */
  async restart(): Promise<void> {
    const { under = [], env = {} } = this.#launch;
    const [command, ...words] = [...under, process.execPath, MAIN, "serve", "--config", this.#configFile];
    const child = spawn(command, words, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    this.#child = child;
    this.#output = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#output = [...this.#output, ...text.split("\n").filter((line) => line !== "")].slice(-LAST_OUTPUT);
      });
    }
    const deadline = performance.now() + START_MS;
    while (!(await this.#answers())) {
      if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline) {
        child.kill("SIGKILL");
        throw new Error(`the server did not start:\n${this.#output.join("\n")}`);
      }
      await sleep(50);
    }
  }

  /** What another command, such as `fsck --json`, prints under the same settings, however it judges. */
  async command(...words: readonly string[]): Promise<string> {
    const child = spawn(process.execPath, [MAIN, ...words, "--config", this.#configFile], { stdio: ["ignore", "pipe", "ignore"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    await once(child, "close");
    return output;
  }

  async #answers(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/_matrix/client/versions`)).ok;
    } catch (error) {
      if (error instanceof TypeError) return false; // fetch: nobody listens there yet
      throw error;
    }
  }

  /** Ends the process the hard way. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Asks the process to stop and waits; throws when it does not within its time. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    const late = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    const [, killedBy] = await exited;
    clearTimeout(late);
    if (signal === "SIGTERM" && killedBy === "SIGKILL") throw new Error(`the server did not stop:\n${this.#output.join("\n")}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
