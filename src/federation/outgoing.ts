// The one HTTP client for requests to other machines: it asks only addresses that may be asked, on every hop of a
// redirect, and bounds bytes, time and redirects.
import { lookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { Readable } from "node:stream";
import { createSecureContext, rootCertificates } from "node:tls";
import ipaddr from "ipaddr.js";
import { Agent, buildConnector, errors, request } from "undici";
import { addRange, type Config } from "../config.js";

const USER_AGENT = "Hansa (Matrix homeserver)";
const MAX_CONNECTIONS = 16;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** Why a request had no answer. `denied`: the address, host or protocol may not be asked. */
export type OutgoingFailure = "denied" | "failed" | "too_large" | "too_slow" | "too_many_redirects";

export class OutgoingError extends Error {
  override name = "OutgoingError";
  readonly failure: OutgoingFailure;

  constructor(failure: OutgoingFailure, message: string, cause?: unknown) {
    super(message, { cause });
    this.failure = failure;
  }
}

export interface OutgoingRequest {
  readonly method?: "GET" | "POST" | "PUT";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Most bytes of the answer's body. */
  readonly maxBytes: number;
  /** Most milliseconds until the whole answer is there. */
  readonly milliseconds: number;
  /** Redirects to follow; none if absent. Only requests without body and secrets should follow any. */
  readonly redirects?: number;
  /** Says of each address on the way, the first one included, whether it may be asked. */
  readonly permits?: (url: URL) => boolean;
  readonly signal?: AbortSignal;
}

export interface OutgoingAnswer {
  readonly status: number;
  /** By names in lower case; of a header that came several times, the first. */
  readonly headers: Readonly<Record<string, string>>;
  /** Where the answer came from in the end. */
  readonly url: URL;
  /** The body; it fails with `too_slow`, or with `too_large` after the most bytes that it may have. Whoever does not read it to its end destroys it. */
  readonly body: Readable;
}

/** Says whether an address may be asked: those of the public Internet, and what the settings allow but do not deny. */
export function addressPolicy(settings: {
  readonly allowed_addresses: readonly string[];
  readonly denied_addresses: readonly string[];
}): (address: string) => boolean {
  const allowed = listOf(settings.allowed_addresses);
  const denied = listOf(settings.denied_addresses);
  return (address) => {
    if (!ipaddr.isValid(address)) return false;
    // An IPv4 address that is written as IPv6 is judged as what it is.
    const plain = ipaddr.process(address);
    const among = (list: BlockList): boolean => list.check(plain.toString(), plain.kind());
    return !among(denied) && (among(allowed) || isPublic(plain));
  };
}

function listOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) addRange(list, range);
  return list;
}

const GLOBAL_IPV6 = ipaddr.parseCIDR("2000::/3");

function isPublic(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return address.range() === "unicast" && (address.kind() === "ipv4" || address.match(GLOBAL_IPV6));
}

/** Makes requests. Connections are kept for further ones until it is disposed. */
export class Outgoing implements AsyncDisposable {
  readonly #agent: Agent;
  readonly #mayAsk: (address: string) => boolean;

