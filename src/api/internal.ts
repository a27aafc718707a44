// What the processes of one deployment ask each other: JSON over HTTP on a listener of its own, authenticated by a secret
// that they share through the database. Whoever cannot show the secret learns nothing, not even which methods exist.
import { createHash, timingSafeEqual } from "node:crypto";
import { Agent, createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { MatrixError, unknownError } from "../errors.js";
import { logger } from "../log.js";
import { jsonText } from "../protocol/json.js";
import { readBody } from "./body.js";

const log = logger("internal");

const PREFIX = "/_hansa/internal/v1/";
const BODY_BYTES = 16 * 1024 * 1024;
const CALL_MS = 30_000;

/** Answers one method: takes and gives JSON. A MatrixError it throws reaches the caller as it is. */
export type InternalMethod = (payload: unknown) => Promise<unknown>;

export interface InternalListener extends AsyncDisposable {
  /** Where other processes reach this one, as host:port. */
  readonly address: string;
}

const digest = (secret: string): Buffer => createHash("sha256").update(secret).digest();

/** Listens for other processes' calls. `methods` may be filled later; an unknown one is refused. */
export async function listenInternally(
  at: { host: string; port: number; advertise: string | undefined },
  secret: string,
  methods: ReadonlyMap<string, InternalMethod>,
): Promise<InternalListener> {
  const expected = digest(secret);
  const server = createServer((incoming, response) => {
    answer(incoming, response, expected, methods).catch((error: unknown) => {
      log.error({ err: error }, "a call of another process could not be answered");
      response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(at.port, at.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: at.advertise ?? `${at.host.includes(":") ? `[${at.host}]` : at.host}:${port}`,
    [Symbol.asyncDispose]: () => close(server),
  };
}

async function answer(
  incoming: IncomingMessage,
  response: ServerResponse,
  expected: Buffer,
  methods: ReadonlyMap<string, InternalMethod>,
): Promise<void> {
  const given = digest((incoming.headers.authorization ?? "").replace(/^Bearer /, ""));
  const method = methods.get((incoming.url ?? "").slice(PREFIX.length));
  if (!timingSafeEqual(given, expected) || !incoming.url?.startsWith(PREFIX) || method === undefined) {
    response.writeHead(404).end();
    return;
  }
  try {
    const payload: unknown = JSON.parse((await readBody(incoming, BODY_BYTES)).toString("utf8"));
    const result = await method(payload);
    response.writeHead(200, { "content-type": "application/json" }).end(jsonText(result ?? null));
  } catch (cause) {
    const error = cause instanceof MatrixError ? cause : unknownError(500, "Another process of this server failed.", cause);
    if (!(cause instanceof MatrixError)) log.error({ err: cause }, "a call of another process failed");
    response
      .writeHead(error.status, { "content-type": "application/json" })
      .end(JSON.stringify({ ...error.body(), headers: error.headers }));
  }
}

/** Calls a method of the process at `address` (host:port). */
export type InternalCall = (address: string, method: string, payload: unknown, signal?: AbortSignal) => Promise<unknown>;

export interface InternalCaller extends Disposable {
  readonly call: InternalCall;
}

/**
 * The calling side. A refusal of the other process is thrown as the MatrixError it was; a process that cannot be reached,
 * or does not answer in 30 s, is a plain Error: what it did is then unknown.
 */
export function internalCaller(secret: string): InternalCaller {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  return {
    call: (address, method, payload, signal) =>
      new Promise((resolve, reject) => {
        const body = Buffer.from(jsonText(payload));
        const limit = AbortSignal.timeout(CALL_MS);
        const outgoing = request(`http://${address}${PREFIX}${method}`, {
          agent,
          method: "POST",
          signal: signal ? AbortSignal.any([signal, limit]) : limit,
          headers: {
            authorization: `Bearer ${secret}`,
            "content-type": "application/json",
            "content-length": body.length,
          },
        });
        outgoing.once("error", reject);
        outgoing.once("response", (incoming) => {
          readBody(incoming, BODY_BYTES)
            .then((bytes) => resolve(result(incoming.statusCode ?? 500, bytes)))
            .catch(reject);
        });
        outgoing.end(body);
      }),
    [Symbol.dispose]: () => agent.destroy(),
  };
}

function result(status: number, bytes: Buffer): unknown {
  if (status === 404 && bytes.length === 0) throw new Error("The other process does not know this method or this secret.");
  const answered: unknown = JSON.parse(bytes.toString("utf8"));
  if (status === 200) return answered;
  const { errcode, error, headers, ...extra } = answered as Record<string, unknown>;
  throw new MatrixError(status, String(errcode), String(error), {
    extra,
    headers: headers as Record<string, string>,
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
