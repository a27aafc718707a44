// The HTTP and HTTPS listeners: bounds on time, headers and connections, health for load balancers, metrics.
import { createServer, IncomingMessage, STATUS_CODES, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import { Server as NetServer, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ConfigError, type Config } from "../config.js";
import { logger } from "../log.js";
import { metricsText } from "../metrics.js";
import { addressMatcher } from "./address.js";
import type { Certificate } from "./certificate.js";

const log = logger("http");

const HEADER_BYTES = 16 * 1024;
const HEADERS_MS = 15_000;
/** A whole request with its body: long enough for media over slow lines; JSON bodies have a shorter limit of their own. */
const REQUEST_MS = 300_000;
/** Longer than the usual idle timeout of reverse proxies, so that it is they who close. */
const KEEP_ALIVE_MS = 75_000;
const DRAIN_MS = 10_000;
/** How long a connection that was refused may take to read why. */
const LINGER_MS = 2_000;

export interface Listener extends AsyncDisposable {
  /** As http://host:port, or https. */
  readonly url: string;
}

export interface ListenerOptions {
  readonly address: string;
  readonly port: number;
  /** Names of the settings, for the sentence that says why it cannot listen. */
  readonly setting: string;
  /** How long open connections may ask once more when it is disposed of, in milliseconds; 0 if left out. */
  readonly farewellMs?: number;
  /** Absent: it listens without TLS. */
  readonly certificate?: Certificate;
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** What takes connections over that are to become something else than HTTP. */
export interface Upgrades {
  /** Whether it takes this one. */
  readonly accepts: (request: IncomingMessage) => boolean;
  readonly take: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

/**
 * Requests that ask for an upgrade which nobody takes go on as plain HTTP (RFC 9110, section 7.8): Java's client asks for
 * h2c with each. Node would take all of them for upgrades as soon as somebody listens for one.
 */
function upgradableRequest(accepts: Upgrades["accepts"]): typeof IncomingMessage {
  return class extends IncomingMessage {
    private declare asksUpgrade: boolean;
    // Node's parser writes and reads it, the constructor of the base class first of all.
    set upgrade(value: boolean | null) {
      this.asksUpgrade = value === true;
    }
    get upgrade(): boolean {
      return this.asksUpgrade && (this.method === "CONNECT" || accepts(this));
    }
  };
}

/** A path with its query, of the characters that an address may have. */
const PATH = /^\/[!"$-~]*$/;

/**
 * The path and query that a request line names (RFC 9112, section 3.2), also where it names the whole address as for a
 * proxy; undefined if it names none. Parsers further in throw at some of what Node lets through.
 */
function targetOf({ method, url = "" }: IncomingMessage): string | undefined {
  if (PATH.test(url) || (url === "*" && method === "OPTIONS")) return url;
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) return undefined;
  const { pathname, search } = new URL(url);
  return pathname + search;
}

/** Whether it says Host twice (RFC 9112, section 3.2): Node takes the first, a proxy before it may have gone by the second. */
function namesTwoHosts({ rawHeaders }: IncomingMessage): boolean {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length === 4 && name.toLowerCase() === "host") hosts += 1;
  }
  return hosts > 1;
}

/** Answers requests whose target is one, at one host; the others get 400. */
function soundTargets(answer: Answer): Answer {
  return (request, response) => {
    const target = namesTwoHosts(request) ? undefined : targetOf(request);
    if (target === undefined) {
      const body = JSON.stringify({ errcode: "M_UNRECOGNIZED", error: "The request names no path, or two hosts." });
      response.writeHead(400, { "content-type": "application/json", "access-control-allow-origin": "*", connection: "close" }).end(body);
      return;
    }
    request.url = target;
    answer(request, response);
  };
}

/** Listens. Throws ConfigError when the address or port cannot be had. Disposing waits for answers under way. */
export async function listen(
  { address, port, setting, certificate, farewellMs = 0 }: ListenerOptions,
  limits: { readonly connectionsPerAddress: number; readonly uncounted: readonly string[] },
  answer: Answer,
  upgrades?: Upgrades,
): Promise<Listener> {
  const options = {
    ...(upgrades && { IncomingMessage: upgradableRequest(upgrades.accepts) }),
    maxHeaderSize: HEADER_BYTES,
    headersTimeout: HEADERS_MS,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: 5_000,
  };
  const answerSound = soundTargets(answer);
  let server: Server | TlsServer;
  let unwatch = (): void => {};
  if (certificate === undefined) server = createServer(options, answerSound);
  else {
    const secure = createTlsServer({ ...options, ...certificate.current(), minVersion: "TLSv1.2", handshakeTimeout: HEADERS_MS }, answerSound);
    unwatch = certificate.onChange((renewed) => secure.setSecureContext({ ...renewed, minVersion: "TLSv1.2" }));
    server = secure;
  }
  server.on("clientError", refuse);
  if (upgrades !== undefined) server.on("upgrade", upgrades.take);
  boundConnections(server, limits.connectionsPerAddress, limits.uncounted);
  await bound(server, address, port, setting);
  const at = server.address() as AddressInfo;
  return {
    url: `${certificate === undefined ? "http" : "https"}://${at.address.includes(":") ? `[${at.address}]` : at.address}:${at.port}`,
    async [Symbol.asyncDispose]() {
      unwatch();
      await drain(server, farewellMs);
    },
  };
}

function bound(server: Server | TlsServer, address: string, port: number, setting: string): Promise<void> {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: "another program uses it",
    EACCES: "this user may not",
    EADDRNOTAVAIL: "this machine does not have the address",
    ENOTFOUND: "the address is not known",
  };
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const reason = reasons[cause.code ?? ""];
      if (reason === undefined) reject(cause);
      else reject(new ConfigError(`Cannot listen on ${address} port ${port}: ${reason}. Change ${setting}.`, { cause }));
    });
    server.listen(port, address, resolve);
  });
}

