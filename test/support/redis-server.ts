// A redis-server of a test's own, that can be killed.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Redis } from "ioredis";
import { eventually } from "./eventually.js";
import { freePort } from "./free-port.js";

export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly url: string;
  readonly #client: Redis;
  readonly #child: ChildProcess;

  private constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.#client = new Redis(this.url, { retryStrategy: () => 50, maxRetriesPerRequest: null });
    this.#client.on("error", () => undefined); // not there yet
    this.#child = child;
  }

  /** Starts it and waits until it answers. */
  static async start(port?: number): Promise<RedisServer> {
    const chosen = port ?? (await freePort());
    const args = ["--port", String(chosen), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    const child = spawn("redis-server", args, { stdio: "ignore" });
    const server = new RedisServer(chosen, child);
    let answered = false;
    const asked = server.#client.ping().then(() => (answered = true));
    try {
      await eventually("redis-server answers", () => answered);
      await asked;
      return server;
    } catch (error) {
      await server.kill();
      throw error;
    }
  }

  /** How many messages were published here. */
  async published(): Promise<number> {
    const statistics = await this.#client.info("commandstats");
    return Number(/cmdstat_publish:calls=(\d+)/.exec(statistics)?.[1] ?? 0);
  }

  /** Makes it answer nothing any more, with its connections open. */
  hang(): void {
    this.#child.kill("SIGSTOP");
  }

  /** Ends it the hard way; again is no harm. */
  async kill(): Promise<void> {
    this.#client.disconnect();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
