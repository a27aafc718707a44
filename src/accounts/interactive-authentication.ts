// User-interactive authentication (client-server API): an operation that has to be confirmed, in one or more stages.
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Static } from "typebox";
import type { AuthenticationData } from "../../spec/types/authentication.js";
import { forbidden, MatrixError } from "../errors.js";
import { isObject, parseJson, type JsonObject, type JsonValue } from "../protocol/json.js";
import {
  findAuthenticationSession,
  keepAuthenticationSession,
  putAuthenticationSession,
  takeAuthenticationSession,
  type AuthenticationSession,
} from "../storage/authentication-sessions.js";
import { seal, unseal } from "../storage/sealing.js";
import type { AccountContext } from "./context.js";

/** A larger body is not kept: its client has to send it again, as all should. */
const MAX_KEPT_BYTES = 65_536;

/** Operations of the contract that have another name here. */
const OPERATIONS: ReadonlyMap<string, string> = new Map([["resetPassword", "changePassword"]]);

type Submitted = Static<typeof AuthenticationData>;

export interface Stage {
  /** Throws a MatrixError if the stage is not passed; gives what the operation needs to know of it. */
  readonly check: (submitted: Submitted) => Promise<string>;
  /** What the client needs to know to pass it, in a session. */
  readonly params?: JsonObject | ((session: string) => JsonObject);
}

export interface Challenge {
  readonly operation: string;
  /** Who asks: a user id, or nothing where there is no user yet. */
  readonly user: string | undefined;
  /** The body, whose `auth` is what the client submits now. */
  readonly body: { readonly auth?: Submitted | undefined };
  /** Lists of stages; one of them has to be completed. */
  readonly flows: readonly (readonly string[])[];
  readonly stages: Readonly<Record<string, Stage>>;
  /** The completed session is kept until it expires, for `outcomeOf`. */
  readonly kept?: boolean;
}

/** Somebody else than who asks proved who they are: that ends the operation, there is nothing to try again. */
export class AnotherUserError extends MatrixError {
  constructor() {
    super(403, "M_FORBIDDEN", "This has to be confirmed by the user who asks for it.");
  }
}

/** Status 401 with what the client has to do. Only a failed stage has an error code. */
class AuthenticationRequired extends MatrixError {
  private readonly failure: MatrixError | undefined;

  constructor(failure: MatrixError | undefined, extra: Record<string, unknown>) {
    super(401, failure?.errcode ?? "", failure?.message ?? "This needs user-interactive authentication.", { extra });
    this.failure = failure;
  }

  override body(): Record<string, unknown> {
    return this.failure === undefined ? { ...this.extra } : super.body();
  }
}

/**
 * Returns when one of the flows is complete: what each stage left to know. Throws status 401 with the flows otherwise,
 * M_FORBIDDEN where there is none.
 *
 * A session belongs to one user and operation: M_FORBIDDEN for others. It can be completed once; after that, with another body
 * (clients ask for the flows with an empty one) or where it is not known, a new one begins. A client may complete a flow of one
 * stage without asking for a session first.
 */
export async function requireAuthentication(context: AccountContext, challenge: Challenge): Promise<ReadonlyMap<string, string>> {
  if (challenge.flows.length === 0) throw new MatrixError(403, "M_FORBIDDEN", "This cannot be confirmed here: use the account page.");
  const submitted = challenge.body.auth;
  const purpose = purposeOf(context, challenge);
  const session = (await resume(context, submitted?.session ?? undefined, challenge, purpose)) ?? {
    id: randomBytes(18).toString("base64url"),
    purpose,
    operation: challenge.operation,
    asker: challenge.user ?? "",
    completed: new Map<string, string>(),
    body: sealed(context, challenge.body),
  };
  const isNew = session.id !== submitted?.session;
  const passed = new Map<string, string>();
  let failure: MatrixError | undefined;
  if (submitted?.type !== undefined && !session.completed.has(submitted.type)) {
    try {
      passed.set(submitted.type, await pass(challenge, submitted.type, submitted));
    } catch (error) {
      // Too many attempts are told as what they are; anything else is a stage that was not passed.
      if (!(error instanceof MatrixError) || error.status === 429 || error.status >= 500) throw error;
      if (error instanceof AnotherUserError) throw error;
      failure = error;
    }
  }
  const completed = new Map([...session.completed, ...passed]);
  if (failure === undefined && challenge.flows.some((flow) => flow.every((stage) => completed.has(stage)))) {
    const end = challenge.kept === true ? keepAuthenticationSession : takeAuthenticationSession;
    if (isNew || (await context.database.transaction((tx) => end(tx, session.id)))) return completed;
    throw new MatrixError(403, "M_FORBIDDEN", "This authentication session has been used: begin again.");
  }
  if (isNew || passed.size > 0) await store(context, { ...session, completed: passed });
  throw new AuthenticationRequired(failure, {
    session: session.id,
    flows: challenge.flows.map((stages) => ({ stages })),
    params: paramsOf(challenge, session.id),
    completed: [...completed.keys()],
  });
}

