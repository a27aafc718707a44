// A client's call of an operation, whatever it came over: who calls, limits, checks, the answer. HTTP requests
// (dispatch.ts) and the frames of WebSockets (websockets.ts) go the same way.
import type { Operation } from "../../spec/operation.js";
import { isOnlyAuth } from "../accounts/interactive-authentication.js";
import type { Requester } from "../accounts/requester.js";
import type { Asserted } from "../appservice/acting.js";
import type { Config, LocalServers } from "../config.js";
import { MatrixError, forbidden, guestsForbidden, missingToken, unknownError, accountExpired, invalidParam, userLocked, userSuspended } from "../errors.js";
import { FederationError } from "../federation/client.js";
import { OutgoingError } from "../federation/outgoing.js";
import type { ReceivedRequest, RemoteServer } from "../federation/remote-server.js";
import { logger } from "../log.js";
import type { ServerName } from "../protocol/identifiers.js";
import { jsonText, type JsonValue } from "../protocol/json.js";
import { isDatabaseAway, sqlState } from "../storage/database.js";
import { networkOf } from "./address.js";
import { Reply, type Request } from "./handler.js";
import type { RateLimiter } from "./rate-limit.js";
import { check } from "./validation.js";

const log = logger("api");

/** What the edge needs. */
export interface Edge {
  readonly config: Config;
  readonly servers: LocalServers;
  readonly limiter: RateLimiter;
  /** The owner of an access token, or the user as whom an application service acts. Throws M_UNKNOWN_TOKEN, M_FORBIDDEN. */
  readonly authenticate: (token: string, asserted: Asserted) => Promise<Requester>;
  /** The body of a call with what its session of user-interactive authentication began with, where it has nothing but that. */
  readonly wholeBody: (operation: string, asker: string, body: JsonValue) => Promise<JsonValue>;
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

/** Who calls, as far as the connection says. */
export interface Caller {
  readonly token: string | undefined;
  /** As whom an application service says it acts. */
  readonly asserted: Asserted;
  readonly address: string;
  readonly userAgent: string;
}

/**
 * The requester of a call, whose device counts as used; undefined where there is none. Throws M_MISSING_TOKEN,
 * M_UNKNOWN_TOKEN, M_USER_LOCKED, M_USER_SUSPENDED, M_FORBIDDEN, M_GUEST_ACCESS_FORBIDDEN.
 */
export async function requesterOf(edge: Edge, operation: Operation, caller: Caller): Promise<Requester | undefined> {
  const { token, asserted, address, userAgent } = caller;
  if (operation.auth === "none" || (token === undefined && (operation.auth === "optional" || operation.auth === "unchecked"))) return undefined;
  if (token === undefined) throw missingToken();
  const authenticated = edge.authenticate(token, asserted);
  const requester = await (operation.auth === "unchecked" ? authenticated.catch(withoutUnknownToken) : authenticated);
  if (requester === undefined) return undefined;
  if (requester.restriction === "locked" && operation.whileLocked !== true) throw userLocked();
  if (requester.restriction === "expired" && operation.whileLocked !== true) throw accountExpired();
  if (requester.restriction === "suspended" && operation.refusedWhileSuspended === true) throw userSuspended();
  if (operation.auth === "admin" && !(requester.is_admin && requester.restriction !== "suspended")) {
    throw forbidden("This is for administrators of the server.");
  }
  if (requester.is_guest && operation.guests !== true) {
    throw guestsForbidden("Guests may not do this: register an account.");
  }
  edge.seen(requester, address, userAgent);
  return requester;
}

/** Nobody, where a token is not known or has expired: for what anybody may ask, it need not be. */
function withoutUnknownToken(error: unknown): undefined {
  if (error instanceof MatrixError && error.errcode === "M_UNKNOWN_TOKEN") return undefined;
  throw error;
}

/** Counts a call. Rejects with M_LIMIT_EXCEEDED. */
export async function countCall(edge: Edge, { limit }: Operation, { token, address }: Caller, auth: Requester | undefined): Promise<void> {
  const isLimited = auth === undefined ? !edge.isAppService(token) : auth.appservice?.rate_limited !== false;
  if (limit === undefined || !isLimited) return;
  await edge.limiter.take(limit, { user: auth?.user_id, device: auth?.device_id, network: networkOf(address), own: auth?.rate_limit });
}

type Parts = Pick<Request<Operation>, "params" | "query" | "headers">;

/** Parameters of a call, checked and converted. Throws M_INVALID_PARAM, M_MISSING_PARAM. */
export function checkedParts(operation: Operation, given: { readonly [Part in keyof Parts]: unknown }): Parts {
  return {
    params: (operation.params ? check(operation.params, "params", given.params) : given.params) as Record<never, never>,
    query: (operation.query ? check(operation.query, "query", given.query) : {}) as Record<never, never>,
    headers: (operation.headers ? check(operation.headers, "headers", given.headers) : {}) as Record<never, never>,
  };
}

/** The JSON body of a call, whole and checked; undefined for an operation that has none. Throws M_BAD_JSON, M_MISSING_PARAM. */
export async function checkedBody(
  edge: Edge,
  { operationId, body }: Operation,
  asker: { readonly auth: Requester | undefined; readonly server: ServerName },
  given: JsonValue,
): Promise<unknown> {
  if (body === undefined || body === "bytes") return undefined;
  const whole = isOnlyAuth(given) ? await edge.wholeBody(operationId, asker.auth?.user_id ?? asker.server, given) : given;
  return check(body, "body", whole);
}

/** What a handler gave, as a reply; in tests, checked against the contract. */
export function replyOf({ validateAnswers }: Edge, operation: Operation, answer: unknown): Reply {
  const reply = answer instanceof Reply ? answer : new Reply(200, jsonText(answer));
  if (validateAnswers && reply.status === 200 && typeof reply.body === "string") checkAnswer(operation, reply.body);
  return isData(reply.body) ? new Reply(reply.status, jsonText(reply.body), reply.headers) : reply;
}

/** Whether a body is an object that is sent as JSON: neither text nor bytes nor a stream. */
function isData(body: Reply["body"]): boolean {
  return typeof body === "object" && !Buffer.isBuffer(body) && !("pipe" in body && typeof body.pipe === "function");
}

function checkAnswer(operation: Operation, answer: string): void {
  try {
    check(operation.response, "response", JSON.parse(answer));
  } catch (cause) {
    throw new Error(`The answer of ${operation.operationId} is not what the contract says.`, { cause });
  }
}

/**
 * What PostgreSQL says of values that none of its columns can have, wherever they came from: U+0000 in a text or in jsonb,
 * lone surrogates, numbers and times out of range.
 */
const UNSTORABLE: ReadonlySet<string> = new Set(["22021", "22P02", "22P05", "22003", "22008"]);

/** Statuses that say that somebody else did not do what we asked: bad gateway, gateway timeout. */
const OTHERS_FAULTS: ReadonlySet<number> = new Set([502, 504]);
const MAX_CAUSES = 5;

/** What errors say, each with its cause. */
function reasonOf(error: unknown): string {
  const messages: string[] = [];
  for (let cause = error; cause instanceof Error && messages.length < MAX_CAUSES; cause = cause.cause) messages.push(cause.message);
  return messages.join(": ");
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
}

/** What a caller is told of what went wrong. What is not meant for them goes to the log, with what is known of the call. */
export function refusalOf(cause: unknown, requestId: string, call: Readonly<Record<string, unknown>>): MatrixError {
  if (UNSTORABLE.has(sqlState(cause) ?? "")) {
    log.warn({ err: cause, request_id: requestId, ...call }, "a request had a value that the database cannot have");
    return invalidParam("Some text has U+0000, or some number is too large.");
  }
  if (isDatabaseAway(cause)) {
    // All requests say it at once, for as long as it lasts: no stack.
    log.error({ reason: String(cause), request_id: requestId, ...call }, "the database could not do what a request needs");
    return unknownError(503, "The database cannot do this at the moment: try again.");
  }
  if (cause instanceof FederationError || cause instanceof OutgoingError) {
    return refusalOf(unknownError(502, "Another server that this depends on gave no answer that can be used.", cause), requestId, call);
  }
  if (isDiskFull(cause)) {
    log.error({ reason: String(cause), request_id: requestId, ...call }, "there is no room for a file");
    return new MatrixError(507, "M_UNKNOWN", "This server has no room for files at the moment: try again later.", { headers: { "Retry-After": "60" } });
  }
  const known = cause instanceof MatrixError;
  const error = known ? cause : unknownError(500, `Something went wrong here; the log has it under ${requestId}.`, cause);
  // A refusal without a cause is meant: 504, say, for content that is yet to be uploaded.
  const reason = known ? cause.cause : cause;
  if (OTHERS_FAULTS.has(error.status)) {
    // Anybody can name servers that do not answer: one line, and no stack.
    if (reason !== undefined) log.warn({ reason: reasonOf(reason), request_id: requestId, ...call }, "another server failed a request");
  } else if (error.status >= 500 && reason !== undefined) {
    log.error({ err: reason, request_id: requestId, ...call }, "a request failed");
  }
  return error;
}
