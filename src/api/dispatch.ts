// From an HTTP request to a handler and back: routing, authentication, limits, validation, errors. The only place that
// sees Koa.
import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import Koa, { type Context } from "koa";
import type { Operation } from "../../spec/operation.js";
import type { Requester } from "../accounts/requester.js";
import type { Asserted } from "../appservice/acting.js";
import type { Config, LocalServers } from "../config.js";
import { MatrixError, forbidden, guestsForbidden, missingToken, unknownError, unrecognized, userLocked, userSuspended } from "../errors.js";
import type { ReceivedRequest, RemoteServer } from "../federation/remote-server.js";
import { logger } from "../log.js";
import { requestStarted } from "../metrics.js";
import type { ServerName } from "../protocol/identifiers.js";
import { parseJson } from "../protocol/json.js";
import { callerAddress, networkOf } from "./address.js";
import { audit } from "./audit.js";
import { bodyStream, readBody } from "./body.js";
import { Reply, type Request } from "./handler.js";
import type { RateLimiter } from "./rate-limit.js";
import { TrieRouter } from "./router.js";
import { check } from "./validation.js";

const log = logger("api");

const HEADERS = new Map<string, string>([
  // Client-server API, "Web Browser Clients".
  ["Access-Control-Allow-Origin", "*"],
  ["Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS"],
  ["Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization"],
  ["Referrer-Policy", "no-referrer"],
  ["X-Content-Type-Options", "nosniff"],
]);

/** What the edge needs. */
export interface Edge {
  readonly config: Config;
  readonly servers: LocalServers;
  readonly limiter: RateLimiter;
  /** The owner of an access token, or the user as whom an application service acts. Throws M_UNKNOWN_TOKEN, M_FORBIDDEN. */
  readonly authenticate: (token: string, asserted: Asserted) => Promise<Requester>;
  /** Whether a token is that of an application service, whose own calls are not limited. */
  readonly isAppService: (token: string | undefined) => boolean;
  /** The server that signed a request. Throws M_UNAUTHORIZED, M_FORBIDDEN. */
  readonly authenticateServer: (request: ReceivedRequest, addressed: ServerName) => Promise<RemoteServer>;
  /** Notes that a device was used. */
  readonly seen: (requester: Requester, address: string, userAgent: string) => void;
  /** Checks our own answers against the contract: for tests. */
  readonly validateAnswers: boolean;
  /** Aborted when the server stops: waiting requests end early, and connections are not kept. */
  readonly stopping: AbortSignal;
}

/** An operation and what answers it. */
export interface Answerer {
  readonly operation: Operation;
  readonly answer: (request: Request<Operation>) => Promise<unknown>;
}

/** The Koa application that answers requests. */
export function createApp(edge: Edge, answerers: readonly Answerer[]): Koa {
  const app = new Koa();
  const router = new TrieRouter();
  const addressOf = callerAddress(edge.config.listen.trusted_proxies);
  for (const answerer of answerers) {
    for (const path of answerer.operation.paths) {
      router.add(answerer.operation.method, path, (ctx: Context) => serve(edge, answerer, ctx));
    }
  }
  app.use(async (ctx, next) => {
    const request_id = randomUUID();
    const finished = requestStarted();
    const start = performance.now();
    const address = addressOf(ctx.req);
    ctx.state["address"] = address;
    ctx.res.setHeaders(HEADERS);
    ctx.res.once("close", () => {
      const operation = ctx.state["operation"] as Operation | undefined;
      finished(operation?.operationId ?? "none", ctx.status);
      if (!edge.config.log.requests) return;
      // The path without its query, which could hold a secret.
      log.info(
        {
          request_id,
          method: ctx.method,
          path: ctx.path,
          status: ctx.status,
          ms: Math.round(performance.now() - start),
          address,
          user: userOf(ctx),
          origin: ctx.state["origin"] as string | undefined,
        },
        "request",
      );
    });
    if (ctx.method === "OPTIONS") {
      ctx.status = 200;
      ctx.body = {};
      return;
    }
    try {
      await next();
      if (ctx.status === 404 && ctx.body === undefined) throw noRoute(router, ctx);
    } catch (cause) {
      answerError(ctx, cause, request_id);
    }
    if (edge.stopping.aborted) ctx.set("Connection", "close");
  });
  app.use(router.routes());
  app.on("error", (error: unknown) => log.info({ err: error }, "a connection failed"));
  return app;
}

function userOf(ctx: Context): string | undefined {
  return (ctx.state["requester"] as Requester | undefined)?.user_id;
}