/**
 * The body of a request that has nothing but `auth` with a session ("User-interactive API in the REST API": old clients leave
 * out what they sent before): with what the session began with, if the same operation was asked for by the same. Any other
 * body is given back as it is.
 */
export async function wholeBody({ clock, database, secret }: AccountContext, operation: string, asker: string, body: JsonValue): Promise<JsonValue> {
  if (!isOnlyAuth(body)) return body;
  const { session: id } = body.auth;
  const session = await findAuthenticationSession(database, id, clock.now());
  if (session?.body === undefined || session.asker !== asker || (OPERATIONS.get(session.operation) ?? session.operation) !== operation) return body;
  const opened = unseal(secret, session.body);
  const first = opened === undefined ? undefined : parseJson(opened);
  return isObject(first) ? { ...first, ...body } : body;
}

/** Whether a body has nothing but `auth` with a session. */
export function isOnlyAuth(body: JsonValue): body is { readonly auth: { readonly session: string } } {
  return isObject(body) && isObject(body["auth"]) && typeof body["auth"]["session"] === "string" && Object.keys(body).length === 1;
}

/** What came of a session that was completed for the same before and kept: the same request may come twice. Undefined if nothing did. */
export async function outcomeOf(context: AccountContext, challenge: Challenge): Promise<string | undefined> {
  const id = challenge.body.auth?.session;
  const session = typeof id === "string" ? await findAuthenticationSession(context.database, id, context.clock.now()) : undefined;
  const isSame = session !== undefined && timingSafeEqual(session.purpose, purposeOf(context, challenge));
  return isSame && session.outcome !== "" ? session.outcome : undefined;
}

function sealed({ secret }: AccountContext, { auth: _auth, ...rest }: Challenge["body"]): Buffer | undefined {
  const bytes = Buffer.from(JSON.stringify(rest));
  return bytes.length > MAX_KEPT_BYTES ? undefined : seal(secret, bytes);
}

/** A session that a page of ours is shown for ("Fallback"). Throws M_FORBIDDEN for one that is not known. */
export async function requireSession({ clock, database }: AccountContext, id: string): Promise<AuthenticationSession> {
  const session = await findAuthenticationSession(database, id, clock.now());
  if (session === undefined) throw new MatrixError(403, "M_FORBIDDEN", "This authentication session is not known or has expired.");
  return session;
}

/** Notes that a stage was passed on a page of ours, which the client shows where it does not know the stage itself ("Fallback"). */
export async function completeStage(context: AccountContext, session: AuthenticationSession, stage: string, left: string): Promise<void> {
  await store(context, { ...session, completed: new Map([[stage, left]]) });
}

async function resume(
  { database, clock }: AccountContext,
  id: string | undefined,
  { operation, user }: Challenge,
  purpose: Buffer,
): Promise<AuthenticationSession | undefined> {
  if (id === undefined) return undefined;
  const session = await findAuthenticationSession(database, id, clock.now());
  if (session === undefined) return undefined;
  if (session.operation !== operation || session.asker !== (user ?? "")) throw forbidden("This authentication session was begun for something else.");
  return session.outcome === undefined && timingSafeEqual(session.purpose, purpose) ? session : undefined;
}

async function pass({ flows, stages }: Challenge, type: string, submitted: Submitted): Promise<string> {
  const stage = flows.flat().includes(type) && Object.hasOwn(stages, type) ? stages[type] : undefined;
  if (stage === undefined) throw new MatrixError(401, "M_UNRECOGNIZED", "This is not a stage of this authentication.");
  return stage.check(submitted);
}

function store({ clock, config, database }: AccountContext, session: AuthenticationSession): Promise<void> {
  const now = clock.now();
  const expires = now + config.tokens.authentication_session_lifetime * 1000;
  return database.transaction((tx) => putAuthenticationSession(tx, session, now, expires));
}

/** Keyed, because a body can hold a password, and a plain digest of that could be searched for. */
function purposeOf({ secret }: AccountContext, { operation, user, body }: Challenge): Buffer {
  const { auth: _auth, ...rest } = body;
  const fields = Object.entries(rest).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHmac("sha256", secret).update(JSON.stringify([operation, user, fields])).digest();
}

function paramsOf({ flows, stages }: Challenge, session: string): Record<string, JsonObject> {
  const used = new Set(flows.flat());
  return Object.fromEntries(
    Object.entries(stages).flatMap(([type, { params }]) => (params !== undefined && used.has(type) ? [[type, typeof params === "function" ? params(session) : params]] : [])),
  );
}