  constructor(settings: Config["outgoing"]) {
    this.#mayAsk = addressPolicy(settings);
    const connect = buildConnector({
      timeout: settings.connect_seconds * 1000,
      lookup: this.#lookup,
      // One for all connections: to read the authorities for each would take longer than all else about it.
      ...(settings.ca !== undefined && { secureContext: createSecureContext({ ca: [...rootCertificates, settings.ca] }) }),
    });
    this.#agent = new Agent({
      connections: MAX_CONNECTIONS,
      headersTimeout: settings.idle_seconds * 1000,
      bodyTimeout: settings.idle_seconds * 1000,
      connect: (options, callback) => {
        // A host that is an address is not looked up.
        const host = options.hostname.replace(/^\[(.*)\]$/, "$1");
        if (isIP(host) !== 0 && !this.#mayAsk(host)) callback(notPublic(host), null);
        else connect(options, callback);
      },
    });
  }

  /** Sends a request and gives the answer as soon as its headers are there. Throws OutgoingError. */
  async request(url: URL, options: OutgoingRequest): Promise<OutgoingAnswer> {
    const timeout = AbortSignal.timeout(Math.ceil(options.milliseconds));
    const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
    let next = url;
    for (let left = options.redirects ?? 0; ; left -= 1) {
      const answer = await this.#hop(next, options, signal);
      const target = answer.headers["location"];
      if (!REDIRECTS.has(answer.status) || target === undefined || options.redirects === undefined) return answer;
      answer.body.destroy();
      if (left === 0) throw new OutgoingError("too_many_redirects", `There are too many redirects from ${url.host}.`);
      if (!URL.canParse(target, next.href)) throw new OutgoingError("failed", `${next.host} redirects to no address.`);
      next = new URL(target, next);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  async #hop(url: URL, options: OutgoingRequest, signal: AbortSignal): Promise<OutgoingAnswer> {
    const isHttp = url.protocol === "http:" || url.protocol === "https:";
    if (!isHttp || url.username !== "" || url.password !== "" || options.permits?.(url) === false) {
      throw new OutgoingError("denied", `${url.protocol}//${url.host} may not be asked.`);
    }
    try {
      const answer = await request(url, {
        dispatcher: this.#agent,
        method: options.method ?? "GET",
        // What is compressed could grow beyond all bounds.
        headers: { "user-agent": USER_AGENT, "accept-encoding": "identity", ...options.headers },
        body: options.body ?? null,
        signal,
      });
      const body = Readable.from(bounded(answer.body, url, options.maxBytes), { objectMode: false });
      // A body that nobody begins to read would keep its connection.
      body.once("close", () => answer.body.on("error", () => undefined).destroy());
      const headers = Object.entries(answer.headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]);
      return {
        status: answer.statusCode,
        headers: Object.fromEntries(headers) as Record<string, string>,
        url,
        body,
      };
    } catch (cause) {
      throw asOutgoingError(cause, url);
    }
  }

  readonly #lookup: LookupFunction = (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, "");
      const addresses = found.filter(({ address }) => this.#mayAsk(address));
      const [first] = addresses;
      if (first === undefined) callback(notPublic(hostname), "");
      else if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

/** Application services answer a transaction when they have done what it asks of them, which takes some a while. */
const SERVICE_IDLE_SECONDS = 60;

/**
 * A way out for requests to what only the operator names, application services and the gateway of text messages: these may
 * be at private addresses, but not at denied ones.
 */
export function outgoingToServices(settings: Config["outgoing"]): Outgoing {
  return new Outgoing({ ...settings, allowed_addresses: ["0.0.0.0/0", "::/0"], idle_seconds: SERVICE_IDLE_SECONDS });
}

const notPublic = (host: string): OutgoingError =>
  new OutgoingError("denied", `${host} has no address that may be asked.`);

async function* bounded(body: Readable, url: URL, maxBytes: number): AsyncGenerator<Buffer> {
  let left = maxBytes;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      left -= chunk.length;
      yield left < 0 ? chunk.subarray(0, left) : chunk;
      if (left < 0) throw new OutgoingError("too_large", `The answer of ${url.host} has more than ${maxBytes} bytes.`);
    }
  } catch (cause) {
    throw asOutgoingError(cause, url);
  }
}

function asOutgoingError(cause: unknown, url: URL): OutgoingError {
  if (cause instanceof OutgoingError) return cause;
  const isSlow =
    cause instanceof errors.HeadersTimeoutError ||
    cause instanceof errors.BodyTimeoutError ||
    cause instanceof errors.ConnectTimeoutError ||
    (cause instanceof DOMException && cause.name === "TimeoutError");
  return isSlow
    ? new OutgoingError("too_slow", `${url.host} takes too long to answer.`, cause)
    : new OutgoingError("failed", `${url.host} gives no answer.`, cause);
}