/** JSON is UTF-8; to say so is no parameter of its type (RFC 8259), and some clients compare the whole header. */
const JSON_TYPE = "application/json";

function noRoute(router: TrieRouter, ctx: Context): MatrixError {
  const known = router.match(ctx.path, ctx.method).path.length > 0;
  return known
    ? unrecognized(405, `${ctx.method} is not a method of this path.`)
    : unrecognized(404, "This server does not know this path.");
}

function answerError(ctx: Context, cause: unknown, requestId: string): void {
  const known = cause instanceof MatrixError;
  const error = known ? cause : unknownError(500, `Something went wrong here; the log has it under ${requestId}.`, cause);
  // A refusal without a cause is meant: 504, say, for content that is yet to be uploaded.
  const reason = known ? cause.cause : cause;
  if (error.status >= 500 && reason !== undefined) {
    log.error({ err: reason, request_id: requestId, user: userOf(ctx), path: ctx.path }, "a request failed");
  }
  ctx.status = error.status;
  ctx.set("Content-Type", JSON_TYPE);
  ctx.set(error.headers);
  ctx.body = error.body();
}

const signals = new WeakMap<Socket, AbortSignal>();

/**
 * Aborted when the caller has gone or the server stops. One for all requests of a connection: a new one for each costs more
 * than the rest of a request.
 */
function goneSignal(edge: Edge, socket: Socket): AbortSignal {
  const known = signals.get(socket);
  if (known !== undefined) return known;
  const gone = new AbortController();
  setMaxListeners(0, gone.signal);
  const end = (): void => gone.abort(GONE);
  edge.stopping.addEventListener("abort", end, { once: true });
  socket.once("close", () => {
    edge.stopping.removeEventListener("abort", end);
    end();
  });
  if (edge.stopping.aborted) end();
  signals.set(socket, gone.signal);
  return gone.signal;
}

/** The reason of those signals. Without one, each abort makes an exception with a stack. */
const GONE = new Error("The caller has gone, or the server stops.");

async function serve(edge: Edge, { operation, answer: give }: Answerer, ctx: Context): Promise<void> {
  ctx.state["operation"] = operation;
  const request = operation.auth === "server" ? await requestOfServer(edge, operation, ctx) : await requestOfClient(edge, operation, ctx);
  const answer = await give(request).finally(() => {
    // What the handler left unread must not hold up the next request of the connection.
    const body: unknown = request.body;
    if (body instanceof Readable) body.destroy();
  });
  reply(edge, operation, ctx, answer);
  if (operation.auth === "admin") audit(operation, request);
}

async function requestOfClient(edge: Edge, operation: Operation, ctx: Context): Promise<Request<Operation>> {
  const { config, limiter, servers } = edge;
  const address = String(ctx.state["address"]);
  const token = bearerToken(ctx);
  const auth = await authenticate(edge, operation, token, assertedBy(ctx));
  if (auth !== undefined) {
    ctx.state["requester"] = auth;
    edge.seen(auth, address, ctx.get("user-agent"));
  }
  const isLimited = auth === undefined ? !edge.isAppService(token) : auth.appservice?.rate_limited !== false;
  if (operation.limit !== undefined && isLimited) limiter.take(operation.limit, auth?.user_id ?? networkOf(address), auth?.rate_limit);
  return {
    ...partsOf(edge, operation, ctx),
    body: (await bodyOf(operation, ctx, config)) as undefined,
    auth: auth as Requester,
    token,
    server: servers.forHost(ctx.get("host")),
  };
}

/** A request of another server: its body is part of what was signed, so it is read first. */
async function requestOfServer(edge: Edge, operation: Operation, ctx: Context): Promise<Request<Operation>> {
  const { config, limiter, servers } = edge;
  // Numbers and depth are each event's own affair: one bad event must not keep the others of a transaction away.
  const bytes = await readBody(ctx.req, config.limits.transaction_bytes, config.limits.body_seconds * 1000);
  const content = bytes.length === 0 ? undefined : parseJson(bytes, { numbers: "lexemes" });
  const received = { method: ctx.method, uri: ctx.req.url ?? "", authorization: ctx.get("authorization"), content };
  const auth = await edge.authenticateServer(received, servers.forHost(ctx.get("host")));
  ctx.state["origin"] = auth.origin;
  if (operation.limit !== undefined) limiter.take(operation.limit, auth.origin);
  const { body } = operation;
  return {
    ...partsOf(edge, operation, ctx),
    body: (body === undefined || body === "bytes" ? undefined : check(body, "body", content ?? {})) as undefined,
    auth: auth as unknown as Requester,
    token: undefined,
    server: auth.destination,
  };
}

