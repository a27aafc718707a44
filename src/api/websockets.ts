// The WebSocket transport (spec/client/websocket.ts): /sync and small calls over one connection.
import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocketServer, type RawData, type WebSocket } from "ws";
import { websocketSync } from "../../spec/client/websocket.js";
import { CLIENT_FRAMES, CLOSE_CODES, SOCKET_OPERATIONS, type ClientFrame, type RequestFrame } from "../../spec/types/websocket.js";
import type { Requester } from "../accounts/requester.js";
import { badJson, limitExceeded, missingToken, type MatrixError } from "../errors.js";
import { logger } from "../log.js";
import { requestStarted, socketOpened } from "../metrics.js";
import type { ServerName } from "../protocol/identifiers.js";
import { isObject, notCanonical, ownString, parseNoting, type JsonValue } from "../protocol/json.js";
import type { LogFollower } from "../storage/log.js";
import { callerAddress, type CallerAddress } from "./address.js";
import { checkedBody, checkedParts, countCall, refusalOf, replyOf, requesterOf, type Answerer, type Caller, type Edge } from "./call.js";
import type { Upgrades } from "./listener.js";
import { check } from "./validation.js";

const log = logger("websocket");

/** How long a client may take to say who it is. */
const AUTHENTICATE_MS = 10_000;
/** After so long without news a sync is sent all the same: it moves the client's position on, and presence knows that it is there. */
const QUIET_MS = 30_000;
/** Requests of a socket that wait for those before them; nothing more is read then. */
const MAX_WAITING = 32;
/** What a frame has besides the body of a call. */
const FRAME_BYTES = 8_192;
/** How long clients have to take their leave when the server stops. */
const FAREWELL_MS = 2_000;

/** Aborts without a reason of their own make an exception with a stack. */
const CLOSED = new Error("The socket is closed.");

/** What sockets share. */
interface Shared {
  readonly edge: Edge;
  readonly sync: Answerer;
  readonly operations: ReadonlyMap<string, Answerer>;
  /** Counts the socket for its user until what it gives is called. Throws M_LIMIT_EXCEEDED. */
  readonly enter: (userNid: number, socket: Socket) => () => void;
}

/** All WebSockets of this process. */
export class WebSockets implements Upgrades, AsyncDisposable {
  readonly #shared: Shared;
  readonly #server: WebSocketServer;
  readonly #addressOf: CallerAddress;
  readonly #all = new Set<Socket>();
  readonly #ofUser = new Map<number, Set<Socket>>();
  readonly #heartbeat: NodeJS.Timeout;
  readonly #unfollow: () => void;

