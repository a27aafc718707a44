// What an operation is: one entry of the contract, from which routes, validation, types and the published OpenAPI come.
import type { Readable } from "node:stream";
import type { Static, TObject, TSchema } from "typebox";
import type { RateLimit } from "./config.js";

export type Method = "GET" | "PUT" | "POST" | "DELETE";

/**
 * Who may call: anybody (`none`), anybody but a sent token must be valid (`optional`), anybody and a token only says whose call it
 * is (`unchecked`), a user (`user`), an administrator of the deployment (`admin`), another server that signs its request (`server`).
 */
export type Auth = "none" | "optional" | "unchecked" | "user" | "admin" | "server";

export interface Operation {
  /** The specification's operationId. Handlers are functions of this name. */
  readonly operationId: string;
  readonly method: Method;
  /** First the path of the specification, then further ones that reach the same handler. `{name}` is one segment. */
  readonly paths: readonly [string, ...string[]];
  readonly auth: Auth;
  readonly summary: string;
  /** Which rate limit counts the call; absent means none. */
  readonly limit?: RateLimit;
  /** Types of path parameters. */
  readonly params?: TObject;
  /** Types of query parameters; values are converted from text. */
  readonly query?: TObject;
  /** Types of the request's headers that it reads, named in lower case. */
  readonly headers?: TObject;
  /** Type of the JSON body, or `bytes` for any content as it comes; absent means that a body is ignored. */
  readonly body?: TSchema | "bytes";
  /** The body has what becomes an event: its numbers are those of Canonical JSON (appendices). */
  readonly canonicalNumbers?: boolean;
  /** The body may come as a web form: never for what a page of another site must not be able to do to a user. */
  readonly form?: boolean;
  /** Refusals are those of the OAuth 2.0 RFCs, in their form: the error under which a malformed call is refused. */
  readonly oauthError?: "invalid_request" | "invalid_client_metadata";
  /** Type of the JSON answer with status 200. */
  readonly response: TSchema;
  /** Guests may call it (client-server API, "Guest access"). */
  readonly guests?: boolean;
  /** Those whose account is locked may call it ("Account locking"). */
  readonly whileLocked?: boolean;
  /** Those whose account is suspended may not call it ("Account suspension"): it takes part in rooms or shows something of the user. */
  readonly refusedWhileSuspended?: boolean;
}

type Part<T> = T extends TSchema ? Static<T> : Record<never, never>;
export type ParamsOf<Op extends Operation> = Part<Op["params"]>;
export type QueryOf<Op extends Operation> = Part<Op["query"]>;
export type HeadersOf<Op extends Operation> = Part<Op["headers"]>;
export type BodyOf<Op extends Operation> = Op["body"] extends "bytes"
  ? Readable
  : Op["body"] extends TSchema
    ? Static<Op["body"]>
    : undefined;
export type AnswerOf<Op extends Operation> = Static<Op["response"]>;

/** Declares an operation; keeps the literal types of its schemas. */
export function operation<const Op extends Operation>(op: Op): Op {
  return op;
}

/** What this server asks of others, as far as the specification says. Whoever does not know the first path is asked at the next. */
export interface AskedOperation {
  readonly operationId: string;
  readonly method: "GET" | "PUT" | "POST";
  readonly paths: readonly [string, ...string[]];
  readonly summary: string;
  readonly body?: TSchema;
  readonly response: TSchema;
}

/** Declares an operation that we ask of others; keeps the literal types of its schemas. */
export function asked<const Op extends AskedOperation>(op: Op): Op {
  return op;
}

/** The path of the stable client API and the frozen r0 path that older clients call. */
export function clientPaths(rest: string): readonly [string, string] {
  return [`/_matrix/client/v3${rest}`, `/_matrix/client/r0${rest}`];
}
