// From an HTTP request to a handler and back: routing, authentication, validation, errors. The only place that sees Koa.
import { randomUUID } from "node:crypto";
import Koa, { type Context } from "koa";
import type { Requester } from "../accounts/requester.js";
import { MatrixError, badJson, forbidden, missingToken, notJson, unknownError, unrecognized } from "../errors.js";
import { logger, requestContext } from "../log.js";
import type { Operation } from "../../spec/operation.js";
import { decodeBody, readBody } from "./body.js";
import { Reply, type Request, type Route } from "./handler.js";
import { TrieRouter } from "./router.js";
import type { Services } from "./services.js";
import { check } from "./validation.js";

const log = logger("api");

// Client-server API, "Web Browser Clients".
const CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
  "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization",
} as const;

/** The Koa application that answers all routes. `validateAnswers` checks our own answers against the contract. */
export function createApp(
  services: Services,
  routes: readonly Route[],
  options: { validateAnswers: boolean },
): Koa {
  const app = new Koa({ proxy: false });
  const router = new TrieRouter();
  for (const route of routes) {
    for (const path of route.operation.paths) {
      router.add(route.operation.method, path, (ctx: Context) => serve(services, route, ctx, options.validateAnswers));
    }
  }
  app.use(async (ctx, next) => {
    const request_id = randomUUID();
    await requestContext.run({ request_id }, async () => {
      ctx.set(CORS);
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
    });
  });
  app.use(router.routes());
  app.on("error", (error: unknown) => log.warn({ err: error }, "the connection failed"));
  return app;
}

function noRoute(router: TrieRouter, ctx: Context): MatrixError {
  const known = router.match(ctx.path, ctx.method).path.length > 0;
  return known
    ? unrecognized(405, `${ctx.method} is not a method of this path.`)
    : unrecognized(404, "This server does not know this path.");
}

function answerError(ctx: Context, cause: unknown, requestId: string): void {
  const known = cause instanceof MatrixError;
  const error = known ? cause : unknownError(500, `Something went wrong here; the log has it under ${requestId}.`, cause);
  if (error.status >= 500) log.error({ err: known ? (cause.cause ?? cause) : cause, path: ctx.path }, "a request failed");
  ctx.status = error.status;
  ctx.set(error.headers);
  ctx.body = error.body();
}

async function serve(services: Services, route: Route, ctx: Context, validateAnswers: boolean): Promise<void> {
  const { operation } = route;
  const token = bearerToken(ctx);
  const auth = await authenticate(services, operation, token);
  const store = requestContext.getStore();
  if (auth !== undefined && store !== undefined) store.user = auth.user_id;
  const abort = new AbortController();
  ctx.res.once("close", () => abort.abort());

  const params: unknown = ctx["params"];
  const request: Request<Operation> = {
    params: (operation.params ? check(operation.params, "params", params) : params) as Record<never, never>,
    query: (operation.query ? check(operation.query, "query", { ...ctx.query }) : {}) as Record<never, never>,
    body: (operation.body
      ? check(operation.body, "body", await readJson(ctx, services.config.limits.body_bytes))
      : undefined) as undefined,
    auth: auth as Requester,
    token,
    signal: abort.signal,
    address: ctx.ip,
    userAgent: ctx.get("user-agent"),
  };
  const answer = await route.handler(services, request);
  if (answer instanceof Reply) {
    ctx.status = answer.status;
    if (typeof answer.body === "string") ctx.type = "application/json";
    ctx.set(answer.headers);
    ctx.body = answer.body;
  } else {
    if (validateAnswers) checkAnswer(operation, answer);
    ctx.status = 200;
    ctx.body = answer;
  }
}

function checkAnswer(operation: Operation, answer: unknown): void {
  try {
    check(operation.response, "response", JSON.parse(JSON.stringify(answer)));
  } catch (cause) {
    throw new Error(`The answer of ${operation.operationId} is not what the contract says.`, { cause });
  }
}

function bearerToken(ctx: Context): string | undefined {
  const match = /^Bearer +(\S+)$/i.exec(ctx.get("authorization"));
  return match?.[1];
}

async function authenticate(
  services: Services,
  operation: Operation,
  token: string | undefined,
): Promise<Requester | undefined> {
  if (operation.auth === "none" || (operation.auth === "optional" && token === undefined)) return undefined;
  if (token === undefined) throw missingToken();
  const requester = await services.authenticate(token);
  if (operation.auth === "admin" && !requester.is_admin) throw forbidden("This is for administrators of the server.");
  if (requester.is_guest && operation.guests !== true) {
    throw new MatrixError(403, "M_GUEST_ACCESS_FORBIDDEN", "Guests may not do this.");
  }
  return requester;
}

/** The JSON body; an absent one is an empty object, since many operations have only optional fields. */
async function readJson(ctx: Context, limit: number): Promise<unknown> {
  const text = decodeBody(await readBody(ctx.req, limit));
  if (text === "") return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (cause instanceof SyntaxError) throw notJson("The body is not JSON.");
    if (cause instanceof RangeError) throw badJson("The body is nested too deeply.");
    throw cause;
  }
}
