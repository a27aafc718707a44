// Requests to other servers, signed in the name of one of ours (server-server API, "Authentication").
import { buffer } from "node:stream/consumers";
import type { ServerName } from "../protocol/identifiers.js";
import { isObject, type JsonObject, jsonText, type JsonValue, ownString, parseJson } from "../protocol/json.js";
import { type ListElement, ListSplitter } from "../protocol/json-lists.js";
import { requestAuthorization } from "../protocol/request-signing.js";
import type { SigningKey } from "../protocol/signing.js";
import type { Discovery } from "./discovery.js";
import type { FederationPolicy } from "./federation-policy.js";
import { type Outgoing, type OutgoingAnswer, OutgoingError } from "./outgoing.js";

const TIMEOUT_MS = 30_000;
const MAX_BYTES = 16 * 1024 * 1024;
const MAX_DEPTH = 100;

export interface FederationRequest {
  readonly origin: ServerName;
  readonly destination: ServerName;
  readonly method: "GET" | "PUT" | "POST";
  /** Path and query, encoded as they are sent. */
  readonly uri: string;
  readonly body?: JsonObject;
  /** For the whole exchange, in milliseconds. */
  readonly timeoutMs?: number;
  /** Longest answer, in bytes. */
  readonly maxBytes?: number;
  /**
   * Whether the answer has events, which are as deep as they like, with numbers that are signed as they are written. Any other answer
   * that is nested deeper than `MAX_DEPTH` is none.
   */
  readonly hasEvents?: boolean;
  readonly signal?: AbortSignal;
}

/** Another server did not do what it was asked. */
export class FederationError extends Error {
  override name = "FederationError";
  readonly server: ServerName;
  /** The status of its answer; undefined if none came. */
  readonly status: number | undefined;
  /** The Matrix error in its answer, if there is one. */
  readonly errcode: string | undefined;
  readonly answer: JsonObject;

  constructor(server: ServerName, message: string, options: { status?: number; answer?: JsonObject; cause?: unknown } = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.server = server;
    this.status = options.status;
    this.answer = options.answer ?? {};
    this.errcode = ownString(this.answer, "errcode");
  }

  /** Whether the server itself is the trouble (it cannot be reached, or fails), not what it was asked. */
  get isOutage(): boolean {
    return this.status === undefined || this.status >= 500 || this.status === 429;
  }

  /** Whether the server has surely done nothing of what it was asked: it was not reached, or refused. */
  get wasWithoutEffect(): boolean {
    return neverSent(this.cause) || (this.status !== undefined && this.status >= 400 && this.status < 500);
  }

  /** Whether the server does not know the path or its method; older ones do not say so by an error code. */
  get isUnknownPath(): boolean {
    return this.errcode === "M_UNRECOGNIZED" || (this.errcode === undefined && (this.status === 404 || this.status === 405));
  }
}

export interface FederationClientOptions {
  readonly discovery: Discovery;
  readonly policy: FederationPolicy;
  readonly outgoing: Outgoing;
  readonly signingKey: (server: ServerName) => SigningKey | undefined;
}

/** Asks other servers. */
export class FederationClient {
  readonly #options: FederationClientOptions;

  constructor(options: FederationClientOptions) {
    this.#options = options;
  }

  /** The JSON object that another server answers a signed request with. Throws FederationError. */
  async request(request: FederationRequest): Promise<JsonObject> {
    return await this.#exchange(request, this.#authorization(request));
  }