/** What is not HTTP, too large or too slow gets the fitting status and no further bytes. */
function refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;
  const body = JSON.stringify({ errcode: "M_UNKNOWN", error: STATUS_CODES[status] });
  // Who does not close their end would hold the connection for good; at once, the answer might not arrive.
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function boundConnections(server: Server | TlsServer, most: number, uncounted: readonly string[]): void {
  const exempt = addressMatcher(uncounted);
  const open = new Map<string, number>();
  server.on("connection", (socket: Socket) => {
    const address = socket.remoteAddress ?? "";
    if (exempt(address)) return;
    const count = (open.get(address) ?? 0) + 1;
    if (count > most) {
      socket.destroy();
      return;
    }
    open.set(address, count);
    socket.once("close", () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left > 0) open.set(address, left);
      else open.delete(address);
    });
  });
}

/**
 * Takes no more connections, and closes each when it has had its answer. A request that meets its connection being closed gets
 * none: whoever has one may ask once more, and is told with the answer that it closes.
 */
async function drain(server: Server | TlsServer, farewellMs: number): Promise<void> {
  // Not the close of HTTP servers, which closes idle connections at once.
  const closed = new Promise((resolve) => NetServer.prototype.close.call(server, resolve));
  const from = performance.now() + farewellMs;
  const sweep = setInterval(() => {
    if (performance.now() >= from) server.closeIdleConnections();
  }, 100);
  if (farewellMs === 0) server.closeIdleConnections();
  const hurry = setTimeout(() => server.closeAllConnections(), farewellMs + DRAIN_MS);
  await closed;
  clearInterval(sweep);
  clearTimeout(hurry);
  // Ends what the HTTP server does at intervals.
  server.close();
}

export interface Probes {
  /** Why the server cannot do its work, or undefined if it can. */
  readonly trouble: () => Promise<string | undefined>;
  readonly metrics: boolean;
}

/** Answers /health (the process lives), /ready (it can work) and /metrics before anything else; false for other paths. */
export function answerProbe(probes: Probes, request: IncomingMessage, response: ServerResponse): boolean {
  if (request.method !== "GET" && request.method !== "HEAD") return false;
  switch (request.url?.split("?", 1)[0]) {
    case "/health":
      response.writeHead(200, { "content-type": "text/plain" }).end("OK\n");
      return true;
    case "/ready":
      probes.trouble().then(
        (trouble) => response.writeHead(trouble === undefined ? 200 : 503, { "content-type": "text/plain" }).end(`${trouble ?? "OK"}\n`),
        (error: unknown) => {
          log.warn({ err: error }, "the server is not ready");
          response.writeHead(503, { "content-type": "text/plain" }).end("not ready\n");
        },
      );
      return true;
    case "/metrics":
      if (!probes.metrics) return false;
      metricsText().then(
        ({ type, text }) => response.writeHead(200, { "content-type": type }).end(text),
        (error: unknown) => {
          log.error({ err: error }, "the metrics could not be collected");
          response.writeHead(500).end();
        },
      );
      return true;
    default:
      return false;
  }
}

/** The limits of a listener that everybody reaches. */
export function publicLimits(config: Config): { connectionsPerAddress: number; uncounted: readonly string[] } {
  return { connectionsPerAddress: config.limits.connections_per_address, uncounted: config.listen.trusted_proxies };
}