  constructor(edge: Edge, answerers: readonly Answerer[], follower: LogFollower) {
    const byId = new Map(answerers.map((answerer) => [answerer.operation.operationId, answerer]));
    const answererOf = (operationId: string): Answerer => {
      const found = byId.get(operationId);
      if (found === undefined) throw new TypeError(`There is no operation ${operationId}.`);
      return found;
    };
    this.#shared = {
      edge,
      sync: answererOf("sync"),
      operations: new Map(SOCKET_OPERATIONS.map((name) => [name, answererOf(name)])),
      enter: (userNid, socket) => this.#enter(userNid, socket),
    };
    const { limits, listen } = edge.config;
    this.#server = new WebSocketServer({ noServer: true, clientTracking: false, maxPayload: limits.body_bytes + FRAME_BYTES });
    this.#addressOf = callerAddress(listen.trusted_proxies);
    const idleMs = limits.socket_idle_seconds * 1000;
    this.#heartbeat = setInterval(() => {
      for (const socket of this.#all) socket.beat(idleMs);
    }, idleMs / 2).unref();
    this.#unfollow = this.#follow(follower);
    edge.stopping.addEventListener("abort", () => this.#sayGoodbye(), { once: true });
  }

  readonly accepts = ({ method, url, headers }: IncomingMessage): boolean =>
    method === "GET" &&
    headers.upgrade?.toLowerCase() === "websocket" &&
    this.#shared.edge.config.limits.sockets_per_user > 0 &&
    url?.split("?", 1)[0] === websocketSync.paths[0];

  readonly take = (request: IncomingMessage, connection: Duplex, head: Buffer): void => {
    const { edge } = this.#shared;
    if (edge.stopping.aborted) {
      connection.end("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    this.#server.handleUpgrade(request, connection, head, (websocket) => {
      const query = Object.fromEntries(new URL(request.url ?? "/", "ws://host").searchParams);
      const socket = new Socket(this.#shared, websocket, {
        query,
        token: /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1],
        asserted: { user_id: query["user_id"], device_id: query["device_id"] ?? query["org.matrix.msc3202.device_id"] },
        address: this.#addressOf(request),
        userAgent: request.headers["user-agent"] ?? "",
        acceptedLanguages: request.headers["accept-language"] ?? "",
        server: edge.servers.forHost(request.headers.host ?? ""),
      });
      this.#all.add(socket);
      websocket.once("close", () => this.#all.delete(socket));
      if (edge.stopping.aborted) socket.leave();
    });
  };

  #enter(userNid: number, socket: Socket): () => void {
    const sockets = this.#ofUser.get(userNid) ?? new Set();
    if (sockets.size >= this.#shared.edge.config.limits.sockets_per_user) throw limitExceeded(60_000);
    this.#ofUser.set(userNid, sockets.add(socket));
    const closed = socketOpened();
    return () => {
      closed();
      sockets.delete(socket);
      if (sockets.size === 0) this.#ofUser.delete(userNid);
    };
  }

  /** Looks again at the tokens of users of whom the log says that something has changed. */
  #follow(follower: LogFollower): () => void {
    return follower.subscribeToEntries((entries) => {
      if (this.#ofUser.size === 0) return;
      const changed = new Set<Socket>(entries === undefined ? this.#all : []);
      for (const { kind, user_nid } of entries ?? []) {
        if (kind !== "invalidation" || user_nid === undefined) continue;
        for (const socket of this.#ofUser.get(user_nid) ?? []) changed.add(socket);
      }
      for (const socket of changed) void socket.authenticateAgain();
    });
  }

  #sayGoodbye(): void {
    for (const socket of this.#all) socket.leave();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#unfollow();
    this.#sayGoodbye();
    for (const deadline = performance.now() + FAREWELL_MS; this.#all.size > 0 && performance.now() < deadline; ) await sleep(20);
    for (const socket of this.#all) socket.cut();
    this.#server.close();
  }
}

/** A frame, and whether all its numbers are those of Canonical JSON. */
type Received<Frame extends ClientFrame = ClientFrame> = Frame & { readonly integers: boolean };

interface Opening extends Caller {
  readonly query: Readonly<Record<string, string>>;
  readonly acceptedLanguages: string;
  readonly server: ServerName;
}

/** One connection of a client. */
class Socket {
  readonly #shared: Shared;
  readonly #websocket: WebSocket;
  readonly #closed = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #waiting: Received<RequestFrame>[] = [];
  #opening: Opening;
  #auth: Requester | undefined;
  #busy = false;
  #heard = performance.now();
  #setPresence: string | undefined;
  /** The sync that the client has not acknowledged. */
  #unacknowledged: { readonly position: string; readonly resume: () => void } | undefined;

  constructor(shared: Shared, websocket: WebSocket, opening: Opening) {
    this.#shared = shared;
    this.#websocket = websocket;
    this.#opening = opening;
    setMaxListeners(0, this.#closed.signal);
    this.#timer = setTimeout(() => this.#fail(missingToken(), CLOSE_CODES.timeout), AUTHENTICATE_MS);
    websocket.on("message", (data, isBinary) => this.#receive(data, isBinary));
    websocket.on("pong", () => (this.#heard = performance.now()));
    websocket.on("error", (error) => log.debug({ err: error }, "a socket failed"));
    websocket.once("close", () => this.#end());
    if (opening.token !== undefined) void this.#begin();
  }

  /** Asks whether the client is still there, and cuts it off when it has not been heard of for so long. */
  beat(idleMs: number): void {
    if (performance.now() - this.#heard > idleMs) {
      this.cut();
      return;
    }
    if (this.#websocket.readyState === this.#websocket.OPEN) this.#websocket.ping();
    // Nobody says when a token expires.
    if (this.#auth !== undefined) void this.authenticateAgain();
  }

  /** Closes the socket if its token lets it in no longer. */
  async authenticateAgain(): Promise<void> {
    try {
      this.#auth = await requesterOf(this.#shared.edge, this.#shared.sync.operation, this.#opening);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Ends it because the server stops. */
  leave(): void {
    this.#close(CLOSE_CODES.goingAway, "");
  }

  cut(): void {
    this.#websocket.terminate();
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
    this.#closed.abort(CLOSED);
    this.#unacknowledged?.resume();
  }

  #close(code: number, reason: string): void {
    if (this.#websocket.readyState !== this.#websocket.OPEN) return;
    this.#websocket.resume();
    this.#websocket.close(code, reason);
    this.#end();
  }

  #fail(cause: unknown, code?: number): void {
    if (this.#closed.signal.aborted) return;
    const error = refusalOf(cause, randomUUID(), { user: this.#auth?.user_id, path: websocketSync.paths[0] });
    void this.#send(JSON.stringify({ type: "error", body: error.body() }));
    this.#close(code ?? closeCodeOf(error), error.errcode);
  }

  /** Fulfilled when the text has left this process, or the socket is closed. */
  #send(text: string): Promise<void> {
    return new Promise((resolve) => {
      if (this.#websocket.readyState === this.#websocket.OPEN) this.#websocket.send(text, () => resolve());
      else resolve();
    });
  }

  async #begin(): Promise<void> {
    const { edge, sync, enter } = this.#shared;
    try {
      const auth = await requesterOf(edge, sync.operation, this.#opening);
      if (auth === undefined || this.#closed.signal.aborted) return;
      const left = enter(auth.user_nid, this);
      this.#closed.signal.addEventListener("abort", left, { once: true });
      clearTimeout(this.#timer);
      this.#auth = auth;
      await this.#send(JSON.stringify({ type: "authenticated", user_id: auth.user_id, device_id: auth.device_id }));
      void this.#carryOut();
      await this.#tell(sync);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Sends syncs, each when the one before it was acknowledged: so the client's last word is always its `since`. */
  async #tell(sync: Answerer): Promise<void> {
    const { full_state: fullState, ...further } = this.#opening.query;
    let query = fullState === undefined ? further : { ...further, full_state: fullState };
    while (!this.#closed.signal.aborted) {
      const { text } = await this.#call(sync, { params: {}, query: { ...query, timeout: String(QUIET_MS) } });
      const position = /^\{"next_batch":"([^"]+)"/.exec(text)?.[1];
      if (position === undefined) throw new TypeError("A sync has no position.");
      if (this.#closed.signal.aborted) return;
      const acknowledged = new Promise<void>((resume) => (this.#unacknowledged = { position, resume }));
      void this.#send(`{"type":"sync","position":${JSON.stringify(position)},"response":${text}}`);
      await acknowledged;
      query = { ...further, since: position, ...(this.#setPresence !== undefined && { set_presence: this.#setPresence }) };
    }
  }

  #receive(data: RawData, isBinary: boolean): void {
    this.#heard = performance.now();
    if (this.#closed.signal.aborted) return;
    if (isBinary) {
      this.#fail(badJson("Frames are text."), CLOSE_CODES.unsupported);
      return;
    }
    try {
      this.#take(frameOf(data, this.#shared.edge.config.limits.json_depth));
    } catch (error) {
      this.#fail(error);
    }
  }

  #take(frame: Received): void {
    switch (frame.type) {
      case "authenticate":
        if (this.#opening.token !== undefined) throw badJson("This socket has an access token.");
        this.#opening = { ...this.#opening, token: frame.token };
        void this.#begin();
        return;
      case "ack": {
        const awaited = this.#unacknowledged;
        if (awaited?.position !== frame.position) throw badJson("No sync of this position waits to be acknowledged.");
        if (frame.set_presence !== undefined) this.#setPresence = frame.set_presence;
        this.#unacknowledged = undefined;
        awaited.resume();
        return;
      }
      case "request":
        if (this.#opening.token === undefined) throw missingToken();
        this.#waiting.push(frame);
        if (this.#waiting.length >= MAX_WAITING) this.#websocket.pause();
        void this.#carryOut();
    }
  }

  /** Carries out the requests, one after another; the next when the answer before it has left. */
  async #carryOut(): Promise<void> {
    if (this.#busy || this.#auth === undefined) return;
    this.#busy = true;
    for (let frame = this.#waiting.shift(); frame !== undefined; frame = this.#waiting.shift()) {
      const finished = requestStarted();
      const { status, text, error } = await this.#answer(frame);
      finished(frame.operation, status);
      await this.#send(`{"type":"response","id":${JSON.stringify(frame.id)},"status":${status},"body":${text}}`);
      this.#heard = performance.now();
      if (status === 401) this.#fail(error);
      if (this.#waiting.length < MAX_WAITING / 2) this.#websocket.resume();
    }
    this.#busy = false;
  }

  async #answer(frame: Received<RequestFrame>): Promise<{ status: number; text: string; error?: MatrixError }> {
    try {
      const answerer = this.#shared.operations.get(frame.operation);
      if (answerer === undefined) throw new TypeError(`There is no operation ${frame.operation}.`);
      if (answerer.operation.canonicalNumbers === true && !frame.integers) throw notCanonical();
      return await this.#call(answerer, frame);
    } catch (cause) {
      const error = refusalOf(cause, randomUUID(), { user: this.#auth?.user_id, operation: frame.operation });
      return { status: error.status, text: JSON.stringify(error.body()), error };
    }
  }

  /** What HTTP does with a request, from the token to the answer. */
  async #call(
    { operation, answer }: Answerer,
    given: { readonly params: unknown; readonly query?: unknown; readonly body?: JsonValue },
  ): Promise<{ status: number; text: string }> {
    const { edge } = this.#shared;
    const { token, address, acceptedLanguages, server } = this.#opening;
    const auth = await requesterOf(edge, operation, this.#opening);
    await countCall(edge, operation, this.#opening, auth);
    const result = await answer({
      ...checkedParts(operation, { params: given.params, query: given.query ?? {}, headers: {} }),
      body: (await checkedBody(edge, operation, { auth, server }, given.body ?? {})) as undefined,
      auth: auth as Requester,
      token,
      server,
      address,
      acceptedLanguages,
      signal: this.#closed.signal,
    });
    const { status, body } = replyOf(edge, operation, result);
    if (typeof body !== "string") throw new TypeError(`${operation.operationId} does not answer with JSON.`);
    return { status, text: body };
  }
}

/** A client's frame. Throws M_NOT_JSON, M_BAD_JSON. */
function frameOf(data: RawData, maxDepth: number): Received {
  const bytes = Array.isArray(data) ? Buffer.concat(data) : Buffer.isBuffer(data) ? data : Buffer.from(data);
  // The frame itself is one level more than the body in it.
  const { value, integers } = parseNoting(bytes, { maxDepth: maxDepth + 1, wholeCharacters: true });
  const type = isObject(value) ? ownString(value, "type") : undefined;
  if (type === undefined || !Object.hasOwn(CLIENT_FRAMES, type)) throw badJson("A frame is an object with a known type.");
  return { ...(check(CLIENT_FRAMES[type as ClientFrame["type"]], "body", value) as ClientFrame), integers };
}

function closeCodeOf({ status, extra }: MatrixError): number {
  if (status >= 500) return CLOSE_CODES.tryAgain;
  if (status === 401) return extra["soft_logout"] === true ? CLOSE_CODES.softLogout : CLOSE_CODES.unknownToken;
  if (status === 403) return CLOSE_CODES.forbidden;
  if (status === 429) return CLOSE_CODES.limitExceeded;
  return CLOSE_CODES.badFrame;
}