  /**
   * As `request`, for long answers: the elements of the lists of some names are given to `take` as they come, and what is answered has
   * empty lists in their places. What `take` throws ends the exchange.
   */
  async requestLists(request: FederationRequest, names: Iterable<string>, take: (elements: readonly ListElement[]) => Promise<void>): Promise<JsonObject> {
    const { destination } = request;
    const { body } = await this.open(request);
    const splitter = new ListSplitter(names);
    const chunks: AsyncIterator<Uint8Array> = body[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await chunks.next().catch((cause: unknown) => {
          throw unreachable(destination, cause);
        });
        if (next.done === true) break;
        const elements = splitter.push(next.value);
        if (splitter.restBytes > MAX_BYTES) throw new FederationError(destination, `${destination} answered more than was asked for`);
        if (elements.length > 0) await take(elements);
      }
    } finally {
      body.destroy();
    }
    const { answer, isJson } = readAnswer(splitter.rest(), true);
    if (!isJson) throw new FederationError(destination, `${destination} answered what is not JSON`);
    return answer;
  }

  /** What another server answers a signed request with, if its status is 200, as it comes. Throws FederationError. */
  async open(request: FederationRequest): Promise<OutgoingAnswer> {
    return await this.#open(request, this.#authorization(request));
  }

  /** As `open`, without a signature. */
  async openUnsigned(request: Omit<FederationRequest, "origin">): Promise<OutgoingAnswer> {
    return await this.#open(request, undefined);
  }

  /** As `request`, for what is asked without a signature: keys and versions. */
  async unsigned(request: Omit<FederationRequest, "origin">): Promise<JsonObject> {
    return await this.#exchange(request, undefined);
  }

  #authorization({ origin, destination, method, uri, body }: FederationRequest): string {
    const key = this.#options.signingKey(origin);
    if (key === undefined) throw new Error(`${origin} is not ours: nothing can be asked in its name`);
    return requestAuthorization({ method, uri, origin, destination, ...(body !== undefined && { content: body }) }, key);
  }

  async #open(request: Omit<FederationRequest, "origin">, authorization: string | undefined): Promise<OutgoingAnswer> {
    const answer = await this.#send(request, authorization);
    if (answer.status === 200) return answer;
    const { answer: refusal } = await this.#read(request.destination, answer, false);
    throw refused(request.destination, answer.status, refusal);
  }

  async #exchange(request: Omit<FederationRequest, "origin">, authorization: string | undefined): Promise<JsonObject> {
    const { destination } = request;
    const answer = await this.#send(request, authorization);
    const { answer: object, isJson } = await this.#read(destination, answer, request.hasEvents === true);
    if (answer.status !== 200) throw refused(destination, answer.status, object);
    if (!isJson) throw new FederationError(destination, `${destination} answered what is not JSON`);
    return object;
  }

  /** The object in an answer; an empty one where there is none. */
  async #read(destination: ServerName, { body }: OutgoingAnswer, hasEvents: boolean): Promise<{ answer: JsonObject; isJson: boolean }> {
    const bytes = await buffer(body).catch((cause: unknown) => {
      throw unreachable(destination, cause);
    });
    return readAnswer(bytes, hasEvents);
  }

  async #send(request: Omit<FederationRequest, "origin">, authorization: string | undefined): Promise<OutgoingAnswer> {
    const { destination, timeoutMs = TIMEOUT_MS } = request;
    if (!this.#options.policy.allows(destination)) {
      throw new FederationError(destination, `there is no federation with ${destination}`, { status: 403 });
    }
    const { targets, hostHeader } = await this.#options.discovery.resolve(destination);
    const deadline = performance.now() + timeoutMs;
    let failure: unknown;
    for (const { host, port } of targets) {
      try {
        const url = new URL(`https://${host.includes(":") ? `[${host}]` : host}:${port}${request.uri}`);
        return await this.#sendTo(url, hostHeader, request, authorization, Math.max(1, deadline - performance.now()));
      } catch (cause) {
        failure = cause;
        // Only what was never sent may be sent to another target.
        if (request.signal?.aborted === true || !neverSent(cause)) break;
      }
    }
    throw unreachable(destination, failure);
  }

  async #sendTo(
    url: URL,
    hostHeader: string,
    { method, body, maxBytes = MAX_BYTES, signal }: Omit<FederationRequest, "origin">,
    authorization: string | undefined,
    milliseconds: number,
  ): Promise<OutgoingAnswer> {
    return await this.#options.outgoing.request(url, {
      method,
      headers: {
        // The certificate is checked against this name, too.
        host: hostHeader,
        accept: "application/json",
        ...(authorization !== undefined && { authorization }),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: jsonText(body) }),
      maxBytes,
      milliseconds,
      ...(signal !== undefined && { signal }),
    });
  }
}

/** The object in the bytes of an answer. */
function readAnswer(bytes: Uint8Array, hasEvents: boolean): { answer: JsonObject; isJson: boolean } {
  let answer: JsonValue;
  try {
    answer = parseJson(bytes, hasEvents ? { numbers: "lexemes" } : { maxDepth: MAX_DEPTH });
  } catch {
    return { answer: {}, isJson: false };
  }
  // Version 1 of some operations answers with `[200, {...}]`.
  const [first, second] = Array.isArray(answer) ? answer : [];
  if (first === 200 && isObject(second)) return { answer: second, isJson: true };
  return { answer: isObject(answer) ? answer : {}, isJson: true };
}

function unreachable(server: ServerName, cause: unknown): FederationError {
  return new FederationError(server, `${server} could not be reached: ${reasonOf(cause)}`, { cause });
}

function refused(server: ServerName, status: number, answer: JsonObject): FederationError {
  return new FederationError(server, `${server} answered ${status} ${ownString(answer, "errcode") ?? ""}`, { status, answer });
}

const CONNECTION_CODES = new Set(["ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ENETUNREACH", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);

function neverSent(error: unknown): boolean {
  if (!(error instanceof OutgoingError)) return false;
  const { cause } = error;
  return error.failure === "denied" || (cause instanceof Error && "code" in cause && CONNECTION_CODES.has(String(cause.code)));
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} ${error.cause.message}` : error.message;
}
