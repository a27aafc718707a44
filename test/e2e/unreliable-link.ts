// A network between a client and its server, or between two servers, that is cut, slow or says things twice when a test wants it.
import { readFileSync } from "node:fs";
import { createServer, request as requestHttp, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer, request as requestHttps } from "node:https";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { TLS } from "../support/peer.js";

/** A number from 0 up to 1, the next of a sequence. */
export type Random = () => number;

/** The sequence that a seed stands for (mulberry32, which is in the public domain). */
export function seeded(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const WEATHERS = ["calm", "slow", "repeating", "lossy", "cut"] as const;
/** `repeating`: each request arrives twice. `lossy`: some requests do not arrive, of others the answer is lost. */
export type Weather = (typeof WEATHERS)[number];

const LOST = 0.35;
const SLOWEST_MS = 400;

export interface LinkOptions {
  /** Where requests go. */
  readonly target: string;
  /** Where it listens; by default on a free port. */
  readonly port?: number;
  /** Over TLS on both sides, as between servers. */
  readonly tls?: boolean;
  readonly random?: Random;
}

export class UnreliableLink implements AsyncDisposable {
  readonly #server: ReturnType<typeof createServer> | ReturnType<typeof createTlsServer>;
  readonly #target: URL;
  readonly #tls: boolean;
  readonly #random: Random;
  #weather: Weather = "calm";
  /** What it did to requests, for a message about a failed test. */
  readonly faults: string[] = [];

  private constructor({ target, tls = false, random = Math.random }: LinkOptions) {
    this.#target = new URL(target);
    this.#tls = tls;
    this.#random = random;
    const listener: RequestListener = (from, to) => {
      this.#relay(from, to).catch(() => to.destroy());
    };
    this.#server = tls ? createTlsServer({ cert: readFileSync(TLS.certificate), key: readFileSync(TLS.key) }, listener) : createServer(listener);
  }

  static async start(options: LinkOptions): Promise<UnreliableLink> {
    const link = new UnreliableLink(options);
    await new Promise<void>((resolve) => link.#server.listen(options.port ?? 0, "127.0.0.1", resolve));
    return link;
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return this.#tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
  }

  get weather(): Weather {
    return this.#weather;
  }

  /** Changes it from now on; a cut ends also what is under way. */
  set weather(weather: Weather) {
    this.#weather = weather;
    if (weather === "cut") this.#server.closeAllConnections();
  }

  async #relay(from: IncomingMessage, to: ServerResponse): Promise<void> {
    const body = await buffer(from);
    const fault = (what: string): void => void this.faults.push(`${what} ${from.method} ${from.url?.split("?")[0]}`);
    const isLost = (): boolean => this.#weather === "lossy" && this.#random() < LOST;
    if (this.#weather === "slow") await sleep(this.#random() * SLOWEST_MS);
    if (this.#weather === "cut" || isLost()) {
      fault("not delivered:");
      to.destroy();
      return;
    }
    const losesAnswer = isLost();
    const closed = new AbortController();
    to.once("close", () => closed.abort());
    if (this.#weather === "repeating" && from.method !== "GET") {
      fault("twice:");
      // At the same time, so that neither has been answered when the other comes.
      this.#forward(from, body, closed.signal).then((answer) => answer.resume(), () => {});
    }
    const answer = await this.#forward(from, body, losesAnswer ? undefined : closed.signal);
    if (losesAnswer) {
      fault("answer lost:");
      answer.resume();
      to.destroy();
      return;
    }
    to.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(to);
    answer.once("error", () => to.destroy());
  }

  #forward(from: IncomingMessage, body: Buffer, signal: AbortSignal | undefined): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const outgoing = (this.#tls ? requestHttps : requestHttp)({
        hostname: this.#target.hostname,
        port: this.#target.port,
        method: from.method,
        path: from.url,
        headers: from.headers,
        ...(this.#tls && { ca: readFileSync(TLS.ca) }),
        ...(signal !== undefined && { signal }),
      });
      outgoing.once("error", reject).once("response", resolve);
      outgoing.end(body);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