/** What all requests have, checked. */
function partsOf(
  edge: Edge,
  operation: Operation,
  ctx: Context,
): Pick<Request<Operation>, "params" | "query" | "headers" | "signal" | "address" | "acceptedLanguages"> {
  const params: unknown = ctx["params"];
  return {
    params: (operation.params ? check(operation.params, "params", params) : params) as Record<never, never>,
    query: (operation.query ? check(operation.query, "query", { ...ctx.query }) : {}) as Record<never, never>,
    headers: (operation.headers ? check(operation.headers, "headers", { ...ctx.headers }) : {}) as Record<never, never>,
    signal: goneSignal(edge, ctx.req.socket),
    address: String(ctx.state["address"]),
    acceptedLanguages: ctx.get("accept-language"),
  };
}

function reply(edge: Edge, operation: Operation, ctx: Context, answer: unknown): void {
  if (answer instanceof Reply) {
    ctx.status = answer.status;
    if (typeof answer.body === "string") {
      if (edge.validateAnswers && answer.status === 200) checkAnswer(operation, answer.body);
      ctx.set("Content-Type", JSON_TYPE);
    }
    ctx.set(answer.headers);
    ctx.body = answer.body;
  } else {
    if (edge.validateAnswers) checkAnswer(operation, JSON.stringify(answer));
    ctx.status = 200;
    ctx.set("Content-Type", JSON_TYPE);
    ctx.body = answer;
  }
}

function checkAnswer(operation: Operation, answer: string): void {
  try {
    check(operation.response, "response", JSON.parse(answer));
  } catch (cause) {
    throw new Error(`The answer of ${operation.operationId} is not what the contract says.`, { cause });
  }
}

/** The token of a request: in the header, or, as bridges and old clients still send it, in the query. */
function bearerToken(ctx: Context): string | undefined {
  const header = ctx.get("authorization");
  if (header !== "") return /^Bearer +(\S+)$/i.exec(header)?.[1];
  const { access_token } = ctx.query;
  return typeof access_token === "string" && access_token !== "" ? access_token : undefined;
}

/** As whom an application service says it acts. */
function assertedBy({ query }: Context): Asserted {
  return { user_id: query["user_id"], device_id: query["device_id"] ?? query["org.matrix.msc3202.device_id"] };
}

async function authenticate(
  edge: Edge,
  operation: Operation,
  token: string | undefined,
  asserted: Asserted,
): Promise<Requester | undefined> {
  if (operation.auth === "none" || (operation.auth === "optional" && token === undefined)) return undefined;
  if (token === undefined) throw missingToken();
  const requester = await edge.authenticate(token, asserted);
  if (requester.restriction === "locked" && operation.whileLocked !== true) throw userLocked();
  if (requester.restriction === "suspended" && operation.refusedWhileSuspended === true) throw userSuspended();
  if (operation.auth === "admin" && !requester.is_admin) throw forbidden("This is for administrators of the server.");
  if (requester.is_guest && operation.guests !== true) {
    throw guestsForbidden("Guests may not do this: register an account.");
  }
  return requester;
}

async function bodyOf(operation: Operation, ctx: Context, { limits, media }: Config): Promise<unknown> {
  const { body } = operation;
  if (body === undefined) return undefined;
  if (body === "bytes") return bodyStream(ctx.req, media.max_upload_bytes);
  return check(body, "body", await (isForm(operation, ctx) ? readForm : readJson)(ctx, limits));
}

function isForm(operation: Operation, ctx: Context): boolean {
  return operation.form === true && ctx.get("content-type").startsWith("application/x-www-form-urlencoded");
}

/** The fields of a web form. */
async function readForm(ctx: Context, limits: Config["limits"]): Promise<unknown> {
  const bytes = await readBody(ctx.req, limits.body_bytes, limits.body_seconds * 1000);
  return Object.fromEntries(new URLSearchParams(bytes.toString()));
}

/** The JSON body; an absent one is an empty object, since many operations have only optional fields. */
async function readJson(ctx: Context, limits: Config["limits"]): Promise<unknown> {
  const bytes = await readBody(ctx.req, limits.body_bytes, limits.body_seconds * 1000);
  if (bytes.length === 0) return {};
  return parseJson(bytes, { maxDepth: limits.json_depth });
}
