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
import type { Config } from "../config.js";
import { unrecognized, type MatrixError } from "../errors.js";
import { logger } from "../log.js";
import { requestStarted } from "../metrics.js";
import { parseJson, type JsonValue } from "../protocol/json.js";
import { callerAddress } from "./address.js";
import { audit } from "./audit.js";
import { bodyStream, drop, readBody } from "./body.js";
import { checkedBody, checkedParts, countCall, refusalOf, replyOf, requesterOf, type Answerer, type Edge } from "./call.js";
import type { Request } from "./handler.js";
import { TrieRouter } from "./router.js";
import { check } from "./validation.js";

const log = logger("api");

const HEADERS = new Map<string, string>([
  // Client-server API, "Web Browser Clients".
  ["Access-Control-Allow-Origin", "*"],
  ["Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS"],
  ["Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization, If-Match, If-None-Match"],
  ["Referrer-Policy", "no-referrer"],
  ["X-Content-Type-Options", "nosniff"],
]);

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
      // Who was answered before the body had come may not hold the connection with the rest of it.
      if (!ctx.req.complete && !ctx.req.destroyed) drop(ctx.req);
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
  const error = refusalOf(cause, requestId, { user: userOf(ctx), path: ctx.path });
  const oauth = (ctx.state["operation"] as Operation | undefined)?.oauthError;
  ctx.set("Content-Type", JSON_TYPE);
  ctx.set(error.headers);
  if (oauth === undefined || error.status >= 500 || OF_MATRIX.has(error.status)) {
    ctx.status = error.status;
    ctx.body = error.body();
    return;
  }
  ctx.status = 400;
  ctx.set("Cache-Control", "no-store");
  ctx.body = { error: oauth, error_description: error.message };
}

/** Too many calls, and paths that are not there, are told in the words of Matrix everywhere. */
const OF_MATRIX = new Set([404, 429]);

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
  const address = String(ctx.state["address"]);
  const token = bearerToken(ctx);
  const caller = { token, asserted: assertedBy(ctx), address, userAgent: ctx.get("user-agent") };
  const auth = await requesterOf(edge, operation, caller);
  ctx.state["requester"] = auth;
  await countCall(edge, operation, caller, auth);
  const server = edge.servers.forHost(ctx.get("host"));
  return {
    ...partsOf(edge, operation, ctx),
    body: (await bodyOf(edge, operation, { auth, server }, ctx)) as undefined,
    auth: auth as Requester,
    token,
    server,
  };
}

/** A request of another server: its body is part of what was signed, so it is read first. */
async function requestOfServer(edge: Edge, operation: Operation, ctx: Context): Promise<Request<Operation>> {
  const { config, limiter, servers } = edge;
  // Numbers and depth are each event's own affair: one bad event must not keep the others of a transaction away.
  const bytes = await readBody(ctx.req, config.limits.transaction_bytes, config.limits.body_seconds * 1000);
  const content = bytes.length === 0 ? undefined : parseJson(bytes, { numbers: "lexemes" });
  // Two of them could be read as either.
  const [authorization = "", second] = ctx.req.headersDistinct["authorization"] ?? [];
  const received = { method: ctx.method, uri: ctx.req.url ?? "", authorization: second === undefined ? authorization : "", content };
  const auth = await edge.authenticateServer(received, servers.forHost(ctx.get("host")));
  ctx.state["origin"] = auth.origin;
  if (operation.limit !== undefined) await limiter.take(operation.limit, auth.origin);
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
  return {
    ...checkedParts(operation, { params: ctx["params"] as unknown, query: { ...ctx.query }, headers: { ...ctx.headers } }),
    signal: goneSignal(edge, ctx.req.socket),
    address: String(ctx.state["address"]),
    acceptedLanguages: ctx.get("accept-language"),
  };
}

function reply(edge: Edge, operation: Operation, ctx: Context, answer: unknown): void {
  const { status, headers, body } = replyOf(edge, operation, answer);
  ctx.status = status;
  if (typeof body === "string") ctx.set("Content-Type", JSON_TYPE);
  ctx.set(headers);
  // Until a slow reader has it, a large answer lies outside of the heap.
  ctx.body = typeof body === "string" && body.length >= LARGE ? Buffer.from(body) : body;
}

/** Characters of an answer that is worth a copy. */
const LARGE = 1_048_576;

/** The token of a request: in the header, or, as bridges, test suites and old clients still send it, in the query. */
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

async function bodyOf(edge: Edge, operation: Operation, asker: Parameters<typeof checkedBody>[2], ctx: Context): Promise<unknown> {
  const { limits, media } = edge.config;
  if (operation.body === undefined) return undefined;
  if (operation.body === "bytes") return bodyStream(ctx.req, media.max_upload_bytes);
  return checkedBody(edge, operation, asker, await (isForm(operation, ctx) ? readForm(ctx, limits) : readJson(ctx, limits, operation)));
}

function isForm(operation: Operation, ctx: Context): boolean {
  return operation.form === true && ctx.get("content-type").startsWith("application/x-www-form-urlencoded");
}

/** The fields of a web form; one that is there more than once as a list, which no field is meant to be. */
async function readForm(ctx: Context, limits: Config["limits"]): Promise<JsonValue> {
  const bytes = await readBody(ctx.req, limits.body_bytes, limits.body_seconds * 1000);
  const fields = new URLSearchParams(bytes.toString());
  return Object.fromEntries([...new Set(fields.keys())].map((name) => [name, soleOf(fields.getAll(name))]));
}

function soleOf(values: string[]): string | string[] {
  const [value = ""] = values;
  return values.length > 1 ? values : value;
}

/** The JSON body; an absent one is an empty object, since many operations have only optional fields. */
async function readJson(ctx: Context, limits: Config["limits"], { canonicalNumbers }: Operation): Promise<JsonValue> {
  const bytes = await readBody(ctx.req, limits.body_bytes, limits.body_seconds * 1000);
  if (bytes.length === 0) return {};
  return parseJson(bytes, { maxDepth: limits.json_depth, wholeCharacters: true, numbers: canonicalNumbers === true ? "integers" : "any" });
}
